//! `catalog-sync table show`: what a table is.

use std::collections::BTreeMap;
use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat};
use iceberg::spec::{Snapshot, TableMetadata};
use protocol::lineage::POSITION_KEY;
use serde::Serialize;

use super::{CliError, TableArgs, columns, tell};
use crate::catalog::LoadedTable;

#[derive(Debug, Serialize)]
struct Description {
    table: String,
    uuid: String,
    location: String,
    metadata_location: Option<String>,
    format_version: u8,
    sequence_number: i64,
    columns: Vec<Column>,
    partition_spec: Vec<PartitionField>,
    sort_order: Vec<SortField>,
    properties: BTreeMap<String, String>,
    snapshots: usize,
    current_snapshot: Option<CurrentSnapshot>,
}

#[derive(Debug, Serialize)]
struct Column {
    id: i32,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    required: bool,
    doc: Option<String>,
}

#[derive(Debug, Serialize)]
struct PartitionField {
    id: i32,
    name: String,
    transform: String,
    source: String,
}

#[derive(Debug, Serialize)]
struct SortField {
    source: String,
    transform: String,
    direction: String,
    nulls: String,
}

#[derive(Debug, Serialize)]
struct CurrentSnapshot {
    snapshot_id: i64,
    sequence_number: i64,
    time: String,
    operation: String,
    summary: BTreeMap<String, String>,
}

/// Loads the table and prints what it is.
pub(super) async fn show(args: TableArgs) -> Result<ExitCode, CliError> {
    let as_json = args.json;
    let described = describe(&args.load().await?);
    tell(as_json, &described, text)
}

fn describe(loaded: &LoadedTable) -> Description {
    let metadata = loaded.metadata();
    Description {
        table: loaded.ident().to_string(),
        uuid: metadata.uuid().to_string(),
        location: metadata.location().to_owned(),
        metadata_location: loaded.metadata_location().map(str::to_owned),
        format_version: metadata.format_version() as u8,
        sequence_number: metadata.last_sequence_number(),
        columns: schema_columns(metadata),
        partition_spec: partition_spec(metadata),
        sort_order: sort_order(metadata),
        properties: metadata.properties().iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        snapshots: metadata.snapshots().len(),
        current_snapshot: metadata.current_snapshot().map(|snapshot| current(snapshot)),
    }
}

fn schema_columns(metadata: &TableMetadata) -> Vec<Column> {
    let fields = metadata.current_schema().as_struct().fields().iter();
    fields
        .map(|field| Column {
            id: field.id,
            name: field.name.clone(),
            kind: field.field_type.to_string(),
            required: field.required,
            doc: field.doc.clone(),
        })
        .collect()
}

/// Name of a column, or its id where the current schema has it no longer.
fn source(metadata: &TableMetadata, id: i32) -> String {
    metadata.current_schema().name_by_field_id(id).map_or_else(|| format!("field {id}"), str::to_owned)
}

fn partition_spec(metadata: &TableMetadata) -> Vec<PartitionField> {
    let fields = metadata.default_partition_spec().fields().iter();
    fields
        .map(|field| PartitionField {
            id: field.field_id,
            name: field.name.clone(),
            transform: field.transform.to_string(),
            source: source(metadata, field.source_id),
        })
        .collect()
}

fn sort_order(metadata: &TableMetadata) -> Vec<SortField> {
    let fields = metadata.default_sort_order().fields.iter();
    fields
        .map(|field| SortField {
            source: source(metadata, field.source_id),
            transform: field.transform.to_string(),
            direction: field.direction.to_string(),
            nulls: field.null_order.to_string(),
        })
        .collect()
}

fn current(snapshot: &Snapshot) -> CurrentSnapshot {
    let ms = snapshot.timestamp_ms();
    let time = DateTime::from_timestamp_millis(ms)
        .map_or_else(|| format!("{ms} ms"), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true));
    let summary = &snapshot.summary().additional_properties;
    CurrentSnapshot {
        snapshot_id: snapshot.snapshot_id(),
        sequence_number: snapshot.sequence_number(),
        time,
        operation: snapshot.summary().operation.as_str().to_owned(),
        summary: summary.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
    }
}

fn text(table: &Description) -> String {
    let mut out = format!("{}\n", table.table);
    let pair = |name: &str, value: String| vec![name.to_owned(), value];
    let mut head = vec![
        pair("uuid", table.uuid.clone()),
        pair("location", table.location.clone()),
        pair("format version", table.format_version.to_string()),
        pair("sequence number", table.sequence_number.to_string()),
    ];
    head.extend(table.metadata_location.clone().map(|location| pair("metadata", location)));
    out.push_str(&columns(&[], &head, &[]));

    let rows: Vec<Vec<String>> = table.columns.iter().map(column_row).collect();
    out.push_str(&section("columns", &columns(&["id", "name", "type", "doc"], &rows, &[0])));
    let rows: Vec<Vec<String>> = table
        .partition_spec
        .iter()
        .map(|field| vec![field.id.to_string(), field.name.clone(), format!("{}({})", field.transform, field.source)])
        .collect();
    out.push_str(&section("partition spec", &columns(&[], &rows, &[])));
    let rows: Vec<Vec<String>> = table
        .sort_order
        .iter()
        .map(|field| {
            vec![format!("{}({})", field.transform, field.source), field.direction.clone(), field.nulls.clone()]
        })
        .collect();
    out.push_str(&section("sort order", &columns(&[], &rows, &[])));
    out.push_str(&section("properties", &pairs(&table.properties)));
    match &table.current_snapshot {
        None => out.push_str("\nno snapshot\n"),
        Some(snapshot) => {
            let title = format!(
                "snapshot {}, sequence number {}, {} at {}, {} shown by the catalog",
                snapshot.snapshot_id, snapshot.sequence_number, snapshot.operation, snapshot.time, table.snapshots
            );
            out.push_str(&section(&title, &pairs(&snapshot.summary)));
        }
    }
    out
}

fn column_row(column: &Column) -> Vec<String> {
    let kind = if column.required { format!("{}, required", column.kind) } else { column.kind.clone() };
    vec![column.id.to_string(), column.name.clone(), kind, column.doc.clone().unwrap_or_default()]
}

fn section(title: &str, body: &str) -> String {
    if body.trim().is_empty() { format!("\n{title}: none\n") } else { format!("\n{title}\n{body}") }
}

/// Keys and values; the position has a command of its own.
fn pairs(map: &BTreeMap<String, String>) -> String {
    let value = |key: &str, value: &str| match key {
        POSITION_KEY => "see `catalog-sync position`".to_owned(),
        _ => value.to_owned(),
    };
    let rows: Vec<Vec<String>> = map.iter().map(|(key, text)| vec![key.clone(), value(key, text)]).collect();
    columns(&[], &rows, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_is_not_printed_among_the_properties() {
        let map = BTreeMap::from([(POSITION_KEY.to_owned(), "{...}".to_owned()), ("a".to_owned(), "b".to_owned())]);
        let printed = pairs(&map);
        assert!(printed.contains("see `catalog-sync position`") && !printed.contains("{...}"), "{printed}");
        assert_eq!(section("properties", &pairs(&BTreeMap::new())), "\nproperties: none\n");
    }
}
