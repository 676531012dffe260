//! The committer's round against every kind of answer.

use std::collections::BTreeMap;

use super::*;
use crate::offset::{Offset, OffsetRange};
use crate::position::Position;
use crate::ranges::{BatchRange, Ranges, TopicRanges};

fn batch(start: i64, end: i64) -> Proposal {
    let offset = |number| Offset::new(number).unwrap();
    let range = OffsetRange::new(offset(start), offset(end)).unwrap();
    let part = BatchRange::new(range, start == 0, range.width(), 0).unwrap();
    let topic = TopicRanges { id: "a".into(), epoch: 0, partitions: BTreeMap::from([(0, part)]) };
    let ranges = Ranges::new(BTreeMap::from([("t".into(), topic)])).unwrap();
    Proposal { ranges, sweep_epoch: String::new() }
}

fn facts(committed: &[&Proposal]) -> TableFacts {
    let position = committed.iter().fold(Position::default(), |at, batch| at.advance(&batch.ranges).unwrap());
    TableFacts { uuid: "u".into(), snapshot_id: Some(4), sequence_number: 2, position, sweep_epoch: String::new() }
}

/// Steps through the events and returns the last effect.
fn run(batches: Vec<Proposal>, events: Vec<RoundEvent>) -> RoundEffect {
    let (mut round, mut effect) = Round::begin("u".into(), batches);
    for event in events {
        let (next, then) = round.step(event);
        round = next;
        effect = then.unwrap();
    }
    effect
}

fn loaded(committed: &[&Proposal]) -> RoundEvent {
    RoundEvent::Loaded(Ok(facts(committed)))
}

#[test]
fn a_commit_that_is_answered_is_done() {
    let events = vec![loaded(&[]), RoundEvent::Built(Ok(())), RoundEvent::Answered(Outcome::Committed)];
    let RoundEffect::Done(landed) = run(vec![batch(0, 5)], events) else { panic!() };
    assert!(matches!(&landed[..], [Landed::Committed(at)] if at.next("t", 0) == Some(Offset::new(5).unwrap())));
}

#[test]
fn an_answer_that_was_lost_is_found_in_the_table_and_nothing_is_sent_again() {
    let lost = RoundEvent::Answered(Outcome::Unknown("time-out".into()));
    let before = vec![loaded(&[]), RoundEvent::Built(Ok(())), lost, RoundEvent::Waited];
    let there: Vec<_> = before.clone().into_iter().chain([loaded(&[&batch(0, 5)])]).collect();
    assert!(
        matches!(run(vec![batch(0, 5)], there), RoundEffect::Done(landed) if matches!(landed[0], Landed::Committed(_)))
    );
    // Not there yet: decided anew, built anew, sent again on the fresh base.
    let not_there: Vec<_> = before.into_iter().chain([loaded(&[])]).collect();
    assert!(matches!(run(vec![batch(0, 5)], not_there), RoundEffect::Build { .. }));
}

#[test]
fn a_conflict_because_somebody_else_had_the_same_offsets_fences() {
    let conflict = RoundEvent::Answered(Outcome::Conflict("moved".into()));
    let other = loaded(&[&batch(0, 3)]);
    let events = vec![loaded(&[]), RoundEvent::Built(Ok(())), conflict, RoundEvent::Waited, other];
    assert!(
        matches!(run(vec![batch(0, 5)], events), RoundEffect::Done(landed) if matches!(landed[0], Landed::Fenced(_)))
    );
}

#[test]
fn one_batch_fenced_and_one_committed_get_their_own_verdicts() {
    let effect = run(vec![batch(3, 5), batch(0, 4)], vec![loaded(&[])]);
    let RoundEffect::Build { batches, .. } = effect else { panic!("{effect:?}") };
    assert_eq!(batches, [1]);
}

#[test]
fn time_that_runs_out_fails_and_claims_nothing() {
    let events = vec![RoundEvent::Loaded(Err(LoadFailure::Passing("down".into()))), RoundEvent::TimeUp];
    assert!(
        matches!(run(vec![batch(0, 5)], events), RoundEffect::Done(landed) if matches!(landed[0], Landed::Failed(_)))
    );
}

#[test]
fn a_table_that_is_gone_or_another_one_halts() {
    let replaced = |landed: Vec<Landed>| matches!(landed[0], Landed::Halt(Halt::TableReplaced { .. }));
    let gone = run(vec![batch(0, 5)], vec![RoundEvent::Loaded(Err(LoadFailure::Gone))]);
    let other = TableFacts { uuid: "other".into(), ..facts(&[]) };
    let other = run(vec![batch(0, 5)], vec![RoundEvent::Loaded(Ok(other))]);
    for effect in [gone, other] {
        assert!(matches!(effect, RoundEffect::Done(landed) if replaced(landed.clone())));
    }
}

#[test]
fn an_event_that_answers_nothing_changes_nothing() {
    let (round, _) = Round::begin("u".into(), vec![batch(0, 5)]);
    let (after, effect) = round.clone().step(RoundEvent::Answered(Outcome::Committed));
    assert_eq!((after, effect), (round, None));
}
