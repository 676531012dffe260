//! What a user says about a compaction, under the names that Iceberg's `rewrite_data_files` has for it.

use std::collections::BTreeSet;

use schemas::partition::PartitionKey;

use super::filter::Filter;
use super::plan::Sizes;

/// How files are rewritten.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Only plan.
    pub dry_run: bool,
    /// Only these partitions; none = all.
    pub partitions: Option<BTreeSet<PartitionKey>>,
    /// Bytes that a file should have; else the table's `write.target-file-size-bytes`.
    pub target_file_size_bytes: Option<u64>,
    /// Smaller files are candidates; else three quarters of the target.
    pub min_file_size_bytes: Option<u64>,
    /// Larger files are candidates; else 1.8 times the target.
    pub max_file_size_bytes: Option<u64>,
    /// Bytes of the files that are rewritten together, at most.
    pub max_file_group_size_bytes: u64,
    /// Candidates of a partition that are rewritten although they do not fill a file.
    pub min_input_files: usize,
    /// Position delete files that make a data file a candidate.
    pub delete_file_threshold: usize,
    /// Share of deleted rows that makes a data file a candidate.
    pub delete_ratio_threshold: f64,
    /// Rewrite every file.
    pub rewrite_all: bool,
    /// Partitions to look at; all, if none is said.
    pub filter: Option<Filter>,
    /// Groups that are rewritten at once.
    pub max_concurrent_rewrites: usize,
    /// Commit what is done before all is done.
    pub partial_progress: bool,
    /// Commits at most, with partial progress.
    pub max_commits: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dry_run: false,
            partitions: None,
            target_file_size_bytes: None,
            min_file_size_bytes: None,
            max_file_size_bytes: None,
            max_file_group_size_bytes: 1024 * 1024 * 1024,
            min_input_files: 5,
            delete_file_threshold: usize::MAX,
            delete_ratio_threshold: 0.3,
            rewrite_all: false,
            filter: None,
            max_concurrent_rewrites: 1,
            partial_progress: true,
            max_commits: 10,
        }
    }
}

impl Options {
    /// Sizes for a table whose files should have `target` bytes.
    ///
    /// # Errors
    /// A sentence about sizes that contradict each other.
    pub fn sizes(&self, target: u64) -> Result<Sizes, String> {
        let target = self.target_file_size_bytes.unwrap_or(target);
        let sizes = Sizes {
            target,
            min: self.min_file_size_bytes.unwrap_or(target / 4 * 3),
            max: self.max_file_size_bytes.unwrap_or(target.saturating_add(target / 5 * 4)),
            group_max: self.max_file_group_size_bytes,
            input_files_min: self.min_input_files.max(1),
            delete_files_min: self.delete_file_threshold.max(1),
            delete_ratio_min: self.delete_ratio_threshold,
            all: self.rewrite_all,
        };
        let Sizes { min, max, .. } = sizes;
        match () {
            () if target == 0 || min > target || max < target => Err(format!(
                "min-file-size-bytes ({min}), target-file-size-bytes ({target}) and max-file-size-bytes ({max}) must be in \
                 this order, and the target above 0"
            )),
            () if sizes.group_max < target => Err(format!(
                "max-file-group-size-bytes ({}) must not be below target-file-size-bytes ({target})",
                sizes.group_max
            )),
            () if !(0.0..=1.0).contains(&sizes.delete_ratio_min) => {
                Err(format!("delete-ratio-threshold ({}) must lie between 0 and 1", sizes.delete_ratio_min))
            }
            () => Ok(sizes),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_target_unless_they_are_said() {
        let sizes = Options::default().sizes(1_000).unwrap();
        assert_eq!((sizes.min, sizes.target, sizes.max), (750, 1_000, 1_800));
        let options =
            Options { target_file_size_bytes: Some(100), max_file_size_bytes: Some(100), ..Options::default() };
        let sizes = options.sizes(1_000).unwrap();
        assert_eq!((sizes.min, sizes.target, sizes.max), (75, 100, 100));
    }

    #[test]
    fn a_share_of_deleted_rows_lies_between_none_and_all() {
        for ratio in [-0.1, 1.1, f64::NAN] {
            let options = Options { delete_ratio_threshold: ratio, ..Options::default() };
            assert!(options.sizes(10).unwrap_err().contains("delete-ratio-threshold"), "{ratio}");
        }
    }

    #[test]
    fn sizes_that_contradict_each_other_are_refused() {
        let options = Options::default();
        let refused = [
            Options { min_file_size_bytes: Some(11), ..options.clone() },
            Options { max_file_size_bytes: Some(9), ..options.clone() },
            Options { target_file_size_bytes: Some(0), ..options.clone() },
            Options { max_file_group_size_bytes: 9, ..options },
        ];
        for options in refused {
            assert!(options.sizes(10).unwrap_err().contains("size-bytes"), "{options:?}");
        }
    }
}
