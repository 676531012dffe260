//! The offsets that a batch carries: one range per partition, at least one partition, grouped by topic.
//!
//! Beside the range stand the numbers of rows and rejects made of it, so that the position can prove that every offset
//! became something. Built by the connector's task while it reads; consumed by [`decide`](crate::decide::decide).

use std::collections::BTreeMap;

use serde_json::json;

use crate::offset::OffsetRange;
use crate::position::Counts;

/// What a batch holds of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRange {
    range: OffsetRange,
    first: bool,
    counts: Counts,
}

/// A batch that does not add up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeError {
    /// More records than offsets.
    #[error("{rows} rows and {rejects} rejects cannot come from the {width} offsets of {range}")]
    TooManyRecords {
        /// Rows claimed.
        rows: u64,
        /// Rejects claimed.
        rejects: u64,
        /// Offsets there are.
        width: u64,
        /// The range.
        range: OffsetRange,
    },
}

impl BatchRange {
    /// A range and what became of its records. `first` says that the table had no position for this partition when the
    /// range was begun.
    ///
    /// # Errors
    /// [`RangeError::TooManyRecords`] when rows and rejects exceed the offsets.
    pub fn new(range: OffsetRange, first: bool, rows: u64, rejects: u64) -> Result<Self, RangeError> {
        let width = range.width();
        let Some(skipped) = rows.checked_add(rejects).and_then(|records| width.checked_sub(records)) else {
            return Err(RangeError::TooManyRecords { rows, rejects, width, range });
        };
        Ok(Self { range, first, counts: Counts { rows, rejects, skipped, lost: 0 } })
    }

    /// The offsets.
    #[must_use]
    pub fn range(&self) -> OffsetRange {
        self.range
    }

    /// Whether the table had no position for this partition.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// What became of the offsets.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

/// What a batch holds of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRanges {
    /// Identity of the topic that the records came from.
    pub id: String,
    /// The topic's epoch in the table's position when the batch was begun.
    pub epoch: u32,
    /// Partition -> range.
    pub partitions: BTreeMap<i32, BatchRange>,
}

/// What a batch holds; at least one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges {
    topics: BTreeMap<String, TopicRanges>,
}

impl Ranges {
    /// Topic -> its ranges; topics without any partition are left out. None when nothing remains: nothing read,
    /// nothing to commit.
    #[must_use]
    pub fn new(mut topics: BTreeMap<String, TopicRanges>) -> Option<Self> {
        topics.retain(|_, topic| !topic.partitions.is_empty());
        if topics.is_empty() { None } else { Some(Self { topics }) }
    }

    /// Topic -> its ranges.
    #[must_use]
    pub fn topics(&self) -> &BTreeMap<String, TopicRanges> {
        &self.topics
    }

    /// Sum over all partitions.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.topics
            .values()
            .flat_map(|topic| topic.partitions.values())
            .fold(Counts::default(), |sum, part| sum.plus(part.counts()))
    }

    /// The form kept in the snapshot summary: `{"topic":{"0":[start,end],…}}`, for audit and for `verify`. Batches of one
    /// partition are adjacent, since the commit decision took them one after the other; they become one range.
    #[must_use]
    pub fn to_summary(all: &[&Self]) -> String {
        let mut topics: BTreeMap<&str, BTreeMap<i32, (i64, i64)>> = BTreeMap::new();
        for (name, topic) in all.iter().flat_map(|ranges| &ranges.topics) {
            let parts = topics.entry(name).or_default();
            for (&partition, part) in &topic.partitions {
                let (start, end) = (part.range.start().get(), part.range.end().get());
                let joined = parts.entry(partition).or_insert((start, end));
                *joined = (joined.0.min(start), joined.1.max(end));
            }
        }
        json!(topics).to_string()
    }

    /// Reads what [`Self::to_summary`] wrote: topic -> partition -> range. None when it is something else.
    #[must_use]
    pub fn parse_summary(text: &str) -> Option<BTreeMap<String, BTreeMap<i32, OffsetRange>>> {
        let raw: BTreeMap<String, BTreeMap<i32, (i64, i64)>> = serde_json::from_str(text).ok()?;
        let range = |(start, end): (i64, i64)| OffsetRange::new(start.try_into().ok()?, end.try_into().ok()?).ok();
        raw.into_iter()
            .map(|(topic, parts)| {
                let parts = parts.into_iter().map(|(p, pair)| Some((p, range(pair)?))).collect::<Option<_>>()?;
                Some((topic, parts))
            })
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::offset::Offset;

    fn range(start: i64, end: i64) -> OffsetRange {
        OffsetRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap()
    }

    #[test]
    fn what_is_neither_row_nor_reject_was_skipped() {
        let part = BatchRange::new(range(10, 20), false, 7, 1).unwrap();
        assert_eq!(part.counts(), Counts { rows: 7, rejects: 1, skipped: 2, lost: 0 });
        assert!(BatchRange::new(range(10, 12), false, 2, 1).is_err());
        assert!(BatchRange::new(range(10, 12), false, u64::MAX, 1).is_err());
    }

    #[test]
    fn nothing_read_is_no_batch() {
        let empty = TopicRanges { id: "a".into(), epoch: 0, partitions: BTreeMap::new() };
        assert_eq!(Ranges::new(BTreeMap::from([("t".into(), empty)])), None);
    }

    #[test]
    fn the_summary_form_is_read_back() {
        let part = BatchRange::new(range(3, 9), true, 6, 0).unwrap();
        let topic = TopicRanges { id: "a".into(), epoch: 0, partitions: BTreeMap::from([(2, part)]) };
        let ranges = Ranges::new(BTreeMap::from([("clicks".into(), topic)])).unwrap();
        let text = Ranges::to_summary(&[&ranges]);
        assert_eq!(text, r#"{"clicks":{"2":[3,9]}}"#);
        assert_eq!(Ranges::parse_summary(&text).unwrap()["clicks"][&2], range(3, 9));
        assert_eq!(Ranges::parse_summary(r#"{"clicks":{"2":[9,3]}}"#), None);
    }

    #[test]
    fn batches_of_one_partition_become_one_range_of_the_summary() {
        let ranges = |start, end| {
            let part = BatchRange::new(range(start, end), false, 1, 0).unwrap();
            let topic = TopicRanges { id: "a".into(), epoch: 0, partitions: BTreeMap::from([(2, part)]) };
            Ranges::new(BTreeMap::from([("clicks".into(), topic)])).unwrap()
        };
        assert_eq!(Ranges::to_summary(&[&ranges(3, 9), &ranges(9, 12)]), r#"{"clicks":{"2":[3,12]}}"#);
    }
}
