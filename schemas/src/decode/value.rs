//! The values of a record: scanned JSON to typed cells, exactly or not at all.
//!
//! A value is converted only where nothing but a fraction of a unit can be lost: text to integer when the text is an integer,
//! a number to text by its own digits, a fraction of a pixel, percent or second rounded down as browsers send them. All else
//! is a reject; there is no silent NULL. Called by the decoder with the fields that `record` found.

use std::cmp::Ordering;

use super::policy::DecodePolicy;
use super::record::RawFields;
use super::scan::Value;
use super::text;
use crate::reject::{Reject, RejectCode, excerpt};
use crate::table::{COLUMNS, Column, ColumnKind, EVENT_FIELDS};
use crate::time;

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell<'de> {
    Null,
    Text(&'de str),
    /// Text that had escapes: from here to there in [`Row::unescaped`].
    Unescaped(usize, usize),
    Int(i32),
    Micros(i64),
}

/// The values of a record. Its cells are plain words, so that they are neither moved twice nor dropped one by one.
#[derive(Debug)]
pub(super) struct Row<'de> {
    /// In table order, without the ingestion time.
    pub(super) cells: [Cell<'de>; EVENT_FIELDS],
    /// All texts that had escapes, one after the other; mostly empty.
    unescaped: String,
}

impl Row<'_> {
    pub(super) fn new() -> Self {
        Self { cells: [Cell::Null; EVENT_FIELDS], unescaped: String::new() }
    }

    /// The text of a cell that holds text.
    #[inline]
    pub(super) fn text<'a>(&'a self, cell: &Cell<'a>) -> Option<&'a str> {
        match *cell {
            Cell::Text(text) => Some(text),
            Cell::Unescaped(start, end) => self.unescaped.get(start..end),
            _ => None,
        }
    }
}

const EVENT_TIMESTAMP: &str = "event_timestamp";
const EVENT_TYPE: &str = "event_type";

/// What the policy asks of each column, looked up once.
#[derive(Debug)]
pub(super) struct Checks {
    required: [bool; EVENT_FIELDS],
    /// A required name that is no field.
    never_there: Option<String>,
    /// The event types allowed, by length and then by text: few have the same length, so that one is compared.
    event_types: Vec<Box<str>>,
}

impl Checks {
    pub(super) fn new(policy: &DecodePolicy) -> Self {
        let fields = &COLUMNS[..EVENT_FIELDS];
        let partition_source = |name: &str| name == EVENT_TIMESTAMP || name == EVENT_TYPE;
        let mut event_types: Vec<Box<str>> = policy.event_types.iter().map(|name| name.as_str().into()).collect();
        event_types.sort_unstable_by(|a, b| by_length(a, b));
        Self {
            required: std::array::from_fn(|i| {
                partition_source(fields[i].name) || policy.required.contains(fields[i].name)
            }),
            never_there: policy
                .required
                .iter()
                .find(|name| fields.iter().all(|field| field.name != name.as_str()))
                .cloned(),
            event_types,
        }
    }

    /// Types a whole record into an empty row. The first column at fault, in table order, decides the reject.
    pub(super) fn fill<'de>(
        &self,
        row: &mut Row<'de>,
        raw: &RawFields<'de>,
        policy: &DecodePolicy,
    ) -> Result<(), Reject> {
        if let Some(name) = &self.never_there {
            return Err(Reject::at_key(RejectCode::MissingField, name, "the required field is no field of a click"));
        }
        for (position, column) in COLUMNS[..EVENT_FIELDS].iter().enumerate() {
            row.cells[position] = match (column.kind, raw[position]) {
                (_, None | Some(Value::Null)) => Cell::Null,
                // What most columns are, without the detour.
                (ColumnKind::String, Some(Value::Plain(text))) if text.len() <= policy.string_bytes_max => {
                    Cell::Text(text)
                }
                (_, Some(value)) => cell(column, value, &mut row.unescaped, policy)?,
            };
            if self.required[position] {
                self.require(column, row, position, raw[position].is_none())?;
            }
        }
        Ok(())
    }

    /// A field that must be there, and an event type that must be on the list.
    fn require(&self, column: &Column, row: &Row<'_>, position: usize, absent: bool) -> Result<(), Reject> {
        let cell = &row.cells[position];
        let found = match row.text(cell) {
            None if absent => "absent",
            None if *cell == Cell::Null => "null",
            Some("") => "an empty string",
            Some(text) if column.name == EVENT_TYPE => return self.known_type(text),
            _ => return Ok(()),
        };
        Err(Reject::at(RejectCode::MissingField, column.name, format!("the field is required but {found}")))
    }

    fn known_type(&self, text: &str) -> Result<(), Reject> {
        if self.event_types.binary_search_by(|known| by_length(known, text)).is_ok() {
            return Ok(());
        }
        let detail = format!("\"{}\" is none of the {} event types allowed", excerpt(text), self.event_types.len());
        Err(Reject::at(RejectCode::UnknownEventType, EVENT_TYPE, detail))
    }
}

fn by_length(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// One value that is not null. `unescaped` takes in what had escapes.
fn cell<'de>(
    column: &Column,
    value: Value<'de>,
    unescaped: &mut String,
    policy: &DecodePolicy,
) -> Result<Cell<'de>, Reject> {
    let name = column.name;
    let start = unescaped.len();
    match value {
        Value::Null => Ok(Cell::Null),
        Value::Number(number) => match column.kind {
            ColumnKind::String => within_limit(name, number, policy).map(|()| Cell::Text(number)),
            ColumnKind::Int => int_from_number(name, number).map(Cell::Int),
            ColumnKind::TimestampTz => time_cell(name, time::parse_epoch_millis(number), number, policy),
        },
        Value::Plain(text) => match column.kind {
            ColumnKind::String => within_limit(name, text, policy).map(|()| Cell::Text(text)),
            kind => scalar(name, text, kind, policy),
        },
        Value::Escaped(raw) => {
            text::unescape(raw, unescaped).map_err(|offset| {
                let detail = format!("half of a surrogate pair stands at byte {offset} of the string");
                Reject::at(RejectCode::NotJson, name, detail)
            })?;
            let text = unescaped.get(start..).unwrap_or_default();
            match column.kind {
                ColumnKind::String => {
                    within_limit(name, text, policy).map(|()| Cell::Unescaped(start, unescaped.len()))
                }
                kind => scalar(name, text, kind, policy),
            }
        }
        Value::Boolean => Err(wrong_type(name, "a boolean", column.kind)),
        Value::Array(_) => Err(wrong_type(name, "an array", column.kind)),
        Value::Object(_) => Err(wrong_type(name, "an object", column.kind)),
    }
}

/// Text in a column of integers or times.
fn scalar<'de>(name: &'static str, text: &str, kind: ColumnKind, policy: &DecodePolicy) -> Result<Cell<'de>, Reject> {
    if kind == ColumnKind::Int {
        return int_from_text(name, text).map(Cell::Int);
    }
    let micros = time::parse_iso8601(text).ok_or_else(|| bad_timestamp(name, text))?;
    time_cell(name, Some(micros), text, policy)
}

fn within_limit(name: &'static str, text: &str, policy: &DecodePolicy) -> Result<(), Reject> {
    let limit = policy.string_bytes_max;
    if text.len() <= limit {
        return Ok(());
    }
    let detail = format!("the string has {} bytes, the limit is {limit}", text.len());
    Err(Reject::at(RejectCode::TooLong, name, detail))
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
    if number.len() <= 9 && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(number.bytes().fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0')));
    }
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
