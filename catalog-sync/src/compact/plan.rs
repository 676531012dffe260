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
    /// Rows that are there when it is read, at least.
    #[must_use]
    pub fn live_rows(&self) -> u64 {
        self.rows.saturating_sub(self.deleted_rows)
    }

    /// Bytes of these rows, about.
    fn live_bytes(&self) -> u64 {
        let bytes = u128::from(self.bytes) * u128::from(self.live_rows()) / u128::from(self.rows.max(1));
        u64::try_from(bytes).unwrap_or(self.bytes)
    }
}

impl Sizes {
    /// Whether a file is too small or too large, or too much of it is deleted.
    #[must_use]
    pub fn is_candidate(&self, file: &FileFact) -> bool {
        self.all || file.bytes < self.min || self.must_go(file)
    }

    /// Whether a file is worth rewriting although it stays one file.
    fn must_go(&self, file: &FileFact) -> bool {
        let ratio = file.deleted_rows as f64 / file.rows.max(1) as f64;
        let is_deleted = file.deletes.len() >= self.delete_files_min || ratio >= self.delete_ratio_min;
        file.bytes > self.max || !file.deletes.is_empty() && is_deleted
    }

    fn is_worth_it(&self, files: &[FileFact]) -> bool {
        let bytes = live_bytes(files);
        let enough = files.len() >= self.input_files_min || bytes > self.target;
        let fewer = self.outputs(bytes) < files.len() as u64;
        !files.is_empty() && (self.all || enough && fewer || files.iter().any(|file| self.must_go(file)))
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

    /// Rows that are there when its files are read, at least.
    #[must_use]
    pub fn live_rows(&self) -> u64 {
        self.files.iter().map(FileFact::live_rows).sum()
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
    };
    let mut partitions: Vec<Health> = files.iter().map(of).collect();
    partitions.sort_by_key(|health| std::cmp::Reverse(health.small_files));
    partitions
}

/// What is to be rewritten, the groups of most files first; nothing if nothing is worth its while.
#[must_use]
pub fn plan(files: &BTreeMap<PartitionKey, Vec<FileFact>>, sizes: &Sizes) -> Vec<FileGroup> {
    let mut groups: Vec<FileGroup> = files.iter().flat_map(|(key, files)| partition(key, files, sizes)).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.files.len()));
    groups
}

fn partition<'a>(key: &'a PartitionKey, files: &[FileFact], sizes: &'a Sizes) -> impl Iterator<Item = FileGroup> + 'a {
    let mut bins: Vec<Vec<FileFact>> = Vec::new();
    for file in files.iter().filter(|file| sizes.is_candidate(file)) {
        match bins.last_mut().filter(|bin| bytes(bin).saturating_add(file.bytes) <= sizes.group_max) {
            Some(bin) => bin.push(file.clone()),
            None => bins.push(vec![file.clone()]),
        }
    }
    let worth_it = bins.into_iter().filter(|bin| sizes.is_worth_it(bin));
    worth_it.map(|files| FileGroup { key: key.clone(), files })
}

fn bytes(files: &[FileFact]) -> u64 {
    files.iter().map(|file| file.bytes).sum()
}

fn live_bytes(files: &[FileFact]) -> u64 {
    files.iter().map(FileFact::live_bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes {
        target: 100,
        min: 75,
        max: 180,
        group_max: 1_000,
        input_files_min: 5,
        delete_files_min: usize::MAX,
        delete_ratio_min: 0.3,
        all: false,
    };

    fn key(day: i32) -> PartitionKey {
        PartitionKey { day, event_type: "click".to_owned() }
    }

    fn files(sizes: &[u64]) -> Vec<FileFact> {
        let file = |(number, &bytes): (usize, &u64)| FileFact {
            location: format!("f{number}"),
            manifest: Arc::from("m"),
            bytes,
            rows: 10,
            deletes: Vec::new(),
            deleted_rows: 0,
        };
        sizes.iter().enumerate().map(file).collect()
    }

    /// Sizes of the files of each group.
    fn planned(table: &[&[u64]], sizes: &Sizes) -> Vec<Vec<u64>> {
        let table = table.iter().enumerate().map(|(day, sizes)| (key(day as i32), files(sizes))).collect();
        plan(&table, sizes).iter().map(|group| group.files.iter().map(|file| file.bytes).collect()).collect()
    }

    #[test]
    fn five_small_files_are_a_group_and_four_are_not_unless_they_fill_a_file() {
        assert_eq!(planned(&[&[1, 2, 3, 4, 5], &[1, 2, 3, 4]], &SIZES), [[1, 2, 3, 4, 5]]);
        assert_eq!(planned(&[&[70, 40]], &SIZES), [[70, 40]]);
        assert!(planned(&[&[60, 40], &[1], &[]], &SIZES).is_empty());
    }

    #[test]
    fn files_of_the_right_size_are_left_alone_and_large_ones_are_cut() {
        assert_eq!(planned(&[&[75, 1, 180, 1, 1, 100, 1, 1]], &SIZES), [[1; 5]]);
        assert_eq!(planned(&[&[181]], &SIZES), [[181]]);
    }

    #[test]
    fn a_group_ends_where_it_would_be_too_large_and_the_fullest_partition_comes_first() {
        let sizes = Sizes { group_max: 100, ..SIZES };
        assert_eq!(planned(&[&[30; 3], &[40, 60, 70, 20, 2, 2, 2, 2]], &sizes), [vec![70, 20, 2, 2, 2, 2]]);
        let first = planned(&[&[1; 5], &[1; 7]], &SIZES);
        assert_eq!(first, [vec![1; 7], vec![1; 5]]);
    }

    #[test]
    fn the_partition_with_the_most_small_files_comes_first() {
        let table = [(key(0), files(&[200, 80])), (key(1), files(&[10, 20, 90]))].into();
        let health = health(&table, &SIZES);
        let told: Vec<_> = health.iter().map(|it| (it.files, it.average(), it.small_files, it.large_files)).collect();
        assert_eq!(told, [(3, 40, 2, 0), (2, 140, 0, 1)]);
        assert_eq!(health[0].partition, "event_timestamp_day=1970-01-02/event_type=click");
    }

    /// A file of the right size and ten rows, with so many delete files and deleted rows.
    fn deleted(delete_files: usize, deleted_rows: u64) -> Vec<FileFact> {
        vec![FileFact { deletes: (0..delete_files).collect(), deleted_rows, ..files(&[100]).remove(0) }]
    }

    #[test]
    fn a_file_of_the_right_size_goes_when_enough_of_it_is_deleted_or_by_enough_delete_files() {
        let goes = |files: Vec<FileFact>, sizes: &Sizes| !plan(&[(key(0), files)].into(), sizes).is_empty();
        assert!(goes(deleted(1, 3), &SIZES) && !goes(deleted(9, 2), &SIZES));
        let sizes = Sizes { delete_files_min: 2, ..SIZES };
        assert!(goes(deleted(2, 2), &sizes) && !goes(deleted(1, 2), &sizes) && !goes(deleted(0, 0), &sizes));
        // A threshold of nothing means every file that has deleted rows.
        let sizes = Sizes { delete_ratio_min: 0.0, ..SIZES };
        assert!(goes(deleted(1, 1), &sizes) && !goes(deleted(0, 0), &sizes));
        assert!(!goes(deleted(1, 0), &SIZES), "a delete file that names no row");
    }

    #[test]
    fn what_is_deleted_makes_no_files() {
        let mut files = files(&[100; 3]);
        files.iter_mut().for_each(|file| (file.deletes, file.deleted_rows) = (vec![0], 9));
        let group = FileGroup { key: key(0), files };
        assert_eq!((group.outputs(&SIZES), group.rows(), group.live_rows()), (1, 30, 3));
        let health = health(&[(key(0), group.files)].into(), &SIZES);
        assert_eq!((health[0].delete_files, health[0].deleted_rows), (1, 27));
        // A row that two delete files name.
        let twice = FileGroup { key: key(0), files: deleted(2, 20) };
        assert_eq!((twice.live_rows(), twice.outputs(&SIZES)), (0, 1));
    }

    #[test]
    fn all_means_all() {
        let sizes = Sizes { all: true, ..SIZES };
        assert_eq!(planned(&[&[100], &[1, 2]], &sizes), [vec![1, 2], vec![100]]);
    }

    #[test]
    fn bytes_are_divided_evenly_and_a_small_rest_makes_no_file_of_its_own() {
        let outputs: Vec<u64> = [1, 99, 105, 140, 180, 250, 310, 330].map(|bytes| SIZES.outputs(bytes)).to_vec();
        assert_eq!(outputs, [1, 1, 1, 2, 2, 3, 3, 3]);
    }

    #[test]
    fn what_a_plan_leaves_is_nothing_to_plan() {
        let tables =
            [(5, 1), (40, 7), (9, 74), (200, 3), (1, 950), (30, 33), (5, 23), (2, 70), (20, 7), (6, 37), (1, 181)];
        for (count, bytes) in tables {
            for group in plan(&BTreeMap::from([(key(0), files(&vec![bytes; count]))]), &SIZES) {
                let outputs = SIZES.outputs(group.bytes());
                let after = vec![group.bytes() / outputs; outputs as usize];
                assert!(planned(&[&after], &SIZES).is_empty(), "{count} of {bytes}: {after:?}");
            }
        }
    }
}
