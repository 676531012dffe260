//! Tests of [`super`]: rows in, Parquet files out, read back.

#![allow(clippy::unwrap_used)]

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_select::concat::concat_batches;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;

use super::*;
use catalog_sync::datafile::testing::{self, batch, clicks, foreign_schema, key, no_properties, table_with};

/// More than any test pushes, so that nothing is encoded before the end.
const ROOMY: u64 = 1 << 30;

fn encoder_with(layout: TableLayout, own: &[(&str, &str)], bytes_max: u64) -> Encoder {
    let own = own.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let settings = WriterSettings::new(&no_properties(), &own).unwrap();
    Encoder::new(Arc::new(layout), settings, EncoderLimits { bytes_max, threads: 3 })
}

fn encoder(own: &[(&str, &str)], bytes_max: u64) -> Encoder {
    encoder_with(TableLayout::new(&testing::table()).unwrap(), own, bytes_max)
}

fn finish(encoder: Encoder) -> Vec<EncodedFile> {
    let rows = encoder.rows();
    let files = Mutex::new(Vec::new());
    encoder
        .finish(|file| {
            files.lock().unwrap().push(file);
            true
        })
        .unwrap();
    let mut files = files.into_inner().unwrap();
    files.sort_by(|one, other| one.key.cmp(&other.key));
    assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), rows);
    assert!(files.iter().all(|file| file.footer.file_metadata().num_rows() as u64 == file.rows));
    files
}

fn read(file: &EncodedFile, layout: &TableLayout) -> RecordBatch {
    let options = ArrowReaderOptions::new().with_schema(Arc::clone(layout.schema()));
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file.bytes.clone(), options).unwrap();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(layout.schema(), &batches).unwrap()
}

/// Rows whose types, by turns, are `types` many; the event ids count on from `first`.
fn mixed(first: usize, rows: usize, types: usize) -> RecordBatch {
    batch(rows, |name, row| match name {
        "event_id" => Some(format!("event-{:08}", first + row)),
        "event_type" => Some(format!("type-{:04}", (first + row) % types)),
        "element_text" => None,
        _ => Some(format!("{name}-{}", row % 7)),
    })
}

/// The event ids of all files, sorted; each file holds its own type only.
fn event_ids(files: &[EncodedFile], layout: &TableLayout) -> Vec<String> {
    let mut ids = Vec::new();
    for file in files {
        let rows = read(file, layout);
        let text = |name: &str| rows.column_by_name(name).unwrap().as_string::<i32>().clone();
        assert!(text("event_type").iter().all(|kind| kind == Some(file.key.event_type.as_str())));
        ids.extend(text("event_id").iter().map(|id| id.unwrap().to_owned()));
    }
    ids.sort_unstable();
    ids
}

#[test]
fn what_was_pushed_is_what_a_reader_gets() {
    let mut encoder = encoder(&[], ROOMY);
    let layout = Arc::clone(&encoder.tools.layout);
    let rows = clicks(20_000);
    for start in (0..20_000).step_by(500) {
        encoder.push(&rows.slice(start, 500)).unwrap();
    }
    let files = finish(encoder);
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
    let mut encoder = encoder_with(layout.clone(), &[], ROOMY);
    encoder.push(&clicks(10)).unwrap();
    let file = finish(encoder).remove(0);
    let schema = file.footer.file_metadata().schema();
    let ids: Vec<_> = schema.get_fields().iter().map(|field| field.get_basic_info().id()).collect();
    assert_eq!(ids, layout.columns().iter().map(|column| column.field_id).collect::<Vec<_>>());
    assert_eq!(file.footer.file_metadata().key_value_metadata(), None);
    assert_eq!(read(&file, &layout).num_rows(), 10);
}

#[test]
fn each_key_gets_one_file_however_small_the_batches() {
    let mut encoder = encoder(&[], ROOMY);
    let layout = Arc::clone(&encoder.tools.layout);
    for round in 0..20 {
        encoder.push(&mixed(round * 100, 100, 27)).unwrap();
    }
    let files = finish(encoder);
    assert_eq!(files.len(), 27);
    assert!(files.iter().all(|file| file.footer.num_row_groups() == 1));
    assert_eq!(event_ids(&files, &layout).len(), 2_000);
}

#[test]
fn large_lanes_are_encoded_before_the_batch_ends_and_go_on_in_the_same_file() {
    let mut encoder = encoder(&[], 4 << 20);
    let layout = Arc::clone(&encoder.tools.layout);
    for round in 0..40 {
        encoder.push(&mixed(round * 1_000, 1_000, 3)).unwrap();
        assert!(encoder.bytes() < 4 << 20, "{encoder:?} holds {} bytes", encoder.bytes());
    }
    assert!(encoder.runs.is_empty() && !encoder.open.is_empty(), "{encoder:?}");
    let files = finish(encoder);
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|file| file.footer.num_row_groups() > 1));
    let ids = event_ids(&files, &layout);
    assert!(ids.len() == 40_000 && ids.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn thousands_of_small_lanes_wait_as_runs_and_end_as_one_row_group_each() {
    let mut encoder = encoder(&[], 4 << 20);
    let layout = Arc::clone(&encoder.tools.layout);
    for round in 0..60 {
        encoder.push(&mixed(round * 1_000, 1_000, 3_000)).unwrap();
        assert!(encoder.bytes() < 4 << 20, "{encoder:?} holds {} bytes", encoder.bytes());
    }
    assert!(encoder.runs.len() > 2 && encoder.open.is_empty(), "{encoder:?}");
    let files = finish(encoder);
    assert_eq!(files.len(), 3_000);
    assert!(files.iter().all(|file| file.rows == 20 && file.footer.num_row_groups() == 1));
    let ids = event_ids(&files, &layout);
    assert!(ids.len() == 60_000 && ids.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn a_file_that_reaches_its_target_is_closed_and_another_begun() {
    let properties = [("write.target-file-size-bytes", "100000"), ("write.parquet.compression-codec", "none")];
    let mut encoder = encoder(&properties, 1);
    let rows = clicks(GATHER_ROWS);
    for _ in 0..4 {
        encoder.push(&rows).unwrap();
    }
    assert_eq!((encoder.finished.len(), encoder.stage.bytes()), (4, 0));
    encoder.push(&clicks(3)).unwrap();
    let files = finish(encoder);
    assert_eq!(files.iter().map(|file| file.rows).collect::<Vec<_>>(), [8192, 8192, 8192, 8192, 3]);
    assert!(files[..4].iter().all(|file| file.bytes.len() >= 100_000));
    assert_eq!(files[0].footer.row_group(0).column(0).compression(), Compression::UNCOMPRESSED);
}

#[test]
fn memory_is_counted_while_rows_wait_when_they_are_encoded_and_when_files_are_done() {
    let mut waiting = encoder(&[], ROOMY);
    assert_eq!(waiting.bytes(), 0);
    waiting.push(&clicks(100)).unwrap();
    assert!(waiting.bytes() >= clicks(100).get_array_memory_size() as u64);

    let mut open = encoder(&[], 1);
    open.push(&clicks(GATHER_ROWS)).unwrap();
    assert_eq!((open.stage.bytes(), open.open.len(), open.bytes()), (0, 1, open.open[&0].bytes()));

    let mut closed = encoder(&[("write.target-file-size-bytes", "1000")], 1);
    closed.push(&clicks(GATHER_ROWS)).unwrap();
    assert_eq!(closed.bytes(), closed.finished[0].bytes.len() as u64 + GROUP_BYTES);
}

#[test]
fn nothing_in_nothing_out() {
    let mut encoder = encoder(&[], ROOMY);
    encoder.push(&clicks(0)).unwrap();
    assert_eq!((encoder.rows(), encoder.bytes()), (0, 0));
    assert!(finish(encoder).is_empty());
}

#[test]
fn no_file_is_made_that_nobody_wants() {
    let mut encoder = encoder(&[], ROOMY);
    encoder.push(&mixed(0, 1_000, 500)).unwrap();
    let taken = Mutex::new(0);
    encoder
        .finish(|_| {
            *taken.lock().unwrap() += 1;
            false
        })
        .unwrap();
    let taken = taken.into_inner().unwrap();
    assert!((1..=3).contains(&taken), "{taken} files were made");
}

#[test]
fn bloom_filters_are_there_and_as_small_as_the_file() {
    let mut encoder = encoder(&[], ROOMY);
    encoder.push(&clicks(200)).unwrap();
    let file = finish(encoder).remove(0);
    let chunk = |at: usize| file.footer.row_group(0).column(at);
    assert!(chunk(0).bloom_filter_length().unwrap() < 1024);
    assert!(chunk(24).bloom_filter_length().is_none());
}

#[test]
fn a_batch_with_a_null_that_the_table_forbids_names_the_column() {
    let mut schema = schemas::table::iceberg_schema();
    schema["fields"][4]["required"] = serde_json::json!(true);
    let metadata = table_with(&schema, &schemas::table::partition_spec(), &[]);
    let mut encoder = encoder_with(TableLayout::new(&metadata).unwrap(), &[], ROOMY);
    let text = encoder.push(&batch(2, |_, _| None)).unwrap_err().to_string();
    assert!(text.contains("event_type"), "{text}");
}
