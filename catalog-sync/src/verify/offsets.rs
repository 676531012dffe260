//! Does the position account for the rows of the table?
//!
//! Three counts are set against each other: rows by the position, rows by the live manifest entries less those that
//! position delete files delete, and the totals of the snapshot summary. What others added or removed is taken from the history,
//! so that a difference is either explained or a fault. Pure. Called by [`super::verify`].

use std::collections::HashMap;

use protocol::lineage::POSITION_KEY;
use protocol::{Halt, Position, TableFacts};

use super::history::Replay;
use super::{Check, plural};
use crate::catalog::LoadedTable;

/// What the summary says and what the live entries add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Summary of the current snapshot; empty without one.
    pub summary: HashMap<String, String>,
    /// Records of live data files, deleted ones included.
    pub records: u64,
    /// Live data files.
    pub data_files: u64,
    /// Live delete files of both kinds.
    pub delete_files: u64,
    /// Records of live position delete files.
    pub position_deletes: u64,
    /// Rows of live data files that these delete: fewer, if a data file that they name was rewritten or a row is named twice.
    pub deleted_rows: u64,
    /// Records of live equality delete files: each may delete any number of rows.
    pub equality_deletes: u64,
}

/// The position can be read, the table was not rolled back under it, and in every partition offsets = rows + rejects +
/// skipped + lost (which the type itself holds).
#[must_use]
pub fn position(facts: &Result<TableFacts, Halt>) -> Check {
    match facts {
        Err(halt) => Check::new("position", "cannot be read", vec![format!("{}: {halt}", halt.code())]),
        Ok(facts) if facts.position.topics.is_empty() => {
            Check::new("position", "nothing was ever ingested", Vec::new())
        }
        Ok(facts) => {
            let topics = &facts.position.topics;
            let partitions: usize = topics.values().map(|topic| topic.partitions.len()).sum();
            let counts = facts.position.counts();
            let lost = if counts.lost > 0 { format!(" + {} lost", counts.lost) } else { String::new() };
            let detail = format!(
                "{}, {}: {} = {} + {} + {} skipped{lost}",
                plural(topics.len() as u64, "topic"),
                plural(partitions as u64, "partition"),
                plural(counts.offsets(), "offset"),
                plural(counts.rows, "row"),
                plural(counts.rejects, "reject"),
                counts.skipped,
            );
            Check::new("position", detail, Vec::new())
        }
    }
}

/// The totals in the summary are those of the live entries. Totals that a writer left out are not compared.
#[must_use]
pub fn totals(counted: &Counted) -> Check {
    let rows = [
        ("total-records", counted.records),
        ("total-data-files", counted.data_files),
        ("total-delete-files", counted.delete_files),
        ("total-position-deletes", counted.position_deletes),
        ("total-equality-deletes", counted.equality_deletes),
    ];
    let mut problems = Vec::new();
    let mut compared = 0;
    for (name, live) in rows {
        let Some(said) = counted.summary.get(name) else { continue };
        compared += 1;
        if said.parse() != Ok(live) {
            problems.push(format!("the summary says {name}={said}, the live entries add up to {live}"));
        }
    }
    let detail = match compared {
        0 => "the summary names none".to_owned(),
        _ => format!("{} of the summary compared with the live entries", plural(compared, "total")),
    };
    Check::new("totals", detail, problems)
}

/// The rows of the position are the rows of the table.
#[must_use]
pub fn rows(position: &Position, counted: &Counted, replay: &Replay, allow_foreign: bool) -> Check {
    let ingested = position.counts().rows;
    let live = i128::from(counted.records) - i128::from(counted.deleted_rows);
    let difference = live - i128::from(ingested);
    let given_up = i128::from(replay.rows_given_up());
    let given_up_text = if given_up > 0 { format!(", {given_up} given up") } else { String::new() };
    let repeats = i128::from(replay.deduplicated);
    let repeats_text = if repeats > 0 { format!(", {repeats} left out as repeats") } else { String::new() };
    let missing = given_up + repeats;
    let detail = format!(
        "{} by the position, {live} in the table ({} in live data files, {} deleted){given_up_text}{repeats_text}",
        plural(ingested, "row"),
        counted.records,
        counted.deleted_rows
    );
    let mut problems = Vec::new();
    if counted.equality_deletes > 0 && !allow_foreign {
        let count = plural(counted.equality_deletes, "equality delete");
        problems.push(format!("{count}: how many rows they delete cannot be told from metadata"));
    }
    let foreign = replay.foreign_rows();
    let expected = if allow_foreign { foreign } else { 0 } - missing;
    if difference != expected {
        let more = if difference < 0 { "fewer" } else { "more" };
        let mut text = format!("the table has {} rows {more} than the position accounts for", difference.abs());
        match (replay.foreign.is_empty(), difference == foreign - missing) {
            (true, _) => text.push_str("; no commit of the history that was walked explains it"),
            (false, true) => text.push_str("; commits of others account for all of them, see `foreign`"),
            (false, false) => text.push_str(&format!("; commits of others account for {foreign:+}, see `foreign`")),
        }
        problems.push(text);
    }
    Check::new("rows", detail, problems)
}

/// On a catalog with history the property follows the position and is not the truth: a difference is worth a note.
#[must_use]
pub fn property_note(loaded: &LoadedTable, position: &Position) -> Option<String> {
    let text = loaded.metadata().properties().get(POSITION_KEY)?;
    match Position::decode(text) {
        Ok((property, _)) if property == *position => None,
        Ok(_) => Some(
            "the table property holds another position than the snapshots: the table was rolled back, or the \
             property changed by hand; the snapshots are what counts"
                .to_owned(),
        ),
        Err(error) => Some(format!("table property {POSITION_KEY}: {error}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::verify::history::ForeignChange;

    fn seven_rows() -> Position {
        let text = r#"{"v":1,"seq":1,"topics":{"t":{"id":"a","epoch":0,"ended":[0,0,0],"parts":{"0":[0,10,7,1]}}}}"#;
        Position::decode(text).unwrap().0
    }

    fn counted(records: u64, deleted_rows: u64) -> Counted {
        Counted { records, deleted_rows, ..Counted::default() }
    }

    fn with_foreign(rows: i128) -> Replay {
        let change = ForeignChange { at: "snapshot 3".into(), what: "append".into(), added: 0, removed: 0, rows };
        Replay { foreign: vec![change], ..Replay::default() }
    }

    #[test]
    fn the_position_is_shown_as_a_sum() {
        let facts = TableFacts {
            uuid: "u".into(),
            snapshot_id: None,
            sequence_number: 1,
            position: seven_rows(),
            sweep_epoch: String::new(),
        };
        assert_eq!(position(&Ok(facts)).detail, "1 topic, 1 partition: 10 offsets = 7 rows + 1 reject + 2 skipped");
        let halt = Halt::TableRolledBack { written: 9, current: 8 };
        let check = position(&Err(halt));
        assert!(!check.ok && check.problems[0].starts_with("table-rolled-back: "), "{check:?}");
    }

    #[test]
    fn the_rows_of_the_position_are_those_of_the_table() {
        assert!(rows(&seven_rows(), &counted(7, 0), &Replay::default(), false).ok);
        let check = rows(&seven_rows(), &counted(6, 0), &Replay::default(), false);
        assert_eq!(
            check.problems,
            ["the table has 1 rows fewer than the position accounts for; no commit of the history that was walked \
              explains it"]
        );
    }

    #[test]
    fn foreign_rows_are_a_fault_unless_they_are_allowed_and_account_for_the_difference() {
        let check = |records, deletes, foreign, allow| {
            rows(&seven_rows(), &counted(records, deletes), &with_foreign(foreign), allow)
        };
        let refused = check(10, 0, 3, false);
        assert!(refused.problems[0].ends_with("account for all of them, see `foreign`"), "{refused:?}");
        assert!(check(10, 0, 3, true).ok);
        assert!(check(7, 2, -2, true).ok);
        let unexplained = check(10, 0, 2, true);
        assert!(unexplained.problems[0].ends_with("account for +2, see `foreign`"), "{unexplained:?}");
    }

    #[test]
    fn rows_that_were_left_out_as_repeats_are_no_fault_and_hide_none() {
        let replay = Replay { deduplicated: 2, ..Replay::default() };
        let check = rows(&seven_rows(), &counted(5, 0), &replay, false);
        assert!(check.ok && check.detail.ends_with(", 2 left out as repeats"), "{check:?}");
        assert!(!rows(&seven_rows(), &counted(4, 0), &replay, false).ok);
        assert!(!rows(&seven_rows(), &counted(7, 0), &replay, false).ok);
    }

    #[test]
    fn a_lost_batch_is_not_hidden_by_a_foreign_one_of_the_same_size() {
        assert!(!rows(&seven_rows(), &counted(7, 0), &with_foreign(3), true).ok);
    }

    #[test]
    fn totals_that_do_not_match_the_entries_are_named() {
        let mut counted = Counted { records: 7, data_files: 2, ..Counted::default() };
        counted.summary =
            HashMap::from([("total-records".into(), "8".into()), ("total-data-files".into(), "2".into())]);
        let check = totals(&counted);
        assert_eq!(check.problems, ["the summary says total-records=8, the live entries add up to 7"]);
        counted.summary.clear();
        assert!(totals(&counted).ok);
    }

    #[test]
    fn equality_deletes_cannot_be_counted() {
        let counted = Counted { records: 7, equality_deletes: 1, ..Counted::default() };
        assert!(!rows(&seven_rows(), &counted, &Replay::default(), false).ok);
    }
}
