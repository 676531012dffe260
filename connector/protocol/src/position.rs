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
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            rows: self.rows.saturating_add(other.rows),
            rejects: self.rejects.saturating_add(other.rejects),
            skipped: self.skipped.saturating_add(other.skipped),
        }
    }

    /// Offsets in all.
    #[must_use]
    pub fn offsets(self) -> u64 {
        self.rows.saturating_add(self.rejects).saturating_add(self.skipped)
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
    /// How many topics of this name came before, each superseded by an operator's word.
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

    /// The entry that a batch advances: the topic's own, a new one, or a new epoch of a superseded one.
    fn topic_for(&mut self, name: &str, batch: &TopicRanges) -> Result<&mut TopicPosition, AdvanceError> {
        let new =
            || TopicPosition { id: batch.id.clone(), epoch: 0, ended: Counts::default(), partitions: BTreeMap::new() };
        let topic = self.topics.entry(name.to_owned()).or_insert_with(new);
        if topic.id == batch.id {
            return Ok(topic);
        }
        if batch.supersedes.as_ref() != Some(&topic.id) {
            return Err(AdvanceError::OtherTopic {
                topic: name.to_owned(),
                table: topic.id.clone(),
                batch: batch.id.clone(),
            });
        }
        let ended = topic.partitions.values().fold(topic.ended, |sum, part| sum.plus(part.counts));
        *topic = TopicPosition { epoch: topic.epoch.saturating_add(1), ended, ..new() };
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

/// `parts`: partition -> [first, next, rows, rejects]; what was skipped follows from these.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireTopic {
    id: String,
    epoch: u32,
    ended: [u64; 3],
    parts: BTreeMap<i32, (Offset, Offset, u64, u64)>,
}

impl From<&TopicPosition> for WireTopic {
    fn from(topic: &TopicPosition) -> Self {
        let ended = [topic.ended.rows, topic.ended.rejects, topic.ended.skipped];
        let parts = topic.partitions.iter().map(|(&p, at)| (p, (at.first, at.next, at.counts.rows, at.counts.rejects)));
        Self { id: topic.id.clone(), epoch: topic.epoch, ended, parts: parts.collect() }
    }
}

impl TryFrom<WireTopic> for TopicPosition {
    type Error = PositionError;

    fn try_from(wire: WireTopic) -> Result<Self, PositionError> {
        let part = |(p, (first, next, rows, rejects)): (i32, (Offset, Offset, u64, u64))| {
            let skipped = rows.checked_add(rejects).and_then(|records| next.since(first).checked_sub(records));
            let Some(skipped) = skipped.filter(|_| next >= first) else {
                let text = format!("partition {p}: {rows} rows and {rejects} rejects in offsets {first} to {next}");
                return Err(PositionError::Malformed(text));
            };
            Ok((p, PartitionPosition { first, next, counts: Counts { rows, rejects, skipped } }))
        };
        let [rows, rejects, skipped] = wire.ended;
        let partitions = wire.parts.into_iter().map(part).collect::<Result<_, _>>()?;
        Ok(Self { id: wire.id, epoch: wire.epoch, ended: Counts { rows, rejects, skipped }, partitions })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::offset::OffsetRange;

    fn batch(id: &str, supersedes: Option<&str>, partition: i32, start: i64, end: i64, first: bool) -> Ranges {
        let range = OffsetRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap();
        let part = BatchRange::new(range, first, range.width() - 1, 1).unwrap();
        let topic = TopicRanges {
            id: id.into(),
            supersedes: supersedes.map(Into::into),
            partitions: BTreeMap::from([(partition, part)]),
        };
        Ranges::new(BTreeMap::from([("clicks".into(), topic)])).unwrap()
    }

    #[test]
    fn the_first_version_is_written_and_read_as_ever() {
        let at = Position::default().advance(&batch("id-1", None, 0, 5, 9, true)).unwrap();
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
        let at = Position::default().advance(&batch("a", None, 0, 0, 10, true)).unwrap();
        let next = at.advance(&batch("a", None, 0, 10, 15, false)).unwrap();
        assert_eq!(next.next("clicks", 0), Some(Offset::new(15).unwrap()));
        assert_eq!(next.counts(), Counts { rows: 13, rejects: 2, skipped: 0 });
        for (start, end) in [(0, 10), (9, 15), (11, 15)] {
            let refused = at.advance(&batch("a", None, 0, start, end, false));
            assert!(matches!(refused, Err(AdvanceError::NotAdjacent { .. })), "{start}");
        }
    }

    #[test]
    fn a_first_range_needs_a_table_without_position_and_the_other_way_round() {
        let at = Position::default().advance(&batch("a", None, 0, 0, 10, true)).unwrap();
        assert!(at.advance(&batch("a", None, 0, 10, 15, true)).is_err());
        assert!(Position::default().advance(&batch("a", None, 0, 0, 10, false)).is_err());
        assert!(at.advance(&batch("a", None, 1, 4, 15, true)).is_ok());
    }

    #[test]
    fn another_topic_of_the_same_name_needs_an_operators_word() {
        let at = Position::default().advance(&batch("a", None, 0, 0, 10, true)).unwrap();
        assert!(matches!(at.advance(&batch("b", None, 0, 0, 4, true)), Err(AdvanceError::OtherTopic { .. })));
        assert!(at.advance(&batch("b", Some("x"), 0, 0, 4, true)).is_err());
        let next = at.advance(&batch("b", Some("a"), 0, 0, 4, true)).unwrap();
        assert_eq!(next.topics["clicks"].epoch, 1);
        assert_eq!(next.topics["clicks"].ended, Counts { rows: 9, rejects: 1, skipped: 0 });
        assert_eq!(next.counts().offsets(), 14);
    }

    #[test]
    fn two_topics_are_never_mixed() {
        let one = Position::default().advance(&batch("a", None, 0, 0, 10, true)).unwrap();
        let mut other = batch("b", None, 0, 3, 5, true).topics().clone();
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
            at = at.advance(&batch("a", None, 0, start, end, step == 1)).unwrap();
            start = end;
            let part = at.topics["clicks"].partitions[&0];
            assert_eq!(part.counts.offsets(), part.next.since(part.first));
            assert_eq!(Position::decode(&at.encode(step)).unwrap(), (at.clone(), step));
        }
    }
}
