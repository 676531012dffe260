//! The I/O of one group: its files are read, their rows written into few, and both compared.
//!
//! ```text
//!   read (async)  ── rows ──>  sort, if asked for (a task)  ── rows ──>  encode (a thread)  ── files ──>  upload (async)
//! ```
//!
//! In memory are at most a row group of a file that is read (or of some small files), the file that is being written, one that
//! waits and one that is being stored, some batches of rows, the places of deleted rows, and what the sort may take; files are as
//! large as `write.target-file-size-bytes` says. Each file is decoded again before it is stored. What was stored belongs to no
//! snapshot yet. Called by [`super::compact`].

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_schema::ArrowError;
use datafusion::error::DataFusionError;
use futures::{TryStreamExt, stream};
use iceberg::spec::{DataFile, NameMapping};
use parquet::errors::ParquetError;
use schemas::partition::{PartitionKey, day_of};
use tokio::sync::mpsc;

use super::commit::Reading;
use super::deletes;
use super::encode::Encoding;
use super::plan::{FileGroup, Sizes};
use super::read;
use super::rows::{RowSum, RowSummer};
use super::sort::{BrokenOff, Rows, Sort, pass_sorted};
use crate::datafile::layout::TableLayout;
use crate::datafile::settings::WriterSettings;
use crate::datafile::upload::{UploadError, upload};
use crate::deletes::Places;

/// Batches that wait between reading and writing.
const BATCHES_WAITING: usize = 2;

/// A group was not rewritten. Its files are as they were; what was stored belongs to nobody.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// A file of it cannot be read.
    #[error("cannot read: {0}")]
    Read(#[from] iceberg::Error),
    /// Its rows do not fit the table.
    #[error("its rows do not fit the table: {0}")]
    Rows(#[from] ArrowError),
    /// Its rows cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] ParquetError),
    /// A file cannot be stored.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// Rows of another partition, by time or type, or without one.
    #[error("rows of a file are not in the partition that the table's manifests have it in, see `catalog-sync verify`")]
    NotInPartition,
    /// What was written is not what was read.
    #[error(
        "{read} rows were read, the manifests tell of {expected} that are not deleted, {left_out} were left out as repeats, and \
         {written} were written: they are not the same, see `catalog-sync verify`"
    )]
    NotTheSame {
        /// Rows by the manifests, less those that delete files name.
        expected: u64,
        /// Rows read.
        read: u64,
        /// Rows left out since they repeat an event.
        left_out: u64,
        /// Rows written.
        written: u64,
    },
    /// Its rows cannot be sorted in the memory and on the disk that there are.
    #[error("cannot sort: {0}")]
    Sort(Box<DataFusionError>),
    /// What was written is not sorted.
    #[error("the rows that were written are not in the order that was asked for")]
    NotInOrder,
    /// The thread that encodes has ended.
    #[error("encoding was broken off")]
    BrokenOff,
}

impl GroupError {
    pub(super) fn sort(error: DataFusionError) -> Self {
        Self::Sort(Box::new(error))
    }
}

/// How rows become files.
pub(super) struct Tools {
    pub(super) layout: Arc<TableLayout>,
    pub(super) settings: WriterSettings,
    pub(super) sizes: Sizes,
    /// Ids of columns by name, for files that do not have them.
    pub(super) name_mapping: Option<Arc<NameMapping>>,
    /// How rows are sorted; none if they stay in the order of the files.
    pub(super) sort: Option<Sort>,
    /// Groups that are rewritten at once.
    pub(super) at_once: usize,
}

/// What a group has become.
pub(super) struct New {
    pub(super) files: Vec<DataFile>,
    /// Rows that were deleted before, and are in none of them.
    pub(super) deleted: u64,
    /// Rows that repeat an event, and are in none of them.
    pub(super) repeats: u64,
}

/// Writes the rows of a group into new files, without those that are deleted or repeats.
///
/// # Errors
/// [`GroupError`].
pub(super) async fn write(reading: &Reading, group: &FileGroup) -> Result<New, GroupError> {
    let (store, tools) = (&reading.base.store, &reading.tools);
    let places = deletes::places(&reading.deletes, &group.files, &store.file_io()).await?;
    let deleted = places.values().map(Places::len).sum();
    let repeats = group.repeats();
    let expected = group.rows().saturating_sub(deleted);
    let (out, rows) = mpsc::channel(BATCHES_WAITING);
    let (to_encode, sorting) = match tools.sort.clone() {
        None => (rows, None),
        Some(sort) => {
            let (out, sorted) = mpsc::channel(BATCHES_WAITING);
            (sorted, Some(tokio::spawn(pass_sorted(Arc::clone(tools.layout.schema()), sort, rows, out))))
        }
    };
    let (files, to_store) = mpsc::channel(1);
    let encoding = Encoding::new(tools, group, expected.saturating_sub(repeats))?;
    let encode = tokio::task::spawn_blocking(move || encoding.run(to_encode, &files));
    let stored = stream::unfold(to_store, |mut files| async { files.recv().await.map(|file| (file, files)) });
    let (read, stored) =
        tokio::join!(read(reading, group, &places, out), upload(store, &tools.layout, stored, "compact", 1));
    let encoded = encode.await.map_err(|_| GroupError::BrokenOff)?;
    let sorted = match sorting {
        Some(sorting) => sorting.await.map_err(|_| GroupError::BrokenOff)?,
        None => Ok(()),
    };
    // The first cause: when one of them ends, the others break off.
    let read = read?;
    sorted.map_err(GroupError::sort)?;
    match (encoded, stored) {
        (Err(error @ GroupError::BrokenOff), Ok(_)) => Err(error),
        (Err(GroupError::BrokenOff), Err(error)) => Err(error.into()),
        (Err(error), _) => Err(error),
        (_, Err(error)) => Err(error.into()),
        (Ok(written), Ok(files)) => {
            read.check(written, expected, repeats)?;
            Ok(New { files, deleted, repeats })
        }
    }
}

/// Reads the files of a group and hands the rows on that are wanted; ends early when nobody takes them any more.
async fn read(
    reading: &Reading,
    group: &FileGroup,
    deleted: &HashMap<String, Places>,
    out: mpsc::Sender<Rows>,
) -> Result<Read, GroupError> {
    let read = read_into(reading, group, deleted, &out).await;
    if read.is_err() {
        // Else the rows would seem to be at their end. Nobody takes them any more if this fails.
        out.send(Err(BrokenOff)).await.ok();
    }
    read
}

async fn read_into(
    reading: &Reading,
    group: &FileGroup,
    deleted: &HashMap<String, Places>,
    out: &mpsc::Sender<Rows>,
) -> Result<Read, GroupError> {
    let layout = &reading.tools.layout;
    let field_ids: Vec<i32> = layout.columns().iter().map(|column| column.field_id).collect();
    let mut parts = pin!(read::parts(reading, &group.files, &field_ids)?);
    let (mut live, mut repeats) = (RowSummer::new(layout.schema()), RowSummer::new(layout.schema()));
    while let Some(mut part) = parts.try_next().await? {
        part.rows = layout.arrange(&part.rows)?;
        if !is_in(&part.rows, &group.key) {
            return Err(GroupError::NotInPartition);
        }
        let Some(file) = group.files.get(part.file) else { continue };
        let mut rows = part.without(deleted.get(&file.location))?;
        live.add(&rows)?;
        if part.has(&file.repeats) {
            let is_deleted = |place| deleted.get(&file.location).is_some_and(|places| places.contains(place));
            repeats.add(&part.pick(|place| file.repeats.contains(place) && !is_deleted(place))?)?;
            rows = part.pick(|place| !file.repeats.contains(place) && !is_deleted(place))?;
        }
        if rows.num_rows() > 0 && out.send(Ok(rows)).await.is_err() {
            break;
        }
    }
    Ok(Read { live: live.sum(), repeats: repeats.sum() })
}

/// Whether all rows are of this partition.
fn is_in(batch: &RecordBatch, key: &PartitionKey) -> bool {
    let times =
        batch.column_by_name("event_timestamp").and_then(|it| it.as_primitive_opt::<TimestampMicrosecondType>());
    let types = batch.column_by_name("event_type").and_then(|it| it.as_string_opt::<i32>());
    let (Some(times), Some(types)) = (times, types) else { return false };
    let of_day = times.iter().all(|time| time.is_some_and(|time| day_of(time) == key.day));
    of_day && types.iter().all(|text| text == Some(key.event_type.as_str()))
}

/// The rows that were read.
#[derive(Debug, Clone, Copy)]
struct Read {
    /// Those that are not deleted.
    live: RowSum,
    /// Those of them that repeat an event.
    repeats: RowSum,
}

impl Read {
    /// Whether what was written is what was read but for the repeats, and both are as many as they should be.
    fn check(&self, written: RowSum, expected: u64, repeats: u64) -> Result<(), GroupError> {
        let is_counted = self.live.rows == expected && self.repeats.rows == repeats;
        if is_counted && written.and(self.repeats) == self.live {
            return Ok(());
        }
        let (read, left_out, written) = (self.live.rows, self.repeats.rows, written.rows);
        Err(GroupError::NotTheSame { expected, read, left_out, written })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datafile::testing::{DAY, clicks, key};

    #[test]
    fn rows_of_another_day_or_type_or_without_one_are_noticed() {
        let batch = clicks(10);
        assert!(is_in(&batch, &key("click")));
        assert!(!is_in(&batch, &key("scroll")));
        assert!(!is_in(&batch, &PartitionKey { day: DAY + 1, ..key("click") }));
        let without =
            crate::datafile::testing::batch(10, |name, row| (name != "event_type" || row != 7).then(|| "click".into()));
        assert!(!is_in(&without, &key("click")));
    }

    #[test]
    fn as_many_rows_that_are_others_are_not_the_same() -> Result<(), GroupError> {
        let sum = |batch: &RecordBatch| -> Result<RowSum, ArrowError> {
            let mut summer = RowSummer::new(&batch.schema());
            summer.add(batch)?;
            Ok(summer.sum())
        };
        let (live, other, none) = (sum(&clicks(10))?, sum(&clicks(20).slice(10, 10))?, RowSum::default());
        let (kept, repeats) = (sum(&clicks(8))?, sum(&clicks(10).slice(8, 2))?);
        Read { live, repeats: none }.check(live, 10, 0)?;
        Read { live, repeats }.check(kept, 10, 2)?;
        let wrong = [
            (none, other, 10, 0),
            (none, live, 11, 0),
            (none, kept, 10, 0),
            (repeats, live, 10, 2),
            (repeats, kept, 10, 3),
            (sum(&clicks(2))?, kept, 10, 2),
        ];
        for (repeats, written, expected, counted) in wrong {
            let error = Read { live, repeats }.check(written, expected, counted);
            assert!(matches!(error, Err(GroupError::NotTheSame { .. })), "{error:?}");
        }
        Ok(())
    }
}
