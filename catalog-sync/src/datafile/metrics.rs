//! What the catalog is told about a data file, read from its Parquet footer.
//!
//! Readers skip files by these numbers, so a wrong bound loses rows from answers in silence. A lower bound may be too low
//! and an upper bound too high, never the other way round; where that cannot be proved for every row group there is no
//! bound. Strings are cut as Iceberg's default `truncate(16)` does. Called by [`upload`](super::upload::upload).

use std::collections::HashMap;

use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;
use schemas::table::ColumnKind;

use super::EncodedFile;
use super::layout::{TableColumn, TableLayout};

/// Characters that a string bound keeps: `truncate(16)`, Iceberg's default metrics mode.
const BOUND_CHARS: usize = 16;

/// Why a file cannot be described.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// The footer does not describe the event's columns, or counts less than nothing.
    #[error("the footer of {location} contradicts the table: {detail}")]
    Footer {
        /// The file.
        location: String,
        /// What is wrong.
        detail: String,
    },
    /// The description is incomplete.
    #[error("cannot describe {location}: {detail}")]
    Incomplete {
        /// The file.
        location: String,
        /// What is missing.
        detail: String,
    },
}

/// The manifest entry of a file at `location`.
///
/// # Errors
/// [`MetricsError`] if the footer does not fit the layout that the file was written with.
pub fn data_file(layout: &TableLayout, file: &EncodedFile, location: &str) -> Result<DataFile, MetricsError> {
    let fault = |detail: String| MetricsError::Footer { location: location.to_owned(), detail };
    let metrics = Metrics::read(layout.columns(), &file.footer).map_err(fault)?;
    let split_offsets = file.footer.row_groups().iter().filter_map(RowGroupMetaData::file_offset).collect();
    let mut builder = DataFileBuilder::default();
    if let Some(id) = file.sort_order_id {
        builder.sort_order_id(id);
    }
    builder
        .content(DataContentType::Data)
        .file_path(location.to_owned())
        .file_format(DataFileFormat::Parquet)
        .partition(layout.partition_value(&file.key))
        .partition_spec_id(layout.spec_id())
        .record_count(file.rows)
        .file_size_in_bytes(file.bytes.len() as u64)
        .column_sizes(metrics.column_sizes)
        .value_counts(metrics.value_counts)
        .null_value_counts(metrics.null_value_counts)
        .lower_bounds(metrics.lower_bounds)
        .upper_bounds(metrics.upper_bounds)
        .split_offsets(Some(split_offsets))
        .build()
        .map_err(|error| MetricsError::Incomplete { location: location.to_owned(), detail: error.to_string() })
}

/// Numbers by field id.
#[derive(Debug, Default)]
struct Metrics {
    column_sizes: HashMap<i32, u64>,
    value_counts: HashMap<i32, u64>,
    null_value_counts: HashMap<i32, u64>,
    lower_bounds: HashMap<i32, Datum>,
    upper_bounds: HashMap<i32, Datum>,
}

impl Metrics {
    fn read(columns: &[TableColumn], footer: &ParquetMetaData) -> Result<Self, String> {
        let mut metrics = Self::default();
        for (index, column) in columns.iter().enumerate() {
            let chunks: Option<Vec<_>> = footer.row_groups().iter().map(|group| group.columns().get(index)).collect();
            let chunks = chunks.ok_or_else(|| format!("column {index} is missing"))?;
            metrics.add(*column, &chunks)?;
        }
        Ok(metrics)
    }

    fn add(&mut self, column: TableColumn, chunks: &[&ColumnChunkMetaData]) -> Result<(), String> {
        let id = column.field_id;
        if let Some(chunk) = chunks.iter().find(|chunk| !has_id(chunk, id)) {
            return Err(format!("column {} does not have field id {id}", chunk.column_path()));
        }
        let size: i64 = chunks.iter().map(|chunk| chunk.compressed_size()).sum();
        let values: i64 = chunks.iter().map(|chunk| chunk.num_values()).sum();
        let negative = |_| format!("field {id} counts {values} values in {size} bytes");
        self.column_sizes.insert(id, u64::try_from(size).map_err(negative)?);
        self.value_counts.insert(id, u64::try_from(values).map_err(negative)?);
        // One row group that does not know its NULLs makes the sum unknown.
        if let Some(nulls) = chunks.iter().map(|chunk| nulls(chunk)).sum::<Option<u64>>() {
            self.null_value_counts.insert(id, nulls);
        }
        let (lower, upper) = bounds(column.kind, chunks);
        self.lower_bounds.extend(lower.map(|bound| (id, bound)));
        self.upper_bounds.extend(upper.map(|bound| (id, bound)));
        Ok(())
    }
}

fn has_id(chunk: &ColumnChunkMetaData, id: i32) -> bool {
    let info = chunk.column_descr().self_type().get_basic_info();
    info.has_id() && info.id() == id
}

fn nulls(chunk: &ColumnChunkMetaData) -> Option<u64> {
    chunk.statistics().and_then(Statistics::null_count_opt)
}

/// Row groups in which every value is NULL have no bounds and need none.
fn all_null(chunk: &ColumnChunkMetaData) -> bool {
    nulls(chunk).is_some_and(|nulls| i64::try_from(nulls) == Ok(chunk.num_values()))
}

/// The bounds of the file: of all row groups that hold a value, or none if any of them lacks it.
fn bounds(kind: ColumnKind, chunks: &[&ColumnChunkMetaData]) -> (Option<Datum>, Option<Datum>) {
    let chunks = chunks.iter().filter(|chunk| !all_null(chunk)).map(|chunk| chunk.statistics());
    let Some(statistics) = chunks.collect::<Option<Vec<_>>>() else { return (None, None) };
    match kind {
        ColumnKind::String => {
            // Parquet cuts long strings too, at 64 bytes: a minimum down, a maximum up, so that both still bound. 64 bytes
            // hold at least 16 characters, so that nothing of our bound is lost.
            let lower = every(&statistics, lower_text).and_then(|all| all.into_iter().min());
            let upper = every(&statistics, upper_text).and_then(|all| all.into_iter().max());
            (
                lower.map(|text| Datum::string(prefix(text))),
                upper.and_then(|text| prefix_above(text).map(Datum::string)),
            )
        }
        ColumnKind::Int => {
            let both = every(&statistics, |one| match one {
                Statistics::Int32(values) => Some((*values.min_opt()?, *values.max_opt()?)),
                _ => None,
            });
            datums(both, |value: i32| Datum::int(value))
        }
        ColumnKind::TimestampTz => {
            let both = every(&statistics, |one| match one {
                Statistics::Int64(values) => Some((*values.min_opt()?, *values.max_opt()?)),
                _ => None,
            });
            datums(both, Datum::timestamptz_micros)
        }
    }
}

fn datums<T: Ord + Copy>(both: Option<Vec<(T, T)>>, datum: impl Fn(T) -> Datum) -> (Option<Datum>, Option<Datum>) {
    let both = both.unwrap_or_default();
    let lower = both.iter().map(|(min, _)| *min).min();
    let upper = both.iter().map(|(_, max)| *max).max();
    (lower.map(&datum), upper.map(&datum))
}

/// A value from every row group, or nothing.
fn every<'a, T>(statistics: &[&'a Statistics], value: impl Fn(&'a Statistics) -> Option<T>) -> Option<Vec<T>> {
    statistics.iter().map(|one| value(one)).collect()
}

fn lower_text(one: &Statistics) -> Option<&str> {
    matches!(one, Statistics::ByteArray(_)).then(|| one.min_bytes_opt())?.and_then(|bytes| str::from_utf8(bytes).ok())
}

fn upper_text(one: &Statistics) -> Option<&str> {
    matches!(one, Statistics::ByteArray(_)).then(|| one.max_bytes_opt())?.and_then(|bytes| str::from_utf8(bytes).ok())
}

/// The first characters: never above the text.
fn prefix(text: &str) -> &str {
    text.char_indices().nth(BOUND_CHARS).map_or(text, |(end, _)| &text[..end])
}

/// The shortest text that stands above every text with this prefix; the text itself if it is short. None if there is none.
fn prefix_above(text: &str) -> Option<String> {
    let cut = prefix(text);
    if cut.len() == text.len() {
        return Some(cut.to_owned());
    }
    let mut chars: Vec<char> = cut.chars().collect();
    while let Some(last) = chars.pop() {
        // The range steps over the surrogates, which are no characters; the order of characters is that of their bytes.
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
