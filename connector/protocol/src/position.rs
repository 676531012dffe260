//! The position: how far a table has got in every topic, and what became of the offsets behind it.
//!
//! It is written into the snapshot summary and into a table property by the same commit, in one text form
//! ([`Position::encode`]), versioned and stamped with the sequence number of its snapshot, so that a table that was
//! rolled back is noticed. An unknown version is refused, never guessed at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::offset::Offset;
use crate::ranges::{BatchRange, Ranges, TopicRanges};

/// Version of the text form written by this code.
pub const VERSION: u32 = 1;

/// What became of a number of offsets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that are rows now.
    pub rows: u64,
    /// Records that could not become rows.
    pub rejects: u64,
    /// Offsets that never held a record for us: transaction markers, aborted and compacted records.
    pub skipped: u64,
    /// Offsets that Kafka deleted before they were read, and whose loss an operator accepted.
    pub lost: u64,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            rows: self.rows.saturating_add(other.rows),
            rejects: self.rejects.saturating_add(other.rejects),
            skipped: self.skipped.saturating_add(other.skipped),
            lost: self.lost.saturating_add(other.lost),
        }
    }

    /// Offsets in all.
    #[must_use]
    pub fn offsets(self) -> u64 {
        self.rows.saturating_add(self.rejects).saturating_add(self.skipped).saturating_add(self.lost)
    }
}

/// How far a table has got in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionPosition {
    /// Where the table began.
    pub first: Offset,
    /// The next offset to be read.
    pub next: Offset,
    /// What became of the offsets between.
    pub counts: Counts,
}

/// How far a table has got in one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPosition {
    /// The topic's identity: Kafka's topic id, or what the operator named where the broker has none.
    pub id: String,
    /// How often an operator's word changed the account: another topic took this name, or the log was lost in part. A batch
    /// of another epoch is never committed.
    pub epoch: u32,
    /// What became of the records of those.
    pub ended: Counts,
    /// Partition -> position.
    pub partitions: BTreeMap<i32, PartitionPosition>,
}

/// How far a table has got; empty for a table that nothing was ever committed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// Topic name -> position.
    pub topics: BTreeMap<String, TopicPosition>,
}

/// Why a batch does not continue a position. Any of these means that somebody else got there first, or that the
/// topic is another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdvanceError {
    /// The batch begins elsewhere than the table stands.
    #[error("{topic}-{partition}: the batch starts at offset {start}, the table stands at {at}")]
    NotAdjacent {
        /// Topic name.
        topic: String,
        /// Kafka partition.
        partition: i32,
        /// Where the batch starts.
        start: Offset,
        /// Where the table stands; `nothing yet` when it has no position.
        at: String,
    },
    /// The topic in the table has another identity than the one in the batch.
    #[error("topic {topic}: the table was fed from topic id {table}, the batch is from {batch}")]
    OtherTopic {
        /// Topic name.
        topic: String,
        /// Identity in the table.
        table: String,
        /// Identity in the batch.
        batch: String,
    },
    /// The topic's account was closed and opened anew, by an operator's word, since the batch was begun.
    #[error("topic {topic}: the table is in epoch {table}, the batch was begun in epoch {batch}")]
    OtherEpoch {
        /// Topic name.
        topic: String,
        /// Epoch in the table.
        table: u32,
        /// Epoch in the batch.
        batch: u32,
    },
}

/// A text that is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PositionError {
    /// Not JSON of the known shape, or numbers that contradict each other.
    #[error("the position cannot be read: {0}")]
    Malformed(String),
    /// Written by a newer release.
    #[error("the position has version {0}, this release reads versions up to {VERSION}")]
    Version(u32),
}

impl Position {
    /// Next offset of a partition; none when the table has no position for it.
    #[must_use]
    pub fn next(&self, topic: &str, partition: i32) -> Option<Offset> {
        Some(self.topics.get(topic)?.partitions.get(&partition)?.next)
    }

    /// A partition of `other` that this has got less far in, or has not at all; topics of another identity are not compared, since
    /// their offsets are others.
    #[must_use]
    pub fn behind<'a>(&self, other: &'a Self) -> Option<(&'a str, i32)> {
        other.topics.iter().find_map(|(topic, at)| {
            let is_another = self.topics.get(topic).is_some_and(|found| found.id != at.id);
            let less = |(&partition, at): (&i32, &PartitionPosition)| {
                (self.next(topic, partition).is_none_or(|next| next < at.next)).then_some((topic.as_str(), partition))
            };
            if is_another { None } else { at.partitions.iter().find_map(less) }
        })
    }

    /// What became of all offsets, those of superseded topics included.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.topics.values().fold(Counts::default(), |sum, topic| {
            topic.partitions.values().fold(sum.plus(topic.ended), |sum, part| sum.plus(part.counts))
        })
    }

    /// The position after a batch. The receiver is left as it is.
    ///
    /// # Errors
    /// [`AdvanceError`] when the batch does not start exactly where the position stands.
    pub fn advance(&self, ranges: &Ranges) -> Result<Self, AdvanceError> {
        let mut after = self.clone();
        for (name, batch) in ranges.topics() {
            let topic = after.topic_for(name, batch)?;
            for (&partition, part) in &batch.partitions {
                advance_partition(topic, name, partition, part)?;
            }
        }
        Ok(after)
    }

    /// The entry that a batch advances: the topic's own, or a new one.
    fn topic_for(&mut self, name: &str, batch: &TopicRanges) -> Result<&mut TopicPosition, AdvanceError> {
        let new =
            || TopicPosition { id: batch.id.clone(), epoch: 0, ended: Counts::default(), partitions: BTreeMap::new() };
        let topic = self.topics.entry(name.to_owned()).or_insert_with(new);
        if topic.id != batch.id {
            let (table, batch) = (topic.id.clone(), batch.id.clone());
            return Err(AdvanceError::OtherTopic { topic: name.to_owned(), table, batch });
        }
        if topic.epoch != batch.epoch {
            let (table, batch) = (topic.epoch, batch.epoch);
            return Err(AdvanceError::OtherEpoch { topic: name.to_owned(), table, batch });
        }
        Ok(topic)
    }

    /// The text form: compact JSON, `sequence_number` being that of the snapshot it is committed with.
    #[must_use]
    pub fn encode(&self, sequence_number: i64) -> String {
        let topics = self.topics.iter().map(|(name, topic)| (name.clone(), WireTopic::from(topic))).collect();
        let wire = Wire { v: VERSION, seq: sequence_number, topics };
        // A map of strings and numbers always has a JSON form.
        serde_json::to_string(&wire).unwrap_or_default()
    }

    /// Reads the text form: the position and the sequence number it was committed with.
    ///
    /// # Errors
    /// [`PositionError`] for anything that [`Self::encode`] does not write.
    pub fn decode(text: &str) -> Result<(Self, i64), PositionError> {
        #[derive(Deserialize)]
        struct Head {
            v: u32,
        }
        let malformed = |error: serde_json::Error| PositionError::Malformed(error.to_string());
        let head: Head = serde_json::from_str(text).map_err(malformed)?;
        if head.v != VERSION {
            return Err(PositionError::Version(head.v));
        }
        let wire: Wire = serde_json::from_str(text).map_err(malformed)?;
        let topics = wire.topics.into_iter().map(|(name, topic)| Ok((name, topic.try_into()?)));
        Ok((Self { topics: topics.collect::<Result<_, PositionError>>()? }, wire.seq))
    }
}

fn advance_partition(
    topic: &mut TopicPosition,
    name: &str,
    partition: i32,
    part: &BatchRange,
) -> Result<(), AdvanceError> {
    let range = part.range();
    let stands = topic.partitions.get(&partition).copied();
    let counts = match stands {
        Some(at) if !part.is_first() && at.next == range.start() => at.counts.plus(part.counts()),
        None if part.is_first() => part.counts(),
        _ => {
            return Err(AdvanceError::NotAdjacent {
                topic: name.to_owned(),
                partition,
                start: range.start(),
                at: stands.map_or_else(|| "nothing yet".to_owned(), |at| at.next.to_string()),
            });
        }
    };
    let first = stands.map_or(range.start(), |at| at.first);
    topic.partitions.insert(partition, PartitionPosition { first, next: range.end(), counts });
    Ok(())
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    v: u32,
    seq: i64,
    topics: BTreeMap<String, WireTopic>,
}

/// `ended`: [rows, rejects, skipped], and `lost` behind them if there was any. `parts`: partition -> [first, next, rows,
/// rejects], and `lost` likewise; what was skipped follows from these.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireTopic {
    id: String,
    epoch: u32,
    ended: Vec<u64>,
    parts: BTreeMap<i32, Vec<u64>>,
}

/// Leaves out a last number of 0.
fn without_zero<const N: usize>(numbers: [u64; N]) -> Vec<u64> {
    let kept = if numbers.last() == Some(&0) { N - 1 } else { N };
    numbers.into_iter().take(kept).collect()
}

/// Puts the last number of 0 back.
fn with_zero<const N: usize>(mut numbers: Vec<u64>) -> Result<[u64; N], PositionError> {
    if numbers.len() + 1 == N {
        numbers.push(0);
    }
    let malformed =
        |numbers: Vec<u64>| PositionError::Malformed(format!("{numbers:?} is not {} or {N} numbers", N - 1));
    numbers.try_into().map_err(malformed)
}

impl From<&TopicPosition> for WireTopic {
    fn from(topic: &TopicPosition) -> Self {
        let Counts { rows, rejects, skipped, lost } = topic.ended;
        let part = |(&p, at): (&i32, &PartitionPosition)| {
            let (first, next) = (at.first.since(Offset::ZERO), at.next.since(Offset::ZERO));
            (p, without_zero([first, next, at.counts.rows, at.counts.rejects, at.counts.lost]))
        };
        let ended = without_zero([rows, rejects, skipped, lost]);
        Self { id: topic.id.clone(), epoch: topic.epoch, ended, parts: topic.partitions.iter().map(part).collect() }
    }
}

impl TryFrom<WireTopic> for TopicPosition {
    type Error = PositionError;

    fn try_from(wire: WireTopic) -> Result<Self, PositionError> {
        let [rows, rejects, skipped, lost] = with_zero(wire.ended)?;
        let partitions = wire.parts.into_iter().map(|(p, numbers)| Ok((p, partition_from(p, numbers)?)));
        let partitions = partitions.collect::<Result<_, PositionError>>()?;
        Ok(Self { id: wire.id, epoch: wire.epoch, ended: Counts { rows, rejects, skipped, lost }, partitions })
    }
}

fn partition_from(partition: i32, numbers: Vec<u64>) -> Result<PartitionPosition, PositionError> {
    let [first, next, rows, rejects, lost] = with_zero(numbers)?;
    let known = rows.checked_add(rejects).and_then(|records| records.checked_add(lost));
    let skipped = known.and_then(|known| next.checked_sub(first)?.checked_sub(known));
    let offset = |number: u64| i64::try_from(number).ok().and_then(|number| Offset::new(number).ok());
    match (offset(first), offset(next), skipped) {
        (Some(first), Some(next), Some(skipped)) => {
            Ok(PartitionPosition { first, next, counts: Counts { rows, rejects, skipped, lost } })
        }
        _ => Err(PositionError::Malformed(format!(
            "partition {partition}: {rows} rows, {rejects} rejects and {lost} lost in offsets {first} to {next}"
        ))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::offset::OffsetRange;

    fn batch(id: &str, epoch: u32, partition: i32, start: i64, end: i64, first: bool) -> Ranges {
        let range = OffsetRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap();
        let part = BatchRange::new(range, first, range.width() - 1, 1).unwrap();
        let topic = TopicRanges { id: id.into(), epoch, partitions: BTreeMap::from([(partition, part)]) };
        Ranges::new(BTreeMap::from([("clicks".into(), topic)])).unwrap()
    }

    #[test]
    fn a_position_that_has_less_of_a_partition_is_behind() {
        let at = |id: &str, next: i64| {
            let text = format!(
                r#"{{"v":1,"seq":1,"topics":{{"t":{{"id":"{id}","epoch":0,"ended":[0,0,0],"parts":{{"3":[0,{next},0,0]}}}}}}}}"#
            );
            Position::decode(&text).unwrap().0
        };
        let other = at("a", 7);
        assert_eq!(at("a", 6).behind(&other), Some(("t", 3)));
        assert_eq!(Position::default().behind(&other), Some(("t", 3)));
        for position in [at("a", 7), at("a", 9), at("b", 0)] {
            assert_eq!(position.behind(&other), None);
        }
        assert_eq!(other.behind(&Position::default()), None);
    }

    #[test]
    fn the_first_version_is_written_and_read_as_ever() {
        let at = Position::default().advance(&batch("id-1", 0, 0, 5, 9, true)).unwrap();
        let golden =
            r#"{"v":1,"seq":12,"topics":{"clicks":{"id":"id-1","epoch":0,"ended":[0,0,0],"parts":{"0":[5,9,3,1]}}}}"#;
        assert_eq!(at.encode(12), golden);
        assert_eq!(Position::decode(golden), Ok((at, 12)));
    }

    #[test]
    fn unknown_versions_and_contradictions_are_refused() {
        assert_eq!(Position::decode(r#"{"v":2}"#), Err(PositionError::Version(2)));
        let more_rows =
            r#"{"v":1,"seq":1,"topics":{"c":{"id":"a","epoch":0,"ended":[0,0,0],"parts":{"0":[5,9,5,0]}}}}"#;
        let backwards =
            r#"{"v":1,"seq":1,"topics":{"c":{"id":"a","epoch":0,"ended":[0,0,0],"parts":{"0":[9,5,0,0]}}}}"#;
        for text in [more_rows, backwards, "", "7", "{}"] {
            assert!(matches!(Position::decode(text), Err(PositionError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn a_position_moves_only_from_where_it_stands() {
        let at = Position::default().advance(&batch("a", 0, 0, 0, 10, true)).unwrap();
        let next = at.advance(&batch("a", 0, 0, 10, 15, false)).unwrap();
        assert_eq!(next.next("clicks", 0), Some(Offset::new(15).unwrap()));
        assert_eq!(next.counts(), Counts { rows: 13, rejects: 2, skipped: 0, lost: 0 });
        for (start, end) in [(0, 10), (9, 15), (11, 15)] {
            let refused = at.advance(&batch("a", 0, 0, start, end, false));
            assert!(matches!(refused, Err(AdvanceError::NotAdjacent { .. })), "{start}");
        }
    }

    #[test]
    fn a_first_range_needs_a_table_without_position_and_the_other_way_round() {
        let at = Position::default().advance(&batch("a", 0, 0, 0, 10, true)).unwrap();
        assert!(at.advance(&batch("a", 0, 0, 10, 15, true)).is_err());
        assert!(Position::default().advance(&batch("a", 0, 0, 0, 10, false)).is_err());
        assert!(at.advance(&batch("a", 0, 1, 4, 15, true)).is_ok());
    }

    #[test]
    fn another_topic_of_the_same_name_and_another_epoch_are_refused() {
        let at = Position::default().advance(&batch("a", 0, 0, 0, 10, true)).unwrap();
        assert!(matches!(at.advance(&batch("b", 0, 0, 0, 4, true)), Err(AdvanceError::OtherTopic { .. })));
        assert!(matches!(at.advance(&batch("a", 1, 0, 10, 14, false)), Err(AdvanceError::OtherEpoch { .. })));
        assert!(Position::default().advance(&batch("a", 1, 0, 0, 10, true)).is_err());
    }

    #[test]
    fn what_was_lost_by_an_operators_word_is_part_of_the_account() {
        let text =
            r#"{"v":1,"seq":3,"topics":{"c":{"id":"a","epoch":1,"ended":[5,1,0,2],"parts":{"0":[5,19,3,1,10]}}}}"#;
        let (at, seq) = Position::decode(text).unwrap();
        assert_eq!(at.counts(), Counts { rows: 8, rejects: 2, skipped: 0, lost: 12 });
        assert_eq!(at.encode(seq), text);
    }

    #[test]
    fn two_topics_are_never_mixed() {
        let one = Position::default().advance(&batch("a", 0, 0, 0, 10, true)).unwrap();
        let mut other = batch("b", 0, 0, 3, 5, true).topics().clone();
        let topic = other.remove("clicks").unwrap();
        let both = one.advance(&Ranges::new(BTreeMap::from([("taps".into(), topic)])).unwrap()).unwrap();
        assert_eq!(both.next("clicks", 0), Some(Offset::new(10).unwrap()));
        assert_eq!(both.next("taps", 0), Some(Offset::new(5).unwrap()));
    }

    #[test]
    fn every_offset_behind_a_position_became_something() {
        let mut at = Position::default();
        let mut start = 3;
        for step in 1..200_i64 {
            let end = start + 1 + (step * 7919) % 13;
            at = at.advance(&batch("a", 0, 0, start, end, step == 1)).unwrap();
            start = end;
            let part = at.topics["clicks"].partitions[&0];
            assert_eq!(part.counts.offsets(), part.next.since(part.first));
            assert_eq!(Position::decode(&at.encode(step)).unwrap(), (at.clone(), step));
        }
    }
}
