//! The decoder against a second opinion: `serde_json::Value` and a few lines of obvious code, on events drawn at random.
//!
//! The generator is a seeded counter, so that a failure names the event that shows it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use schemas::click::EVENT_TYPES;
use schemas::decode::ClickDecoder;
use schemas::table::{COLUMNS, ColumnKind, EVENT_FIELDS};
use schemas::{partition, time};
use serde_json::value::RawValue;
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
        let parts = partition::split(&batch).unwrap();
        assert_eq!(parts.iter().map(|(_, rows)| rows.num_rows()).sum::<usize>(), texts.len());
        assert!(parts.is_sorted_by(|a, b| a.0 < b.0), "keys come in order, each once");
    }
}

#[test]
fn damaged_records_give_one_row_or_none_and_never_more_than_json_allows() {
    let mut lcg = Lcg(11);
    let mut decoder = ClickDecoder::default();
    let (mut accepted, mut rejected) = (0, 0);
    for _ in 0..20_000 {
        let event = lcg.event();
        let mut bytes = write(&event, &mut lcg).into_bytes();
        for _ in 0..=lcg.below(3) {
            let at = lcg.below(bytes.len() as u64) as usize;
            match lcg.below(4) {
                0 => bytes[at] = lcg.below(256) as u8,
                1 => bytes.truncate(at.max(1)),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"{}[]\",:\\0e-"[lcg.below(11) as usize]),
            }
            if bytes.is_empty() {
                bytes.push(b'{');
            }
        }
        let rows = decoder.rows();
        match decoder.decode(Some(&bytes), 0) {
            Ok(()) => {
                accepted += 1;
                assert_eq!(decoder.rows(), rows + 1);
                let text = str::from_utf8(&bytes).expect("only UTF-8 is accepted");
                // By the grammar alone: the decoder keeps numbers that no double can hold as text.
                assert!(serde_json::from_str::<BTreeMap<String, &RawValue>>(text).is_ok(), "{text}");
            }
            Err(_) => {
                rejected += 1;
                assert_eq!(decoder.rows(), rows);
            }
        }
    }
    assert!(
        accepted > 500 && rejected > 5_000,
        "{accepted} accepted, {rejected} rejected: the damage is too weak or too strong"
    );
    let batch = decoder.finish();
    assert_eq!(batch.num_rows(), accepted);
    assert_eq!(batch.columns().iter().map(Array::len).collect::<Vec<_>>(), [accepted; 26]);
}
