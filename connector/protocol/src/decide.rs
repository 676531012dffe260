//! The decision: may these batches be committed to this table, as it is now?
//!
//! For each partition of a batch, with `at` = the table's position, `[start, end)` = the batch's range:
//!
//! | table | batch | verdict |
//! |---|---|---|
//! | `at == start` | continues | may be committed |
//! | no position | says so itself (`first`) | may be committed |
//! | `at == end` | any | is there already |
//! | anything else | | fenced |
//!
//! A batch is committed if *all* of its partitions may be, done if all are there already, and fenced if some are and
//! some are not: another writer got in between. A topic of another identity, or a table of another uuid, halts.
//!
//! Asked before the first POST and again, on a fresh load, after a conflict or an unknown outcome; so an answer that
//! was lost is recognised by what the table says, whoever committed after us.

use crate::halt::Halt;
use crate::position::{AdvanceError, Position};
use crate::ranges::Ranges;

/// What one load of a table tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFacts {
    /// Identity of the table.
    pub uuid: String,
    /// Current snapshot; none for a table without any.
    pub snapshot_id: Option<i64>,
    /// The table's last sequence number.
    pub sequence_number: i64,
    /// How far it has got.
    pub position: Position,
}

/// What is to become of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is part of the commit plan.
    Commit,
    /// The table has it.
    AlreadyCommitted,
    /// Somebody else has moved the table: drop the batch and go on from the table's position.
    Fenced(String),
    /// Stop.
    Halt(Halt),
}

/// Leave to commit on one base, and the position afterwards. Made by [`decide`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitPlan {
    uuid: String,
    base: Option<i64>,
    sequence_number: i64,
    position: Position,
}

impl CommitPlan {
    /// The table must have this uuid.
    #[must_use]
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// The current snapshot must be this one, or none.
    #[must_use]
    pub fn base(&self) -> Option<i64> {
        self.base
    }

    /// Sequence number of the new snapshot.
    #[must_use]
    pub fn sequence_number(&self) -> i64 {
        self.sequence_number
    }

    /// The position after the commit.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }
}

/// Decides about batches that were read for the table `uuid`, in their order. The plan is there if at least one is to
/// be committed.
#[must_use]
pub fn decide(facts: &TableFacts, uuid: &str, batches: &[&Ranges]) -> (Vec<Decision>, Option<CommitPlan>) {
    if facts.uuid != uuid {
        let halt = Halt::TableReplaced { expected: uuid.to_owned(), found: facts.uuid.clone() };
        return (vec![Decision::Halt(halt); batches.len()], None);
    }
    let mut position = facts.position.clone();
    let decisions: Vec<_> = batches
        .iter()
        .map(|ranges| match position.advance(ranges) {
            Ok(after) => {
                position = after;
                Decision::Commit
            }
            // By the table, not by the plan: a plan may still fail.
            Err(_) if is_behind(&facts.position, ranges) => Decision::AlreadyCommitted,
            Err(AdvanceError::OtherTopic { topic, table, batch }) => {
                Decision::Halt(Halt::TopicRecreated { topic, expected: table, found: batch })
            }
            Err(error) => Decision::Fenced(error.to_string()),
        })
        .collect();
    let plan = decisions.contains(&Decision::Commit).then(|| CommitPlan {
        uuid: facts.uuid.clone(),
        base: facts.snapshot_id,
        sequence_number: facts.sequence_number.saturating_add(1),
        position,
    });
    (decisions, plan)
}

/// Whether the position stands at the end of every range of the batch.
fn is_behind(position: &Position, ranges: &Ranges) -> bool {
    ranges.topics().iter().all(|(name, batch)| {
        position.topics.get(name).is_some_and(|topic| topic.id == batch.id)
            && batch.partitions.iter().all(|(&p, part)| position.next(name, p) == Some(part.range().end()))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::offset::{Offset, OffsetRange};
    use crate::ranges::{BatchRange, TopicRanges};

    const UUID: &str = "7f3b";

    /// Partition -> (start, end); a start of 0 is a first range.
    fn batch(id: &str, parts: &[(i32, i64, i64)]) -> Ranges {
        let part = |&(p, start, end): &(i32, i64, i64)| {
            let range = OffsetRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap();
            (p, BatchRange::new(range, start == 0, range.width(), 0).unwrap())
        };
        let partitions = parts.iter().map(part).collect();
        let topic = TopicRanges { id: id.into(), supersedes: None, partitions };
        Ranges::new(BTreeMap::from([("clicks".into(), topic)])).unwrap()
    }

    fn facts(committed: &[&Ranges]) -> TableFacts {
        let position = committed.iter().fold(Position::default(), |at, ranges| at.advance(ranges).unwrap());
        TableFacts { uuid: UUID.into(), snapshot_id: Some(41), sequence_number: 6, position }
    }

    fn one(facts: &TableFacts, ranges: &Ranges) -> Decision {
        decide(facts, UUID, &[ranges]).0.remove(0)
    }

    #[test]
    fn a_batch_that_continues_the_table_is_committed_on_its_base() {
        let (first, next) = (batch("a", &[(0, 0, 10), (1, 0, 7)]), batch("a", &[(0, 10, 12), (1, 7, 8)]));
        let (decisions, plan) = decide(&facts(&[&first]), UUID, &[&next]);
        let plan = plan.unwrap();
        assert_eq!(decisions, [Decision::Commit]);
        assert_eq!((plan.uuid(), plan.base(), plan.sequence_number()), (UUID, Some(41), 7));
        assert_eq!(plan.position().next("clicks", 1), Some(Offset::new(8).unwrap()));
    }

    #[test]
    fn a_batch_whose_answer_was_lost_is_there_already() {
        let first = batch("a", &[(0, 0, 10), (1, 0, 7)]);
        let facts = facts(&[&first]);
        assert_eq!(one(&facts, &first), Decision::AlreadyCommitted);
        assert_eq!(decide(&facts, UUID, &[&first]).1, None);
    }

    #[test]
    fn a_strict_prefix_by_somebody_else_fences() {
        let prefix = batch("a", &[(0, 0, 6)]);
        assert!(matches!(one(&facts(&[&prefix]), &batch("a", &[(0, 0, 10)])), Decision::Fenced(_)));
    }

    #[test]
    fn a_batch_that_is_half_there_is_fenced() {
        let half = batch("a", &[(0, 0, 10)]);
        assert!(matches!(one(&facts(&[&half]), &batch("a", &[(0, 0, 10), (1, 0, 7)])), Decision::Fenced(_)));
    }

    #[test]
    fn batches_of_several_tasks_go_into_one_plan_and_a_fenced_one_does_not_spoil_it() {
        let base = batch("a", &[(0, 0, 10), (1, 0, 10)]);
        let (good, stale) = (batch("a", &[(0, 10, 20)]), batch("a", &[(1, 9, 20)]));
        let (decisions, plan) = decide(&facts(&[&base]), UUID, &[&stale, &good]);
        assert!(matches!(decisions[0], Decision::Fenced(_)));
        assert_eq!(decisions[1], Decision::Commit);
        assert_eq!(plan.unwrap().position().next("clicks", 1), Some(Offset::new(10).unwrap()));
    }

    #[test]
    fn what_is_only_planned_is_not_committed_already() {
        let first = batch("a", &[(0, 0, 10)]);
        let (decisions, _) = decide(&facts(&[]), UUID, &[&first, &first]);
        assert_eq!(decisions[0], Decision::Commit);
        assert!(matches!(decisions[1], Decision::Fenced(_)));
    }

    #[test]
    fn another_table_or_another_topic_of_the_same_name_halts() {
        let first = batch("a", &[(0, 0, 10)]);
        let facts = facts(&[&first]);
        let (decisions, plan) = decide(&facts, "other", &[&batch("a", &[(0, 10, 11)])]);
        assert!(matches!(decisions[0], Decision::Halt(Halt::TableReplaced { .. })));
        assert_eq!(plan, None);
        let recreated = one(&facts, &batch("b", &[(0, 0, 10)]));
        assert!(matches!(recreated, Decision::Halt(Halt::TopicRecreated { .. })));
    }

    /// Every table position against every batch range of a small world: a batch is committed only where it starts.
    #[test]
    fn in_a_small_world_nothing_is_ever_committed_twice_or_skipped() {
        for at in 1..6 {
            let facts = facts(&[&batch("a", &[(0, 0, at)])]);
            for start in 0..6 {
                for end in start + 1..7 {
                    let decision = one(&facts, &batch("a", &[(0, start, end)]));
                    let expected = start != 0 && start == at;
                    assert_eq!(decision == Decision::Commit, expected, "at {at}, batch {start}..{end}");
                    assert_eq!(decision == Decision::AlreadyCommitted, end == at && !expected, "{at} {start}..{end}");
                }
            }
        }
    }
}
