//! Tables and batches for tests, of this module and of the connector's write path.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use iceberg::spec::TableMetadata;
use schemas::partition::PartitionKey;
use schemas::table::{self, COLUMNS, ColumnKind};
use serde_json::{Value, json};

/// 2026-03-03 as a day.
pub const DAY: i32 = 20_515;

/// The table as the project creates it.
pub fn table() -> TableMetadata {
    table_with(&table::iceberg_schema(), &table::partition_spec(), &[])
}

/// A table with another schema, spec or properties, as another engine may have made it.
pub fn table_with(schema: &Value, spec: &Value, properties: &[(&str, &str)]) -> TableMetadata {
    let properties: HashMap<_, _> = properties.iter().copied().collect();
    // As a document, since the metadata builder would give out field ids of its own.
    let metadata = json!({
        "format-version": 2, "table-uuid": "9c12d441-03fe-4693-9a96-a0705ddf69c1", "location": "s3://lake/clicks",
        "last-sequence-number": 0, "last-updated-ms": 1_772_500_000_000_i64, "last-column-id": 200,
        "schemas": [schema], "current-schema-id": 0,
        "partition-specs": [spec], "default-spec-id": 0, "last-partition-id": 1200,
        "sort-orders": [{"order-id": 0, "fields": []}], "default-sort-order-id": 0,
        "properties": properties,
    });
    serde_json::from_value(metadata).unwrap()
}

/// The project's columns with their ids moved up by 100, in reverse order, with a column of somebody else's between them.
pub fn foreign_schema() -> Value {
    let mut schema = table::iceberg_schema();
    let fields = schema["fields"].as_array_mut().unwrap();
    for field in fields.iter_mut() {
        field["id"] = json!(field["id"].as_i64().unwrap() + 100);
    }
    fields.reverse();
    fields.insert(3, json!({"id": 7, "name": "tenant", "required": false, "type": "string"}));
    schema
}

/// The partition of an event type on that day.
pub fn key(event_type: &str) -> PartitionKey {
    PartitionKey { day: DAY, event_type: event_type.to_owned() }
}

/// A batch of `rows` clicks as the decoder makes them. `text` gives the values of string columns, `None` is NULL;
/// integers count the rows, with every third one NULL.
pub fn batch(rows: usize, text: impl Fn(&str, usize) -> Option<String>) -> RecordBatch {
    let column = |column: &table::Column| -> ArrayRef {
        match column.kind {
            ColumnKind::String => Arc::new((0..rows).map(|row| text(column.name, row)).collect::<StringArray>()),
            ColumnKind::Int => {
                Arc::new((0..rows).map(|row| (row % 3 != 0).then_some(row as i32)).collect::<Int32Array>())
            }
            ColumnKind::TimestampTz => {
                let start = i64::from(DAY) * 86_400_000_000;
                let instants = (0..rows).map(|row| start + row as i64).collect::<Vec<_>>();
                Arc::new(TimestampMicrosecondArray::from(instants).with_timezone(table::UTC))
            }
        }
    };
    RecordBatch::try_new(table::arrow_schema(), COLUMNS.iter().map(column).collect()).unwrap()
}

/// Values as clicks have them: ids differ in each row, the rest repeats, half of the cities are unknown.
pub fn clicks(rows: usize) -> RecordBatch {
    batch(rows, |name, row| match name {
        "event_id" => Some(format!("event-{row:08}")),
        "event_type" => Some("click".to_owned()),
        "city" => row.is_multiple_of(2).then(|| "Köln".to_owned()),
        "element_text" => None,
        _ => Some(format!("{name}-{}", row % 7)),
    })
}

/// A table that says nothing of itself.
pub fn no_properties() -> HashMap<String, String> {
    HashMap::new()
}
