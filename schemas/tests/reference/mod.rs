//! A second opinion on every record: the same contract, read by `serde_json` and judged by plain code.
//!
//! Slow and short, and of other parts than the decoder: grammar, escapes and numbers are those of `serde_json` and of the
//! standard library. Only the calendar (`schemas::time`) is shared, which has tests of its own. Held against the decoder by
//! `differential.rs` beside it, and by the fuzzer in `tests/fuzz`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use schemas::decode::{DEPTH_MAX, DecodePolicy, UnknownFields};
use schemas::reject::RejectCode;
use schemas::table::{COLUMNS, ColumnKind, EVENT_FIELDS};
use schemas::time;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    Text(String),
    Int(i32),
    Micros(i64),
}

/// The cells of the event's fields in table order, or why there are none.
pub(crate) type Outcome = Result<Vec<Cell>, RejectCode>;

/// What must become of a record.
pub(crate) fn judge(record: &[u8], policy: &DecodePolicy) -> Outcome {
    let text = text(record, policy)?;
    let raw = fields(text, policy.unknown_fields)?;
    let is_field = |name: &String| COLUMNS[..EVENT_FIELDS].iter().any(|column| column.name == name.as_str());
    if !policy.required.iter().all(is_field) {
        return Err(RejectCode::MissingField);
    }
    COLUMNS[..EVENT_FIELDS].iter().zip(raw).map(|(column, json)| cell(column.name, column.kind, json, policy)).collect()
}

/// What has become of a record: a row of a batch.
pub(crate) fn row(batch: &RecordBatch, row: usize) -> Vec<Cell> {
    let cell = |(position, kind): (usize, ColumnKind)| {
        let array = batch.column(position);
        match kind {
            _ if array.is_null(row) => Cell::Null,
            ColumnKind::String => Cell::Text(array.as_string::<i32>().value(row).to_owned()),
            ColumnKind::Int => Cell::Int(array.as_primitive::<Int32Type>().value(row)),
            ColumnKind::TimestampTz => Cell::Micros(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        }
    };
    COLUMNS[..EVENT_FIELDS].iter().map(|column| column.kind).enumerate().map(cell).collect()
}

fn text<'a>(record: &'a [u8], policy: &DecodePolicy) -> Result<&'a str, RejectCode> {
    if record.len() > policy.record_bytes_max {
        return Err(RejectCode::TooLarge);
    }
    if record.iter().all(|byte| b" \t\r\n".contains(byte)) {
        return Err(RejectCode::Empty);
    }
    if record.starts_with("\u{feff}".as_bytes()) {
        return Err(RejectCode::Bom);
    }
    str::from_utf8(record).map_err(|_| RejectCode::InvalidUtf8)
}

/// The raw text of each field, if the syntax is right.
fn fields(text: &str, unknown_fields: UnknownFields) -> Result<Vec<Option<&str>>, RejectCode> {
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        let json = serde_json::from_str::<IgnoredAny>(text);
        return Err(json.map_or(RejectCode::NotJson, |_| RejectCode::NotAnObject));
    }
    let mut reading = Reading { unknown_fields, ..Reading::default() };
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(&mut reading).map_err(|_| reading.reject.unwrap_or(RejectCode::NotJson))?;
    json.end().map_err(|_| RejectCode::TrailingData)?;
    if reading.repeated {
        return Err(RejectCode::DuplicateKey);
    }
    Ok(reading.raw.to_vec())
}

#[derive(Default)]
struct Reading<'de> {
    raw: [Option<&'de str>; EVENT_FIELDS],
    unknown: BTreeSet<Cow<'de, str>>,
    unknown_fields: UnknownFields,
    /// An unknown key occurs twice, which is told when all else is well.
    repeated: bool,
    /// The true reason, when we stop the parser ourselves.
    reject: Option<RejectCode>,
}

impl<'de> Visitor<'de> for &mut Reading<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a click")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Key<'de>>()? {
            let column = COLUMNS[..EVENT_FIELDS].iter().position(|column| column.name == key.0);
            if column.is_none() && self.unknown_fields == UnknownFields::Reject {
                return self.stop(RejectCode::UnknownField);
            }
            let value = map.next_value::<&RawValue>()?.get();
            // The record's own object is the first level.
            if 1 + depth(value) > DEPTH_MAX {
                return self.stop(RejectCode::TooDeep);
            }
            match column {
                Some(column) if self.raw[column].replace(value).is_some() => {
                    return self.stop(RejectCode::DuplicateKey);
                }
                Some(_) => {}
                None => self.repeated |= !self.unknown.insert(key.0),
            }
        }
        Ok(())
    }
}

impl Reading<'_> {
    fn stop<E: Error>(&mut self, code: RejectCode) -> Result<(), E> {
        self.reject = Some(code);
        Err(E::custom("rejected"))
    }
}

/// A key, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// How deep valid JSON is nested: 0 for `1`, 1 for `[]`, 2 for `[{}]`.
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
            b'}' | b']' => level -= 1,
            _ => {}
        }
    }
    deepest
}

fn cell(name: &str, kind: ColumnKind, json: Option<&str>, policy: &DecodePolicy) -> Result<Cell, RejectCode> {
    let cell = match json {
        None | Some("null") => Cell::Null,
        Some(json) if json.starts_with('"') => {
            let text: String = serde_json::from_str(json).map_err(|_| RejectCode::NotJson)?;
            match kind {
                ColumnKind::String => Cell::Text(text),
                ColumnKind::Int => Cell::Int(int_from_text(&text)?),
                ColumnKind::TimestampTz => Cell::Micros(time::parse_iso8601(&text).ok_or(RejectCode::BadTimestamp)?),
            }
        }
        Some(json) if json.starts_with(['[', '{', 't', 'f']) => return Err(RejectCode::WrongType),
        Some(number) => match kind {
            ColumnKind::String => Cell::Text(number.to_owned()),
            ColumnKind::Int => Cell::Int(int_from_number(number)?),
            ColumnKind::TimestampTz => {
                Cell::Micros(time::parse_epoch_millis(number).ok_or(RejectCode::TimestampOutOfRange)?)
            }
        },
    };
    let required = ["event_timestamp", "event_type"].contains(&name) || policy.required.contains(name);
    match &cell {
        Cell::Text(text) if text.len() > policy.string_bytes_max => Err(RejectCode::TooLong),
        Cell::Micros(micros) if *micros < policy.timestamp_min_micros || *micros >= policy.timestamp_max_micros => {
            Err(RejectCode::TimestampOutOfRange)
        }
        Cell::Null if required => Err(RejectCode::MissingField),
        Cell::Text(text) if required && text.is_empty() => Err(RejectCode::MissingField),
        Cell::Text(text) if name == "event_type" && !policy.event_types.contains(text) => {
            Err(RejectCode::UnknownEventType)
        }
        _ => Ok(cell),
    }
}

fn int_from_text(text: &str) -> Result<i32, RejectCode> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RejectCode::WrongType);
    }
    text.parse().map_err(|_| RejectCode::OutOfRange)
}

/// Every 32-bit integer is a double exactly.
fn int_from_number(number: &str) -> Result<i32, RejectCode> {
    let value = number.parse::<f64>().map_err(|_| RejectCode::OutOfRange)?.floor();
    let fits = value >= f64::from(i32::MIN) && value <= f64::from(i32::MAX);
    if fits { Ok(value as i32) } else { Err(RejectCode::OutOfRange) }
}
