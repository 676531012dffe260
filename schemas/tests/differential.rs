//! The decoder against a second opinion, on events drawn at random: `serde_json::Value` and a few lines of obvious code for
//! events that are well, [`reference`] for such as are damaged.
//!
//! The generator is a seeded counter, so that a failure names the event that shows it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod reference;

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use schemas::click::EVENT_TYPES;
use schemas::decode::{ClickDecoder, DecodePolicy, UnknownFields};
use schemas::reject::RejectCode;
use schemas::table::{COLUMNS, ColumnKind, EVENT_FIELDS};
use schemas::time;
use serde_json::{Map, Value, json};

struct Lcg(u64);

impl Lcg {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn text(&mut self) -> String {
        const LETTERS: &[char] = &[
            'a', 'Z', '0', ' ', '/', '"', '\\', '\n', '\t', '\0', '\u{7f}', 'é', '€', '\u{2028}', '😀', '{', ']', ',',
        ];
        (0..self.below(24)).map(|_| LETTERS[self.below(LETTERS.len() as u64) as usize]).collect()
    }

    /// A random event: each optional field absent, null or a value, keys in random order, some unknown.
    fn event(&mut self) -> Vec<(String, Value)> {
        let mut event = Vec::new();
        for column in &COLUMNS[..EVENT_FIELDS] {
            let value = match column.name {
                "event_id" => json!(format!("e{}{}", self.below(1 << 31), self.text())),
                "event_timestamp" => {
                    let micros =
                        946_684_800_000_000 + self.below(1 << 31) as i64 * 1_469_000 + self.below(1_000_000) as i64;
                    match self.below(3) {
                        0 => json!(time::format_micros(micros)),
                        1 => json!(time::format_micros(micros).trim_end_matches('Z').replace('T', " ")),
                        _ => json!(micros / 1_000),
                    }
                }
                "event_type" => json!(EVENT_TYPES[self.below(9) as usize]),
                _ => match (self.below(8), column.kind) {
                    (0, _) => continue,
                    (1, _) => Value::Null,
                    (_, ColumnKind::Int) => self.int(),
                    (2, _) => json!(self.below(1 << 31)),
                    _ => json!(self.text()),
                },
            };
            event.push((column.name.to_owned(), value));
        }
        if self.below(4) == 0 {
            event.push((format!("x{}", self.text()), json!({"a": [self.text(), 1, null, {"b": {}}]})));
        }
        if self.below(4) == 0 {
            for position in (1..event.len()).rev() {
                event.swap(position, self.below(position as u64 + 1) as usize);
            }
        }
        event
    }

    fn int(&mut self) -> Value {
        let value = self.below(1 << 31) as i64 - (1 << 30);
        match self.below(4) {
            0 => json!(value.to_string()),
            1 => json!(value as f64 + self.below(4) as f64 / 4.0),
            _ => json!(value),
        }
    }
}

/// JSON text with random white space.
fn write(event: &[(String, Value)], lcg: &mut Lcg) -> String {
    let spaces = ["", "", "", " ", "\n", "\t\r "];
    let mut space = || spaces[lcg.below(6) as usize];
    let mut out = format!("{}{{", space());
    for (position, (key, value)) in event.iter().enumerate() {
        let comma = if position == 0 { "" } else { "," };
        out += &format!("{comma}{}{}{}:{}{value}", space(), json!(key), space(), space());
    }
    out + space() + "}" + space()
}

/// What the table must hold for a value, said as plainly as possible.
fn expected(kind: ColumnKind, value: Option<&Value>) -> Value {
    match (kind, value) {
        (_, None | Some(Value::Null)) => Value::Null,
        (ColumnKind::String, Some(Value::String(text))) => json!(text),
        (ColumnKind::String, Some(other)) => json!(other.to_string()),
        (ColumnKind::Int, Some(Value::String(text))) => json!(text.parse::<i64>().unwrap()),
        (ColumnKind::Int, Some(number)) => json!(number.as_f64().unwrap().floor() as i64),
        (ColumnKind::TimestampTz, Some(Value::String(text))) => json!(time::parse_iso8601(text).unwrap()),
        (ColumnKind::TimestampTz, Some(number)) => json!(number.as_i64().unwrap() * 1_000),
    }
}

fn found(batch: &RecordBatch, column: usize, row: usize) -> Value {
    let array = batch.column(column);
    match COLUMNS[column].kind {
        _ if array.is_null(row) => Value::Null,
        ColumnKind::String => json!(array.as_string::<i32>().value(row)),
        ColumnKind::Int => json!(array.as_primitive::<Int32Type>().value(row)),
        ColumnKind::TimestampTz => json!(array.as_primitive::<TimestampMicrosecondType>().value(row)),
    }
}

#[test]
fn ordinary_events_become_what_a_plain_reading_says() {
    let mut lcg = Lcg(7);
    let mut decoder = ClickDecoder::default();
    for round in 0..20 {
        let texts: Vec<String> = (0..500)
            .map(|_| {
                let event = lcg.event();
                write(&event, &mut lcg)
            })
            .collect();
        for text in &texts {
            assert_eq!(decoder.decode(Some(text.as_bytes()), round), Ok(()), "{text}");
        }
        let batch = decoder.finish();
        assert_eq!(batch.num_rows(), texts.len());
        for (row, text) in texts.iter().enumerate() {
            let event: Map<String, Value> = serde_json::from_str(text).unwrap();
            for (position, column) in COLUMNS[..EVENT_FIELDS].iter().enumerate() {
                let wanted = expected(column.kind, event.get(column.name));
                assert_eq!(found(&batch, position, row), wanted, "{} of {text}", column.name);
            }
            assert_eq!(found(&batch, EVENT_FIELDS, row), json!(round));
        }
    }
}

/// What is put into records to damage them: what the grammar, the escapes, the numbers and the times turn on.
const SPLICES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "\\",
    "0",
    "-",
    ".",
    "e",
    "E+5",
    "1e400",
    "-0.0",
    "01",
    "null",
    "true",
    "nul",
    "2147483648",
    "-2147483649",
    "1772539200000",
    "1.5",
    "\\u0041",
    "\\ud83d",
    "\\ude00",
    "\\ud83d\\ude00",
    "\\n",
    "\\x",
    "\\u12",
    "\"\"",
    "[[{}]]",
    "{\"a\":{\"b\":[1,{}]}}",
    "[,]",
    "{\"a\"}",
    ",\"city\":\"x\"",
    ",\"city\":null",
    ",\"x\":1",
    ",\"x\":1,\"\\u0078\":2",
    ",\"o\\u0073\":1",
    " ",
    "\n",
    "\u{0}",
    "\u{7f}",
    "é",
    "\u{feff}",
    "2026-02-30",
    "T12:00:00.123456789+05:30",
    "Z",
    ",\"os\":\"\\ud83d\"",
    ",\"event_type\":\"\"",
    "\u{10ffff}",
];

/// Damages a record in one place.
fn damage(bytes: &mut Vec<u8>, lcg: &mut Lcg) {
    let at = lcg.below(bytes.len() as u64 + 1) as usize;
    let to = (at + lcg.below(40) as usize).min(bytes.len());
    match lcg.below(12) {
        0 if at < bytes.len() => bytes[at] ^= 1 << lcg.below(8),
        1 if lcg.below(4) == 0 => bytes.truncate(at),
        2 => drop(bytes.drain(at..to)),
        3 => {
            let piece = bytes[at..to].to_vec();
            let at = lcg.below(bytes.len() as u64 + 1) as usize;
            drop(bytes.splice(at..at, piece));
        }
        4..=6 => {
            // In the place of a whole value, as far as commas tell.
            let comma = |byte: &u8| *byte == b',';
            let start = bytes[at..].iter().position(|byte| *byte == b':').map_or(at, |found| at + found + 1);
            let end = bytes[start..].iter().position(comma).map_or(bytes.len(), |found| start + found);
            drop(bytes.splice(start..end, splice(lcg)));
        }
        7 if lcg.below(8) == 0 => *bytes = bytes[at..to].to_vec(),
        7..=9 => {
            // Before a comma: a field more, as far as commas tell.
            let at = bytes[at..].iter().position(|byte| *byte == b',').map_or(at, |found| at + found);
            let deep = 29 + lcg.below(4) as usize;
            let nested = || format!(",\"x\":{}{}", "[".repeat(deep), "]".repeat(deep)).into_bytes();
            let field = if lcg.below(8) == 0 { nested() } else { splice(lcg) };
            drop(bytes.splice(at..at, field));
        }
        _ => drop(bytes.splice(at..at, splice(lcg))),
    }
}

fn splice(lcg: &mut Lcg) -> Vec<u8> {
    SPLICES[lcg.below(SPLICES.len() as u64) as usize].as_bytes().to_vec()
}

/// The default, and one that has a limit for everything.
fn policies() -> [DecodePolicy; 2] {
    let tight = DecodePolicy {
        unknown_fields: UnknownFields::Reject,
        required: ["user_id", "city"].map(str::to_owned).into(),
        record_bytes_max: 1_000,
        string_bytes_max: 40,
        timestamp_max_micros: 1_900_000_000_000_000,
        ..DecodePolicy::default()
    };
    [DecodePolicy::default(), tight]
}

#[test]
fn damaged_records_get_the_row_or_the_code_of_the_reference() {
    let mut lcg = Lcg(11);
    let mut seen: BTreeMap<Option<RejectCode>, usize> = BTreeMap::new();
    for policy in policies() {
        let mut decoder = ClickDecoder::new(policy.clone());
        for _ in 0..250 {
            let mut rows = Vec::new();
            let event = lcg.event();
            let whole = write(&event, &mut lcg).into_bytes();
            for _ in 0..500 {
                let mut bytes = whole.clone();
                for _ in 0..=lcg.below(2) {
                    damage(&mut bytes, &mut lcg);
                }
                let wanted = reference::judge(&bytes, &policy);
                let found = decoder.decode(Some(&bytes), 0).map_err(|reject| reject.code);
                let shown = String::from_utf8_lossy(&bytes);
                assert_eq!(found.err(), wanted.as_ref().err().copied(), "{shown}");
                *seen.entry(found.err()).or_default() += 1;
                rows.extend(wanted.ok().map(|row| (row, bytes)));
            }
            let batch = decoder.finish();
            assert_eq!(batch.num_rows(), rows.len());
            for (position, (row, bytes)) in rows.iter().enumerate() {
                assert_eq!(reference::row(&batch, position), *row, "{}", String::from_utf8_lossy(bytes));
            }
        }
    }
    let codes: BTreeSet<_> = RejectCode::ALL.iter().copied().filter(|code| *code != RejectCode::Tombstone).collect();
    let unseen: Vec<_> = codes.iter().filter(|code| !seen.contains_key(&Some(**code))).collect();
    assert!(unseen.is_empty(), "the damage leads to no {unseen:?}, but to {seen:?}");
    assert!(seen[&None] > 15_000, "the damage is too strong: {seen:?}");
}
