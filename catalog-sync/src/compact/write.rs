//! The I/O of one group: its files are read, their rows written into few, and both compared.
//!
//! ```text
//!   read (async)  ── batches ──>  encode and compare (a thread)  ── files ──>  upload (async)
//! ```
//!
//! In memory are at most a row group of a file that is read (or of some small files), the file that is being written, one that
//! waits and one that is being stored, some batches of rows, and the places of deleted rows; files are as large as
//! `write.target-file-size-bytes` says. Each file is decoded again before it is stored. What was stored belongs to no snapshot
//! yet. Called by [`super::compact`].

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_schema::ArrowError;
use futures::{TryStreamExt, stream};
use iceberg::spec::{DataFile, NameMapping};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use schemas::partition::{PartitionKey, day_of};
use tokio::sync::mpsc;

use super::commit::Reading;
use super::deletes;
use super::plan::{FileGroup, Sizes};
use super::read::{self, BATCH_ROWS};
use super::rows::{RowSum, RowSummer};
use crate::datafile::EncodedFile;
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
        "{read} rows were read, the manifests tell of {expected} that are not deleted, and {written} were written: they are not \
         the same, see `catalog-sync verify`"
    )]
    NotTheSame {
        /// Rows by the manifests, less those that delete files name.
        expected: u64,
        /// Rows read.
        read: u64,
        /// Rows written.
        written: u64,
    },
    /// The thread that encodes has ended.
    #[error("encoding was broken off")]
    BrokenOff,
}

/// How rows become files.
pub(super) struct Tools {
    pub(super) layout: Arc<TableLayout>,
    pub(super) settings: WriterSettings,
    pub(super) sizes: Sizes,
    /// Ids of columns by name, for files that do not have them.
    pub(super) name_mapping: Option<Arc<NameMapping>>,
    /// Groups that are rewritten at once.
    pub(super) at_once: usize,
}

/// What a group has become.
pub(super) struct New {
    pub(super) files: Vec<DataFile>,
    /// Rows that were deleted before, and are in none of them.
    pub(super) deleted: u64,
}

/// Writes the rows of a group into new files, without those that are deleted.
///
/// # Errors
/// [`GroupError`].
pub(super) async fn write(reading: &Reading, group: &FileGroup) -> Result<New, GroupError> {
    let (store, tools) = (&reading.base.store, &reading.tools);
    let places = deletes::places(&reading.deletes, &group.files, &store.file_io()).await?;
    let deleted = places.values().map(Places::len).sum();
    let expected = group.rows().saturating_sub(deleted);
    let (batches, to_encode) = mpsc::channel(BATCHES_WAITING);
    let (files, to_store) = mpsc::channel(1);
    let encoding = Encoding::new(Arc::clone(tools), group, expected);
    let encode = tokio::task::spawn_blocking(move || encoding.run(to_encode, &files));
    let stored = stream::unfold(to_store, |mut files| async { files.recv().await.map(|file| (file, files)) });
    let (read, stored) =
        tokio::join!(read(reading, group, &places, batches), upload(store, &tools.layout, stored, "compact", 1));
    let encoded = encode.await.map_err(|_| GroupError::BrokenOff)?;
    // The first cause: when one of the three ends, the others break off.
    match (read, encoded, stored) {
        (Err(error), _, _) | (_, Err(error @ (GroupError::Write(_) | GroupError::Rows(_))), _) => Err(error),
        (_, _, Err(error)) => Err(error.into()),
        (_, Err(error), _) => Err(error),
        (Ok(read), Ok(written), Ok(files)) => Sums { read, written }.check(expected).map(|()| New { files, deleted }),
    }
}

/// Reads the files of a group and hands the rows on that are not deleted; ends early when nobody takes them any more.
async fn read(
    reading: &Reading,
    group: &FileGroup,
    deleted: &HashMap<String, Places>,
    batches: mpsc::Sender<RecordBatch>,
) -> Result<RowSum, GroupError> {
    let layout = &reading.tools.layout;
    let field_ids: Vec<i32> = layout.columns().iter().map(|column| column.field_id).collect();
    let mut parts = pin!(read::parts(reading, &group.files, &field_ids)?);
    let mut summer = RowSummer::new(layout.schema())?;
    while let Some(mut part) = parts.try_next().await? {
        part.rows = layout.arrange(&part.rows)?;
        if !is_in(&part.rows, &group.key) {
            return Err(GroupError::NotInPartition);
        }
        let deleted = group.files.get(part.file).and_then(|file| deleted.get(&file.location));
        let rows = deleted.map_or_else(|| Ok(part.rows.clone()), |places| part.without(places))?;
        if rows.num_rows() == 0 {
            continue;
        }
        summer.add(&rows)?;
        if batches.send(rows).await.is_err() {
            break;
        }
    }
    Ok(summer.sum())
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

/// What was read and what was written.
#[derive(Debug)]
struct Sums {
    read: RowSum,
    written: RowSum,
}

impl Sums {
    fn check(&self, expected: u64) -> Result<(), GroupError> {
        let Self { read, written } = self;
        if read == written && read.rows == expected {
            return Ok(());
        }
        Err(GroupError::NotTheSame { expected, read: read.rows, written: written.rows })
    }
}

/// Files of one group in the making.
struct Encoding {
    tools: Arc<Tools>,
    key: PartitionKey,
    /// Rows at which a file ends: what a file has in bytes is known when it is finished, and not before.
    file_rows: u64,
    open: Option<(ArrowWriter<Vec<u8>>, u64)>,
}

impl Encoding {
    fn new(tools: Arc<Tools>, group: &FileGroup, rows: u64) -> Self {
        let file_rows = rows.div_ceil(group.outputs(&tools.sizes)).max(1);
        Self { tools, key: group.key.clone(), file_rows, open: None }
    }

    /// Encodes until there is no more, or nobody takes the files any more.
    fn run(
        mut self,
        mut batches: mpsc::Receiver<RecordBatch>,
        files: &mpsc::Sender<EncodedFile>,
    ) -> Result<RowSum, GroupError> {
        let mut written = RowSummer::new(self.tools.layout.schema())?;
        while let Some(batch) = batches.blocking_recv() {
            if let Some(file) = self.push(&batch)? {
                self.hand_over(file, &mut written, files)?;
            }
        }
        if let Some((writer, rows)) = self.open.take() {
            let file = EncodedFile::finish(writer, self.key.clone(), rows)?;
            self.hand_over(file, &mut written, files)?;
        }
        Ok(written.sum())
    }

    /// Adds rows; a file that has enough is finished.
    fn push(&mut self, batch: &RecordBatch) -> Result<Option<EncodedFile>, ParquetError> {
        let (mut writer, rows) = match self.open.take() {
            Some(open) => open,
            None => (self.writer()?, 0),
        };
        writer.write(batch)?;
        let rows = rows + batch.num_rows() as u64;
        if rows >= self.file_rows {
            return EncodedFile::finish(writer, self.key.clone(), rows).map(Some);
        }
        self.open = Some((writer, rows));
        Ok(None)
    }

    fn writer(&self) -> Result<ArrowWriter<Vec<u8>>, ParquetError> {
        let properties = self.tools.settings.properties(self.file_rows);
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(self.tools.layout.schema()), options)
    }

    /// Decodes a finished file, to see what is in it, and hands it on.
    fn hand_over(
        &self,
        file: EncodedFile,
        written: &mut RowSummer,
        files: &mpsc::Sender<EncodedFile>,
    ) -> Result<(), GroupError> {
        let options = ArrowReaderOptions::new().with_schema(Arc::clone(self.tools.layout.schema()));
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file.bytes.clone(), options)?;
        for batch in reader.with_batch_size(BATCH_ROWS).build()? {
            written.add(&batch?)?;
        }
        files.blocking_send(file).map_err(|_| GroupError::BrokenOff)
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
            let mut summer = RowSummer::new(&batch.schema())?;
            summer.add(batch)?;
            Ok(summer.sum())
        };
        let (read, other) = (sum(&clicks(10))?, sum(&clicks(20).slice(10, 10))?);
        Sums { read, written: read }.check(10)?;
        for (written, listed) in [(other, 10), (read, 11), (sum(&clicks(9))?, 10)] {
            let error = Sums { read, written }.check(listed);
            assert!(matches!(error, Err(GroupError::NotTheSame { .. })), "{error:?}");
        }
        Ok(())
    }
}
