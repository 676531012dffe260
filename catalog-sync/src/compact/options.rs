//! What a user says about a compaction, under the names that Iceberg's `rewrite_data_files` has for it.

use std::collections::BTreeSet;

use clap::ValueEnum;
use iceberg::spec::TableMetadata;
use schemas::partition::PartitionKey;

use super::filter::Filter;
use super::jobs::JobOrder;
use super::order::SortOrder;
use super::plan::Sizes;
use super::sort::{MEMORY_BYTES_MIN, Sort};

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
    /// Groups that come first.
    pub job_order: JobOrder,
    /// Files that are rewritten, at most.
    pub max_files_to_rewrite: Option<usize>,
    /// Whether rows are sorted.
    pub strategy: Strategy,
    /// By what, if not by the table's sort order, or by visit if it has none.
    pub sort_order: Option<SortOrder>,
    /// Memory of each sort, in bytes.
    pub sort_memory_bytes: u64,
    /// Leave out rows that repeat an event of their partition.
    pub dedupe: bool,
    /// Groups that are rewritten at once.
    pub max_concurrent_rewrites: usize,
    /// Commit what is done before all is done.
    pub partial_progress: bool,
    /// Commits at most, with partial progress.
    pub max_commits: usize,
    /// Commits that may fail, with partial progress, before the rest is left.
    pub max_failed_commits: usize,
}

/// How the rows of a group lie afterwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Strategy {
    /// As before: in the order of the files, and in them in that of the rows.
    #[default]
    Binpack,
    /// Sorted across all files of the group.
    Sort,
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
            job_order: JobOrder::default(),
            max_files_to_rewrite: None,
            strategy: Strategy::default(),
            sort_order: None,
            sort_memory_bytes: 512 * 1024 * 1024,
            dedupe: false,
            max_concurrent_rewrites: 1,
            partial_progress: true,
            max_commits: 10,
            max_failed_commits: 0,
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
            sort: false,
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

impl Options {
    /// How rows are sorted in this table; none if they are not.
    ///
    /// # Errors
    /// A sentence about options that contradict each other, or a sort order of the table that cannot be followed.
    pub(super) fn sort(&self, metadata: &TableMetadata) -> Result<Option<Sort>, String> {
        let memory_bytes = self.sort_memory_bytes;
        if memory_bytes < MEMORY_BYTES_MIN {
            return Err(format!("sort-memory-bytes ({memory_bytes}) must be {MEMORY_BYTES_MIN} at least"));
        }
        let order = match (self.strategy, &self.sort_order) {
            (Strategy::Binpack, Some(order)) => {
                return Err(format!("sort-order ({order}) is for the strategy sort, and the strategy is binpack"));
            }
            (Strategy::Binpack, None) => return Ok(None),
            (Strategy::Sort, Some(order)) => order.clone(),
            (Strategy::Sort, None) => SortOrder::of_table(metadata)?.unwrap_or_else(SortOrder::by_session),
        };
        let is_tables = SortOrder::of_table(metadata) == Ok(Some(order.clone()));
        let order_id = is_tables.then(|| i32::try_from(metadata.default_sort_order_id()).ok()).flatten();
        Ok(Some(Sort { order, order_id, memory_bytes }))
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
    fn rows_are_sorted_by_visit_unless_it_is_said_otherwise() {
        let table = crate::datafile::testing::table();
        assert_eq!(Options::default().sort(&table), Ok(None));
        let options = Options { strategy: Strategy::Sort, ..Options::default() };
        let sort = options.sort(&table).unwrap().unwrap();
        assert_eq!((sort.order, sort.order_id), (SortOrder::by_session(), None), "the table has no order of its own");
        let by_user = SortOrder::parse("user_id").unwrap();
        let options = Options { sort_order: Some(by_user.clone()), ..options };
        assert_eq!(options.sort(&table).unwrap().unwrap().order, by_user);
        let without = Options { strategy: Strategy::Binpack, ..options.clone() };
        assert!(without.sort(&table).unwrap_err().contains("user_id"));
        assert!(Options { sort_memory_bytes: 1, ..options }.sort(&table).unwrap_err().contains("sort-memory-bytes"));
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
