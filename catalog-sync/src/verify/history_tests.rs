//! Histories with one thing wrong each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

/// A position with one topic of the given identity and one partition, all rows.
fn position(id: &str, seq: i64, next: u64, rows: u64) -> String {
    let rejects = 0;
    format!(
        r#"{{"v":1,"seq":{seq},"topics":{{"t":{{"id":"{id}","epoch":0,"ended":[0,0,0],"parts":{{"0":[0,{next},{rows},{rejects}]}}}}}}}}"#
    )
}

fn empty() -> State {
    let text = Position::default().encode(1);
    let snapshot = SnapshotFact {
        id: 1,
        operation: "append".into(),
        sequence_number: 1,
        position: Some(text.clone()),
        total_records: Some(0),
        ..SnapshotFact::default()
    };
    State { at: "s1".into(), snapshot: Some(snapshot), property: Property::Is(text) }
}

/// An ingest snapshot `[start, end)` after which the table holds rows 0..end.
fn ingest(seq: i64, start: u64, end: u64) -> State {
    let text = position("a", seq, end, end);
    let snapshot = SnapshotFact {
        id: seq,
        operation: "append".into(),
        sequence_number: seq,
        position: Some(text.clone()),
        ranges: Some(format!(r#"{{"t":{{"0":[{start},{end}]}}}}"#)),
        rejects: Some(0),
        added_records: end - start,
        total_records: Some(end),
        ..SnapshotFact::default()
    };
    State { at: format!("s{seq}"), snapshot: Some(snapshot), property: Property::Is(text) }
}

/// A snapshot of somebody else, after which the table still stands where `of` stood.
fn foreign(seq: i64, of: &State, operation: &str, added: u64, deleted: u64) -> State {
    let total = of.snapshot.as_ref().unwrap().total_records.unwrap();
    let snapshot = SnapshotFact {
        id: seq,
        operation: operation.into(),
        engine: Some("trino".into()),
        sequence_number: seq,
        added_records: added,
        deleted_records: deleted,
        total_records: Some(total + added - deleted),
        ..SnapshotFact::default()
    };
    State { at: format!("s{seq}"), snapshot: Some(snapshot), property: of.property.clone() }
}

fn walk(states: Vec<State>) -> Walk {
    Walk { states, from_beginning: true, reach: String::new() }
}

fn problems(states: Vec<State>) -> Vec<String> {
    replay(&walk(states)).problems
}

#[test]
fn a_chain_of_ingests_without_a_gap_is_fine() {
    let replay = replay(&walk(vec![empty(), ingest(2, 0, 5), ingest(3, 5, 9)]));
    assert_eq!((replay.problems, replay.ingests, replay.offsets), (vec![], 2, 9));
}

#[test]
fn a_gap_is_named_with_its_offsets() {
    let found = problems(vec![empty(), ingest(2, 0, 5), ingest(3, 7, 9)]);
    assert_eq!(found[0], "s3: t-0: gap: 2 offsets from 5 to 7 in no snapshot");
}

#[test]
fn an_overlap_is_named_with_its_offsets() {
    let found = problems(vec![empty(), ingest(2, 0, 5), ingest(3, 4, 9)]);
    assert_eq!(found[0], "s3: t-0: overlap: 1 offset before 5 there already");
}

#[test]
fn the_same_batch_twice_is_an_overlap() {
    let again = ingest(3, 0, 5);
    assert!(problems(vec![empty(), ingest(2, 0, 5), again])[0].contains("overlap: 5 offsets"));
}

#[test]
fn a_range_that_does_not_end_at_its_own_position_is_named() {
    let mut state = ingest(2, 0, 5);
    state.snapshot.as_mut().unwrap().ranges = Some(r#"{"t":{"0":[0,4]}}"#.into());
    assert_eq!(problems(vec![empty(), state])[0], "s2: t-0: the range ends at 4, its position at 5");
}

#[test]
fn a_position_that_moves_in_a_partition_without_a_range_is_named() {
    let mut state = ingest(2, 0, 5);
    let text =
        r#"{"v":1,"seq":2,"topics":{"t":{"id":"a","epoch":0,"ended":[0,0,0],"parts":{"0":[0,5,5,0],"1":[0,3,3,0]}}}}"#;
    state.snapshot.as_mut().unwrap().position = Some(text.into());
    state.property = Property::Is(text.into());
    assert_eq!(problems(vec![empty(), state])[0], "s2: its position moved where it brought no offsets");
}

#[test]
fn a_snapshot_whose_files_hold_fewer_rows_than_it_counts_is_named() {
    let mut state = ingest(2, 0, 5);
    let snapshot = state.snapshot.as_mut().unwrap();
    (snapshot.added_records, snapshot.total_records) = (4, Some(4));
    assert_eq!(problems(vec![empty(), state]), ["s2: its position counts 5 new rows, its files hold 4"]);
}

#[test]
fn rejects_that_do_not_match_are_named() {
    let mut state = ingest(2, 0, 5);
    state.snapshot.as_mut().unwrap().rejects = Some(1);
    assert_eq!(problems(vec![empty(), state]).len(), 1);
}

#[test]
fn a_rewrite_keeps_rows_and_position_and_is_fine() {
    let two = ingest(2, 0, 5);
    let rewrite = foreign(3, &two, "replace", 5, 5);
    let mut after = ingest(4, 5, 9);
    after.snapshot.as_mut().unwrap().total_records = Some(9);
    let replay = replay(&walk(vec![empty(), two, rewrite, after]));
    assert_eq!((replay.problems, replay.rewrites, replay.foreign), (vec![], 1, vec![]));
}

#[test]
fn a_rewrite_that_loses_rows_is_named() {
    let two = ingest(2, 0, 5);
    let rewrite = foreign(3, &two, "replace", 4, 5);
    assert_eq!(problems(vec![empty(), two, rewrite]), ["s3: a rewrite of files changed the number of rows by -1"]);
}

#[test]
fn a_rewrite_that_applies_position_deletes_changes_no_rows() {
    let two = ingest(2, 0, 5);
    let mut delete = foreign(3, &two, "delete", 0, 0);
    delete.snapshot.as_mut().unwrap().added_deletes = 2;
    let mut rewrite = foreign(4, &delete, "replace", 3, 5);
    rewrite.snapshot.as_mut().unwrap().removed_deletes = 2;
    let replay = replay(&walk(vec![empty(), two, delete, rewrite]));
    assert_eq!((replay.problems, replay.foreign.len(), replay.rewrites), (vec![], 1, 1));
    assert_eq!(replay.foreign[0].rows, -2);
}

#[test]
fn a_foreign_append_is_reported_and_counted() {
    let two = ingest(2, 0, 5);
    let append = foreign(3, &two, "append", 3, 0);
    let replay = replay(&walk(vec![empty(), two, append]));
    assert_eq!((replay.problems.len(), replay.foreign_rows()), (0, 3));
    let check = super::foreign(&replay, false);
    assert_eq!(check.problems, ["s3: append by trino, 3 rows added, 0 removed"]);
    assert!(super::foreign(&replay, true).ok);
}

#[test]
fn a_foreign_commit_that_moves_or_removes_the_position_is_named() {
    let two = ingest(2, 0, 5);
    let mut moved = foreign(3, &two, "append", 0, 0);
    moved.property = Property::Is(position("a", 2, 9, 9));
    assert_eq!(problems(vec![empty(), two.clone(), moved]), ["s3: the position moved without a batch"]);
    let mut removed = foreign(3, &two, "append", 0, 0);
    removed.property = Property::Absent;
    let found = problems(vec![empty(), two, removed]);
    assert_eq!(found, ["s3: the table property that holds the position was removed"]);
}

#[test]
fn a_property_that_contradicts_the_summary_is_named() {
    let mut state = ingest(2, 0, 5);
    state.property = Property::Is(position("a", 2, 9, 9));
    assert_eq!(problems(vec![empty(), state]), ["s2: summary and table property hold different positions"]);
}

#[test]
fn a_snapshot_that_replaced_another_one_is_seen_in_sequence_number_and_totals() {
    let mut overwriting = ingest(2, 0, 5);
    overwriting.at = "other".into();
    overwriting.snapshot.as_mut().unwrap().id = 77;
    let found = problems(vec![empty(), ingest(2, 0, 5), overwriting]);
    assert!(found.iter().any(|text| text.contains("sequence number 2 follows 2")), "{found:?}");
    assert!(found.iter().any(|text| text.contains("total-records is 5, from 5 it should be 10")), "{found:?}");
}

#[test]
fn commits_that_change_no_snapshot_must_keep_the_position_and_count_once() {
    let two = ingest(2, 0, 5);
    let statistics = State { at: "statistics".into(), ..two.clone() };
    let replay = replay(&walk(vec![empty(), two, statistics]));
    assert_eq!((replay.problems, replay.ingests), (vec![], 1));
}

#[test]
fn where_the_catalog_shows_no_old_properties_the_snapshots_are_enough() {
    let unseen = |state: State| State { property: Property::Unseen, ..state };
    let two = ingest(2, 0, 5);
    let rewrite = unseen(foreign(3, &two, "replace", 5, 5));
    let mut next = unseen(ingest(4, 5, 9));
    next.snapshot.as_mut().unwrap().total_records = Some(9);
    assert_eq!(problems(vec![unseen(empty()), unseen(two), rewrite, next]), Vec::<String>::new());
}

#[test]
fn a_walk_that_begins_in_the_middle_trusts_only_its_first_state() {
    let middle = |states| Walk { states, from_beginning: false, reach: String::new() };
    assert_eq!(replay(&middle(vec![ingest(7, 20, 25), ingest(8, 25, 27)])).problems, Vec::<String>::new());
    let found = replay(&middle(vec![ingest(7, 20, 25), ingest(8, 26, 27)])).problems;
    assert_eq!(found[0], "s8: t-0: gap: 1 offset from 25 to 26 in no snapshot");
    assert!(!problems(vec![ingest(7, 20, 25)]).is_empty(), "at the beginning the first offset is checked too");
}

#[test]
fn another_topic_without_an_operators_word_is_a_fault() {
    let mut state = ingest(3, 0, 4);
    let text = r#"{"v":1,"seq":3,"topics":{"t":{"id":"b","epoch":1,"ended":[5,0,0],"parts":{"0":[0,4,4,0]}}}}"#;
    let snapshot = state.snapshot.as_mut().unwrap();
    snapshot.position = Some(text.into());
    snapshot.total_records = Some(9);
    state.property = Property::Is(text.into());
    let found = problems(vec![empty(), ingest(2, 0, 5), state]);
    assert_eq!(found, ["s3: topic t: the table was fed from topic id a, the batch is from b"]);
}

#[test]
fn a_compaction_that_leaves_deleted_rows_out_changes_no_row_whatever_becomes_of_the_delete_files() {
    let ingested = ingest(2, 0, 9);
    for (removed_deletes, applied, is_fine) in [(2, 2, true), (0, 2, true), (5, 2, true), (2, 1, false), (2, 0, false)]
    {
        let mut state = foreign(3, &ingested, "replace", 7, 9);
        let snapshot = state.snapshot.as_mut().unwrap();
        (snapshot.removed_deletes, snapshot.applied_deletes) = (removed_deletes, Some(applied));
        let replay = replay(&walk(vec![empty(), ingested.clone(), state]));
        assert_eq!(replay.problems.is_empty(), is_fine, "{removed_deletes} {applied}: {:?}", replay.problems);
        assert_eq!((replay.rewrites, replay.foreign.is_empty()), (1, is_fine));
    }
}

#[test]
fn repeats_that_a_rewrite_left_out_are_counted_and_are_all_that_it_may_change() {
    let ingested = ingest(2, 0, 9);
    for (said, is_fine) in [(2, true), (1, false), (3, false)] {
        let mut state = foreign(3, &ingested, "overwrite", 7, 9);
        state.snapshot.as_mut().unwrap().deduplicated = Some(said);
        let replay = replay(&walk(vec![empty(), ingested.clone(), state]));
        assert_eq!(replay.problems.is_empty(), is_fine, "{said}: {:?}", replay.problems);
        assert_eq!((replay.rewrites, replay.deduplicated, replay.foreign.is_empty()), (1, said, is_fine));
    }
}
