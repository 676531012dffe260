//! The decision: which data files are rewritten together, and into how many.
//!
//! Per partition, as Iceberg's bin-pack strategy: candidates are files that are too small or too large, or have too many deleted
//! rows or delete files; they are packed in the order in which the table lists them, so that rows that came together stay
//! together; and a group is worth its while if it has enough files, or enough bytes for a whole file, and becomes fewer; or if one
//! of its files is to be cut or rid of its deletes. What a plan leaves is nothing to plan, unless every file is wanted.
//!
//! Pure. Called by [`super::compact`] and `catalog-sync plan`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use schemas::partition::PartitionKey;
use serde::Serialize;

use crate::deletes::Places;

/// A live data file, as its manifest has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFact {
    /// Where it is.
    pub location: String,
    /// The manifest that lists it.
    pub manifest: Arc<str>,
    /// Its size.
    pub bytes: u64,
    /// Its rows, deleted ones included.
    pub rows: u64,
    /// The position delete files that name it, by their places among those of the table.
    pub deletes: Vec<usize>,
    /// Rows of it that these delete; more than there are, if one is deleted twice.
    pub deleted_rows: u64,
    /// Whether its rows are in the order that they are to have.
    pub is_sorted: bool,
    /// Rows that repeat an event and are to go, by their places in it.
    pub(super) repeats: Places,
    /// The files, and the manifests that list them, that hold the rows which these repeat.
    pub(super) witnesses: Vec<(String, Arc<str>)>,
}

impl FileFact {
    /// A file of so many bytes and rows, none of them deleted, in no order.
    #[must_use]
    pub fn plain(location: String, manifest: Arc<str>, (bytes, rows): (u64, u64)) -> Self {
        let (deletes, repeats, witnesses) = (Vec::new(), Places::new(), Vec::new());
        Self { location, manifest, bytes, rows, deletes, deleted_rows: 0, is_sorted: false, repeats, witnesses }
    }
}

/// What is too small, too large, too much deleted, and enough.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sizes {
    /// Bytes that a file should have.
    pub target: u64,
    /// Files below it are candidates.
    pub min: u64,
    /// Files above it are candidates.
    pub max: u64,
    /// Bytes of a group, at most.
    pub group_max: u64,
    /// Candidates that make a group worth its while, whatever their size.
    pub input_files_min: usize,
    /// Delete files that make a data file a candidate, and worth its while.
    pub delete_files_min: usize,
    /// Share of deleted rows that makes a data file a candidate, and worth its while.
    pub delete_ratio_min: f64,
    /// Files that are not sorted are candidates.
    pub sort: bool,
    /// Every file is a candidate, and every group is worth its while.
    pub all: bool,
}

/// Files of one partition that are rewritten together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileGroup {
    /// The partition.
    pub key: PartitionKey,
    /// The files, at least one.
    pub files: Vec<FileFact>,
}

impl FileFact {
    /// Rows that it leaves, at least.
    #[must_use]
    pub fn live_rows(&self) -> u64 {
        self.rows.saturating_sub(self.deleted_rows).saturating_sub(self.repeats.len())
    }

    /// Bytes of these rows, about.
    fn live_bytes(&self) -> u64 {
        let bytes = u128::from(self.bytes) * u128::from(self.live_rows()) / u128::from(self.rows.max(1));
        u64::try_from(bytes).unwrap_or(self.bytes)
    }
}

impl Sizes {
    /// Whether a file is too small or too large, too much of it is deleted, it has repeats, or is to be sorted.
    #[must_use]
    pub fn is_candidate(&self, file: &FileFact) -> bool {
        self.all || file.bytes < self.min || self.must_go(file)
    }

    /// Whether a file is worth rewriting although it stays one file. One that is small and not sorted waits for others.
    fn must_go(&self, file: &FileFact) -> bool {
        let ratio = file.deleted_rows as f64 / file.rows.max(1) as f64;
        let is_deleted = file.deletes.len() >= self.delete_files_min || ratio >= self.delete_ratio_min;
        let must_be_sorted = self.is_unsorted(file) && file.bytes >= self.min;
        file.bytes > self.max || !file.deletes.is_empty() && is_deleted || must_be_sorted || !file.repeats.is_empty()
    }

    fn is_unsorted(&self, file: &FileFact) -> bool {
        self.sort && !file.is_sorted
    }

    pub(super) fn is_worth_it(&self, files: &[FileFact]) -> bool {
        let bytes = live_bytes(files);
        let enough = files.len() >= self.input_files_min || bytes > self.target;
        let better = self.outputs(bytes) < files.len() as u64 || files.iter().any(|file| self.is_unsorted(file));
        !files.is_empty() && (self.all || enough && better || files.iter().any(|file| self.must_go(file)))
    }

    /// Files of the same size that so many bytes are divided into: as near to the target as can be without many that are
    /// too large.
    #[must_use]
    pub fn outputs(&self, bytes: u64) -> u64 {
        let (whole, rest) = (bytes / self.target, bytes % self.target);
        let stretched = bytes / whole.max(1) <= self.max.min(self.target.saturating_add(self.target / 10));
        match whole {
            0 => 1,
            _ if rest > self.min || !stretched => whole + 1,
            _ => whole,
        }
    }
}

impl FileGroup {
    /// Bytes of its files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        bytes(&self.files)
    }

    /// Rows of its files, deleted ones included.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Rows that it has afterwards, at least.
    #[must_use]
    pub fn live_rows(&self) -> u64 {
        self.files.iter().map(FileFact::live_rows).sum()
    }

    /// Rows that repeat an event.
    #[must_use]
    pub fn repeats(&self) -> u64 {
        self.files.iter().map(|file| file.repeats.len()).sum()
    }

    /// Files that it becomes, about.
    #[must_use]
    pub fn outputs(&self, sizes: &Sizes) -> u64 {
        sizes.outputs(live_bytes(&self.files))
    }
}

/// How a partition is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// The partition, as in the path of its files.
    pub partition: String,
    /// Live files, but for those that are never rewritten.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows.
    pub rows: u64,
    /// Files below the smallest size that is left alone.
    pub small_files: u64,
    /// Files above the largest.
    pub large_files: u64,
    /// Position delete files that delete rows of them.
    pub delete_files: u64,
    /// Rows that these delete.
    pub deleted_rows: u64,
    /// Files that are sorted as the table's sort order says; none, if it says nothing.
    pub sorted_files: u64,
}

impl Health {
    /// Bytes of a file, on average.
    #[must_use]
    pub fn average(&self) -> u64 {
        self.bytes / self.files.max(1)
    }
}

/// How each partition is; those with the most small files first.
#[must_use]
pub fn health(files: &BTreeMap<PartitionKey, Vec<FileFact>>, sizes: &Sizes) -> Vec<Health> {
    let count =
        |files: &[FileFact], of: &dyn Fn(u64) -> bool| files.iter().filter(|file| of(file.bytes)).count() as u64;
    let of = |(key, files): (&PartitionKey, &Vec<FileFact>)| Health {
        partition: key.to_string(),
        files: files.len() as u64,
        bytes: bytes(files),
        rows: files.iter().map(|file| file.rows).sum(),
        small_files: count(files, &|bytes| bytes < sizes.min),
        large_files: count(files, &|bytes| bytes > sizes.max),
        delete_files: files.iter().flat_map(|file| &file.deletes).collect::<HashSet<_>>().len() as u64,
        deleted_rows: files.iter().map(|file| file.deleted_rows).sum(),
        sorted_files: files.iter().filter(|file| file.is_sorted).count() as u64,
    };
    let mut partitions: Vec<Health> = files.iter().map(of).collect();
    partitions.sort_by_key(|health| std::cmp::Reverse(health.small_files));
    partitions
}

/// What is to be rewritten, by partition; nothing if nothing is worth its while.
#[must_use]
pub fn plan(files: &BTreeMap<PartitionKey, Vec<FileFact>>, sizes: &Sizes) -> Vec<FileGroup> {
    files.iter().flat_map(|(key, files)| partition(key, files, sizes)).collect()
}

fn partition<'a>(key: &'a PartitionKey, files: &[FileFact], sizes: &'a Sizes) -> impl Iterator<Item = FileGroup> + 'a {
    let candidates: Vec<FileFact> = files.iter().filter(|file| sizes.is_candidate(file)).cloned().collect();
    let bins: Vec<Vec<FileFact>> = bins(&candidates, sizes).map(<[_]>::to_vec).collect();
    let worth_it = bins.into_iter().filter(|bin| sizes.is_worth_it(bin));
    worth_it.map(|files| FileGroup { key: key.clone(), files })
}

/// Cuts files into runs that may be in memory or on the disk together.
pub(super) fn bins<'a>(files: &'a [FileFact], sizes: &'a Sizes) -> impl Iterator<Item = &'a [FileFact]> {
    let mut left = files;
    std::iter::from_fn(move || {
        let mut sum = 0_u64;
        let fits = |file: &FileFact| {
            sum = sum.saturating_add(file.bytes);
            sum <= sizes.group_max
        };
        let count = left.iter().map(fits).take_while(|fits| *fits).count().max(1);
        let (bin, rest) = left.split_at_checked(count)?;
        left = rest;
        Some(bin)
    })
}

fn bytes(files: &[FileFact]) -> u64 {
    files.iter().map(|file| file.bytes).sum()
}

fn live_bytes(files: &[FileFact]) -> u64 {
    files.iter().map(FileFact::live_bytes).sum()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
pub(super) mod tests;
