//! Splitting, and the day transform against the vectors of the Iceberg specification.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow_array::{StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};

use super::*;

const DAY: i64 = time::MICROS_PER_DAY;

fn batch(rows: &[(Option<i64>, Option<&str>)]) -> RecordBatch {
    let zone = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let schema = Schema::new(vec![
        Field::new("event_timestamp", zone, true),
        Field::new("event_type", DataType::Utf8, true),
        Field::new("row", DataType::Utf8, true),
    ]);
    let times: TimestampMicrosecondArray = rows.iter().map(|row| row.0).collect();
    let types: StringArray = rows.iter().map(|row| row.1).collect();
    let numbers: StringArray = (0..rows.len()).map(|row| Some(row.to_string())).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(times.with_timezone("+00:00")), Arc::new(types), Arc::new(numbers)];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn rows_of(batch: &RecordBatch) -> Vec<&str> {
    batch.column(2).as_string::<i32>().iter().map(Option::unwrap).collect()
}

#[test]
fn day_transform_agrees_with_the_iceberg_specification() {
    // 2017-11-16T22:31:08 is the specification's example of a timestamp; its day is 17,486.
    assert_eq!(day_of(1_510_871_468_000_000), 17_486);
    assert_eq!(day_of(0), 0);
    assert_eq!(day_of(-1), -1);
    assert_eq!(day_of(DAY - 1), 0);
    assert_eq!(day_of(DAY), 1);
    assert_eq!(day_of(-DAY), -1);
    assert_eq!(day_of(-DAY - 1), -2);
    assert_eq!(day_of(i64::MAX), 106_751_991);
    assert_eq!(day_of(i64::MIN), -106_751_992);
}

#[test]
fn rows_keep_their_order_inside_keys_that_come_sorted() {
    let batch = batch(&[
        (Some(DAY), Some("scroll")),
        (Some(0), Some("click")),
        (Some(DAY + 5), Some("click")),
        (Some(DAY + 1), Some("scroll")),
        (Some(-1), Some("purchase")),
        (Some(1), Some("click")),
        (Some(DAY), Some("scroll")),
    ]);
    let parts = split(&batch).unwrap();
    let seen: Vec<_> = parts.iter().map(|(key, rows)| (key.day, key.event_type.as_str(), rows_of(rows))).collect();
    let expected = [
        (-1, "purchase", vec!["4"]),
        (0, "click", vec!["1", "5"]),
        (1, "click", vec!["2"]),
        (1, "scroll", vec!["0", "3", "6"]),
    ];
    assert_eq!(seen, expected);
    assert!(parts.iter().all(|(_, rows)| rows.schema() == batch.schema()));
}

#[test]
fn a_batch_of_one_partition_comes_back_unchanged_and_an_empty_one_has_none() {
    let one = batch(&[(Some(3), Some("click")), (Some(4), Some("click"))]);
    let parts = split(&one).unwrap();
    assert_eq!(parts, [(PartitionKey { day: 0, event_type: "click".into() }, one)]);
    assert_eq!(split(&batch(&[])).unwrap(), []);
}

#[test]
fn a_row_without_a_partition_is_an_error_that_names_the_column() {
    let error = split(&batch(&[(Some(0), Some("click")), (None, Some("click"))])).unwrap_err().to_string();
    assert!(error.contains("event_timestamp is NULL in 1 of 2 rows"), "{error}");
    let error = split(&batch(&[(Some(0), None)])).unwrap_err().to_string();
    assert!(error.contains("event_type is NULL in 1 of 1 rows"), "{error}");
    let error = split(&batch(&[]).project(&[0, 2]).unwrap()).unwrap_err().to_string();
    assert!(error.contains("no column event_type"), "{error}");
}

#[test]
fn the_path_of_a_key_is_safe_in_a_url() {
    let path = |event_type: &str| PartitionKey { day: 20_515, event_type: event_type.into() }.to_string();
    assert_eq!(path("click"), "event_timestamp_day=2026-03-03/event_type=click");
    assert_eq!(path("Page View/é?=#"), "event_timestamp_day=2026-03-03/event_type=Page%20View%2F%C3%A9%3F%3D%23");
    assert_eq!(path("../x"), "event_timestamp_day=2026-03-03/event_type=..%2Fx");
}
