//! Offsets and half-open ranges of them.
//!
//! An offset is Kafka's: the place of a record in a partition, from 0. A range `[start, end)` holds the offsets that a
//! batch has passed; `end` is the consumer's position, so that places which never held a record for us (transaction
//! markers, aborted or compacted records) lie inside it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place in a partition; never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Offset(i64);

/// Why a number or a pair of numbers is no offset or no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OffsetError {
    /// Kafka uses negative numbers for "beginning", "end" and "none": none of them is a place.
    #[error("{0} is not an offset: offsets are not negative")]
    Negative(i64),
    /// A range holds at least one offset.
    #[error("offsets {start}..{end} are not a range: the end must be greater than the start")]
    NotForward {
        /// First offset.
        start: i64,
        /// Offset after the last.
        end: i64,
    },
}

impl Offset {
    /// The first place of every partition.
    pub const ZERO: Self = Self(0);

    /// Checks a number that came from Kafka or from a table.
    ///
    /// # Errors
    /// [`OffsetError::Negative`].
    pub fn new(value: i64) -> Result<Self, OffsetError> {
        if value < 0 { Err(OffsetError::Negative(value)) } else { Ok(Self(value)) }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }

    /// How many offsets lie from `earlier` to here; 0 when `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

impl TryFrom<i64> for Offset {
    type Error = OffsetError;

    fn try_from(value: i64) -> Result<Self, OffsetError> {
        Self::new(value)
    }
}

impl From<Offset> for i64 {
    fn from(value: Offset) -> Self {
        value.0
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Offsets `[start, end)` of one partition; at least one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetRange {
    start: Offset,
    end: Offset,
}

impl OffsetRange {
    /// Checks that the range is not empty and not backwards.
    ///
    /// # Errors
    /// [`OffsetError::NotForward`].
    pub fn new(start: Offset, end: Offset) -> Result<Self, OffsetError> {
        if end > start { Ok(Self { start, end }) } else { Err(OffsetError::NotForward { start: start.0, end: end.0 }) }
    }

    /// First offset.
    #[must_use]
    pub fn start(self) -> Offset {
        self.start
    }

    /// The offset after the last: the position once this range is committed.
    #[must_use]
    pub fn end(self) -> Offset {
        self.end
    }

    /// Number of offsets, at least 1.
    #[must_use]
    pub fn width(self) -> u64 {
        self.end.since(self.start)
    }
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}..{})", self.start, self.end)
    }
}

impl fmt::Debug for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn negative_numbers_are_no_offsets() {
        assert_eq!(Offset::new(-1), Err(OffsetError::Negative(-1)));
        assert!(serde_json::from_str::<Offset>("-1001").is_err());
        assert_eq!(serde_json::from_str::<Offset>("7").unwrap().get(), 7);
    }

    #[test]
    fn a_range_is_never_empty_and_never_backwards() {
        let (a, b) = (Offset::new(3).unwrap(), Offset::new(5).unwrap());
        assert_eq!(OffsetRange::new(a, b).unwrap().width(), 2);
        assert!(OffsetRange::new(a, a).is_err());
        assert!(OffsetRange::new(b, a).is_err());
    }
}
