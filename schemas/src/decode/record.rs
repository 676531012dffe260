//! The syntax of a record: one JSON object, cut into the raw text of its fields.
//!
//! Values are not interpreted here. Their raw text is what `value` needs to convert exactly: a number in a text column keeps
//! its digits, and one outside the range of a double is no syntax error. Within the value of an unknown key the grammar and the
//! depth are checked, nothing else.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::policy::UnknownFields;
use crate::reject::{Reject, RejectCode};
use crate::table::{COLUMNS, EVENT_FIELDS};

/// How deep objects and arrays may be nested in a record, its own object counted.
pub const DEPTH_MAX: usize = 32;

/// The raw JSON text of each field of an event in table order; `None` where the key is absent.
pub(super) type RawFields<'de> = [Option<&'de str>; EVENT_FIELDS];

/// Cuts a record into fields.
pub(super) fn read(text: &str, unknown_fields: UnknownFields) -> Result<RawFields<'_>, Reject> {
    let start = text.trim_start_matches([' ', '\t', '\r', '\n']);
    if !start.starts_with('{') {
        return Err(not_an_object(start));
    }
    let mut fields = Fields { raw: [None; EVENT_FIELDS], unknown: Vec::new(), unknown_fields, reject: None };
    let mut json = serde_json::Deserializer::from_str(text);
    if let Err(error) = json.deserialize_map(&mut fields) {
        return Err(fields.reject.unwrap_or_else(|| Reject::new(RejectCode::NotJson, error.to_string())));
    }
    json.end().map_err(|error| {
        let detail = format!("something follows the object at line {} column {}", error.line(), error.column());
        Reject::new(RejectCode::TrailingData, detail)
    })?;
    fields.refuse_repeated_unknown()?;
    Ok(fields.raw)
}

/// What text is that does not begin with an object.
fn not_an_object(text: &str) -> Reject {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return Reject::new(RejectCode::NotJson, error.to_string());
    }
    let found = match text.as_bytes().first() {
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    };
    Reject::new(RejectCode::NotAnObject, format!("the value is {found}, not an object"))
}

struct Fields<'de> {
    raw: RawFields<'de>,
    /// Keys seen that are no field. Sorted at the end: looking each one up among the others would cost their square.
    unknown: Vec<Cow<'de, str>>,
    unknown_fields: UnknownFields,
    /// The true reason, when the visitor itself stops the parser.
    reject: Option<Reject>,
}

impl<'de> Fields<'de> {
    fn stop<E: serde::de::Error>(&mut self, reject: Reject) -> E {
        self.reject = Some(reject);
        E::custom("rejected")
    }

    fn refuse_repeated_unknown(&mut self) -> Result<(), Reject> {
        self.unknown.sort_unstable();
        match self.unknown.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Reject::at_key(RejectCode::DuplicateKey, &pair[0], "the key occurs more than once")),
            None => Ok(()),
        }
    }
}

impl<'de> Visitor<'de> for &mut Fields<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a click")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut expected = 0;
        while let Some(key) = map.next_key_seed(KeySeed { expected })? {
            if let Key::Unknown(name) = &key
                && self.unknown_fields == UnknownFields::Reject
            {
                let reject = Reject::at_key(RejectCode::UnknownField, name, "the key is no field of a click");
                return Err(self.stop(reject));
            }
            let value = map.next_value::<&RawValue>()?.get();
            // The record's own object is the first level.
            if matches!(value.as_bytes().first(), Some(b'{' | b'[')) && 1 + depth(value) > DEPTH_MAX {
                let detail = format!("objects or arrays are nested deeper than {DEPTH_MAX} levels");
                return Err(self.stop(Reject::at_key(RejectCode::TooDeep, key.name(), detail)));
            }
            match key {
                Key::Column(column) => {
                    if self.raw[column].replace(value).is_some() {
                        let name = COLUMNS[column].name;
                        let reject = Reject::at(RejectCode::DuplicateKey, name, "the key occurs more than once");
                        return Err(self.stop(reject));
                    }
                    expected = column + 1;
                }
                Key::Unknown(name) => self.unknown.push(name),
            }
        }
        Ok(())
    }
}

enum Key<'de> {
    Column(usize),
    Unknown(Cow<'de, str>),
}

impl Key<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Column(column) => COLUMNS[*column].name,
            Self::Unknown(name) => name,
        }
    }
}

/// Finds the column of a key. Producers nearly always send keys in one order, that of the table or a part of it, so the
/// column after the last one is compared first.
struct KeySeed {
    expected: usize,
}

impl KeySeed {
    fn column(&self, key: &str) -> Option<usize> {
        if self.expected < EVENT_FIELDS && COLUMNS[self.expected].name == key {
            return Some(self.expected);
        }
        COLUMNS[..EVENT_FIELDS].iter().position(|column| column.name == key)
    }
}

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key<'de>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
        Ok(self.column(key).map_or(Key::Unknown(Cow::Borrowed(key)), Key::Column))
    }

    /// A key with escapes in it.
    fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
        Ok(self.column(key).map_or_else(|| Key::Unknown(Cow::Owned(key.to_owned())), Key::Column))
    }
}

/// How deep valid JSON is nested: 1 for `[]`, 2 for `[{}]`.
fn depth(json: &str) -> usize {
    let (mut level, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                level += 1;
                deepest = deepest.max(level);
            }
            b'}' | b']' => level = level.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
