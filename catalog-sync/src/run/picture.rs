//! What a look at a table has shown, as far as jobs want to know: files and manifests in numbers, small files by partition.
//!
//! Pure. Made by [`super::look`] out of what each manifest says, and read by [`super::jobs`] and [`super::metrics`].

use std::collections::{BTreeMap, BTreeSet};

use schemas::partition::PartitionKey;

use crate::compact::plan::Sizes;

/// Moments that are remembered to tell ages by.
const MOMENTS_MAX: usize = 10_000;

/// Files of one partition, in one manifest or in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// Live files.
    pub(super) files: u64,
    /// Those that are too small.
    pub(super) small_files: u64,
    /// Bytes of these.
    pub(super) small_bytes: u64,
    /// Files that are too large.
    pub(super) large_files: u64,
    /// Sequence numbers of the commits that the small files came with.
    pub(super) commits: BTreeSet<i64>,
}

impl Share {
    /// Counts one file.
    pub(super) fn count(&mut self, bytes: u64, sequence_number: Option<i64>, sizes: &Sizes) {
        self.files += 1;
        self.large_files += u64::from(bytes > sizes.max);
        if bytes < sizes.min {
            self.small_files += 1;
            self.small_bytes += bytes;
            self.commits.extend(sequence_number);
        }
    }

    fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.small_files += other.small_files;
        self.small_bytes += other.small_bytes;
        self.large_files += other.large_files;
        self.commits.extend(&other.commits);
    }

    /// Whether a compaction most likely makes fewer files of these, by the rule of [`crate::compact::plan`].
    pub(super) fn is_worth_it(&self, sizes: &Sizes) -> bool {
        let enough = self.small_files >= sizes.input_files_min as u64 || self.small_bytes > sizes.target;
        let fewer = sizes.outputs(self.small_bytes) < self.small_files;
        enough && fewer || self.large_files > 0
    }
}

/// What one manifest, or all of them, say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// Files that a compaction may take, by partition.
    pub(super) partitions: BTreeMap<PartitionKey, Share>,
    /// Other live data files.
    pub(super) others: u64,
}

impl Contents {
    pub(super) fn add(&mut self, other: &Self) {
        self.others += other.others;
        for (key, share) in &other.partitions {
            self.partitions.entry(key.clone()).or_default().add(share);
        }
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Picture {
    /// Its current snapshot; none for a table without any.
    pub(super) snapshot_id: Option<i64>,
    /// When that was made, in milliseconds since 1970.
    pub(super) snapshot_ms: Option<i64>,
    /// Snapshots that the catalog shows.
    pub(super) snapshots: u64,
    /// Manifests of data files.
    pub(super) manifests: u64,
    /// Those that a rewrite would take.
    pub(super) small_manifests: u64,
    /// Its files.
    pub(super) contents: Contents,
    /// What is small and what is large.
    pub(super) sizes: Sizes,
}

impl Picture {
    /// Live data files.
    pub(super) fn files(&self) -> u64 {
        self.contents.others + self.sum(|share| share.files)
    }

    /// Files that are too small.
    pub(super) fn small_files(&self) -> u64 {
        self.sum(|share| share.small_files)
    }

    fn sum(&self, of: fn(&Share) -> u64) -> u64 {
        self.contents.partitions.values().map(of).sum()
    }
}

/// When the commits of a table were made, as far as it is known: by the snapshots that the catalog shows, else by the first look
/// after them. An age by it is never too high, clocks apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Moments(BTreeMap<i64, i64>);

impl Moments {
    /// The commit of this sequence number was there at this time.
    pub(super) fn note(&mut self, sequence_number: i64, ms: i64) {
        self.0.entry(sequence_number).or_insert(ms);
    }

    /// Forgets those before the oldest commit that is asked for, and more if they are too many.
    pub(super) fn forget_before(&mut self, oldest: Option<i64>) {
        let Some(oldest) = oldest else { return };
        self.0 = self.0.split_off(&oldest);
        while self.0.len() > MOMENTS_MAX {
            self.0.pop_first();
        }
    }

    /// Milliseconds since that commit, at least.
    pub(super) fn age(&self, sequence_number: i64, now_ms: i64) -> u64 {
        let at = self.0.range(sequence_number..).next().map(|(_, ms)| *ms);
        at.map_or(0, |at| u64::try_from(now_ms - at).unwrap_or(0))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::compact::options::Options;

    /// Small below 75, large above 180, five are enough.
    fn sizes() -> Sizes {
        Options::default().sizes(100).unwrap()
    }

    fn share(files: &[u64]) -> Share {
        let mut share = Share::default();
        (0_i64..).zip(files).for_each(|(number, bytes)| share.count(*bytes, Some(number / 2), &sizes()));
        share
    }

    #[test]
    fn files_are_small_or_large_or_neither_and_commits_are_counted_once() {
        let share = share(&[74, 75, 180, 181, 1]);
        assert_eq!((share.files, share.small_files, share.small_bytes, share.large_files), (5, 2, 75, 1));
        assert_eq!(share.commits, BTreeSet::from([0, 2]));
        let mut twice = share.clone();
        twice.add(&share);
        assert_eq!((twice.files, twice.commits.len()), (10, 2));
    }

    #[test]
    fn a_compaction_is_worth_it_as_the_planner_has_it() {
        for (files, expected) in [
            (&[1_u64, 2, 3, 4, 5][..], true),
            (&[1, 2, 3, 4], false),
            (&[70, 40], true),
            (&[60, 40], false),
            (&[181], true),
            (&[100, 100], false),
            (&[], false),
        ] {
            assert_eq!(share(files).is_worth_it(&sizes()), expected, "{files:?}");
        }
    }

    #[test]
    fn an_age_is_told_by_the_first_moment_after_the_commit() {
        let mut moments = Moments::default();
        assert_eq!(moments.age(3, 1_000), 0);
        moments.note(5, 100);
        moments.note(9, 500);
        moments.note(9, 900);
        assert_eq!([3, 5, 6, 9, 10].map(|commit| moments.age(commit, 1_000)), [900, 900, 500, 500, 0]);
        assert_eq!(moments.age(9, 400), 0);
        moments.forget_before(Some(6));
        assert_eq!([3, 9].map(|commit| moments.age(commit, 1_000)), [500, 500]);
    }
}
