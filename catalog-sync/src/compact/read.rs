//! The rows of data files, as a stream that knows where each batch lies in its file.
//!
//! Files are read in their order, so that rows that came together stay together; small ones are opened ahead. Rows are picked by
//! their places, which is how deleted ones are left out. Called by [`super::write`] and
//! [`super::repeats`].

use std::future::ready;
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::filter::filter_record_batch;
use futures::{Stream, StreamExt, TryFutureExt, TryStreamExt, stream};
use iceberg::Runtime;
use iceberg::arrow::{ArrowReader, ArrowReaderBuilder};
use iceberg::scan::{ArrowRecordBatchStream, FileScanTask};
use iceberg::spec::DataFileFormat;

use super::commit::Reading;
use super::plan::FileFact;
use crate::deletes::Places;

/// Rows that are read at a time.
pub(super) const BATCH_ROWS: usize = 8_192;
/// Files that are opened ahead, if they are small.
const OPEN_AHEAD: u64 = 4;

/// Rows that lie side by side in one file.
pub(super) struct Part {
    /// The place of the file among those that are read.
    pub(super) file: usize,
    /// The place of its first row in the file.
    pub(super) first: u64,
    /// The rows.
    pub(super) rows: RecordBatch,
}

impl Part {
    /// The rows at places for which `is_picked` says so.
    ///
    /// # Errors
    /// Arrow's.
    pub(super) fn pick(&self, is_picked: impl Fn(u64) -> bool) -> Result<RecordBatch, ArrowError> {
        let places = self.first..self.end();
        let picked: BooleanArray = places.map(|place| Some(is_picked(place))).collect();
        filter_record_batch(&self.rows, &picked)
    }

    /// The rows that are not at these places, if there are any.
    ///
    /// # Errors
    /// Arrow's.
    pub(super) fn without(&self, places: Option<&Places>) -> Result<RecordBatch, ArrowError> {
        match places.filter(|places| self.has(places)) {
            Some(places) => self.pick(|place| !places.contains(place)),
            None => Ok(self.rows.clone()),
        }
    }

    /// Whether a row is at one of these places.
    pub(super) fn has(&self, places: &Places) -> bool {
        places.range_cardinality(self.first..self.end()) > 0
    }

    fn end(&self) -> u64 {
        self.first + self.rows.num_rows() as u64
    }
}

/// All rows of these files, deleted ones included, with the columns of these field ids.
///
/// # Errors
/// A file cannot be read, which ends the stream; or there is no runtime.
pub(super) fn parts<'a>(
    reading: &'a Reading,
    files: &'a [FileFact],
    field_ids: &'a [i32],
) -> iceberg::Result<impl Stream<Item = iceberg::Result<Part>> + Send + use<'a>> {
    let reader = ArrowReaderBuilder::new(reading.base.store.file_io(), Runtime::try_current()?)
        .with_data_file_concurrency_limit(1)
        .with_batch_size(BATCH_ROWS)
        .build();
    let open = |(place, file): (usize, &FileFact)| {
        open(reader.clone(), task(reading, file, field_ids)).map_ok(move |opened| (place, opened))
    };
    let opened: Vec<_> = files.iter().enumerate().map(open).collect();
    let largest = files.iter().map(|file| file.bytes).max().unwrap_or(0);
    let ahead = (reading.tools.sizes.target / largest.max(1)).clamp(1, OPEN_AHEAD);
    let opened = stream::iter(opened).buffered(usize::try_from(ahead).unwrap_or(1));
    let numbered = |(file, (first, rest)): (usize, (Option<RecordBatch>, ArrowRecordBatchStream))| {
        stream::iter(first.map(Ok)).chain(rest).scan(0, move |next, rows| {
            let part = rows.map(|rows| Part { file, first: *next, rows });
            *next += part.as_ref().map_or(0, |part| part.rows.num_rows() as u64);
            ready(Some(part))
        })
    };
    Ok(opened.map_ok(numbered).try_flatten())
}

fn task(reading: &Reading, file: &FileFact, field_ids: &[i32]) -> FileScanTask {
    FileScanTask::builder()
        .with_file_size_in_bytes(file.bytes)
        .with_start(0)
        .with_length(file.bytes)
        .with_record_count(Some(file.rows))
        .with_data_file_path(file.location.clone())
        .with_data_file_format(DataFileFormat::Parquet)
        .with_schema(Arc::clone(reading.base.loaded.metadata().current_schema()))
        .with_project_field_ids(field_ids.to_vec())
        .with_name_mapping(reading.tools.name_mapping.clone())
        .with_case_sensitive(true)
        .build()
}

/// The first rows of a file, and the others.
async fn open(
    reader: ArrowReader,
    task: FileScanTask,
) -> iceberg::Result<(Option<RecordBatch>, ArrowRecordBatchStream)> {
    let mut rows = reader.read(stream::iter([Ok(task)]).boxed())?.stream();
    Ok((rows.try_next().await?, rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datafile::testing::clicks;

    #[test]
    fn rows_are_left_out_by_their_places_in_the_file() -> Result<(), ArrowError> {
        let rows = clicks(20);
        let part = Part { file: 0, first: 10, rows: rows.slice(10, 10) };
        let places: Places = [0, 9, 10, 13, 19, 20].into_iter().collect();
        let left = part.without(Some(&places))?;
        assert_eq!(left.num_rows(), 7);
        assert_eq!(left.slice(0, 2), rows.slice(11, 2));
        assert_eq!(left.slice(2, 5), rows.slice(14, 5));
        let elsewhere: Places = [1, 25].into_iter().collect();
        assert_eq!(part.without(Some(&elsewhere))?, part.rows);
        Ok(())
    }
}
