//! Typed access to the flat map, with defaults from the table of keys. Pure; used by [`super::parse`].

use std::collections::BTreeMap;

use catalog_sync::secret::Secret;

use super::keys::{self, Key};
use super::values;

/// Read access to a map whose values have passed their checks (or whose problems have been told).
pub(super) struct Reader<'a> {
    pub(super) config: &'a BTreeMap<String, String>,
}

impl<'a> Reader<'a> {
    pub(super) fn set(&self, key: &str) -> Option<&'a str> {
        self.config.get(key).map(String::as_str)
    }

    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.set(key).or_else(|| keys::find(key).and_then(Key::default))
    }

    pub(super) fn owned(&self, key: &str) -> Option<String> {
        self.text(key).map(str::to_owned)
    }

    pub(super) fn list(&self, key: &str) -> Vec<String> {
        self.text(key).map(values::list).unwrap_or_default()
    }

    pub(super) fn whole(&self, key: &str) -> u64 {
        self.text(key).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.text(key) == Some("true")
    }

    pub(super) fn secret(&self, key: &str) -> Option<Secret> {
        self.set(key).map(Secret::new)
    }

    pub(super) fn below<T>(&self, prefix: &str, make: impl Fn(&str) -> T) -> BTreeMap<String, T> {
        let inside = |(key, value): (&String, &String)| Some((key.strip_prefix(prefix)?.to_owned(), make(value)));
        self.config.iter().filter_map(inside).collect()
    }
}
