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

/// What to do when a topic of the same name is another one than the table was fed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRecreated {
    /// Stop. The only safe answer where nobody is asked.
    Halt,
    /// Close the old topic's account in the position and begin the new topic at its start.
    NewEpoch,
}

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// First offset to read.
    pub offset: Offset,
    /// The table has no position for this partition.
    pub first: bool,
    /// Identity of the topic that is superseded.
    pub supersedes: Option<String>,
}

/// Decides where to begin reading a partition of the topic with identity `id`.
///
/// # Errors
/// [`Halt::TopicRecreated`], [`Halt::Gap`], [`Halt::PositionAhead`].
pub fn start(
    position: &Position,
    on_recreated: OnRecreated,
    topic: &str,
    id: &str,
    partition: i32,
    log: LogRange,
) -> Result<Start, Halt> {
    let first = |supersedes| Ok(Start { offset: log.start, first: true, supersedes });
    let Some(known) = position.topics.get(topic) else { return first(None) };
    if known.id != id {
        return match on_recreated {
            OnRecreated::NewEpoch => first(Some(known.id.clone())),
            OnRecreated::Halt => {
                let (topic, expected, found) = (topic.to_owned(), known.id.clone(), id.to_owned());
                Err(Halt::TopicRecreated { topic, expected, found })
            }
        };
    }
    let Some(at) = known.partitions.get(&partition) else { return first(None) };
    let (topic, expected) = (topic.to_owned(), at.next);
    if log.start > expected {
        let count = log.start.since(expected);
        return Err(Halt::Gap { topic, partition, expected, found: log.start, count });
    }
    if log.end < expected {
        return Err(Halt::PositionAhead { topic, partition, expected, found: log.end });
    }
    Ok(Start { offset: expected, first: false, supersedes: None })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn table() -> Position {
        let text = r#"{"v":1,"seq":1,"topics":{"t":{"id":"a","epoch":0,"ended":[0,0,0],"parts":{"0":[0,10,10,0]}}}}"#;
        Position::decode(text).unwrap().0
    }

    fn begin(id: &str, partition: i32, start_: i64, end: i64, on: OnRecreated) -> Result<Start, Halt> {
        let log = LogRange { start: Offset::new(start_).unwrap(), end: Offset::new(end).unwrap() };
        start(&table(), on, "t", id, partition, log)
    }

    #[test]
    fn a_known_partition_begins_at_the_tables_position() {
        let at = begin("a", 0, 0, 99, OnRecreated::Halt).unwrap();
        assert_eq!((at.offset.get(), at.first), (10, false));
        assert!(begin("a", 0, 10, 10, OnRecreated::Halt).is_ok());
    }

    #[test]
    fn an_unknown_partition_begins_at_the_logs_start() {
        let at = begin("a", 1, 7, 99, OnRecreated::Halt).unwrap();
        assert_eq!((at.offset.get(), at.first), (7, true));
    }

    #[test]
    fn records_that_kafka_lost_halt() {
        let halt = begin("a", 0, 15, 99, OnRecreated::Halt).unwrap_err();
        assert!(matches!(halt, Halt::Gap { count: 5, .. }));
        assert!(matches!(begin("a", 0, 0, 9, OnRecreated::Halt), Err(Halt::PositionAhead { .. })));
    }

    #[test]
    fn another_topic_halts_even_when_it_has_grown_past_the_position() {
        assert!(matches!(begin("b", 0, 0, 99, OnRecreated::Halt), Err(Halt::TopicRecreated { .. })));
        let at = begin("b", 0, 0, 99, OnRecreated::NewEpoch).unwrap();
        assert_eq!((at.offset.get(), at.first, at.supersedes.as_deref()), (0, true, Some("a")));
    }
}
