//! Which Iceberg partition a row belongs to.
//!
//! The partition spec of the table is `day(event_timestamp), identity(event_type)` ([`crate::table::partition_spec`]). The
//! connector numbers the rows of a batch by [`PartitionKey`] and gathers them when it writes files.

use std::fmt;

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

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
