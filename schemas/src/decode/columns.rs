//! The rows decoded so far, as Arrow builders in table order.
//!
//! Appending cannot fail, so that a row is in all columns or in none. Called by the decoder only.

use std::mem;
use std::sync::Arc;

use arrow_array::builder::{Int32Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};

use super::value::{Cell, Row};
use crate::table::{self, COLUMNS, ColumnKind, EVENT_FIELDS};

/// The fixed part of a row: an offset for each string, the integers and the two times.
const ROW_BYTES: usize = {
    let (mut bytes, mut position) = (0, 0);
    while position < COLUMNS.len() {
        bytes += match COLUMNS[position].kind {
            ColumnKind::String | ColumnKind::Int => 4,
            ColumnKind::TimestampTz => 8,
        };
        position += 1;
    }
    bytes
};

#[derive(Debug)]
enum Builder {
    Text { values: StringBuilder, bytes: usize },
    Int(Int32Builder),
    Micros(TimestampMicrosecondBuilder),
}

impl Builder {
    fn new(kind: ColumnKind, rows: usize, bytes: usize) -> Self {
        match kind {
            ColumnKind::String => Self::Text { values: StringBuilder::with_capacity(rows, bytes), bytes: 0 },
            ColumnKind::Int => Self::Int(Int32Builder::with_capacity(rows)),
            ColumnKind::TimestampTz => {
                Self::Micros(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone(table::UTC))
            }
        }
    }

    /// Appends one value and says how many bytes of text it added.
    #[inline]
    fn append(&mut self, cell: &Cell<'_>, row: &Row<'_>) -> usize {
        match (self, cell) {
            (Self::Text { values, bytes }, cell) => {
                let Some(text) = row.text(cell) else {
                    values.append_null();
                    return 0;
                };
                values.append_value(text);
                *bytes += text.len();
                return text.len();
            }
            (Self::Int(values), Cell::Int(value)) => values.append_value(*value),
            (Self::Micros(values), Cell::Micros(value)) => values.append_value(*value),
            // A cell is made from its column's kind, so that nothing but NULL is left for the rest.
            (Self::Int(values), _) => values.append_null(),
            (Self::Micros(values), _) => values.append_null(),
        }
        0
    }

    /// The column, and a builder that expects as much again.
    fn finish(&mut self, kind: ColumnKind, rows: usize) -> ArrayRef {
        let bytes = if let Self::Text { bytes, .. } = self { *bytes } else { 0 };
        match mem::replace(self, Self::new(kind, rows, bytes)) {
            Self::Text { mut values, .. } => Arc::new(values.finish()),
            Self::Int(mut values) => Arc::new(values.finish()),
            Self::Micros(mut values) => Arc::new(values.finish()),
        }
    }
}

#[derive(Debug)]
pub(super) struct Columns {
    builders: [Builder; COLUMNS.len()],
    rows: usize,
    text_bytes: usize,
}

impl Columns {
    pub(super) fn new() -> Self {
        Self { builders: COLUMNS.map(|column| Builder::new(column.kind, 0, 0)), rows: 0, text_bytes: 0 }
    }

    pub(super) fn append(&mut self, row: &Row<'_>, ingestion_micros: i64) {
        for (builder, cell) in self.builders.iter_mut().zip(&row.cells) {
            self.text_bytes += builder.append(cell, row);
        }
        self.builders[EVENT_FIELDS].append(&Cell::Micros(ingestion_micros), row);
        self.rows += 1;
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn bytes(&self) -> usize {
        self.rows * ROW_BYTES + self.text_bytes
    }

    pub(super) fn finish(&mut self) -> RecordBatch {
        let rows = mem::take(&mut self.rows);
        self.text_bytes = 0;
        let arrays =
            self.builders.iter_mut().zip(&COLUMNS).map(|(builder, column)| builder.finish(column.kind, rows)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        match RecordBatch::try_new_with_options(table::arrow_schema(), arrays, &options) {
            Ok(batch) => batch,
            // Schema and builders come from the same list, which the tests hold to the types of Arrow.
            Err(error) => unreachable!("the columns do not fit their own schema: {error}"),
        }
    }
}
