//! The Iceberg table that clicks become: columns with field ids, partition spec, sort order, properties.
//!
//! One list, [`COLUMNS`], yields the Arrow schema of the batches, the Parquet field ids and the Iceberg schema of the catalog,
//! so that the three cannot drift apart. [`definition`] is checked in as `clicks.table.json`; a changed id, name or type shows
//! up there as a diff. Field ids are for ever: a column may be renamed or dropped, its id is never given to another. Called by
//! the decoder, by whoever creates the table, and by the file writers (bloom filters, target size).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde_json::{Value, json};

/// The key under which Arrow and Parquet keep an Iceberg field id.
pub const FIELD_ID_KEY: &str = "PARQUET:field_id";

/// How the catalog and Arrow name UTC in a timestamp with zone.
pub const UTC: &str = "+00:00";

/// How many columns of the table come from the record; the one after them is set by the connector.
pub const EVENT_FIELDS: usize = 25;

/// One column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The Iceberg field id, 1 to 26; never changed and never reused.
    pub id: i32,
    /// The name of the column, and of the key in the record.
    pub name: &'static str,
    /// Its type.
    pub kind: ColumnKind,
    /// What it holds, with the unit; the column's comment in the catalog.
    pub doc: &'static str,
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// UTF-8 text; Iceberg `string`.
    String,
    /// 32 bits with sign; Iceberg `int`.
    Int,
    /// Microseconds since 1970 in UTC; Iceberg `timestamptz`.
    TimestampTz,
}

impl ColumnKind {
    /// The Arrow type of the column's batches.
    #[must_use]
    pub fn arrow(self) -> DataType {
        match self {
            Self::String => DataType::Utf8,
            Self::Int => DataType::Int32,
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        }
    }

    /// The name of the type in an Iceberg schema.
    #[must_use]
    pub const fn iceberg(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::TimestampTz => "timestamptz",
        }
    }
}

const fn column(id: i32, name: &'static str, kind: ColumnKind, doc: &'static str) -> Column {
    Column { id, name, kind, doc }
}

use ColumnKind::{Int, String as Text, TimestampTz};

/// The columns in table order: 25 from the record, then the ingestion time.
pub const COLUMNS: [Column; 26] = [
    column(1, "event_id", Text, "Unique id of the event, made by its producer; the key for removing duplicates"),
    column(2, "event_timestamp", TimestampTz, "When the event happened, by the producer's clock, in UTC"),
    column(3, "user_id", Text, "Who: the signed-in user, or the id of an anonymous visitor"),
    column(4, "session_id", Text, "Visit of the user, as the client counts visits"),
    column(5, "event_type", Text, "What happened: page_view, click, scroll and so on"),
    column(6, "page_url", Text, "Path or address of the page on which it happened"),
    column(7, "page_title", Text, "Title of that page"),
    column(8, "referrer_url", Text, "The page before: on this site, or the one that linked here"),
    column(9, "element_id", Text, "Id of the element acted upon"),
    column(10, "element_text", Text, "Visible text of the element, or the text searched for"),
    column(11, "device_type", Text, "Kind of device: desktop, mobile or tablet"),
    column(12, "browser", Text, "Browser by name"),
    column(13, "os", Text, "Operating system by name"),
    column(14, "screen_width", Int, "Width of the screen in CSS pixels"),
    column(15, "screen_height", Int, "Height of the screen in CSS pixels"),
    column(16, "viewport_width", Int, "Width of the browser's viewport in CSS pixels"),
    column(17, "viewport_height", Int, "Height of the browser's viewport in CSS pixels"),
    column(18, "scroll_depth", Int, "How far down the page was scrolled, in percent; NULL when the event is no scroll"),
    column(19, "time_on_page", Int, "Time spent on the page so far, in seconds"),
    column(20, "utm_source", Text, "Campaign: where the visit came from"),
    column(21, "utm_medium", Text, "Campaign: by which kind of link"),
    column(22, "utm_campaign", Text, "Campaign: its name"),
    column(23, "ip_address", Text, "Address of the client; personal data"),
    column(24, "country", Text, "Country of the client, two letters"),
    column(25, "city", Text, "City of the client"),
    column(26, "ingestion_timestamp", TimestampTz, "When the connector took the event in, by its own clock, in UTC"),
];

/// The Arrow schema of every batch, with field ids in the metadata. All columns may be NULL, as in the table.
#[must_use]
pub fn arrow_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let field = |column: &Column| {
            let id = HashMap::from([(FIELD_ID_KEY.to_owned(), column.id.to_string())]);
            Field::new(column.name, column.kind.arrow(), true).with_metadata(id)
        };
        Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>()))
    });
    Arc::clone(&SCHEMA)
}

/// The Iceberg schema, as the REST catalog takes it.
#[must_use]
pub fn iceberg_schema() -> Value {
    let field = |column: &Column| {
        json!({
            "id": column.id,
            "name": column.name,
            "required": false,
            "type": column.kind.iceberg(),
            "doc": column.doc,
        })
    };
    json!({"type": "struct", "schema-id": 0, "fields": COLUMNS.iter().map(field).collect::<Vec<_>>()})
}

/// The partition spec: the day of the event in UTC, then the event type.
#[must_use]
pub fn partition_spec() -> Value {
    json!({"spec-id": 0, "fields": [
        {"source-id": 2, "field-id": 1000, "name": "event_timestamp_day", "transform": "day"},
        {"source-id": 5, "field-id": 1001, "name": "event_type", "transform": "identity"},
    ]})
}

/// The sort order: none. Ingestion writes in order of arrival, and compaction keeps it.
#[must_use]
pub fn sort_order() -> Value {
    json!({"order-id": 0, "fields": []})
}

/// The columns that get a bloom filter: those an analyst looks up by one value, and that are different in nearly every row.
pub const BLOOM_FILTER_COLUMNS: [&str; 3] = ["event_id", "session_id", "user_id"];

/// The size at which data files are closed, and to which compaction packs them: 128 MiB.
pub const TARGET_FILE_SIZE_BYTES: u64 = 128 * 1024 * 1024;

/// The table properties at creation.
#[must_use]
pub fn properties() -> BTreeMap<String, String> {
    let target_file_size_bytes = TARGET_FILE_SIZE_BYTES.to_string();
    let fixed = [
        ("format-version", "2"),
        ("comment", "Clickstream analytics for web and mobile applications"),
        // Deleting old metadata files after a commit would break every Nessie tag and branch that still points at one: a
        // reference-aware sweep removes them instead.
        ("write.metadata.delete-after-commit.enabled", "false"),
        ("write.metadata.previous-versions-max", "100"),
        ("write.target-file-size-bytes", target_file_size_bytes.as_str()),
        ("write.distribution-mode", "hash"),
        ("write.parquet.compression-codec", "zstd"),
    ];
    let bloom_filters = BLOOM_FILTER_COLUMNS
        .iter()
        .map(|column| (format!("write.parquet.bloom-filter-enabled.column.{column}"), "true".to_owned()));
    fixed.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).chain(bloom_filters).collect()
}

/// The whole table in one document, with the field names of the REST catalog's create-table request. Checked in as
/// `clicks.table.json`.
#[must_use]
pub fn definition() -> Value {
    json!({
        "schema": iceberg_schema(),
        "partition-spec": partition_spec(),
        "write-order": sort_order(),
        "properties": properties(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_count_from_one_in_table_order_and_names_are_distinct() {
        for (position, column) in COLUMNS.iter().enumerate() {
            assert_eq!(column.id, position as i32 + 1, "{}", column.name);
            assert!(COLUMNS.iter().filter(|other| other.name == column.name).count() == 1, "{}", column.name);
        }
        assert_eq!(COLUMNS[EVENT_FIELDS].name, "ingestion_timestamp");
    }

    #[test]
    fn arrow_schema_carries_types_field_ids_and_nullability() {
        let schema = arrow_schema();
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
        assert_eq!(schema.fields().len(), 26);
        for (field, column) in schema.fields().iter().zip(COLUMNS) {
            assert_eq!(field.name(), column.name);
            assert_eq!(field.metadata()["PARQUET:field_id"], column.id.to_string());
            assert!(field.is_nullable());
        }
        let count = |wanted: &DataType| schema.fields().iter().filter(|field| field.data_type() == wanted).count();
        assert_eq!((count(&DataType::Utf8), count(&DataType::Int32), count(&utc)), (18, 6, 2));
        assert_eq!(schema.field(1).data_type(), &utc);
        assert_eq!(schema.field(25).data_type(), &utc);
    }

    #[test]
    fn partition_sources_are_the_columns_they_are_named_after() {
        let spec = partition_spec();
        for (field, name) in [(0, "event_timestamp"), (1, "event_type")] {
            let source = spec["fields"][field]["source-id"].as_i64().unwrap();
            assert_eq!(COLUMNS[source as usize - 1].name, name);
        }
    }

    #[test]
    fn bloom_filters_are_on_columns_that_exist() {
        assert!(BLOOM_FILTER_COLUMNS.iter().all(|name| COLUMNS.iter().any(|column| column.name == *name)));
        assert_eq!(properties()["write.parquet.bloom-filter-enabled.column.event_id"], "true");
        assert_eq!(properties()["write.target-file-size-bytes"], "134217728");
    }
}
