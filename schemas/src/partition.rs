//! Which Iceberg partition a row belongs to, and a batch cut into its partitions.
//!
//! The partition spec of the table is `day(event_timestamp), identity(event_type)` ([`crate::table::partition_spec`]). The
//! connector calls [`split`] on each decoded batch before it writes files. Rows keep their order inside a partition, and
//! partitions come in key order, so that the same batch always gives the same files.

use std::collections::HashMap;
use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::take::take_record_batch;

use crate::time;

/// The values of the two partition fields of one Iceberg partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// Days since 1970-01-01 in UTC; negative before.
    pub day: i32,
    /// The event type as it stands in the rows.
    pub event_type: String,
}

/// The path of the partition under the table's data folder: `event_timestamp_day=2026-03-03/event_type=click`.
///
/// Readers take partition values from the manifests and never from this path, so it only has to be unambiguous and safe in a
/// URL: everything but letters, digits, `-`, `_` and `.` is percent-encoded, a space as `%20` (`+` means two things).
impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event_timestamp_day={}/event_type=", time::format_day(self.day))?;
        for byte in self.event_type.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

/// Iceberg's `day` transform of a timestamp in microseconds since 1970: days since 1970-01-01, rounded down.
#[must_use]
pub fn day_of(micros: i64) -> i32 {
    // i64::MAX microseconds are 106,751,991 days: the cast cannot cut anything off.
    micros.div_euclid(time::MICROS_PER_DAY) as i32
}

/// Cuts a batch into its partitions: one pass to number the groups, one `take` for each.
///
/// A batch that lies in one partition is handed back as it is, without a copy.
///
/// # Errors
/// If `event_timestamp` (timestamp in microseconds) or `event_type` (Utf8) is absent, has another type, or holds a NULL: such
/// a row has no partition here. The decoder never makes one.
pub fn split(batch: &RecordBatch) -> Result<Vec<(PartitionKey, RecordBatch)>, ArrowError> {
    let times = column(batch, "event_timestamp")?;
    let times = times.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| wrong_type("event_timestamp"))?;
    let types = column(batch, "event_type")?;
    let types = types.as_string_opt::<i32>().ok_or_else(|| wrong_type("event_type"))?;

    let mut group_of: HashMap<(i32, &str), usize> = HashMap::new();
    let mut groups: Vec<((i32, &str), Vec<u32>)> = Vec::new();
    for (row, micros) in times.values().iter().enumerate() {
        let key = (day_of(*micros), types.value(row));
        let group = *group_of.entry(key).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        let row = u32::try_from(row)
            .map_err(|_| ArrowError::InvalidArgumentError("a batch of more than 2^32 rows cannot be split".into()))?;
        groups[group].1.push(row);
    }
    groups.sort_unstable_by_key(|(key, _)| *key);

    let whole = groups.len() == 1;
    groups
        .into_iter()
        .map(|((day, event_type), rows)| {
            let rows = if whole { batch.clone() } else { take_record_batch(batch, &UInt32Array::from(rows))? };
            Ok((PartitionKey { day, event_type: event_type.to_owned() }, rows))
        })
        .collect()
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    let column = batch
        .column_by_name(name)
        .ok_or_else(|| ArrowError::SchemaError(format!("cannot split by partition: the batch has no column {name}")))?;
    if column.null_count() > 0 {
        let nulls = column.null_count();
        let message = format!("cannot split by partition: {name} is NULL in {nulls} of {} rows", batch.num_rows());
        return Err(ArrowError::InvalidArgumentError(message));
    }
    Ok(column)
}

fn wrong_type(name: &str) -> ArrowError {
    ArrowError::SchemaError(format!("cannot split by partition: {name} does not have the type of the table"))
}

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
