//! What a compaction tells: what was to be done, what is, and what was left. Pure. Called by [`super`].

use std::collections::BTreeMap;

use iceberg::TableIdent;
use serde::Serialize;

use super::live::{Inventory, Skipped};
use super::plan::{FileGroup, Sizes};
use super::write::GroupError;

/// What a call led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// No file is worth the trouble.
    NothingToGain,
    /// A dry run: so it would be, about.
    Planned,
    /// So it is, but for groups that were given up.
    Committed,
    /// Every group was given up: others were faster.
    Yielded,
    /// Groups failed, and none is done.
    Failed,
}

/// Files that go and files that come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rewritten {
    /// Groups.
    pub groups: u64,
    /// Files before.
    pub files_before: u64,
    /// Files afterwards; about, if planned.
    pub files_after: u64,
    /// Bytes before.
    pub bytes_before: u64,
    /// Bytes afterwards; none if planned.
    pub bytes_after: Option<u64>,
    /// Rows, before as after.
    pub rows: u64,
}

/// A group that was not rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Its partition, as in the path of its files.
    pub partition: String,
    /// Its files.
    pub files: u64,
    /// One of them.
    pub first_file: String,
    /// Why.
    pub why: String,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The table.
    pub table: String,
    /// What became of the call.
    pub verdict: Verdict,
    /// Live files when it began, but for those that are not touched.
    pub files: u64,
    /// Files that are not touched.
    pub skipped: Skipped,
    /// What was to be done.
    pub planned: Rewritten,
    /// What is done.
    pub done: Rewritten,
    /// Groups that were given up.
    pub yielded: u64,
    /// Groups whose files are as they were, since they cannot be read or their rows cannot be written.
    pub failed: Vec<Failed>,
    /// The snapshots that brought it.
    pub snapshot_ids: Vec<i64>,
}

impl Report {
    /// Before anything is done.
    pub(super) fn begin(table: &TableIdent, inventory: &Inventory, groups: &[FileGroup], sizes: &Sizes) -> Self {
        let mut planned = Rewritten::default();
        for group in groups {
            planned.groups += 1;
            planned.files_before += group.files.len() as u64;
            planned.files_after += sizes.outputs(group.bytes());
            planned.bytes_before += group.bytes();
            planned.rows += group.rows();
        }
        Self {
            table: table.to_string(),
            verdict: if groups.is_empty() { Verdict::NothingToGain } else { Verdict::Planned },
            files: inventory.files.values().map(|files| files.len() as u64).sum(),
            skipped: inventory.skipped,
            planned,
            done: Rewritten::default(),
            yielded: 0,
            failed: Vec::new(),
            snapshot_ids: Vec::new(),
        }
    }
}

impl Failed {
    pub(super) fn new(group: &FileGroup, why: &GroupError) -> Self {
        Self {
            partition: group.key.to_string(),
            files: group.files.len() as u64,
            first_file: group.files.first().map(|file| file.location.clone()).unwrap_or_default(),
            why: why.to_string(),
        }
    }
}

impl Rewritten {
    /// The counters of a snapshot.
    pub(super) fn summary(&self) -> BTreeMap<String, String> {
        let counters = [
            ("added-data-files", self.files_after),
            ("deleted-data-files", self.files_before),
            ("added-records", self.rows),
            ("deleted-records", self.rows),
            ("added-files-size", self.bytes_after.unwrap_or(0)),
            ("removed-files-size", self.bytes_before),
        ];
        counters.map(|(key, count)| (key.to_owned(), count.to_string())).into()
    }
}
