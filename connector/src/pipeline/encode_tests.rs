//! Tests of [`super`]: rows in, Parquet files out, read back.

#![allow(clippy::unwrap_used)]

use arrow_array::Array;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;

use super::*;
use crate::pipeline::testing::{self, batch, clicks, foreign_schema, key, no_properties, table_with};

fn encoder_with(layout: TableLayout, own: &[(&str, &str)]) -> Encoder {
    let own = own.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Encoder::new(Arc::new(layout), WriterSettings::new(&no_properties(), &own).unwrap())
}

fn encoder(own: &[(&str, &str)]) -> Encoder {
    encoder_with(TableLayout::new(&testing::table()).unwrap(), own)
}

fn read(file: &EncodedFile, layout: &TableLayout) -> RecordBatch {
    let options = ArrowReaderOptions::new().with_schema(Arc::clone(layout.schema()));
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file.bytes.clone(), options).unwrap();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(layout.schema(), &batches).unwrap()
}

#[test]
fn what_was_pushed_is_what_a_reader_gets() {
    let mut encoder = encoder(&[]);
    let layout = Arc::clone(&encoder.layout);
    let rows = clicks(20_000);
    for start in (0..20_000).step_by(500) {
        encoder.push(key("click"), rows.slice(start, 500)).unwrap();
    }
    assert_eq!(encoder.rows(), 20_000);
    let files = encoder.finish().unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!((files[0].rows, &files[0].key), (20_000, &key("click")));
    let read = read(&files[0], &layout);
    assert_eq!(read, rows);
    assert_eq!(read.column_by_name("city").unwrap().null_count(), 10_000);
    assert_eq!(read.column_by_name("element_text").unwrap().null_count(), 20_000);
}

#[test]
fn files_carry_the_field_ids_of_the_table_and_no_arrow_schema() {
    let spec = serde_json::json!({"spec-id": 0, "fields": [
        {"source-id": 102, "field-id": 1000, "name": "d", "transform": "day"},
        {"source-id": 105, "field-id": 1001, "name": "t", "transform": "identity"},
    ]});
    let layout = TableLayout::new(&table_with(&foreign_schema(), &spec, &[])).unwrap();
    let mut encoder = encoder_with(layout.clone(), &[]);
    encoder.push(key("click"), clicks(10)).unwrap();
    let file = encoder.finish().unwrap().remove(0);
    let schema = file.footer.file_metadata().schema();
    let ids: Vec<_> = schema.get_fields().iter().map(|field| field.get_basic_info().id()).collect();
    assert_eq!(ids, layout.columns().iter().map(|column| column.field_id).collect::<Vec<_>>());
    assert_eq!(file.footer.file_metadata().key_value_metadata(), None);
    assert_eq!(read(&file, &layout).num_rows(), 10);
}

#[test]
fn each_key_gets_one_file_in_key_order_however_small_the_batches() {
    let mut encoder = encoder(&[]);
    for round in 0..20 {
        for number in (0..27).rev() {
            encoder.push(key(&format!("type-{number:02}")), clicks(10 + round)).unwrap();
        }
    }
    let rows = encoder.rows();
    let files = encoder.finish().unwrap();
    assert_eq!(files.len(), 27);
    assert!(files.windows(2).all(|pair| pair[0].key < pair[1].key));
    assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), rows);
    assert!(files.iter().all(|file| file.footer.file_metadata().num_rows() as u64 == file.rows));
}

#[test]
fn a_file_that_reaches_its_target_is_closed_and_another_begun() {
    let mut encoder =
        encoder(&[("write.target-file-size-bytes", "100000"), ("write.parquet.compression-codec", "none")]);
    let rows = clicks(GATHER_ROWS);
    for _ in 0..4 {
        encoder.push(key("click"), rows.clone()).unwrap();
    }
    encoder.push(key("click"), clicks(3)).unwrap();
    let files = encoder.finish().unwrap();
    assert_eq!(files.iter().map(|file| file.rows).collect::<Vec<_>>(), [8192, 8192, 8192, 8192, 3]);
    assert!(files[..4].iter().all(|file| file.bytes.len() >= 100_000));
    assert_eq!(files[0].footer.row_group(0).column(0).compression(), Compression::UNCOMPRESSED);
}

#[test]
fn memory_is_counted_while_rows_wait_while_they_are_encoded_and_when_files_are_done() {
    let mut encoder = encoder(&[("write.target-file-size-bytes", "1000000000")]);
    assert_eq!(encoder.bytes(), 0);
    encoder.push(key("click"), clicks(100)).unwrap();
    let waiting = encoder.bytes();
    assert!(waiting >= clicks(100).get_array_memory_size() as u64);
    encoder.push(key("click"), clicks(GATHER_ROWS)).unwrap();
    let lane = &encoder.lanes[&key("click")];
    assert_eq!((lane.waiting_bytes, encoder.bytes()), (0, lane.bytes()));
    let open = encoder.bytes();
    encoder.push(key("view"), clicks(100)).unwrap();
    assert_eq!(encoder.bytes(), open + waiting);

    let mut closing = self::encoder(&[("write.target-file-size-bytes", "1000")]);
    closing.push(key("click"), clicks(GATHER_ROWS)).unwrap();
    assert_eq!(closing.bytes(), closing.finished[0].bytes.len() as u64);
}

#[test]
fn nothing_in_nothing_out() {
    let mut encoder = encoder(&[]);
    encoder.push(key("click"), clicks(0)).unwrap();
    assert_eq!((encoder.rows(), encoder.bytes()), (0, 0));
    assert!(encoder.finish().unwrap().is_empty());
}

#[test]
fn bloom_filters_are_there_and_as_small_as_the_file() {
    let mut encoder = encoder(&[]);
    encoder.push(key("click"), clicks(200)).unwrap();
    let file = encoder.finish().unwrap().remove(0);
    let chunk = |at: usize| file.footer.row_group(0).column(at);
    assert!(chunk(0).bloom_filter_length().unwrap() < 1024);
    assert!(chunk(24).bloom_filter_length().is_none());
}

#[test]
fn a_batch_with_a_null_that_the_table_forbids_names_the_partition() {
    let mut schema = schemas::table::iceberg_schema();
    schema["fields"][4]["required"] = serde_json::json!(true);
    let metadata = table_with(&schema, &schemas::table::partition_spec(), &[]);
    let mut encoder = encoder_with(TableLayout::new(&metadata).unwrap(), &[]);
    let error = encoder.push(key("click"), batch(2, |_, _| None)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("event_timestamp_day=2026-03-03/event_type=click") && text.contains("event_type"), "{text}");
}
