//! The contract as files: every golden record gives its row or its code, and the documents agree with the code.
//!
//! `golden/accept/X.json` is a record's bytes and `X.row.json` the row it must become, with all 26 columns. `golden/reject/
//! CODE--WHAT.json` is a record that must be refused with that code. The rows are written by hand. `UPDATE_GOLDEN=1` rewrites
//! the two generated documents, never the expectations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use schemas::decode::{ClickDecoder, DecodePolicy, UnknownFields};
use schemas::reject::{ECHO_BYTES_MAX, RejectCode};
use schemas::table::{COLUMNS, ColumnKind};
use schemas::{click, table, time};
use serde_json::{Map, Value};

const INGESTION_MICROS: i64 = 1_772_539_200_000_000; // 2026-03-03T12:00:00Z, as in the rows

fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// The records of a golden folder by name, without the expected rows.
fn records(folder: &str) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(path(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| !file.to_str().unwrap().ends_with(".row.json"))
        .map(|file| (file.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&file).unwrap()))
        .collect();
    found.sort();
    found
}

/// One row as JSON: times as text, all else as it is.
fn row(batch: &RecordBatch, row: usize) -> Map<String, Value> {
    let value = |position: usize| {
        let array = batch.column(position);
        if array.is_null(row) {
            return Value::Null;
        }
        match COLUMNS[position].kind {
            ColumnKind::String => array.as_string::<i32>().value(row).into(),
            ColumnKind::Int => array.as_primitive::<Int32Type>().value(row).into(),
            ColumnKind::TimestampTz => {
                time::format_micros(array.as_primitive::<TimestampMicrosecondType>().value(row)).into()
            }
        }
    };
    COLUMNS.iter().enumerate().map(|(position, column)| (column.name.to_owned(), value(position))).collect()
}

#[test]
fn every_accepted_record_becomes_its_row() {
    let records = records("golden/accept");
    assert!(records.len() >= 40, "{} records found", records.len());
    let mut decoder = ClickDecoder::default();
    for (name, bytes) in &records {
        assert_eq!(decoder.decode(Some(bytes), INGESTION_MICROS), Ok(()), "{name}");
    }
    let batch = decoder.finish();
    assert_eq!(batch.num_rows(), records.len());
    assert_eq!(batch.schema(), table::arrow_schema());
    for (position, (name, _)) in records.iter().enumerate() {
        let expected = fs::read(path(&format!("golden/accept/{name}.row.json"))).unwrap();
        let expected: Map<String, Value> = serde_json::from_slice(&expected).unwrap();
        assert_eq!(expected.len(), COLUMNS.len(), "{name}");
        assert_eq!(row(&batch, position), expected, "{name}");
    }
}

/// The default policy, but for the two codes that it gives for no record of a few bytes.
fn policy_for(code: &str) -> DecodePolicy {
    match code {
        "unknown_field" => DecodePolicy { unknown_fields: UnknownFields::Reject, ..DecodePolicy::default() },
        "too_large" => DecodePolicy { record_bytes_max: 4096, ..DecodePolicy::default() },
        _ => DecodePolicy::default(),
    }
}

#[test]
fn every_rejected_record_gets_its_code_and_leaves_no_trace() {
    let mut seen = BTreeSet::from([RejectCode::Tombstone]); // a record without a value cannot be a file
    let empty = ClickDecoder::default().finish();
    for (name, bytes) in records("golden/reject") {
        let (code, _) = name.split_once("--").expect("a golden reject is named CODE--WHAT");
        let mut decoder = ClickDecoder::new(policy_for(code));
        let reject = decoder.decode(Some(&bytes), INGESTION_MICROS).expect_err(&name);
        assert_eq!(reject.code.as_str(), code, "{name}: {reject}");
        assert_eq!((decoder.rows(), decoder.bytes()), (0, 0), "{name}");
        assert_eq!(decoder.finish(), empty, "{name}");
        seen.insert(reject.code);
    }
    let all: BTreeSet<_> = RejectCode::ALL.iter().copied().collect();
    assert_eq!(seen, all, "each code has a golden reject");
}

#[test]
fn no_reject_repeats_more_of_a_record_than_allowed() {
    for (name, bytes) in records("golden/reject") {
        let (code, _) = name.split_once("--").unwrap();
        let reject = ClickDecoder::new(policy_for(code)).decode(Some(&bytes), 0).unwrap_err().to_string();
        assert!(!reject.contains('\n'), "{name}: {reject}");
        let bytes = bytes.as_slice();
        // No run of the record longer than the limit stands in the message.
        let echoed =
            bytes.windows(ECHO_BYTES_MAX + 1).any(|run| str::from_utf8(run).is_ok_and(|run| reject.contains(run)));
        assert!(!echoed, "{name}: {reject}");
        assert!(reject.len() < 300, "{name}: {reject}");
    }
}

fn assert_document(name: &str, document: &Value) {
    let text = serde_json::to_string_pretty(document).unwrap() + "\n";
    let file = path(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let checked_in = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        checked_in == text,
        "{name} differs from the code; if the change is meant, run the test with UPDATE_GOLDEN=1"
    );
}

#[test]
fn the_checked_in_json_schema_is_that_of_the_event() {
    assert_document("click.schema.json", &click::json_schema());
}

#[test]
fn the_checked_in_table_is_that_of_the_code() {
    assert_document("clicks.table.json", &table::definition());
}

#[test]
fn the_readme_lists_every_column_and_every_code() {
    let readme = fs::read_to_string(path("README.md")).unwrap();
    for column in COLUMNS {
        let line = format!("| {} | `{}` | {} |", column.id, column.name, column.kind.iceberg());
        assert!(readme.contains(&line), "the README lacks the row {line}");
    }
    for code in RejectCode::ALL {
        let line = format!("| `{code}` | {} |", code.doc());
        assert!(readme.contains(&line), "the README lacks the row {line}");
    }
}
