//! The engine and the analyses over a small table in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use iceberg::memory::{MEMORY_CATALOG_WAREHOUSE, MemoryCatalog, MemoryCatalogBuilder};
use iceberg::table::Table;
use iceberg::transaction::{ApplyTransactionAction, Transaction};
use iceberg::writer::base_writer::data_file_writer::DataFileWriterBuilder;
use iceberg::writer::file_writer::ParquetWriterBuilder;
use iceberg::writer::file_writer::location_generator::{DefaultFileNameGenerator, DefaultLocationGenerator};
use iceberg::writer::file_writer::rolling_writer::RollingFileWriterBuilder;
use iceberg::writer::{IcebergWriter, IcebergWriterBuilder};
use iceberg::{Catalog, CatalogBuilder, NamespaceIdent, TableCreation};
use parquet::file::properties::WriterProperties;
use schemas::decode::{ClickDecoder, DecodePolicy};
use serde_json::{Value, json};

use super::{ANALYSES, QueryEngine, named, provider::IcebergTable};
use crate::print::render;

/// A catalog with one empty table of the project's columns, not partitioned.
async fn empty_table() -> (MemoryCatalog, Table) {
    let warehouse = HashMap::from([(MEMORY_CATALOG_WAREHOUSE.to_owned(), "memory://warehouse".to_owned())]);
    let catalog = MemoryCatalogBuilder::default().load("memory", warehouse).await.unwrap();
    let namespace = NamespaceIdent::new("analytics".to_owned());
    catalog.create_namespace(&namespace, HashMap::new()).await.unwrap();
    let schema = serde_json::from_value(schemas::table::iceberg_schema()).unwrap();
    let creation = TableCreation::builder().name("clickstream".to_owned()).schema(schema).build();
    let table = catalog.create_table(&namespace, creation).await.unwrap();
    (catalog, table)
}

fn batch(events: &[Value]) -> RecordBatch {
    let mut decoder = ClickDecoder::new(DecodePolicy::default());
    for event in events {
        decoder.decode(Some(event.to_string().as_bytes()), 0).unwrap();
    }
    decoder.finish()
}

/// Appends the events as one file.
async fn append(catalog: &MemoryCatalog, table: &Table, events: &[Value]) -> Table {
    let name = uuid::Uuid::new_v4().to_string();
    let files = RollingFileWriterBuilder::new_with_default_file_size(
        ParquetWriterBuilder::new(WriterProperties::default(), Arc::clone(table.metadata().current_schema())),
        table.file_io().clone(),
        DefaultLocationGenerator::new(table.metadata()).unwrap(),
        DefaultFileNameGenerator::new(name, None, iceberg::spec::DataFileFormat::Parquet),
    );
    let mut writer = DataFileWriterBuilder::new(files).build(None).await.unwrap();
    writer.write(batch(events)).await.unwrap();
    let written = writer.close().await.unwrap();
    let transaction = Transaction::new(table);
    let transaction = transaction.fast_append().add_data_files(written).apply(transaction).unwrap();
    transaction.commit(catalog).await.unwrap()
}

fn event(id: &str, time: &str, user: &str, session: &str, kind: &str, page: &str) -> Value {
    json!({"event_id": id, "event_timestamp": time, "user_id": user, "session_id": session, "event_type": kind,
           "page_url": page, "page_title": page})
}

/// Three visits: one that buys, one of a single event, one that scrolls a page and leaves.
fn visits() -> [Vec<Value>; 2] {
    let with = |mut event: Value, key: &str, value: i32| {
        event[key] = json!(value);
        event
    };
    let first = vec![
        event("a1", "2026-03-03T10:00:00Z", "u1", "s1", "page_view", "/cart"),
        with(event("a2", "2026-03-03T10:00:30.5Z", "u1", "s1", "checkout_start", "/cart"), "time_on_page", 30),
        event("a3", "2026-03-03T10:00:31Z", "u1", "s1", "page_view", "/checkout/payment"),
        event("a4", "2026-03-03T10:01:00Z", "u1", "s1", "purchase", "/checkout/payment"),
    ];
    let second = vec![
        // The same client session id 31 minutes later is another session.
        event("b1", "2026-03-03T10:32:00Z", "u1", "s1", "page_view", "/"),
        event("c1", "2026-03-04T09:00:00Z", "u2", "s2", "page_view", "/"),
        with(event("c2", "2026-03-04T09:00:05Z", "u2", "s2", "scroll", "/"), "scroll_depth", 40),
        with(event("c3", "2026-03-04T09:00:09Z", "u2", "s2", "scroll", "/"), "scroll_depth", 80),
    ];
    [first, second]
}

async fn filled() -> Table {
    let (catalog, mut table) = empty_table().await;
    for events in visits() {
        table = append(&catalog, &table, &events).await;
    }
    table
}

async fn text(engine: &QueryEngine, sql: &str) -> String {
    let rendered = render(&engine.sql(sql).await.unwrap(), false).unwrap();
    rendered.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[tokio::test]
async fn a_table_without_a_snapshot_has_no_rows_and_every_analysis_an_answer() {
    let (_catalog, table) = empty_table().await;
    let engine = QueryEngine::open(table, "clickstream").unwrap();
    assert!(text(&engine, "SELECT count(*) AS n FROM clickstream").await.contains("\n0\n"));
    for analysis in &ANALYSES {
        let batches = engine.sql(analysis.sql).await.unwrap_or_else(|error| panic!("{}: {error}", analysis.name));
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, usize::from(analysis.name != "top_pages"), "{}", analysis.name);
    }
}

#[tokio::test]
async fn rows_are_counted_with_and_without_a_column() {
    let engine = QueryEngine::open(filled().await, "clickstream").unwrap();
    assert!(text(&engine, "SELECT count(*) FROM clickstream").await.contains("\n8\n"));
    assert!(text(&engine, "SELECT count(scroll_depth) FROM clickstream").await.contains("\n2\n"));
    let batches = engine.sql("SELECT event_id, event_timestamp FROM clickstream LIMIT 1").await.unwrap();
    let schema = batches[0].schema();
    assert_eq!(schema.field(0).data_type(), &DataType::Utf8);
    assert_eq!(schema.field(1).data_type().to_string(), r#"Timestamp(µs, "+00:00")"#);
}

#[tokio::test]
async fn files_outside_the_time_asked_for_are_not_read() {
    let engine = QueryEngine::open(filled().await, "clickstream").unwrap();
    let sql = "SELECT count(*) FROM clickstream WHERE event_timestamp < TIMESTAMP '2026-03-03 10:30:00Z'";
    assert!(text(&engine, sql).await.contains("\n4\n"));
    let plan = engine.context.sql(sql).await.unwrap().into_optimized_plan().unwrap();
    let filters = format!("{}", plan.display_indent());
    assert!(filters.contains("partial_filters="), "{filters}");
    let physical = engine.context.state().create_physical_plan(&plan).await.unwrap();
    let shown = datafusion::physical_plan::displayable(physical.as_ref()).indent(false).to_string();
    assert!(shown.contains("partition_sizes=1"), "one file of two: {shown}");
}

#[tokio::test]
async fn a_column_added_later_is_null_in_older_rows() {
    let (catalog, table) = empty_table().await;
    let table = append(&catalog, &table, &visits()[0]).await;
    let mut schema = schemas::table::iceberg_schema();
    let added = json!({"id": 27, "name": "experiment", "required": false, "type": "string"});
    schema["fields"].as_array_mut().unwrap().push(added);
    let builder = table.metadata().clone().into_builder(None);
    let grown = builder.add_current_schema(serde_json::from_value(schema).unwrap()).unwrap().build().unwrap();
    let table = Table::builder()
        .identifier(table.identifier().clone())
        .metadata(grown.metadata)
        .file_io(table.file_io().clone())
        .runtime(iceberg::Runtime::current())
        .build()
        .unwrap();
    let engine = QueryEngine::open(table, "clickstream").unwrap();
    let answer = text(&engine, "SELECT count(*) AS n, count(experiment) AS e FROM clickstream").await;
    assert!(answer.contains("\n4 0\n"), "{answer}");
    let filtered = "SELECT count(*) AS n FROM clickstream WHERE experiment = 'b'";
    assert!(text(&engine, filtered).await.contains("\n0\n"));
}

#[tokio::test]
async fn statements_that_write_are_refused() {
    let engine = QueryEngine::open(filled().await, "clickstream").unwrap();
    for sql in ["DROP TABLE clickstream", "CREATE TABLE t AS SELECT 1", "SET datafusion.execution.batch_size = 1"] {
        assert!(engine.sql(sql).await.is_err(), "{sql}");
    }
    let error = engine.sql("SELECT nothing FROM clickstream").await.unwrap_err().to_string();
    assert!(error.contains("nothing"), "{error}");
}

#[tokio::test]
async fn the_analyses_count_right_on_known_visits() {
    let engine = QueryEngine::open(filled().await, "clickstream").unwrap();
    let engagement = text(&engine, named("engagement").unwrap().sql).await;
    for line in ["events 8", "users 2", "sessions 2", "page_views 4", "purchases 1", "conversion_pct 50.00"] {
        assert!(engagement.lines().any(|shown| shown == line), "{line} not in\n{engagement}");
    }
    assert!(engagement.contains("page_views_per_session 2.00"), "{engagement}");

    let pages = text(&engine, named("top_pages").unwrap().sql).await;
    assert!(pages.contains("/ / 2 2 - 80.00"), "{pages}");
    assert!(pages.contains("/cart /cart 1 1 30.00 -"), "{pages}");

    // Three sessions: u1's purchase (60 s), u1 again after 31 minutes (one event), u2 (9 s, one page, nothing done).
    let sessions = text(&engine, named("sessions").unwrap().sql).await;
    assert!(sessions.contains("3 2.67 1.33 23.00 2 66.67 1 33.33"), "{sessions}");
    assert!(named("nothing").is_none());
}

#[tokio::test]
async fn date_diff_cuts_to_milliseconds_and_refuses_unknown_units() {
    let (_catalog, table) = empty_table().await;
    let engine = QueryEngine::open(table.clone(), "clickstream").unwrap();
    let times = "TIMESTAMP '2026-03-03 00:00:00.0009Z', TIMESTAMP '2026-03-03 00:01:00.0010Z'";
    assert!(text(&engine, &format!("SELECT date_diff('millisecond', {times})")).await.contains("\n60001\n"));
    assert!(engine.sql(&format!("SELECT date_diff('fortnight', {times})")).await.is_err());
    assert!(format!("{:?}", IcebergTable::new(table).unwrap()).contains("IcebergTable"));
}
