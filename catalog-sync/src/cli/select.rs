//! Which files a compaction takes: arguments that `catalog-sync compact` and `catalog-sync plan` share, under the names of
//! Iceberg's `rewrite_data_files`.

use clap::Args;

use crate::compact::filter::Filter;
use crate::compact::jobs::JobOrder;
use crate::compact::options::{Options, Strategy};
use crate::compact::order::SortOrder;

/// What is too small, too large, too much deleted, and enough.
#[derive(Debug, Args)]
pub(super) struct SelectArgs {
    /// Only partitions for which this holds: a condition of SQL on event_timestamp_day and event_type
    #[arg(long = "where", value_name = "CONDITION", value_parser = Filter::parse)]
    filter: Option<Filter>,
    /// Bytes that a file should have [default: the table property write.target-file-size-bytes]
    #[arg(long)]
    target_file_size_bytes: Option<u64>,
    /// Rewrite files that are smaller [default: three quarters of the target]
    #[arg(long)]
    min_file_size_bytes: Option<u64>,
    /// Rewrite files that are larger [default: 1.8 times the target]
    #[arg(long)]
    max_file_size_bytes: Option<u64>,
    /// Bytes of the files that are rewritten together, at most
    #[arg(long, default_value_t = Options::default().max_file_group_size_bytes)]
    max_file_group_size_bytes: u64,
    /// Small files of a partition that are rewritten although they do not fill a file
    #[arg(long, default_value_t = Options::default().min_input_files, value_parser = at_least_one)]
    min_input_files: usize,
    /// Rewrite files that so many position delete files name [default: none for their number alone]
    #[arg(long, value_parser = at_least_one)]
    delete_file_threshold: Option<usize>,
    /// Rewrite files of which this share of the rows is deleted, from 0 to 1
    #[arg(long, default_value_t = Options::default().delete_ratio_threshold)]
    delete_ratio_threshold: f64,
    /// Rewrite every file, whatever its size
    #[arg(long)]
    rewrite_all: bool,
    /// Which groups of files come first
    #[arg(long, value_enum, default_value_t)]
    job_order: JobOrder,
    /// Files that are rewritten, at most
    #[arg(long, value_parser = at_least_one)]
    max_files_to_rewrite: Option<usize>,
    /// Whether rows stay in their order or are sorted
    #[arg(long, value_enum, default_value_t)]
    strategy: Strategy,
    /// What to sort by [default: the table's sort order, else session_id ASC, event_timestamp ASC]
    #[arg(long, value_name = "COLUMNS", value_parser = SortOrder::parse)]
    sort_order: Option<SortOrder>,
}

impl SelectArgs {
    pub(super) fn options(self) -> Options {
        let defaults = Options::default();
        Options {
            target_file_size_bytes: self.target_file_size_bytes,
            min_file_size_bytes: self.min_file_size_bytes,
            max_file_size_bytes: self.max_file_size_bytes,
            max_file_group_size_bytes: self.max_file_group_size_bytes,
            min_input_files: self.min_input_files,
            delete_file_threshold: self.delete_file_threshold.unwrap_or(defaults.delete_file_threshold),
            delete_ratio_threshold: self.delete_ratio_threshold,
            rewrite_all: self.rewrite_all,
            filter: self.filter,
            job_order: self.job_order,
            max_files_to_rewrite: self.max_files_to_rewrite,
            strategy: self.strategy,
            sort_order: self.sort_order,
            ..defaults
        }
    }
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "it must be a whole number above 0".to_owned())
}
