//! The I/O of one group: its files are read, their rows written into few, and both compared.
//!
//! ```text
//!   read (async)  ── batches ──>  encode and compare (a thread)  ── files ──>  upload (async)
//! ```
//!
//! Files are read in their order, so that rows that came together stay together; small ones are opened ahead. In memory are at
//! most a row group of a file that is read (or of some small files), the file that is being written, one that waits and one that is
//! being stored, and some batches of rows; files are as large as `write.target-file-size-bytes` says. Each file is decoded again
//! before it is stored. What was stored belongs to no
//! snapshot yet. Called by [`super::compact`].

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_schema::ArrowError;
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::Runtime;
use iceberg::arrow::{ArrowReader, ArrowReaderBuilder};
use iceberg::scan::{ArrowRecordBatchStream, FileScanTask};
use iceberg::spec::{DataFile, DataFileFormat, NameMapping};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use schemas::partition::{PartitionKey, day_of};
use tokio::sync::mpsc;

use super::plan::{FileFact, FileGroup, Sizes};
use super::rows::{RowSum, RowSummer};
use crate::datafile::EncodedFile;
use crate::datafile::layout::TableLayout;
use crate::datafile::settings::WriterSettings;
use crate::datafile::upload::{UploadError, upload};
use crate::replace::Base;

/// Rows that are read at a time.
const BATCH_ROWS: usize = 8_192;
/// Batches that wait between reading and writing.
const BATCHES_WAITING: usize = 2;
/// Files that are opened ahead, if they are small.
const OPEN_AHEAD: u64 = 4;

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
        "{read} rows were read, the manifests tell of {listed}, and {written} were written: they are not the same, see \
         `catalog-sync verify`"
    )]
    NotTheSame {
        /// Rows by the manifests.
        listed: u64,
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
}

/// Writes the rows of a group into new files.
///
/// # Errors
/// [`GroupError`].
pub(super) async fn write(base: &Base, tools: &Arc<Tools>, group: &FileGroup) -> Result<Vec<DataFile>, GroupError> {
    let (batches, to_encode) = mpsc::channel(BATCHES_WAITING);
    let (files, to_store) = mpsc::channel(1);
    let encoding = Encoding::new(Arc::clone(tools), group);
    let encode = tokio::task::spawn_blocking(move || encoding.run(to_encode, &files));
    let stored = stream::unfold(to_store, |mut files| async { files.recv().await.map(|file| (file, files)) });
    let (read, stored) =
        tokio::join!(read(base, tools, group, batches), upload(&base.store, &tools.layout, stored, "compact", 1));
    let encoded = encode.await.map_err(|_| GroupError::BrokenOff)?;
    // The first cause: when one of the three ends, the others break off.
    match (read, encoded, stored) {
        (Err(error), _, _) | (_, Err(error @ (GroupError::Write(_) | GroupError::Rows(_))), _) => Err(error),
        (_, _, Err(error)) => Err(error.into()),
        (_, Err(error), _) => Err(error),
        (Ok(()), Ok(sums), Ok(files)) => sums.check(group.rows()).map(|()| files),
    }
}

/// Reads the files of a group and hands their rows on; ends early when nobody takes them any more.
async fn read(
    base: &Base,
    tools: &Tools,
    group: &FileGroup,
    batches: mpsc::Sender<RecordBatch>,
) -> Result<(), GroupError> {
    let schema = base.loaded.metadata().current_schema();
    let task = |file: &FileFact| {
        FileScanTask::builder()
            .with_file_size_in_bytes(file.bytes)
            .with_start(0)
            .with_length(file.bytes)
            .with_record_count(Some(file.rows))
            .with_data_file_path(file.location.clone())
            .with_data_file_format(DataFileFormat::Parquet)
            .with_schema(Arc::clone(schema))
            .with_project_field_ids(tools.layout.columns().iter().map(|column| column.field_id).collect())
            .with_name_mapping(tools.name_mapping.clone())
            .with_case_sensitive(true)
            .build()
    };
    let reader = ArrowReaderBuilder::new(base.store.file_io(), Runtime::try_current()?)
        .with_data_file_concurrency_limit(1)
        .with_batch_size(BATCH_ROWS)
        .build();
    let opened: Vec<_> = group.files.iter().map(|file| open(reader.clone(), task(file))).collect();
    let largest = group.files.iter().map(|file| file.bytes).max().unwrap_or(0);
    let ahead = (tools.sizes.target / largest.max(1)).clamp(1, OPEN_AHEAD);
    let mut opened = stream::iter(opened).buffered(usize::try_from(ahead).unwrap_or(1));
    while let Some((first, rest)) = opened.try_next().await? {
        let mut rows = stream::iter(first.map(Ok)).chain(rest);
        while let Some(batch) = rows.try_next().await? {
            let batch = tools.layout.arrange(&batch)?;
            if !is_in(&batch, &group.key) {
                return Err(GroupError::NotInPartition);
            }
            if batches.send(batch).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The first rows of a file, and the others.
async fn open(
    reader: ArrowReader,
    task: FileScanTask,
) -> iceberg::Result<(Option<RecordBatch>, ArrowRecordBatchStream)> {
    let mut rows = reader.read(stream::iter([Ok(task)]).boxed())?.stream();
    Ok((rows.try_next().await?, rows))
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
    fn check(&self, listed: u64) -> Result<(), GroupError> {
        let Self { read, written } = self;
        if read == written && read.rows == listed {
            return Ok(());
        }
        Err(GroupError::NotTheSame { listed, read: read.rows, written: written.rows })
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
    fn new(tools: Arc<Tools>, group: &FileGroup) -> Self {
        let outputs = tools.sizes.outputs(group.bytes());
        let file_rows = group.rows().div_ceil(outputs);
        Self { tools, key: group.key.clone(), file_rows, open: None }
    }

    /// Encodes until there is no more, or nobody takes the files any more.
    fn run(
        mut self,
        mut batches: mpsc::Receiver<RecordBatch>,
        files: &mpsc::Sender<EncodedFile>,
    ) -> Result<Sums, GroupError> {
        let schema = self.tools.layout.schema();
        let (mut read, mut written) = (RowSummer::new(schema)?, RowSummer::new(schema)?);
        while let Some(batch) = batches.blocking_recv() {
            read.add(&batch)?;
            let file = self.push(&batch)?;
            if let Some(file) = file {
                self.hand_over(file, &mut written, files)?;
            }
        }
        if let Some((writer, rows)) = self.open.take() {
            let file = EncodedFile::finish(writer, self.key.clone(), rows)?;
            self.hand_over(file, &mut written, files)?;
        }
        Ok(Sums { read: read.sum(), written: written.sum() })
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
