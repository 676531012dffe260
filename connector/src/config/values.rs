//! What a value may look like, and how to read it once it has passed.
//!
//! A check's message continues "`key`: …". Values are shown in it (cut, control characters escaped) unless the key is
//! secret. Pure. Called by [`super::parse`] and, through it, by `validate`.

use std::net::IpAddr;

use schemas::table::{COLUMNS, EVENT_FIELDS};

/// Longest value of all; PEM texts fit.
const VALUE_BYTES_MAX: usize = 32 * 1024;

/// Which values a key allows.
#[derive(Debug, Clone, Copy)]
pub enum Check {
    /// Text of one line.
    Free,
    /// Text of many lines.
    Pem,
    /// `true` or `false`.
    Bool,
    /// Whole number, both ends included.
    Whole(u64, u64),
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Only this value, for that reason.
    Fixed(&'static str, &'static str),
    /// Anything, without effect, for that reason.
    Ignored(&'static str),
    /// A rule of its own.
    With(fn(&str) -> Result<(), String>),
}

/// Shorthand for the table.
pub(super) const FREE: Check = Check::Free;

impl Check {
    /// Checks a value.
    ///
    /// # Errors
    /// What is wrong and what is wanted; never repeats the value of a secret key.
    pub fn run(self, value: &str, secret: bool) -> Result<(), String> {
        if value.is_empty() {
            return Err("is empty; give a value or leave the key out".into());
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(format!("is longer than {VALUE_BYTES_MAX} bytes"));
        }
        let lines = matches!(self, Self::Pem);
        if value.chars().any(|c| c.is_control() && !(lines && matches!(c, '\n' | '\r'))) {
            return Err("holds a control character; remove it".into());
        }
        let found = if secret { "the value".to_owned() } else { format!("`{}`", excerpt(value)) };
        match self {
            Self::Free | Self::Pem | Self::Ignored(_) => Ok(()),
            Self::Bool => ok_if(matches!(value, "true" | "false"), || format!("{found} is neither true nor false")),
            Self::Whole(min, max) => ok_if(value.parse().is_ok_and(|n: u64| (min..=max).contains(&n)), || {
                format!("{found} is not a whole number from {min} to {max}")
            }),
            Self::OneOf(allowed) => {
                ok_if(allowed.contains(&value), || format!("{found} is not supported; allowed: {}", allowed.join(", ")))
            }
            Self::Fixed(only, why) => ok_if(value == only, || format!("{found} is not supported, only {only}: {why}")),
            Self::With(rule) => rule(value),
        }
    }

    /// The values to choose from, for forms.
    #[must_use]
    pub fn choices(self) -> Vec<&'static str> {
        match self {
            Self::Bool => vec!["true", "false"],
            Self::OneOf(allowed) => allowed.to_vec(),
            Self::Fixed(only, _) => vec![only],
            Self::Free | Self::Pem | Self::Whole(..) | Self::Ignored(_) | Self::With(_) => Vec::new(),
        }
    }
}

fn ok_if(good: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if good { Ok(()) } else { Err(message()) }
}

/// A piece of foreign text, safe to print in one line: at most 80 bytes, control characters escaped.
#[must_use]
pub fn excerpt(text: &str) -> String {
    let cut = text.floor_char_boundary(80);
    let mut out: String = text[..cut].escape_debug().collect();
    if cut < text.len() {
        out.push('…');
    }
    out
}

/// Texts with commas between, without the space around them.
pub(super) fn list(value: &str) -> Vec<String> {
    value.split(',').map(|item| item.trim().to_owned()).collect()
}

fn is_word(text: &str, bytes_max: usize) -> bool {
    !text.is_empty()
        && text.len() <= bytes_max
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && text != "."
        && text != ".."
}

/// The rule for names of connectors: safe in a path, in a file name and in a log line.
pub(crate) fn connector_name(value: &str) -> Result<(), String> {
    ok_if(is_word(value, 128), || {
        format!("`{}` is no name: use letters, digits, `.`, `_`, `-`, at most 128 of them", excerpt(value))
    })
}

pub(super) fn word(value: &str) -> Result<(), String> {
    ok_if(is_word(value, 128), || format!("`{}` may hold only letters, digits, `.`, `_`, `-`", excerpt(value)))
}

pub(super) fn group(value: &str) -> Result<(), String> {
    ok_if(is_word(value, 255), || format!("`{}` may hold only letters, digits, `.`, `_`, `-`", excerpt(value)))
}

pub(super) fn words(value: &str) -> Result<(), String> {
    distinct(value, word)
}

pub(super) fn share(value: &str) -> Result<(), String> {
    ok_if(value.parse().is_ok_and(|share: f64| share > 0.0 && share < 1.0), || {
        format!("`{}` does not lie between 0 and 1", excerpt(value))
    })
}

/// Fields of an event, as [`schemas::table`] names them.
pub(super) fn fields(value: &str) -> Result<(), String> {
    distinct(value, |item| {
        let known = COLUMNS[..EVENT_FIELDS].iter().any(|column| column.name == item);
        ok_if(known, || format!("`{}` is no field of an event; correct its name", excerpt(item)))
    })
}

pub(super) fn topic(value: &str) -> Result<(), String> {
    ok_if(is_word(value, 249), || {
        format!(
            "`{}` is no topic name: Kafka allows letters, digits, `.`, `_`, `-`, at most 249 of them",
            excerpt(value)
        )
    })
}

pub(super) fn topics(value: &str) -> Result<(), String> {
    distinct(value, topic)
}

fn distinct(value: &str, rule: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
    let items = list(value);
    for (at, item) in items.iter().enumerate() {
        rule(item)?;
        if items[..at].contains(item) {
            return Err(format!("names `{}` twice", excerpt(item)));
        }
    }
    Ok(())
}

/// Namespace levels and name of a table.
pub(super) fn split_table(value: &str) -> Option<(Vec<String>, String)> {
    let mut levels: Vec<String> = value.split('.').map(str::to_owned).collect();
    let good = |level: &String| {
        !level.is_empty() && level.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    if value.len() > 255 || levels.len() < 2 || !levels.iter().all(good) {
        return None;
    }
    let name = levels.pop()?;
    Some((levels, name))
}

pub(super) fn table(value: &str) -> Result<(), String> {
    if value.contains(',') {
        return Err("names several tables; one connector feeds one table, so register a connector for each".into());
    }
    ok_if(split_table(value).is_some(), || {
        format!("`{}` is no table; write namespace.table with letters, digits, `_`, `-`", excerpt(value))
    })
}

/// An http address without user, query or fragment, and not one of those where clouds keep their machines' keys.
/// The address is not repeated in messages: people put passwords into it.
pub(super) fn url(value: &str) -> Result<(), String> {
    let Ok(url) = reqwest::Url::parse(value) else {
        return Err("is no address; write http://host:port/path or https://…".into());
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("has the scheme `{}`; only http and https are allowed", excerpt(url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user or password; give it in its own key instead".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("holds a query or fragment; remove it".into());
    }
    ok_if(!url.host_str().is_some_and(is_link_local), || {
        "points at a link-local address, where clouds serve the machine's own credentials".into()
    })
}

fn is_link_local(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(ip)) => ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => {
            ip.is_unicast_link_local()
                || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_link_local())
                || ip.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_http_without_secrets_and_never_link_local() {
        assert_eq!(url("http://127.0.0.1:19120/iceberg/"), Ok(()));
        assert_eq!(url("https://catalog.example"), Ok(()));
        for bad in [
            "catalog:8181",
            "ftp://h/",
            "http://u:p@h/",
            "http://h/?a=b",
            "http://h/#f",
            "http://169.254.169.254/latest",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fd00:ec2::254]/",
            "http://2852039166/",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tables_have_a_namespace_and_plain_levels() {
        assert_eq!(split_table("a.b.c"), Some((vec!["a".into(), "b".into()], "c".into())));
        for bad in ["clicks", "a.", ".a", "a..b", "a.b c", "a.b/../c", "a.b,c.d"] {
            assert!(table(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn foreign_text_is_cut_and_escaped() {
        assert_eq!(excerpt("a\r\n\u{1b}[31m"), "a\\r\\n\\u{1b}[31m");
        assert_eq!(excerpt(&"x".repeat(100)), format!("{}…", "x".repeat(80)));
    }
}
