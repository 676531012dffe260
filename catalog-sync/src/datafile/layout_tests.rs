//! Tests of [`super`]: which tables fit, and what is told about those that do not.

#![allow(clippy::unwrap_used, clippy::panic)]

use arrow_array::Array;
use schemas::table;
use serde_json::{Value, json};

use super::*;
use crate::datafile::testing::{self, clicks, foreign_schema, key, table_with};

fn fault(schema: &Value, spec: &Value) -> String {
    match TableLayout::new(&table_with(schema, spec, &[])) {
        Err(Halt::SchemaIncompatible(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn changed(name: &str, change: impl Fn(&mut Value)) -> Value {
    let mut schema = table::iceberg_schema();
    change(schema["fields"].as_array_mut().unwrap().iter_mut().find(|field| field["name"] == name).unwrap());
    schema
}

#[test]
fn the_projects_own_table_fits_and_its_files_have_its_ids() {
    let layout = TableLayout::new(&testing::table()).unwrap();
    assert_eq!(layout.schema(), &table::arrow_schema());
    assert_eq!(layout.columns().len(), 26);
    assert_eq!(layout.spec_id(), 0);
    let location = layout.partition_location(&key("click"));
    assert_eq!(location, "s3://lake/clicks/data/event_timestamp_day=2026-03-03/event_type=click/");
    assert_eq!(layout.arrange(&clicks(3)).unwrap(), clicks(3));
}

#[test]
fn another_engines_table_keeps_its_ids_its_order_and_its_own_columns() {
    let spec = json!({"spec-id": 0, "fields": [
        {"source-id": 105, "field-id": 1007, "name": "kind", "transform": "identity"},
        {"source-id": 102, "field-id": 1003, "name": "day of event", "transform": "day"},
    ]});
    let metadata = table_with(&foreign_schema(), &spec, &[("write.data.path", "s3://other/place/")]);
    let layout = TableLayout::new(&metadata).unwrap();
    let names: Vec<_> = layout.schema().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names[..3], ["ingestion_timestamp", "city", "country"]);
    assert!(!names.contains(&"tenant"));

    let batch = clicks(5);
    let arranged = layout.arrange(&batch).unwrap();
    assert_eq!(arranged.schema().field(1).metadata()[FIELD_ID_KEY], layout.columns()[1].field_id.to_string());
    let (from, to) = (batch.column_by_name("city").unwrap(), arranged.column(1));
    assert!(from.to_data().ptr_eq(&to.to_data()), "values are not copied");

    let key = PartitionKey { day: -1, event_type: "add/to cart*é".into() };
    let value = Struct::from_iter([Some(Literal::string("add/to cart*é")), Some(Literal::date(-1))]);
    assert_eq!(layout.partition_value(&key), value);
    assert_eq!(
        layout.partition_location(&key),
        "s3://other/place/kind=add%2Fto%20cart%2A%C3%A9/day%20of%20event=1969-12-31/"
    );
}

#[test]
fn every_reason_is_named_in_one_halt() {
    let mut schema = table::iceberg_schema();
    let fields = schema["fields"].as_array_mut().unwrap();
    fields.retain(|field| field["name"] != "city");
    fields[13]["type"] = json!("long");
    fields[5]["required"] = json!(true);
    fields.push(json!({"id": 40, "name": "tenant", "required": true, "type": "string"}));
    assert_eq!(
        fault(&schema, &json!({"spec-id": 0, "fields": []})),
        "column page_url is required, but events may lack it: make it optional; \
         column screen_width is long, it must be int; \
         column tenant is required, but no event has it: make it optional; \
         column city is missing: add it as string; \
         the table is partitioned by nothing; it must be by day(event_timestamp), identity(event_type)"
    );
}

#[test]
fn timestamps_without_zone_do_not_fit() {
    let schema = changed("event_timestamp", |field| field["type"] = json!("timestamp"));
    let why = fault(&schema, &table::partition_spec());
    assert_eq!(why, "column event_timestamp is timestamp, it must be timestamptz");
}

#[test]
fn other_partition_specs_are_named() {
    let field = |source: i32, name: &str, transform: &str| json!({"source-id": source, "field-id": 1000 + source, "name": name, "transform": transform});
    for (fields, found) in [
        (vec![field(2, "d", "day")], "day(event_timestamp)"),
        (
            vec![field(2, "d", "hour"), field(5, "event_type", "identity")],
            "hour(event_timestamp), identity(event_type)",
        ),
        (
            vec![field(2, "d", "day"), field(5, "event_type", "identity"), field(24, "country", "identity")],
            "day(event_timestamp), identity(event_type), identity(country)",
        ),
    ] {
        let why = fault(&table::iceberg_schema(), &json!({"spec-id": 0, "fields": fields}));
        assert!(why.starts_with(&format!("the table is partitioned by {found};")), "{why}");
    }
}

#[test]
fn a_column_that_every_event_has_may_be_required() {
    let schema = changed("event_timestamp", |field| field["required"] = json!(true));
    let layout = TableLayout::new(&table_with(&schema, &table::partition_spec(), &[])).unwrap();
    assert!(!layout.schema().field_with_name("event_timestamp").unwrap().is_nullable());
    assert!(layout.arrange(&clicks(2)).is_ok());

    let schema = changed("event_id", |field| field["required"] = json!(true));
    let metadata = table_with(&schema, &table::partition_spec(), &[]);
    assert!(TableLayout::new(&metadata).is_err());
    assert!(TableLayout::for_events(&metadata, &["event_id".to_owned()].into()).is_ok());
}

#[test]
fn a_batch_that_does_not_fit_is_refused() {
    let layout = TableLayout::new(&testing::table()).unwrap();
    let narrow = clicks(2).project(&[0, 1, 2]).unwrap();
    assert!(layout.arrange(&narrow).unwrap_err().to_string().contains("session_id"));
}

#[test]
fn utc_by_another_name_is_only_relabelled() {
    let layout = TableLayout::new(&testing::table()).unwrap();
    let batch = clicks(2);
    let times = batch.column(1).as_primitive::<TimestampMicrosecondType>().clone().with_timezone("UTC");
    let schema = batch.schema();
    let fields = schema.fields().iter().enumerate().map(|(at, field)| match at {
        1 => Arc::new(field.as_ref().clone().with_data_type(times.data_type().clone())),
        _ => Arc::clone(field),
    });
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let mut columns = batch.columns().to_vec();
    columns[1] = Arc::new(times);
    let named = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    assert_eq!(layout.arrange(&named).unwrap(), batch);
}
