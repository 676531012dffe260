//! The chain of snapshots: each ingest snapshot begins exactly where the table stood and ends where its own position
//! stands; an operator's word moves the position by what it says; every other snapshot leaves it as it was.
//!
//! With the first snapshot at hand that makes every offset between the ends of the position present exactly once. Each
//! ingest snapshot is replayed through [`Position::advance`], the very function that let it in. Snapshots of others are
//! sorted by what they did to the rows: nothing (compaction), or something, which is reported. Pure. Called by
//! [`super::verify`].

use std::collections::BTreeMap;

use protocol::{Position, Ranges};

use super::chain::{adjacent, batch, stated, unmoved};
use super::overrides::{Before, Override, Word, judge};
use super::{Check, plural};

/// The table property that holds the position, as one state of the table shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Property {
    /// The catalog shows properties of the newest state only.
    #[default]
    Unseen,
    /// It is not set.
    Absent,
    /// Its text.
    Is(String),
}

/// What the summary of a snapshot says that it did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotFact {
    /// Its id.
    pub id: i64,
    /// `append`, `replace`, `overwrite` or `delete`.
    pub operation: String,
    /// Who made it, if it says so.
    pub engine: Option<String>,
    /// Its sequence number.
    pub sequence_number: i64,
    /// Its position, if it bears one.
    pub position: Option<String>,
    /// Its offset ranges, if it brought any.
    pub ranges: Option<String>,
    /// Rejects that it passed over.
    pub rejects: Option<u64>,
    /// An operator's word against a halt, if it is one.
    pub overruled: Option<Word>,
    /// Records of added data files.
    pub added_records: u64,
    /// Records of removed data files.
    pub deleted_records: u64,
    /// Rows that added position deletes delete.
    pub added_deletes: u64,
    /// Rows that removed position deletes deleted.
    pub removed_deletes: u64,
    /// Rows that position deletes had deleted and that a compaction left out, if it says so. It accounts for them, and not for
    /// what removed position deletes deleted.
    pub applied_deletes: Option<u64>,
    /// Rows that repeated an event and that a compaction left out, if it says so.
    pub deduplicated: Option<u64>,
    /// Records of all data files afterwards.
    pub total_records: Option<u64>,
}

/// One state of the table: what one commit made of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Its name, for people: `snapshot 12`, or a commit of the catalog.
    pub at: String,
    /// The current snapshot in this state.
    pub snapshot: Option<SnapshotFact>,
    /// The position property in this state.
    pub property: Property,
}

/// States of a table, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walk {
    /// The states.
    pub states: Vec<State>,
    /// Whether nothing came before the first one.
    pub from_beginning: bool,
    /// How far it got, for people.
    pub reach: String,
}

/// A commit of somebody else that changed rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignChange {
    /// Which state.
    pub at: String,
    /// Operation and engine.
    pub what: String,
    /// Rows added.
    pub added: u64,
    /// Rows removed.
    pub removed: u64,
    /// The difference.
    pub rows: i128,
}

/// What a walk told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replay {
    /// Snapshots that brought offsets.
    pub ingests: u64,
    /// Offsets that they brought.
    pub offsets: u64,
    /// Snapshots that rewrote files and left the rows as they are.
    pub rewrites: u64,
    /// Rows that repeated an event and were left out by rewrites.
    pub deduplicated: u64,
    /// Commits of others that changed rows.
    pub foreign: Vec<ForeignChange>,
    /// Halts that an operator overruled.
    pub overrides: Vec<Override>,
    /// Everything that is wrong.
    pub problems: Vec<String>,
}

impl Replay {
    /// Rows that others added, less those that they removed.
    #[must_use]
    pub fn foreign_rows(&self) -> i128 {
        self.foreign.iter().map(|change| change.rows).sum()
    }

    /// Rows that the position counts, and that a rollback took away for good by an operator's word.
    #[must_use]
    pub fn rows_given_up(&self) -> u64 {
        self.overrides.iter().map(|said| said.rows_given_up).sum()
    }
}

/// Where the walk stands.
#[derive(Default)]
struct At<'a> {
    /// The position, while it is known.
    position: Option<Position>,
    /// The last position that could be read, and what was wrong with those after it.
    unreadable: Option<(Option<Position>, Vec<String>)>,
    snapshot: Option<&'a SnapshotFact>,
    property: Option<&'a Property>,
}

/// Goes through the states from the oldest to the newest.
#[must_use]
pub fn replay(walk: &Walk) -> Replay {
    let mut replay = Replay::default();
    let mut at = At { position: walk.from_beginning.then(Position::default), ..At::default() };
    for state in &walk.states {
        let last = at.snapshot;
        let new = state.snapshot.as_ref().filter(|snapshot| last.is_none_or(|last| last.id != snapshot.id));
        match stated(state) {
            Ok(stated) => replay.position(state, new, stated, &mut at),
            Err(problem) => {
                let before = at.position.take();
                let (_, problems) = at.unreadable.get_or_insert_with(|| (before, Vec::new()));
                problems.push(format!("{}: {problem}", state.at));
            }
        }
        if let Some(snapshot) = new {
            replay.continues(state, snapshot, last);
            if snapshot.ranges.is_none() {
                replay.other(state, snapshot);
            }
            at.snapshot = Some(snapshot);
        }
        at.property = Some(&state.property);
    }
    replay.problems.extend(at.unreadable.into_iter().flat_map(|(_, problems)| problems));
    replay
}

impl Replay {
    /// A state whose position can be read, or that names none: was it allowed to move?
    fn position(&mut self, state: &State, new: Option<&SnapshotFact>, stated: Option<Position>, at: &mut At<'_>) {
        let unreadable = at.unreadable.take();
        let word = new.and_then(|snapshot| Some((snapshot, snapshot.overruled.as_ref()?)));
        let ingest = new.and_then(|snapshot| Some((snapshot, snapshot.ranges.as_deref()?)));
        let mut cured = false;
        let problems = match (word, ingest, &stated) {
            (Some(_), Some(_), _) => vec!["brings both offset ranges and an operator's word".to_owned()],
            (Some((snapshot, word)), None, Some(after)) => {
                let readable = unreadable.as_ref().and_then(|(readable, _)| readable.as_ref());
                let (position, snapshot_before, property) = (at.position.as_ref(), at.snapshot, at.property);
                let before = Before { position, readable, snapshot: snapshot_before, property };
                let (said, problems) = judge(word, snapshot, before, after);
                self.overrides.push(said);
                cured = true;
                problems
            }
            (None, Some((snapshot, ranges)), Some(after)) => self.ingest(snapshot, ranges, at.position.as_ref(), after),
            (_, _, None) if word.is_some() || ingest.is_some() => {
                vec!["changes the position and bears none".to_owned()]
            }
            (None, None, stated) => unmoved(at.position.as_ref(), stated.as_ref(), &state.property),
            (Some(_), None, None) | (None, Some(_), None) => Vec::new(),
        };
        // A position that could not be read is a fault until an operator has put one in its place.
        self.problems.extend(unreadable.filter(|_| !cured).into_iter().flat_map(|(_, problems)| problems));
        self.problems.extend(problems.into_iter().map(|problem| format!("{}: {problem}", state.at)));
        at.position = stated.or(at.position.take());
    }

    /// An ingest snapshot: the batch that it brought, put onto the position before it, gives its own position.
    fn ingest(
        &mut self,
        snapshot: &SnapshotFact,
        ranges: &str,
        before: Option<&Position>,
        after: &Position,
    ) -> Vec<String> {
        self.ingests += 1;
        let Some(ranges) = Ranges::parse_summary(ranges) else {
            return vec!["its offset ranges cannot be read".into()];
        };
        self.offsets += ranges.values().flat_map(BTreeMap::values).map(|range| range.width()).sum::<u64>();
        let mut problems = Vec::new();
        for (topic, partitions) in &ranges {
            for (&partition, &range) in partitions {
                problems.extend(adjacent(topic, partition, range, before, after));
            }
        }
        let Some(before) = before else { return problems };
        if problems.is_empty() {
            match batch(&ranges, before, after).map(|batch| before.advance(&batch)) {
                Ok(Ok(advanced)) if advanced == *after => {}
                Ok(Ok(_)) => problems.push("its position moved where it brought no offsets".to_owned()),
                Ok(Err(error)) => problems.push(error.to_string()),
                Err(problem) => problems.push(problem),
            }
        }
        let (was, is) = (before.counts(), after.counts());
        let brought = is.rows.saturating_sub(was.rows);
        let effect = rows_effect(snapshot);
        if effect != i128::from(brought) {
            problems.push(format!("its position counts {}, its files hold {effect}", plural(brought, "new row")));
        }
        let rejects = is.rejects.saturating_sub(was.rejects);
        if snapshot.rejects.is_some_and(|said| said != rejects) {
            problems.push(format!("its position counts {}, its summary another number", plural(rejects, "new reject")));
        }
        problems
    }

    /// Totals and sequence numbers go on from the snapshot before; a snapshot that was overwritten shows here.
    fn continues(&mut self, state: &State, snapshot: &SnapshotFact, last: Option<&SnapshotFact>) {
        let Some(last) = last else { return };
        if snapshot.sequence_number <= last.sequence_number {
            let (now, then) = (snapshot.sequence_number, last.sequence_number);
            self.problems.push(format!("{}: sequence number {now} follows {then}", state.at));
        }
        let (Some(then), Some(now)) = (last.total_records, snapshot.total_records) else { return };
        let expected = i128::from(then) + i128::from(snapshot.added_records) - i128::from(snapshot.deleted_records);
        if i128::from(now) != expected {
            self.problems.push(format!("{}: total-records is {now}, from {then} it should be {expected}", state.at));
        }
    }

    /// A snapshot without offsets: a rewrite, an empty one, or somebody else's rows.
    fn other(&mut self, state: &State, snapshot: &SnapshotFact) {
        let rows = rows_effect(snapshot);
        let (added, removed) =
            (snapshot.added_records + snapshot.removed_deletes, snapshot.deleted_records + snapshot.added_deletes);
        let repeats = snapshot.deduplicated.unwrap_or(0);
        if snapshot.operation == "replace" || repeats > 0 {
            self.rewrites += 1;
            self.deduplicated += repeats;
            let unexplained = rows + i128::from(repeats);
            if unexplained == 0 {
                return;
            }
            let but = if repeats > 0 { format!(" beside {}", plural(repeats, "repeat")) } else { String::new() };
            let text = format!("{}: a rewrite of files changed the number of rows by {unexplained:+}{but}", state.at);
            self.problems.push(text);
        }
        if added == 0 && removed == 0 {
            return;
        }
        let what = match &snapshot.engine {
            Some(engine) => format!("{} by {engine}", snapshot.operation),
            None => snapshot.operation.clone(),
        };
        self.foreign.push(ForeignChange { at: state.at.clone(), what, added, removed, rows });
    }
}

/// The check that no offset is missing or twice.
#[must_use]
pub fn ranges(walk: &Walk, replay: &Replay) -> Check {
    let overrides = match replay.overrides.len() as u64 {
        0 => String::new(),
        count => format!(", {}", plural(count, "override")),
    };
    let detail = format!(
        "{} of ingest brought {}, {}{overrides}; {}",
        plural(replay.ingests, "snapshot"),
        plural(replay.offsets, "offset"),
        plural(replay.rewrites, "rewrite"),
        walk.reach
    );
    Check::new("ranges", detail, replay.problems.clone())
}

/// The check that nobody else changed rows.
#[must_use]
pub fn foreign(replay: &Replay, allow: bool) -> Check {
    let line = |change: &ForeignChange| {
        format!("{}: {}, {} added, {} removed", change.at, change.what, plural(change.added, "row"), change.removed)
    };
    let lines: Vec<String> = replay.foreign.iter().map(line).collect();
    let detail = match lines.len() as u64 {
        0 => "nobody else changed rows".to_owned(),
        count => format!("{} of others changed rows by {:+}", plural(count, "commit"), replay.foreign_rows()),
    };
    if allow && !lines.is_empty() {
        let detail = format!("{detail}, which is allowed: {}", lines.join("; "));
        return Check::new("foreign", detail, Vec::new());
    }
    Check::new("foreign", detail, lines)
}

/// What a snapshot did to the number of rows.
fn rows_effect(snapshot: &SnapshotFact) -> i128 {
    let came_back = snapshot.applied_deletes.unwrap_or(snapshot.removed_deletes);
    i128::from(snapshot.added_records) - i128::from(snapshot.deleted_records) - i128::from(snapshot.added_deletes)
        + i128::from(came_back)
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
