//! The syntax of a record: one JSON object, cut into the values of its fields.
//!
//! Values are not interpreted here. What `scan` learned of them is what `value` needs to convert exactly: a number in a text
//! column keeps its digits, and one outside the range of a double is no syntax error. Within the value of an unknown key the
//! grammar and the depth are checked, nothing else. Faults are told in the order of the record, but for a repeated unknown
//! key, which is told last.

use std::borrow::Cow;

use super::keys;
use super::policy::UnknownFields;
use super::scan::{Fault, Scanner, Value};
use super::text;
use crate::reject::{Reject, RejectCode};
use crate::table::{COLUMNS, EVENT_FIELDS};

/// How deep objects and arrays may be nested in a record, its own object counted.
pub const DEPTH_MAX: usize = 32;

/// The value of each field of an event in table order; `None` where the key is absent.
pub(super) type RawFields<'de> = [Option<Value<'de>>; EVENT_FIELDS];
pub(super) const NO_FIELDS: RawFields<'static> = [None; EVENT_FIELDS];

/// Cuts a record into fields, of which none is there yet.
pub(super) fn read<'de>(text: &'de str, unknown_fields: UnknownFields, raw: &mut RawFields<'de>) -> Result<(), Reject> {
    let mut scan = Scanner::new(text);
    if !scan.eat(b'{') {
        return Err(not_an_object(scan, text));
    }
    let mut fields = Fields { raw, unknown: Vec::new(), unknown_escaped: Vec::new() };
    fields.object(&mut scan, unknown_fields).map_err(|stop| match stop {
        Stop::Fault(fault) => fault.reject(RejectCode::NotJson, text),
        Stop::Reject(reject) => reject,
    })?;
    end(&mut scan).map_err(|fault| fault.reject(RejectCode::TrailingData, text))?;
    fields.refuse_repeated_unknown()
}

/// Nothing but white space follows.
fn end(scan: &mut Scanner<'_>) -> Result<(), Fault> {
    if scan.next_byte().is_some() { scan.fault("something follows the end") } else { Ok(()) }
}

/// What text is that does not begin with an object.
#[cold]
fn not_an_object(mut scan: Scanner<'_>, text: &str) -> Reject {
    let value = scan.value().and_then(|value| end(&mut scan).map(|()| value));
    let found = match value {
        Err(fault) => return fault.reject(RejectCode::NotJson, text),
        Ok(Value::Array(_)) => "an array",
        Ok(Value::Plain(_) | Value::Escaped(_)) => "a string",
        Ok(Value::Boolean) => "a boolean",
        Ok(Value::Null) => "null",
        Ok(Value::Number(_) | Value::Object(_)) => "a number",
    };
    Reject::new(RejectCode::NotAnObject, format!("the value is {found}, not an object"))
}

/// Why reading ends early: the grammar, or a rule of ours.
enum Stop {
    Fault(Fault),
    Reject(Reject),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

struct Fields<'a, 'de> {
    raw: &'a mut RawFields<'de>,
    /// Keys seen that are no field. Sorted at the end: looking each one up among the others would cost their square. A
    /// record may consist of little else, so that 16 bytes for each are enough and a `Cow` would be too much.
    unknown: Vec<&'de str>,
    /// Those written with escapes, as they are meant.
    unknown_escaped: Vec<Box<str>>,
}

impl<'de> Fields<'_, 'de> {
    /// The object of the record, after its opening bracket.
    fn object(&mut self, scan: &mut Scanner<'de>, unknown_fields: UnknownFields) -> Result<(), Stop> {
        if scan.eat(b'}') {
            return Ok(());
        }
        let mut expected = 0;
        loop {
            let key = key(scan, expected)?;
            if let Key::Unknown(name) = &key
                && unknown_fields == UnknownFields::Reject
            {
                return Err(unknown_field(name));
            }
            scan.colon()?;
            let value = scan.value()?;
            if let Value::Array(depth) | Value::Object(depth) = value
                // The record's own object is the first level.
                && 1 + depth > DEPTH_MAX
            {
                return Err(too_deep(&key));
            }
            match key {
                Key::Column(column) => {
                    if self.raw[column].replace(value).is_some() {
                        return Err(duplicate(column));
                    }
                    expected = column + 1;
                }
                Key::Unknown(Cow::Borrowed(name)) => self.unknown.push(name),
                Key::Unknown(Cow::Owned(name)) => self.unknown_escaped.push(name.into_boxed_str()),
            }
            match scan.next_byte() {
                Some(b',') => scan.eat(b','),
                Some(b'}') => {
                    scan.eat(b'}');
                    return Ok(());
                }
                Some(_) => return Ok(scan.fault("a comma or the closing bracket is expected")?),
                None => return Ok(scan.fault("the record ends within its object")?),
            };
        }
    }

    fn refuse_repeated_unknown(&mut self) -> Result<(), Reject> {
        if self.unknown.len() + self.unknown_escaped.len() < 2 {
            return Ok(());
        }
        let mut keys: Vec<&str> = std::mem::take(&mut self.unknown);
        keys.extend(self.unknown_escaped.iter().map(AsRef::as_ref));
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Reject::at_key(RejectCode::DuplicateKey, pair[0], "the key occurs more than once")),
            None => Ok(()),
        }
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

/// The next key.
#[inline]
fn key<'de>(scan: &mut Scanner<'de>, expected: usize) -> Result<Key<'de>, Fault> {
    if scan.next_byte() != Some(b'"') {
        return scan.fault("a key in double quotes is expected");
    }
    if let Some(width) = keys::width_if_next(scan.rest(), expected) {
        scan.skip(width);
        return Ok(Key::Column(expected));
    }
    other_key(scan)
}

fn other_key<'de>(scan: &mut Scanner<'de>) -> Result<Key<'de>, Fault> {
    let name = match scan.string()? {
        Value::Escaped(raw) => {
            let mut name = String::new();
            if text::unescape(raw, &mut name).is_err() {
                return scan.fault("the key holds half of a surrogate pair and ends");
            }
            Cow::Owned(name)
        }
        Value::Plain(name) => Cow::Borrowed(name),
        _ => Cow::default(),
    };
    Ok(keys::column(&name).map_or(Key::Unknown(name), Key::Column))
}

#[cold]
fn unknown_field(name: &str) -> Stop {
    Stop::Reject(Reject::at_key(RejectCode::UnknownField, name, "the key is no field of a click"))
}

#[cold]
fn too_deep(key: &Key<'_>) -> Stop {
    let detail = format!("objects or arrays are nested deeper than {DEPTH_MAX} levels");
    Stop::Reject(Reject::at_key(RejectCode::TooDeep, key.name(), detail))
}

#[cold]
fn duplicate(column: usize) -> Stop {
    Stop::Reject(Reject::at(RejectCode::DuplicateKey, COLUMNS[column].name, "the key occurs more than once"))
}
