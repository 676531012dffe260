//! How the event lies in one particular table: which of its columns, field ids, partition spec and folder.
//!
//! A table may have been made by another engine, with other field ids, its columns in another order and columns of its
//! own. What can hold the event is accepted as it is; what cannot is a halt with a sentence, never a changed value. The
//! table is looked at when the connector or a compaction begins; the commit is refused if the columns that were written do
//! not fit any more, or if the spec is another. The connector's encoder, the compaction and [`upload`](super::upload::upload)
//! work from the layout only, so that all files of a batch agree.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use iceberg::spec::{
    Literal, NestedField, NestedFieldRef, PrimitiveLiteral, PrimitiveType, Struct, TableMetadata, Transform, Type,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use protocol::halt::Halt;
use schemas::partition::PartitionKey;
use schemas::table::{COLUMNS, Column, ColumnKind, FIELD_ID_KEY};
use schemas::time;

/// The columns that no row leaves empty: the partition needs the first two, the connector sets the third.
const ALWAYS_SET: [&str; 3] = ["event_timestamp", "event_type", "ingestion_timestamp"];

/// What stays as it is in a path. Everything else is percent-encoded, as Iceberg's own writers do; a space becomes
/// `%20`, since `+` means two things.
const PLAIN_IN_PATHS: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// The two fields that the partition spec must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PartitionSource {
    Day,
    EventType,
}

/// A column of the event as it stands in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableColumn {
    /// Field id in this table.
    pub field_id: i32,
    /// Type of its values.
    pub kind: ColumnKind,
}

/// The place of the event in one table. Cheap to share, never changed.
#[derive(Debug, Clone, PartialEq)]
pub struct TableLayout {
    schema: SchemaRef,
    columns: Vec<TableColumn>,
    fields: Arc<[NestedFieldRef]>,
    spec_id: i32,
    partition: [(PartitionSource, String); 2],
    data_location: String,
}

impl TableLayout {
    /// Looks at the current schema and the default partition spec.
    ///
    /// # Errors
    /// [`Halt::SchemaIncompatible`] with every reason why the table cannot hold the event, what is there and what is
    /// needed.
    pub fn new(metadata: &TableMetadata) -> Result<Self, Halt> {
        Self::for_events(metadata, &BTreeSet::new())
    }

    /// Like [`Self::new`] for events that always have some more fields: `required` of the decode policy. The table may
    /// require these columns as well.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn for_events(metadata: &TableMetadata, required: &BTreeSet<String>) -> Result<Self, Halt> {
        let mut faults = Vec::new();
        let mut fields = Vec::with_capacity(COLUMNS.len());
        let (mut columns, mut written) = (Vec::with_capacity(COLUMNS.len()), Vec::with_capacity(COLUMNS.len()));
        for field in metadata.current_schema().as_struct().fields() {
            match COLUMNS.iter().find(|column| column.name == field.name) {
                None => faults.extend(foreign_fault(field)),
                Some(column) => {
                    let always_set = ALWAYS_SET.contains(&column.name) || required.contains(column.name);
                    faults.extend(event_fault(column, field, always_set));
                    let id = HashMap::from([(FIELD_ID_KEY.to_owned(), field.id.to_string())]);
                    fields.push(Field::new(column.name, column.kind.arrow(), !field.required).with_metadata(id));
                    columns.push(TableColumn { field_id: field.id, kind: column.kind });
                    written.push(Arc::clone(field));
                }
            }
        }
        let schema = Schema::new(fields);
        for column in COLUMNS.iter().filter(|column| schema.field_with_name(column.name).is_err()) {
            faults.push(format!("column {} is missing: add it as {}", column.name, column.kind.iceberg()));
        }
        let partition = partition_fields(metadata);
        if let Err(fault) = &partition {
            faults.push(fault.clone());
        }
        match partition {
            Ok(partition) if faults.is_empty() => Ok(Self {
                schema: Arc::new(schema),
                columns,
                fields: written.into(),
                spec_id: metadata.default_partition_spec_id(),
                partition,
                data_location: data_location(metadata),
            }),
            _ => Err(Halt::SchemaIncompatible(faults.join("; "))),
        }
    }

    /// The Arrow schema of the data files: the event's columns in the table's order with the table's field ids. Columns
    /// of the table that no event has are absent; readers give them their initial default, or NULL.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns in the order of [`Self::schema`].
    #[must_use]
    pub fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    /// The fields of the table that the files hold, as they were when the table was looked at.
    #[must_use]
    pub fn fields(&self) -> &Arc<[NestedFieldRef]> {
        &self.fields
    }

    /// The partition spec that the files are written with.
    #[must_use]
    pub fn spec_id(&self) -> i32 {
        self.spec_id
    }

    /// The partition value of a key, in the order of the spec's fields.
    #[must_use]
    pub fn partition_value(&self, key: &PartitionKey) -> Struct {
        let value = |(source, _): &(PartitionSource, String)| match source {
            PartitionSource::Day => Some(Literal::date(key.day)),
            PartitionSource::EventType => Some(Literal::string(&key.event_type)),
        };
        Struct::from_iter(self.partition.iter().map(value))
    }

    /// The key of a partition value of this layout's spec; none if a part is missing or of another type.
    #[must_use]
    pub fn partition_key(&self, value: &Struct) -> Option<PartitionKey> {
        let (mut day, mut event_type) = (None, None);
        for ((source, _), part) in self.partition.iter().zip(value.iter()) {
            match (source, part?.as_primitive_literal()?) {
                (PartitionSource::Day, PrimitiveLiteral::Int(number)) => day = Some(number),
                (PartitionSource::EventType, PrimitiveLiteral::String(text)) => event_type = Some(text),
                _ => return None,
            }
        }
        Some(PartitionKey { day: day?, event_type: event_type? })
    }

    /// The folder of a partition, with a slash at its end: `<data>/<field>=<value>/<field>=<value>/`.
    #[must_use]
    pub fn partition_location(&self, key: &PartitionKey) -> String {
        let mut location = self.data_location.clone();
        for (source, name) in &self.partition {
            let value = match source {
                PartitionSource::Day => time::format_day(key.day),
                PartitionSource::EventType => key.event_type.clone(),
            };
            location.push('/');
            location.extend(utf8_percent_encode(name, &PLAIN_IN_PATHS));
            location.push('=');
            location.extend(utf8_percent_encode(&value, &PLAIN_IN_PATHS));
        }
        location.push('/');
        location
    }

    /// A decoded batch with the columns, order and labels of this table. No value is copied.
    ///
    /// # Errors
    /// If the batch lacks a column, has one of another type, or a NULL where the table takes none.
    pub fn arrange(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let column = |field: &Arc<Field>| {
            let column = batch.column_by_name(field.name()).ok_or_else(|| {
                ArrowError::SchemaError(format!("the batch has no column {}, which the table needs", field.name()))
            })?;
            Ok(relabel(column, field.data_type()))
        };
        let columns = self.schema.fields().iter().map(column).collect::<Result<Vec<_>, ArrowError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }
}

/// UTC has several names; an instant is the same under each of them.
fn relabel(column: &ArrayRef, wanted: &DataType) -> ArrayRef {
    match (column.data_type(), wanted) {
        (
            DataType::Timestamp(TimeUnit::Microsecond, Some(from)),
            DataType::Timestamp(TimeUnit::Microsecond, Some(to)),
        ) if from != to && matches!(from.as_ref(), "UTC" | "Z" | "+00:00" | "Etc/UTC") => {
            let instants = column.as_primitive::<TimestampMicrosecondType>().clone();
            Arc::new(instants.with_timezone(Arc::clone(to)))
        }
        _ => Arc::clone(column),
    }
}

/// What is wrong with one of the event's columns in the table.
fn event_fault(column: &Column, field: &NestedField, always_set: bool) -> Option<String> {
    let wanted = match column.kind {
        ColumnKind::String => PrimitiveType::String,
        ColumnKind::Int => PrimitiveType::Int,
        ColumnKind::TimestampTz => PrimitiveType::Timestamptz,
    };
    if *field.field_type != Type::Primitive(wanted) {
        return Some(format!("column {} is {}, it must be {}", field.name, field.field_type, column.kind.iceberg()));
    }
    (field.required && !always_set)
        .then(|| format!("column {} is required, but events may lack it: make it optional", field.name))
}

/// What is wrong with a column that no event has: it is never written, so readers must be able to do without.
fn foreign_fault(field: &NestedField) -> Option<String> {
    if field.required && field.initial_default.is_none() {
        return Some(format!("column {} is required, but no event has it: make it optional", field.name));
    }
    // A reader fills an absent column with the initial default; the write default would be lost.
    (field.write_default != field.initial_default && field.write_default.is_some())
        .then(|| format!("column {} has a write default other than its initial default: drop it", field.name))
}

/// The two partition fields in the spec's order, or what the spec is instead.
fn partition_fields(metadata: &TableMetadata) -> Result<[(PartitionSource, String); 2], String> {
    let (schema, spec) = (metadata.current_schema(), metadata.default_partition_spec());
    let source = |id: i32| schema.name_by_field_id(id).unwrap_or("a dropped column");
    let known = |field: &iceberg::spec::PartitionField| match (source(field.source_id), field.transform) {
        ("event_timestamp", Transform::Day) => Some((PartitionSource::Day, field.name.clone())),
        ("event_type", Transform::Identity) => Some((PartitionSource::EventType, field.name.clone())),
        _ => None,
    };
    // A dropped partition field stays in the spec of a version 1 table as `void`; the halt names it like any other.
    let fields: Option<Vec<_>> = spec.fields().iter().map(known).collect();
    match fields.map(<[_; 2]>::try_from) {
        Some(Ok(fields)) if fields[0].0 != fields[1].0 => Ok(fields),
        _ => {
            let found: Vec<_> =
                spec.fields().iter().map(|field| format!("{}({})", field.transform, source(field.source_id))).collect();
            let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
            Err(format!(
                "the table is partitioned by {found}; it must be by day(event_timestamp), identity(event_type)"
            ))
        }
    }
}

/// The folder of data files, without a slash at its end.
fn data_location(metadata: &TableMetadata) -> String {
    match metadata.properties().get("write.data.path") {
        Some(path) => path.trim_end_matches('/').to_owned(),
        None => format!("{}/data", metadata.location().trim_end_matches('/')),
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
