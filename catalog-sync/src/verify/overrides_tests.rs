//! Operators' words in a history: what follows from the token passes, anything else is named.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::super::history::{Replay, replay};
use super::*;

fn text(seq: i64, id: &str, epoch: u32, ended: &str, part: &str) -> String {
    let parts = if part.is_empty() { String::new() } else { format!(r#""0":{part}"#) };
    format!(
        r#"{{"v":1,"seq":{seq},"topics":{{"t":{{"id":"{id}","epoch":{epoch},"ended":{ended},"parts":{{{parts}}}}}}}}}"#
    )
}

/// A state that brought `rows` new rows of `total` in all.
fn state(seq: i64, position: &str, rows: u64, total: u64) -> State {
    let snapshot = SnapshotFact {
        id: seq,
        operation: "append".into(),
        sequence_number: seq,
        position: Some(position.to_owned()),
        added_records: rows,
        total_records: Some(total),
        ..SnapshotFact::default()
    };
    State { at: format!("s{seq}"), snapshot: Some(snapshot), property: Property::Is(position.to_owned()) }
}

fn ingest(seq: i64, position: &str, range: &str, rows: u64, total: u64) -> State {
    let mut state = state(seq, position, rows, total);
    state.snapshot.as_mut().unwrap().ranges = Some(format!(r#"{{"t":{{"0":{range}}}}}"#));
    state
}

fn over(seq: i64, position: &str, token: &str, total: u64) -> State {
    let mut state = state(seq, position, 0, total);
    let word = Word { token: token.into(), reason: "why".into() };
    state.snapshot.as_mut().unwrap().overruled = Some(word);
    state
}

fn begun() -> Vec<State> {
    let empty = Position::default().encode(1);
    vec![state(1, &empty, 0, 0), ingest(2, &text(2, "a", 0, "[0,0,0]", "[0,5,5,0]"), "[0,5]", 5, 5)]
}

fn with(states: impl IntoIterator<Item = State>) -> Replay {
    let states = begun().into_iter().chain(states).collect();
    replay(&Walk { states, from_beginning: true, reach: String::new() })
}

#[test]
fn a_gap_that_was_overruled_is_counted_and_the_chain_goes_on_behind_it() {
    let word = over(3, &text(3, "a", 1, "[0,0,0]", "[0,9,5,0,4]"), "gap:t-0:5..9", 5);
    let next = ingest(4, &text(4, "a", 1, "[0,0,0]", "[0,11,7,0,4]"), "[9,11]", 2, 7);
    let replay = with([word.clone(), next]);
    assert_eq!(replay.problems, Vec::<String>::new());
    assert_eq!((replay.overrides.len(), replay.overrides[0].lost_offsets), (1, 4));

    let mut silent = word;
    silent.snapshot.as_mut().unwrap().overruled = None;
    assert_eq!(with([silent]).problems, ["s3: the position moved without a batch"]);
}

#[test]
fn a_word_that_moves_more_than_its_halt_is_a_fault() {
    let more = over(3, &text(3, "a", 1, "[0,0,0]", "[0,12,5,0,7]"), "gap:t-0:5..9", 5);
    assert_eq!(with([more]).problems, ["s3: its position moved by more than its halt"]);
    let hidden = over(3, &text(3, "a", 0, "[0,0,0]", "[0,9,9,0]"), "gap:t-0:5..9", 5);
    assert_eq!(with([hidden]).problems, ["s3: its position moved by more than its halt"]);
    let none = over(3, &text(3, "a", 0, "[0,0,0]", "[0,9,5,0,2]"), "gap:t-0:7..9", 5);
    assert!(with([none]).problems[0].starts_with("s3: its halt was none: "));
    let nonsense = over(3, &text(3, "a", 0, "[0,0,0]", "[0,5,5,0]"), "because", 5);
    assert_eq!(with([nonsense]).problems, [r#"s3: it overrules "because", which is no halt"#]);
}

#[test]
fn another_topic_and_a_log_that_lost_its_end_go_on_in_a_new_epoch() {
    let other = over(3, &text(3, "b", 1, "[5,0,0]", ""), "topic-recreated:t:a..b", 5);
    let next = ingest(4, &text(4, "b", 1, "[5,0,0]", "[0,3,3,0]"), "[0,3]", 3, 8);
    assert_eq!(with([other, next]).problems, Vec::<String>::new());
    let ahead = over(3, &text(3, "a", 1, "[5,0,0]", "[2,2,0,0]"), "position-ahead:t-0@0:5..2", 5);
    let next = ingest(4, &text(4, "a", 1, "[5,0,0]", "[2,4,2,0]"), "[2,4]", 2, 7);
    assert_eq!(with([ahead, next]).problems, Vec::<String>::new());
}

#[test]
fn a_position_that_could_not_be_read_is_cured_by_the_last_that_could() {
    let mut unreadable = state(3, "", 0, 5);
    unreadable.snapshot.as_mut().unwrap().position = None;
    unreadable.property = Property::Is("nonsense".into());
    assert_eq!(with([unreadable.clone()]).problems.len(), 1);
    let good = text(4, "a", 0, "[0,0,0]", "[0,5,5,0]");
    let replay = with([unreadable.clone(), over(4, &good, "position-unreadable", 5)]);
    assert_eq!((replay.problems, replay.overrides.len()), (Vec::<String>::new(), 1));
    let other = over(4, &text(4, "a", 0, "[0,0,0]", "[0,6,5,0]"), "position-unreadable", 5);
    let problems = with([unreadable, other]).problems;
    assert_eq!(problems, ["s4: the operator's position is not the last one that could be read"]);
}

#[test]
fn rows_that_a_rollback_took_away_for_good_are_counted() {
    let property = text(3, "a", 0, "[0,0,0]", "[0,9,9,0]");
    let mut back = begun().remove(1);
    back.snapshot.as_mut().unwrap().position = None;
    back.snapshot.as_mut().unwrap().ranges = None;
    back.snapshot.as_mut().unwrap().added_records = 0;
    back.snapshot.as_mut().unwrap().total_records = Some(0);
    back.property = Property::Unseen;
    let word = over(4, &text(4, "a", 0, "[0,0,0]", "[0,9,9,0]"), "table-rolled-back:3..2", 0);
    let states = vec![back, State { property: Property::Unseen, ..word }];
    let replay = replay(&Walk { states, from_beginning: true, reach: String::new() });
    assert_eq!((replay.problems.clone(), replay.rows_given_up()), (Vec::<String>::new(), 9));
    let before = Property::Is(property);
    let facts = Before { position: None, readable: None, snapshot: None, property: Some(&before) };
    assert!(rolled_back(3, 2, facts, &Position::default())[0].contains("not the one of the table property"));
}

#[test]
fn a_word_is_found_again_with_what_it_changed() {
    let word = over(3, &text(3, "a", 1, "[0,0,0]", "[0,9,5,0,4]"), "gap:t-0:5..9", 5);
    let next = ingest(4, &text(4, "a", 1, "[0,0,0]", "[0,11,7,0,4]"), "[9,11]", 2, 7);
    let states = begun().into_iter().chain([word, next]).collect();
    let walk = Walk { states, from_beginning: true, reach: String::new() };
    let done = find(&walk, "gap:t-0:5..9", None).unwrap();
    let next = |position: &Position| position.next("t", 0).unwrap().get();
    assert_eq!((next(&done.before.unwrap()), next(&done.after), done.snapshot_id, done.already), (5, 9, 3, true));
    assert_eq!(find(&walk, "gap:t-0:5..8", None), None);
    assert_eq!(find(&walk, "gap:t-0:5..9", Some(&Position::default())), None);
    assert_eq!(last_readable(&walk).unwrap().0, "s4");
}
