//! The decision: may these batches be committed to this table, as it is now?
//!
//! For each partition of a batch, with `at` = the table's position, `[start, end)` = the batch's range:
//!
//! | table | batch | verdict |
//! |---|---|---|
//! | `at == start` | continues | may be committed |
//! | no position | says so itself (`first`) | may be committed |
//! | `at == end`, began at `start` or before | any | is there already |
//! | anything else | | fenced |
//!
//! And for the batch as a whole: its files must have been begun in the table's present **sweep epoch** (the name of the last
//! orphan sweep, [`SWEEP_EPOCH_KEY`]); else a sweep may have deleted them, since no snapshot refers to them yet.
//!
//! A batch is committed if *all* of its partitions may be, done if all are there already, and fenced if some are and
//! some are not: another writer got in between. A table of another uuid halts.
//!
//! Asked before the first POST and again, on a fresh load, after a conflict or an unknown outcome; so an answer that
//! was lost is recognised by what the table says, whoever committed after us.

use crate::halt::Halt;
use crate::position::Position;
use crate::ranges::{BatchRange, Ranges};

/// Table property with the name of the last orphan sweep; unset when there was none. A name is never used twice, so that
/// a table that was rolled back does not return to an epoch whose files are gone.
pub const SWEEP_EPOCH_KEY: &str = "catalog-sync.sweep-epoch";

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
    /// Name of the last orphan sweep; empty when there was none.
    pub sweep_epoch: String,
}

/// Offsets whose files wait to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The offsets.
    pub ranges: Ranges,
    /// The table's sweep epoch as it was before the first file was begun.
    pub sweep_epoch: String,
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

/// Leave to commit on one base, and the position afterwards. Made by [`decide`], by
/// [`overrule`](crate::overrule::overrule), an operator's word, and by [`CommitPlan::carrying`] for what changes no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitPlan {
    uuid: String,
    base: Option<i64>,
    sequence_number: i64,
    position: Position,
}

impl CommitPlan {
    /// On these facts, to this position. For the makers of plans in this crate only.
    pub(crate) fn on(facts: &TableFacts, position: Position) -> Self {
        Self {
            uuid: facts.uuid.clone(),
            base: facts.snapshot_id,
            sequence_number: facts.sequence_number.saturating_add(1),
            position,
        }
    }

    /// Leave to commit what changes no row, on these facts: with the position that they hold. Maintenance has no other plan,
    /// so that it can carry a position and never write one.
    #[must_use]
    pub fn carrying(facts: &TableFacts) -> Self {
        Self::on(facts, facts.position.clone())
    }

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
pub fn decide(facts: &TableFacts, uuid: &str, batches: &[&Proposal]) -> (Vec<Decision>, Option<CommitPlan>) {
    if facts.uuid != uuid {
        let halt = Halt::TableReplaced { expected: uuid.to_owned(), found: facts.uuid.clone() };
        return (vec![Decision::Halt(halt); batches.len()], None);
    }
    let mut position = facts.position.clone();
    let decisions: Vec<_> = batches
        .iter()
        .map(|batch| match position.advance(&batch.ranges) {
            // By the table, not by the plan: a plan may still fail.
            Err(_) if is_behind(&facts.position, &batch.ranges) => Decision::AlreadyCommitted,
            Ok(_) if batch.sweep_epoch != facts.sweep_epoch => Decision::Fenced(
                "an orphan sweep ran since the batch was begun, and may have deleted its files".to_owned(),
            ),
            Ok(after) => {
                position = after;
                Decision::Commit
            }
            // Another topic or another epoch, too: the batch may be the one that is out of date, and only Kafka can tell. The
            // task asks it when it begins again, and halts if it is the table.
            Err(error) => Decision::Fenced(error.to_string()),
        })
        .collect();
    let plan = decisions.contains(&Decision::Commit).then(|| CommitPlan::on(facts, position));
    (decisions, plan)
}

/// Whether the position has every range of the batch: it stands at the end, and began no later than at the start.
fn is_behind(position: &Position, ranges: &Ranges) -> bool {
    ranges.topics().iter().all(|(name, batch)| {
        position.topics.get(name).is_some_and(|topic| {
            let has = |(p, part): (&i32, &BatchRange)| {
                topic
                    .partitions
                    .get(p)
                    .is_some_and(|at| at.first <= part.range().start() && at.next == part.range().end())
            };
            topic.id == batch.id && topic.epoch == batch.epoch && batch.partitions.iter().all(has)
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::offset::{Offset, OffsetRange};
    use crate::ranges::TopicRanges;

    const UUID: &str = "7f3b";

    /// Partition -> (start, end); a start of 0 is a first range.
    fn batch(id: &str, parts: &[(i32, i64, i64)]) -> Proposal {
        let part = |&(p, start, end): &(i32, i64, i64)| {
            let range = OffsetRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap();
            (p, BatchRange::new(range, start == 0, range.width(), 0).unwrap())
        };
        let partitions = parts.iter().map(part).collect();
        let topic = TopicRanges { id: id.into(), epoch: 0, partitions };
        let ranges = Ranges::new(BTreeMap::from([("clicks".into(), topic)])).unwrap();
        Proposal { ranges, sweep_epoch: String::new() }
    }

    fn facts(committed: &[&Proposal]) -> TableFacts {
        let position = committed.iter().fold(Position::default(), |at, batch| at.advance(&batch.ranges).unwrap());
        TableFacts {
            uuid: UUID.into(),
            snapshot_id: Some(41),
            sequence_number: 6,
            position,
            sweep_epoch: String::new(),
        }
    }

    fn one(facts: &TableFacts, batch: &Proposal) -> Decision {
        decide(facts, UUID, &[batch]).0.remove(0)
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
    fn a_batch_that_begins_before_the_table_did_is_fenced() {
        // Kafka deleted the first records while two writers began: one read them, the other found the log without them.
        let range = OffsetRange::new(Offset::new(1).unwrap(), Offset::new(10).unwrap()).unwrap();
        let part = BatchRange::new(range, true, 9, 0).unwrap();
        let topic = TopicRanges { id: "a".into(), epoch: 0, partitions: BTreeMap::from([(0, part)]) };
        let later = Ranges::new(BTreeMap::from([("clicks".into(), topic)])).unwrap();
        let facts = facts(&[&Proposal { ranges: later, sweep_epoch: String::new() }]);
        assert!(matches!(one(&facts, &batch("a", &[(0, 0, 10)])), Decision::Fenced(_)));
    }

    #[test]
    fn what_is_only_planned_is_not_committed_already() {
        let first = batch("a", &[(0, 0, 10)]);
        let (decisions, _) = decide(&facts(&[]), UUID, &[&first, &first]);
        assert_eq!(decisions[0], Decision::Commit);
        assert!(matches!(decisions[1], Decision::Fenced(_)));
    }

    #[test]
    fn another_table_halts_and_another_topic_of_the_same_name_is_fenced() {
        let first = batch("a", &[(0, 0, 10)]);
        let facts = facts(&[&first]);
        let (decisions, plan) = decide(&facts, "other", &[&batch("a", &[(0, 10, 11)])]);
        assert!(matches!(decisions[0], Decision::Halt(Halt::TableReplaced { .. })));
        assert_eq!(plan, None);
        let recreated = one(&facts, &batch("b", &[(0, 0, 10)]));
        assert!(
            matches!(recreated, Decision::Fenced(_)),
            "the batch may be from the topic that is gone: {recreated:?}"
        );
    }

    #[test]
    fn a_batch_begun_before_a_sweep_is_fenced_unless_the_table_has_it() {
        let (first, next) = (batch("a", &[(0, 0, 10)]), batch("a", &[(0, 10, 12)]));
        let swept = TableFacts { sweep_epoch: "s1".into(), ..facts(&[&first]) };
        assert!(matches!(one(&swept, &next), Decision::Fenced(_)));
        assert_eq!(one(&swept, &first), Decision::AlreadyCommitted);
        assert_eq!(one(&swept, &Proposal { sweep_epoch: "s1".into(), ..next.clone() }), Decision::Commit);
        assert!(matches!(one(&facts(&[&first]), &Proposal { sweep_epoch: "s1".into(), ..next }), Decision::Fenced(_)));
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

    #[test]
    fn a_plan_that_changes_no_row_carries_the_position_of_its_base() {
        let base = facts(&[&batch("a", &[(0, 0, 10)])]);
        let plan = CommitPlan::carrying(&base);
        assert_eq!((plan.uuid(), plan.base(), plan.sequence_number()), (UUID, Some(41), 7));
        assert_eq!(plan.position(), &base.position);
    }
}
