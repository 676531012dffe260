//! Which files a compaction takes: arguments that `catalog-sync compact` and `catalog-sync plan` share, under the names of
//! Iceberg's `rewrite_data_files`.

use clap::Args;

use crate::compact::filter::Filter;
use crate::compact::options::Options;

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
            ..defaults
        }
    }
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "it must be a whole number above 0".to_owned())
}
