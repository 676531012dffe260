//! What a compaction tells: what was to be done, what is, and what was left. Pure. Called by [`super`].

use std::collections::BTreeMap;

use iceberg::TableIdent;
use schemas::partition::PartitionKey;
use serde::Serialize;

use super::commit::Reading;
use super::deletes::DeleteFile;
use super::live::{Inventory, Skipped};
use super::plan::{FileFact, FileGroup};

/// Summary key of the rows that position deletes had deleted, and that the new files do not hold any more. Where it stands,
/// records added less records removed are that many fewer, and removed delete files change nothing beside it.
pub(crate) const APPLIED_KEY: &str = "catalog-sync.applied-position-deletes";

/// Summary key of the rows that repeated an event and were left out. Where it stands, the table has that many rows fewer.
pub(crate) const DEDUPLICATED_KEY: &str = "catalog-sync.deduplicated-records";

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
    /// Rows before, deleted ones included.
    pub rows: u64,
    /// Rows that position deletes had deleted, and that are not in the new files; at most, if planned.
    pub deleted_rows: u64,
    /// Rows that repeat an event of their partition, and are not in the new files.
    pub repeats: u64,
    /// Delete files that delete nothing any more and are removed.
    pub delete_files: u64,
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
    pub(super) fn begin(
        table: &TableIdent,
        inventory: &Inventory,
        groups: &[FileGroup],
        reading: &Reading,
        failed: Vec<Failed>,
    ) -> Self {
        let gone = reading.left.dangling(groups.iter().flat_map(|group| &group.files));
        let mut planned = Rewritten { delete_files: gone.len() as u64, ..Rewritten::default() };
        for group in groups {
            planned.groups += 1;
            planned.files_before += group.files.len() as u64;
            planned.files_after += group.outputs(&reading.tools.sizes);
            planned.bytes_before += group.bytes();
            planned.rows += group.rows();
            planned.deleted_rows += group.files.iter().map(|file| file.deleted_rows.min(file.rows)).sum::<u64>();
            planned.repeats += group.repeats();
        }
        Self {
            table: table.to_string(),
            verdict: match (groups.is_empty() && gone.is_empty(), failed.is_empty()) {
                (false, _) => Verdict::Planned,
                (true, true) => Verdict::NothingToGain,
                (true, false) => Verdict::Failed,
            },
            files: inventory.files.values().map(|files| files.len() as u64).sum(),
            skipped: inventory.skipped,
            planned,
            done: Rewritten::default(),
            yielded: 0,
            failed,
            snapshot_ids: Vec::new(),
        }
    }
}

impl Failed {
    pub(super) fn new(key: &PartitionKey, files: &[FileFact], why: &impl std::fmt::Display) -> Self {
        Self {
            partition: key.to_string(),
            files: files.len() as u64,
            first_file: files.first().map(|file| file.location.clone()).unwrap_or_default(),
            why: why.to_string(),
        }
    }
}

impl Rewritten {
    pub(super) fn add(&mut self, other: &Self) {
        self.groups += other.groups;
        self.files_before += other.files_before;
        self.files_after += other.files_after;
        self.bytes_before += other.bytes_before;
        *self.bytes_after.get_or_insert(0) += other.bytes_after.unwrap_or(0);
        self.rows += other.rows;
        self.deleted_rows += other.deleted_rows;
        self.repeats += other.repeats;
        self.delete_files += other.delete_files;
    }

    /// The counters of a snapshot that removes these delete files.
    pub(super) fn summary<'a>(&self, deletes: impl Iterator<Item = &'a DeleteFile>) -> BTreeMap<String, String> {
        let (count, records, bytes) = deletes
            .fold((0, 0, 0), |(count, records, bytes), file| (count + 1, records + file.records, bytes + file.bytes));
        let mut counters = vec![
            ("added-data-files", self.files_after),
            ("deleted-data-files", self.files_before),
            ("added-records", self.rows - self.deleted_rows - self.repeats),
            ("deleted-records", self.rows),
            ("added-files-size", self.bytes_after.unwrap_or(0)),
            ("removed-files-size", self.bytes_before + bytes),
        ];
        if count > 0 {
            counters.push(("removed-delete-files", count));
            counters.push(("removed-position-delete-files", count));
            counters.push(("removed-position-deletes", records));
        }
        if count > 0 || self.deleted_rows > 0 {
            counters.push((APPLIED_KEY, self.deleted_rows));
        }
        if self.repeats > 0 {
            counters.push((DEDUPLICATED_KEY, self.repeats));
        }
        counters.into_iter().map(|(key, count)| (key.to_owned(), count.to_string())).collect()
    }
}
