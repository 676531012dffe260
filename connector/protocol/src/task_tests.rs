//! The task's machine, event by event.

use std::collections::BTreeMap;

use super::*;
use crate::offset::OffsetRange;
use crate::position::Position;
use crate::ranges::Ranges;
use crate::start::LogRange;

const LIMITS: FlushLimits = FlushLimits { age_ms_max: 1_000, records_max: 10, bytes_max: 1_000 };
const FULL: Fill = Fill { age_ms: 0, records: 10, bytes: 0 };
const OLD: Fill = Fill { age_ms: 1_000, records: 1, bytes: 0 };

fn partition() -> TopicPartition {
    ("t".to_owned(), 0)
}

fn bearings(start: i64, end: i64) -> Bearings {
    let offset = |number| Offset::new(number).unwrap();
    let log = LogRange { start: offset(start), end: offset(end) };
    Bearings {
        ids: BTreeMap::from([("t".to_owned(), "a".to_owned())]),
        logs: BTreeMap::from([(partition(), log)]),
        ..Bearings::default()
    }
}

fn survey(next: i64, id: &str) -> Event {
    let ids = BTreeMap::from([("t".to_owned(), id.to_owned())]);
    Event::Surveyed(Ok(Survey { reached: BTreeMap::from([(partition(), next)]), ids }))
}

fn step(task: &mut Task, event: Event) -> Vec<Effect> {
    let (after, effects) = task.clone().step(event);
    *task = after;
    effects
}

/// A task that reads one partition from offset 0.
fn reading() -> Task {
    let mut task = Task::new(LIMITS);
    assert!(matches!(
        step(&mut task, Event::Assigned(BTreeSet::from([partition()])))[..],
        [Effect::Drop, Effect::Locate(_)]
    ));
    assert!(!task.expects("t", 0, 0), "nothing is booked before the table was looked at");
    let effects = step(&mut task, Event::Located(Ok(bearings(0, 9))));
    let [Effect::Assign(starts), Effect::Acknowledge(_)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(*starts, [(partition(), Offset::ZERO)]);
    task
}

fn read(task: &mut Task, offsets: std::ops::Range<i64>) {
    for offset in offsets {
        assert!(task.expects("t", 0, offset));
        task.book("t", 0, offset, Became::Row).unwrap();
    }
}

/// Seals what was read; the number of the flight and its offsets.
fn launch(task: &mut Task, next: i64) -> (u64, Ranges) {
    assert_eq!(step(task, Event::Look(OLD)), [Effect::Survey]);
    launched(&step(task, survey(next, "a")))
}

fn launched(effects: &[Effect]) -> (u64, Ranges) {
    let [Effect::Launch(flight, proposal)] = effects else { panic!("{effects:?}") };
    (*flight, proposal.ranges.clone())
}

fn range(ranges: &Ranges) -> OffsetRange {
    ranges.topics()["t"].partitions[&0].range()
}

fn committed(flight: u64) -> Event {
    Event::Landed(flight, Landed::Committed(Position::default()))
}

#[test]
fn batches_are_adjacent_and_one_flies_while_the_next_is_filled() {
    let mut task = reading();
    read(&mut task, 0..3);
    let (first, ranges) = launch(&mut task, 4);
    assert_eq!(range(&ranges).to_string(), "[0..4)");
    read(&mut task, 4..6);
    assert_eq!(step(&mut task, Event::Look(OLD)), [], "one is on its way, and the open one is only old");
    assert_eq!(step(&mut task, Event::Look(FULL)), [Effect::Pause]);
    assert_eq!(step(&mut task, Event::Look(FULL)), [], "paused already");
    let effects = step(&mut task, committed(first));
    assert!(matches!(effects[..], [Effect::Acknowledge(_), Effect::Resume]));
    let (_, ranges) = launch(&mut task, 6);
    assert_eq!(range(&ranges).to_string(), "[4..6)");
}

#[test]
fn a_fenced_task_drops_all_waits_and_looks_at_the_table_again() {
    let mut task = reading();
    read(&mut task, 0..3);
    let (flight, _) = launch(&mut task, 3);
    read(&mut task, 3..5);
    let effects = step(&mut task, Event::Landed(flight, Landed::Fenced("other".into())));
    assert!(matches!(effects[..], [Effect::Backoff(1), Effect::Drop, Effect::Locate(_)]), "{effects:?}");
    assert_eq!(task.records(), 0);
    assert!(!task.expects("t", 0, 5));
}

#[test]
fn the_verdict_on_a_dropped_batch_is_not_listened_to() {
    let mut task = reading();
    read(&mut task, 0..3);
    let (flight, _) = launch(&mut task, 3);
    assert_eq!(step(&mut task, Event::Lost), [Effect::Drop, Effect::Release]);
    assert_eq!(step(&mut task, Event::Landed(flight, Landed::Fenced("late".into()))), []);
    assert_eq!(step(&mut task, committed(flight)), []);
}

#[test]
fn a_revocation_lands_both_batches_before_the_release() {
    let mut task = reading();
    read(&mut task, 0..3);
    let (first, _) = launch(&mut task, 3);
    read(&mut task, 3..5);
    assert_eq!(step(&mut task, Event::Revoked), []);
    assert!(task.is_draining() && !task.expects("t", 0, 5));
    let effects = step(&mut task, committed(first));
    assert!(matches!(effects[..], [Effect::Acknowledge(_), Effect::Survey]), "{effects:?}");
    let (second, ranges) = launched(&step(&mut task, survey(5, "a")));
    assert_eq!(range(&ranges).to_string(), "[3..5)");
    let effects = step(&mut task, committed(second));
    assert!(matches!(effects[..], [Effect::Acknowledge(_), Effect::Drop, Effect::Release]), "{effects:?}");
    assert!(task.partitions().is_empty());
}

#[test]
fn a_batch_that_is_sealed_while_draining_ends_with_its_last_record() {
    let mut task = reading();
    read(&mut task, 0..3);
    assert_eq!(step(&mut task, Event::Revoked), [Effect::Survey]);
    // Whoever polled on stands at 9 by now, and the records from 3 on were not booked.
    let (_, ranges) = launched(&step(&mut task, survey(9, "a")));
    assert_eq!(range(&ranges).to_string(), "[0..3)");
}

#[test]
fn draining_ends_when_its_time_is_over_and_a_stop_outlasts_a_revocation() {
    let mut task = reading();
    read(&mut task, 0..3);
    launch(&mut task, 3);
    assert_eq!(step(&mut task, Event::Revoked), []);
    assert_eq!(step(&mut task, Event::Stop), []);
    assert_eq!(step(&mut task, Event::DrainOver), [Effect::Drop, Effect::End(End::Stopped)]);
    assert_eq!(step(&mut task, Event::Assigned(BTreeSet::from([partition()]))), [], "it has ended");
}

#[test]
fn an_idle_task_stops_and_releases_at_once() {
    assert_eq!(step(&mut Task::new(LIMITS), Event::Stop), [Effect::Drop, Effect::End(End::Stopped)]);
    assert_eq!(step(&mut Task::new(LIMITS), Event::Revoked), [Effect::Drop, Effect::Release]);
    let mut empty = Task::new(LIMITS);
    assert_eq!(step(&mut empty, Event::Assigned(BTreeSet::new())), [Effect::Drop, Effect::Assign(vec![])]);
}

#[test]
fn a_topic_made_again_while_the_batch_was_read_halts_before_anything_is_sent() {
    let mut task = reading();
    read(&mut task, 0..3);
    assert_eq!(step(&mut task, Event::Look(OLD)), [Effect::Survey]);
    let effects = step(&mut task, survey(3, "b"));
    assert!(matches!(effects[..], [Effect::End(End::Halted(Halt::TopicRecreated { .. }))]), "{effects:?}");
}

#[test]
fn a_gap_halts_and_offsets_that_are_missing_lead_back_to_the_table() {
    let mut task = reading();
    assert!(matches!(
        step(&mut task, Event::OffsetsMissing)[..],
        [Effect::Backoff(1), Effect::Drop, Effect::Locate(_)]
    ));
    let text = r#"{"v":1,"seq":1,"topics":{"t":{"id":"a","epoch":0,"ended":[0,0,0],"parts":{"0":[0,3,3,0]}}}}"#;
    let position = Position::decode(text).unwrap().0;
    let effects = step(&mut task, Event::Located(Ok(Bearings { position, ..bearings(5, 9) })));
    assert!(matches!(effects[..], [Effect::End(End::Halted(Halt::Gap { count: 2, .. }))]), "{effects:?}");
}

#[test]
fn what_was_read_before_offsets_went_missing_is_committed_first() {
    let mut task = reading();
    read(&mut task, 0..3);
    let (first, _) = launch(&mut task, 3);
    read(&mut task, 3..5);
    assert_eq!(step(&mut task, Event::OffsetsMissing), []);
    assert_eq!(step(&mut task, Event::OffsetsMissing), [], "once is enough");
    let effects = step(&mut task, committed(first));
    assert!(matches!(effects[..], [Effect::Acknowledge(_), Effect::Survey]), "{effects:?}");
    let (second, ranges) = launched(&step(&mut task, survey(5, "a")));
    assert_eq!(range(&ranges).to_string(), "[3..5)");
    let effects = step(&mut task, committed(second));
    assert!(
        matches!(effects[..], [Effect::Acknowledge(_), Effect::Backoff(1), Effect::Drop, Effect::Locate(_)]),
        "{effects:?}"
    );
}

#[test]
fn offsets_that_are_missing_since_the_topic_is_another_are_not_waited_for() {
    let mut task = reading();
    read(&mut task, 0..3);
    assert_eq!(step(&mut task, Event::OffsetsMissing), [Effect::Survey]);
    let effects = step(&mut task, survey(3, "b"));
    assert!(matches!(effects[..], [Effect::Backoff(1), Effect::Drop, Effect::Locate(_)]), "{effects:?}");
}

#[test]
fn a_partition_that_kafka_says_nothing_about_is_not_guessed() {
    let mut task = Task::new(LIMITS);
    step(&mut task, Event::Assigned(BTreeSet::from([partition()])));
    let effects = step(&mut task, Event::Located(Ok(Bearings::default())));
    assert!(matches!(effects[..], [Effect::End(End::Retry(_))]), "{effects:?}");
}
