//! What a client sends to register a connector: a name and a flat map of texts.
//!
//! As in Kafka Connect, numbers and booleans are taken as their text. A key that stands twice is refused: JSON readers
//! differ in which one counts. Used by the handlers, by the store and by `--connector FILE`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::values::excerpt;

/// A connector's configuration as it was sent. Its values may be secret, so that `Debug` shows the name only.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// Name to register it under.
    pub name: String,
    /// Its configuration.
    #[serde(deserialize_with = "flat_map")]
    pub config: BTreeMap<String, String>,
    /// Only `RUNNING`: there is no paused or stopped state yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_state: Option<String>,
}

impl fmt::Debug for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submission").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Submission {
    /// A submission; the name is added to the configuration, as Kafka Connect does.
    #[must_use]
    pub fn new(name: impl Into<String>, mut config: BTreeMap<String, String>) -> Self {
        let name = name.into();
        config.entry("name".to_owned()).or_insert_with(|| name.clone());
        Self { name, config, initial_state: None }
    }

    /// Reads the body of `POST /connectors`.
    ///
    /// # Errors
    /// What is wrong, for people; never holds a value.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        let read: Self = serde_json::from_slice(text).map_err(|error| json_error(&error))?;
        if read.initial_state.as_deref().is_some_and(|state| state != "RUNNING") {
            return Err("initial_state: only RUNNING is supported; leave it out".into());
        }
        Ok(Self::new(read.name, read.config))
    }

    /// Reads a file: the body of a `POST`, or the flat map alone with `name` inside.
    ///
    /// # Errors
    /// As [`Self::from_json`].
    pub fn from_file(text: &[u8]) -> Result<Self, String> {
        match serde_json::from_slice::<Config>(text) {
            Ok(Config(mut flat)) if !flat.contains_key("config") => {
                let name = flat.get("name").cloned().ok_or("the file names no connector: add `name`")?;
                flat.remove("name");
                Ok(Self::new(name, flat))
            }
            _ => Self::from_json(text),
        }
    }

    /// The body of a `POST` that would make it again.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// The flat map alone, as `PUT …/config` and `validate` take it.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Config(#[serde(deserialize_with = "flat_map")] pub(super) BTreeMap<String, String>);

/// Says where JSON went wrong. `serde_json` repeats offending values, which may be secret; only its kind and place are
/// told, and our own messages, which repeat keys only.
pub(super) fn json_error(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    if error.is_data() {
        let own = error.to_string();
        let own = own.rsplit_once(" at line ").map_or(own.as_str(), |(text, _)| text);
        if let Some(told) = own.strip_prefix(OURS) {
            return told.to_owned();
        }
        if own.starts_with("missing field") {
            return format!("{own}; send {{\"name\": …, \"config\": {{…}}}}");
        }
        return format!("the JSON at {place} has not the form {{\"name\": …, \"config\": {{key: text, …}}}}");
    }
    format!("the body is not JSON: it goes wrong at {place}")
}

/// Marks messages of our own inside `serde_json::Error`.
const OURS: &str = "config: ";

fn flat_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Flat;
    impl<'de> Visitor<'de> for Flat {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of texts")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut read = BTreeMap::new();
            while let Some((key, value)) = map.next_entry::<String, Value>()? {
                let value = match value {
                    Value::String(text) => text,
                    Value::Number(number) => number.to_string(),
                    Value::Bool(flag) => flag.to_string(),
                    Value::Null | Value::Array(_) | Value::Object(_) => {
                        return Err(Error::custom(format!("{OURS}{}: must be a text", excerpt(&key))));
                    }
                };
                if read.contains_key(&key) {
                    return Err(Error::custom(format!("{OURS}{}: stands twice; keep one", excerpt(&key))));
                }
                read.insert(key, value);
            }
            Ok(read)
        }
    }
    deserializer.deserialize_map(Flat)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Submission;

    #[test]
    fn numbers_and_flags_are_texts_and_the_name_goes_inside() {
        let read = Submission::from_json(br#"{"name":"a","config":{"tasks.max":2,"x":true}}"#).unwrap();
        assert_eq!((read.config["tasks.max"].as_str(), read.config["x"].as_str()), ("2", "true"));
        assert_eq!(read.config["name"], "a");
        assert_eq!(Submission::from_json(read.to_json().as_bytes()).unwrap(), read);
        assert_eq!(Submission::from_file(read.to_json().as_bytes()).unwrap(), read);
        assert!(Submission::from_file(br#"{"topics":"t"}"#).unwrap_err().contains("add `name`"));
        assert_eq!(Submission::from_file(br#"{"name":"a","topics":"t"}"#).unwrap().config["topics"], "t");
    }

    #[test]
    fn what_is_no_submission_is_told_without_its_values() {
        for (body, wanted) in [
            (r#"{"name":"a","config":{"k":null,"s":"c4711"}}"#, "k: must be a text"),
            (r#"{"name":"a","config":{"k":"c4711","k":"y"}}"#, "k: stands twice; keep one"),
            (r#"{"config":{}}"#, "missing field `name`"),
            (r#"{"name":"a","config":"c4711"}"#, "has not the form"),
            (r#"{"name":"a","config":{},"initial_state":"PAUSED"}"#, "only RUNNING"),
            (r#"{"name":"a","config":{"k":"c4711"#, "not JSON"),
        ] {
            let error = Submission::from_json(body.as_bytes()).unwrap_err();
            assert!(error.contains(wanted) && !error.contains("4711"), "{error}");
        }
    }
}
