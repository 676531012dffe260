//! Where to begin reading a partition: at the table's position, or at the log's start where the table has none.
//!
//! Called by the connector's task on every assignment and after every fence, before the first record is used.

use crate::halt::Halt;
use crate::offset::Offset;
use crate::position::Position;

/// What Kafka says about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRange {
    /// First offset that Kafka still has.
    pub start: Offset,
    /// Offset that the next record will get.
    pub end: Offset,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// First offset to read.
    pub offset: Offset,
    /// The table has no position for this partition.
    pub first: bool,
    /// The topic's epoch in the table.
    pub epoch: u32,
}

/// Decides where to begin reading a partition of the topic with identity `id`.
///
/// # Errors
/// [`Halt::TopicRecreated`], [`Halt::Gap`], [`Halt::PositionAhead`].
pub fn start(position: &Position, topic: &str, id: &str, partition: i32, log: LogRange) -> Result<Start, Halt> {
    let Some(known) = position.topics.get(topic) else { return Ok(Start { offset: log.start, first: true, epoch: 0 }) };
    let epoch = known.epoch;
    if known.id != id {
        let (topic, expected, found) = (topic.to_owned(), known.id.clone(), id.to_owned());
        return Err(Halt::TopicRecreated { topic, expected, found });
    }
    let Some(at) = known.partitions.get(&partition) else {
        return Ok(Start { offset: log.start, first: true, epoch });
    };
    let (topic, expected) = (topic.to_owned(), at.next);
    if log.start > expected {
        let count = log.start.since(expected);
        return Err(Halt::Gap { topic, partition, expected, found: log.start, count });
    }
    if log.end < expected {
        return Err(Halt::PositionAhead { topic, partition, epoch, expected, found: log.end });
    }
    Ok(Start { offset: expected, first: false, epoch })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn table() -> Position {
        let text = r#"{"v":1,"seq":1,"topics":{"t":{"id":"a","epoch":2,"ended":[0,0,0],"parts":{"0":[0,10,10,0]}}}}"#;
        Position::decode(text).unwrap().0
    }

    fn begin(id: &str, partition: i32, start_: i64, end: i64) -> Result<Start, Halt> {
        let log = LogRange { start: Offset::new(start_).unwrap(), end: Offset::new(end).unwrap() };
        start(&table(), "t", id, partition, log)
    }

    #[test]
    fn a_known_partition_begins_at_the_tables_position() {
        let at = begin("a", 0, 0, 99).unwrap();
        assert_eq!((at.offset.get(), at.first, at.epoch), (10, false, 2));
        assert!(begin("a", 0, 10, 10).is_ok());
    }

    #[test]
    fn an_unknown_partition_begins_at_the_logs_start() {
        let at = begin("a", 1, 7, 99).unwrap();
        assert_eq!((at.offset.get(), at.first, at.epoch), (7, true, 2));
    }

    #[test]
    fn records_that_kafka_lost_halt() {
        assert!(matches!(begin("a", 0, 15, 99), Err(Halt::Gap { count: 5, .. })));
        assert!(matches!(begin("a", 0, 0, 9), Err(Halt::PositionAhead { .. })));
    }

    #[test]
    fn another_topic_halts_even_when_it_has_grown_past_the_position() {
        assert!(matches!(begin("b", 0, 0, 99), Err(Halt::TopicRecreated { .. })));
        assert!(matches!(begin("b", 1, 0, 99), Err(Halt::TopicRecreated { .. })));
    }
}
