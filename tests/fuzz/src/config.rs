//! A connector's configuration: accepted whole or refused with reasons, and no secret in either.
//!
//! The bytes are text, one `key=value` a line; `\n` in a value stands for the end of a line, as in properties files. Each
//! value that must not be shown gets [`CANARY`] in front, so that it is known when it is seen.

use std::collections::{BTreeMap, HashMap};

use catalog_sync::datafile::settings::WriterSettings;
use connector::config::{HIDDEN, keys, parse, problems, shown};
use connector::kafka::consumer::FIXED;

/// Begins every secret.
const CANARY: &str = "cAnArY-";
/// Longest message about one key.
const MESSAGE_MAX: usize = 2_048;

/// The registration that the text describes: the name it goes by, and the map.
fn registration(text: &str) -> (String, BTreeMap<String, String>) {
    let mut config = BTreeMap::new();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        let value = value.replace("\\n", "\n");
        let secret = keys::hides(key) && !value.is_empty() && value != HIDDEN;
        config.insert(key.to_owned(), if secret { format!("{CANARY}{value}") } else { value });
    }
    (config.get("name").cloned().unwrap_or_default(), config)
}

/// The promises of the parser, for these bytes.
pub fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    // What is written twice in the text is a secret no more.
    if text.contains(CANARY) {
        return;
    }
    let (name, config) = registration(text);
    let found = problems(&name, &config);
    for problem in &found {
        let text = problem.to_string();
        assert!(!text.contains(CANARY), "a secret is in {text:?}");
        assert!(!text.contains(char::is_control), "a problem could forge a log line: {text:?}");
        assert!(!problem.message.is_empty() && text.len() <= MESSAGE_MAX, "{} bytes of problem", text.len());
    }
    assert!(shown(&config).values().all(|value| !value.contains(CANARY)), "a secret is shown");
    match parse(&name, &config) {
        Ok(accepted) => {
            assert_eq!(found, [], "accepted in spite of problems");
            let text = format!("{accepted:?}");
            assert!(!text.contains(CANARY), "a secret is in the debug text");
            assert_eq!(text, debug_without_defaults(&name, &config), "a default that is written out changes something");
            works(&accepted);
        }
        Err(refused) => assert_eq!(refused.problems(), found, "two lists of problems"),
    }
}

/// What is accepted must not be refused further on, where it would stop a running connector.
fn works(accepted: &connector::config::ConnectorConfig) {
    accepted.decode.check().expect("an accepted policy is refused by the decoder");
    WriterSettings::new(&HashMap::new(), &accepted.write_props).expect("accepted, but refused by the writer");
    // What gets into the table's properties is read back from there at the next start.
    let properties = accepted.create_props.clone().into_iter().collect();
    WriterSettings::new(&properties, &BTreeMap::new()).expect("accepted, but refused in the table's properties");
    assert!(!accepted.topics.is_empty() && !accepted.namespace.is_empty() && !accepted.table.is_empty());
    assert!((1..=64).contains(&accepted.tasks_max), "{} tasks", accepted.tasks_max);
    assert!(!accepted.flush.interval.is_zero() && accepted.flush.records_max > 0 && accepted.batch_bytes_max() > 0);
    assert!(!accepted.name.contains(['/', '\\']) && accepted.name != "..", "{:?} leaves its folder", accepted.name);
    for key in accepted.consumer_overrides.keys().chain(accepted.producer_overrides.keys()) {
        assert!(FIXED.iter().all(|(fixed, _, _)| fixed != key), "{key} belongs to the protocol");
        assert!(!key.contains("location") && !key.contains("plugin"), "{key} names a file");
    }
}

/// The same configuration, without the keys that say what holds anyway.
fn debug_without_defaults(name: &str, config: &BTreeMap<String, String>) -> String {
    let mut config = config.clone();
    config.retain(|key, value| keys::find(key).and_then(keys::Key::default) != Some(value.as_str()));
    format!("{:?}", parse(name, &config).expect("accepted, but not without its defaults"))
}
