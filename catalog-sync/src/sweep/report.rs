//! What a sweep tells. Pure. Called by [`super`].

use iceberg::TableIdent;
use serde::Serialize;

use super::options::Options;
use super::suspects::{Sorted, Suspect};
use crate::reach::Reached;
use crate::reach::roots::Found;

/// Files named in a report, at most.
const NAMED: usize = 20;

/// What a call led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing is to be deleted.
    NothingToDo,
    /// A dry run: so it would be.
    Planned,
    /// So it is.
    Swept,
}

/// Files and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Count {
    /// Adds files, but for so many.
    pub(super) fn add(&mut self, other: &Self, but: u64) {
        self.files += other.files.saturating_sub(but);
        self.bytes += other.bytes;
    }
}

/// Files that nobody needs, and that were left alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Too young.
    pub young: u64,
    /// No table writes files of such names.
    pub unknown: u64,
    /// Metadata or statistics that are not proven to be the table's.
    pub unproven: u64,
    /// More than one sweep takes.
    pub too_many: u64,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The table.
    pub table: String,
    /// What became of the call.
    pub verdict: Verdict,
    /// The folder.
    pub root: String,
    /// References that were looked at.
    pub references: u64,
    /// Commits of their histories, or snapshots.
    pub states: u64,
    /// Files that are needed.
    pub reached: u64,
    /// Files of former states that are gone already.
    pub gone: u64,
    /// What is in the folder.
    pub listed: Count,
    /// What was left alone.
    pub left: Left,
    /// Name of the epoch that the fence began; none if there was no need for one.
    pub epoch: Option<String>,
    /// Suspects that somebody has come to need.
    pub revived: u64,
    /// Found now, to be deleted by a later sweep.
    pub quarantined: Count,
    /// Found earlier, and not for long enough.
    pub waiting: Count,
    /// Deleted.
    pub deleted: Count,
    /// Not deleted, though they were to be.
    pub failed: u64,
    /// Why not.
    pub why_failed: Option<String>,
    /// Some of the files that a dry run found.
    pub some: Vec<String>,
}

impl Report {
    pub(super) fn begin(table: &TableIdent, root: &str, found: &Found, reached: &Reached) -> Self {
        Self {
            table: table.to_string(),
            verdict: Verdict::NothingToDo,
            root: root.to_owned(),
            references: found.references,
            states: found.states,
            reached: reached.len() as u64,
            gone: found.gone,
            listed: Count::default(),
            left: Left::default(),
            epoch: None,
            revived: 0,
            quarantined: Count::default(),
            waiting: Count::default(),
            deleted: Count::default(),
            failed: 0,
            why_failed: None,
            some: Vec::new(),
        }
    }

    /// The report of a call that changes nothing.
    pub(super) fn end(&mut self, sorted: &Sorted, options: &Options) {
        self.waiting = sorted.waiting;
        if sorted.is_empty() {
            return;
        }
        self.verdict = Verdict::Planned;
        let (fresh, due) = (Suspect::count(&sorted.fresh), Suspect::count(&sorted.due));
        self.deleted = due;
        match options.quarantine.is_zero() {
            true => self.deleted.add(&fresh, 0),
            false => self.quarantined = fresh,
        }
        let all = sorted.due.iter().chain(&sorted.fresh);
        self.some = all.take(NAMED).map(|suspect| suspect.location.clone()).collect();
    }
}
