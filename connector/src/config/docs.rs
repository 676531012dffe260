//! The table of keys as Markdown: `connector config-docs`, kept in `connector/docs/CONFIG.md`. Pure.

use super::keys::{Absent, KEYS, Key};
use super::refused::REFUSED;
use super::values::Check;

const HEAD: &str = "\
# Configuration of a connector

Written by `connector config-docs` from `connector/src/config/keys.rs`; a test keeps the two the same.

A connector is registered as Kafka Connect does it: `POST /connectors` with `{\"name\": …, \"config\": {key: value, …}}`, or
`connector run --connector FILE.json`. An unknown key is an error that names the nearest known one. Values of secret keys
are never shown, logged or repeated in an error; `GET` answers `[hidden]` in their place.
";

/// The whole page.
#[must_use]
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    let mut group = "";
    for key in KEYS.iter() {
        if key.group != group {
            group = key.group;
            page.push_str(&format!("\n## {group}\n\n| Key | Default | Values | Meaning |\n|---|---|---|---|\n"));
        }
        page.push_str(&row(key));
    }
    page.push_str(
        "\n## Keys that are refused\n\nNothing is accepted in silence: these are errors that say what to do instead.\n\n\
         | Key | Answer |\n|---|---|\n",
    );
    for refused in REFUSED {
        let passes = refused.harmless.map(|value| format!(" (`{value}` passes)")).unwrap_or_default();
        page.push_str(&format!("| `{}`{passes} | {} |\n", refused.name, refused.why));
    }
    page.push_str(
        "\nUnder `consumer.override.` and `producer.override.` everything that is not listed above is refused too, above \
         all what would let a connector read files (`ssl.*.location`), run programs or load libraries on the worker.\n",
    );
    page
}

fn row(key: &Key) -> String {
    let default = match key.absent {
        Absent::Required => "**required**".to_owned(),
        Absent::Unset => String::new(),
        Absent::Default(value) => format!("`{}`", value.replace(',', ", ")),
    };
    let secret = if key.secret() { "secret; " } else { "" };
    let values = match key.check {
        Check::Whole(min, max) => format!("{min} to {max}"),
        Check::Pem => "PEM".to_owned(),
        check => check.choices().iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "),
    };
    let values = format!("{secret}{values}");
    format!("| `{}` | {default} | {} | {} |\n", key.name, values.trim_end_matches("; "), key.doc)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    /// Renew with `cargo run --release -p connector -- config-docs > connector/docs/CONFIG.md`.
    #[test]
    fn the_page_in_the_repository_is_that_of_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONFIG.md");
        assert_eq!(std::fs::read_to_string(path).unwrap(), super::markdown());
    }
}
