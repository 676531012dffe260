//! The values of a record: raw JSON text to typed cells, exactly or not at all.
//!
//! A value is converted only where nothing but a fraction of a unit can be lost: text to integer when the text is an integer,
//! a number to text by its own digits, a fraction of a pixel, percent or second rounded down as browsers send them. All else
//! is a reject; there is no silent NULL. Called by the decoder with the fields that `record` found.

use std::borrow::Cow;

use super::policy::DecodePolicy;
use super::record::RawFields;
use crate::reject::{Reject, RejectCode, excerpt};
use crate::table::{COLUMNS, Column, ColumnKind, EVENT_FIELDS};
use crate::time;

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'de> {
    Null,
    Text(Cow<'de, str>),
    Int(i32),
    Micros(i64),
}

/// The cells of a row in table order, without the ingestion time.
pub(super) type Cells<'de> = [Cell<'de>; EVENT_FIELDS];

const EVENT_TIMESTAMP: &str = "event_timestamp";
const EVENT_TYPE: &str = "event_type";

/// What the policy asks of each column, looked up once.
#[derive(Debug)]
pub(super) struct Checks {
    required: [bool; EVENT_FIELDS],
    /// A required name that is no field.
    never_there: Option<String>,
}

impl Checks {
    pub(super) fn new(policy: &DecodePolicy) -> Self {
        let fields = &COLUMNS[..EVENT_FIELDS];
        let partition_source = |name: &str| name == EVENT_TIMESTAMP || name == EVENT_TYPE;
        Self {
            required: std::array::from_fn(|i| {
                partition_source(fields[i].name) || policy.required.contains(fields[i].name)
            }),
            never_there: policy
                .required
                .iter()
                .find(|name| fields.iter().all(|field| field.name != name.as_str()))
                .cloned(),
        }
    }

    /// Types a whole record. The first column at fault, in table order, decides the reject.
    pub(super) fn cells<'de>(&self, raw: &RawFields<'de>, policy: &DecodePolicy) -> Result<Cells<'de>, Reject> {
        if let Some(name) = &self.never_there {
            return Err(Reject::at_key(RejectCode::MissingField, name, "the required field is no field of a click"));
        }
        let mut cells = [const { Cell::Null }; EVENT_FIELDS];
        for (position, slot) in cells.iter_mut().enumerate() {
            let column = &COLUMNS[position];
            *slot = match raw[position] {
                None | Some("null") => Cell::Null,
                Some(json) => cell(column, json, policy)?,
            };
            if self.required[position] {
                let found = match slot {
                    Cell::Null if raw[position].is_none() => "absent",
                    Cell::Null => "null",
                    Cell::Text(text) if text.is_empty() => "an empty string",
                    _ => continue,
                };
                return Err(Reject::at(
                    RejectCode::MissingField,
                    column.name,
                    format!("the field is required but {found}"),
                ));
            }
        }
        Ok(cells)
    }
}

/// One value that is not null.
fn cell<'de>(column: &Column, json: &'de str, policy: &DecodePolicy) -> Result<Cell<'de>, Reject> {
    let name = column.name;
    let value = match json.as_bytes().first() {
        Some(b'"') => Scalar::Text(unquote(name, json)?),
        Some(b'-' | b'0'..=b'9') => Scalar::Number(json),
        Some(b't' | b'f') => return Err(wrong_type(name, "a boolean", column.kind)),
        Some(b'[') => return Err(wrong_type(name, "an array", column.kind)),
        _ => return Err(wrong_type(name, "an object", column.kind)),
    };
    match (column.kind, value) {
        (ColumnKind::String, Scalar::Text(text)) => text_cell(name, text, policy),
        (ColumnKind::String, Scalar::Number(digits)) => text_cell(name, Cow::Borrowed(digits), policy),
        (ColumnKind::Int, Scalar::Text(text)) => int_from_text(name, &text).map(Cell::Int),
        (ColumnKind::Int, Scalar::Number(number)) => int_from_number(name, number).map(Cell::Int),
        (ColumnKind::TimestampTz, Scalar::Text(text)) => {
            let micros = time::parse_iso8601(&text).ok_or_else(|| bad_timestamp(name, &text))?;
            time_cell(name, Some(micros), &text, policy)
        }
        (ColumnKind::TimestampTz, Scalar::Number(number)) => {
            time_cell(name, time::parse_epoch_millis(number), number, policy)
        }
    }
}

enum Scalar<'de> {
    Text(Cow<'de, str>),
    Number(&'de str),
}

/// The text of a JSON string; borrowed unless it holds escapes.
fn unquote<'de>(name: &'static str, json: &'de str) -> Result<Cow<'de, str>, Reject> {
    match json.get(1..json.len() - 1) {
        Some(text) if !text.as_bytes().contains(&b'\\') => Ok(Cow::Borrowed(text)),
        // The grammar is known to be right, so that only half of a surrogate pair can fail here.
        _ => serde_json::from_str::<String>(json)
            .map(Cow::Owned)
            .map_err(|error| Reject::at(RejectCode::NotJson, name, error.to_string())),
    }
}

fn text_cell<'de>(name: &'static str, text: Cow<'de, str>, policy: &DecodePolicy) -> Result<Cell<'de>, Reject> {
    let limit = policy.string_bytes_max;
    if text.len() > limit {
        let detail = format!("the string has {} bytes, the limit is {limit}", text.len());
        return Err(Reject::at(RejectCode::TooLong, name, detail));
    }
    // An empty type is a missing one, which the caller reports.
    if name == EVENT_TYPE && !text.is_empty() && !policy.event_types.contains(text.as_ref()) {
        let detail = format!("\"{}\" is none of the {} event types allowed", excerpt(&text), policy.event_types.len());
        return Err(Reject::at(RejectCode::UnknownEventType, name, detail));
    }
    Ok(Cell::Text(text))
}

/// An integer written as text: a sign, digits, nothing else.
fn int_from_text(name: &'static str, text: &str) -> Result<i32, Reject> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        let detail = format!("\"{}\" is text, but not that of an integer", excerpt(text));
        return Err(Reject::at(RejectCode::WrongType, name, detail));
    }
    // Digits and a sign can fail in one way only.
    text.parse().map_err(|_| out_of_range(name, text))
}

/// A JSON number, its fraction rounded down.
fn int_from_number(name: &'static str, number: &str) -> Result<i32, Reject> {
    if let Ok(value) = number.parse::<i32>() {
        return Ok(value);
    }
    // Numbers are doubles to the browsers that write them; every 32-bit integer is one exactly.
    let value = number.parse::<f64>().map_or(f64::NAN, f64::floor);
    if value >= f64::from(i32::MIN) && value <= f64::from(i32::MAX) {
        return Ok(value as i32);
    }
    Err(out_of_range(name, number))
}

/// A time within the accepted years; `micros` is `None` where even 64 bits are too few.
fn time_cell<'de>(
    name: &'static str,
    micros: Option<i64>,
    text: &str,
    policy: &DecodePolicy,
) -> Result<Cell<'de>, Reject> {
    let (min, max) = (policy.timestamp_min_micros, policy.timestamp_max_micros);
    match micros {
        Some(micros) if (min..max).contains(&micros) => Ok(Cell::Micros(micros)),
        _ => {
            let (min, max) = (time::format_micros(min), time::format_micros(max));
            let detail = format!("{} is not from {min} to before {max}", excerpt(text));
            Err(Reject::at(RejectCode::TimestampOutOfRange, name, detail))
        }
    }
}

fn bad_timestamp(name: &'static str, text: &str) -> Reject {
    let detail = format!("\"{}\" is no time of the form YYYY-MM-DDTHH:MM:SS.ffffffZ", excerpt(text));
    Reject::at(RejectCode::BadTimestamp, name, detail)
}

fn out_of_range(name: &'static str, number: &str) -> Reject {
    Reject::at(RejectCode::OutOfRange, name, format!("{} does not fit 32 bits", excerpt(number)))
}

fn wrong_type(name: &'static str, found: &str, kind: ColumnKind) -> Reject {
    Reject::at(RejectCode::WrongType, name, format!("{found} cannot become {}", kind.iceberg()))
}
