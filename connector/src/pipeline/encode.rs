//! Batches in, Parquet files in memory out: one writer for each partition key (`write.distribution-mode=hash`).
//!
//! A commit leaves one file for each key, as long as it stays under the target size, so that files stay few. Small batches
//! of a key are gathered before they meet the Parquet writer, which pays for each call and each of its 26 columns; a key
//! that never gathers enough is encoded in one go at the end, with bloom filters of just the right size.
//!
//! Everything held is counted in [`Encoder::bytes`]: waiting rows, open row groups, finished files. The task compares it
//! with its budget. An encoder serves one batch of offsets; work on it is CPU only, so call it off the async threads.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use schemas::partition::PartitionKey;

use super::layout::TableLayout;
use super::settings::WriterSettings;

/// Rows of a key that are gathered before they are encoded.
const GATHER_ROWS: usize = 8192;

/// Rows that the bloom filters of a file are made for when its final size is not known.
const OPEN_FILE_ROWS: u64 = 128 * 1024;

/// A data file that is complete and still in memory.
#[derive(Debug, Clone)]
pub struct EncodedFile {
    /// Its partition.
    pub key: PartitionKey,
    /// The file.
    pub bytes: Bytes,
    /// Rows in it, at least 1.
    pub rows: u64,
    /// Its footer, from which the catalog's metrics are made.
    pub footer: ParquetMetaData,
}

/// Why rows could not be encoded. The batch is lost to this attempt; its offsets are not committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The batch does not have the columns of the table.
    #[error("cannot encode rows of partition {key}: {source}")]
    Batch {
        /// Partition of the rows.
        key: PartitionKey,
        /// What is wrong with them.
        source: ArrowError,
    },
    /// Parquet refused.
    #[error("cannot write the file of partition {key}: {source}")]
    Parquet {
        /// Partition of the file.
        key: PartitionKey,
        /// What it says.
        source: ParquetError,
    },
}

/// One partition key's rows on their way into files.
#[derive(Default)]
struct Lane {
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    waiting_bytes: u64,
    open: Option<OpenFile>,
}

struct OpenFile {
    writer: ArrowWriter<Vec<u8>>,
    rows: u64,
    bloom_bytes: u64,
}

/// Encodes the batches of one commit.
pub struct Encoder {
    layout: Arc<TableLayout>,
    settings: WriterSettings,
    lanes: BTreeMap<PartitionKey, Lane>,
    finished: Vec<EncodedFile>,
    bytes: u64,
    rows: u64,
}

impl Encoder {
    /// An encoder that holds nothing yet.
    #[must_use]
    pub fn new(layout: Arc<TableLayout>, settings: WriterSettings) -> Self {
        Self { layout, settings, lanes: BTreeMap::new(), finished: Vec::new(), bytes: 0, rows: 0 }
    }

    /// Takes rows of one partition, as [`schemas::partition::split`] cuts them; that they belong to `key` is not checked.
    ///
    /// # Errors
    /// [`EncodeError`]; the encoder is of no further use then.
    #[allow(clippy::needless_pass_by_value)] // The rows are the encoder's now: it counts them.
    pub fn push(&mut self, key: PartitionKey, batch: RecordBatch) -> Result<(), EncodeError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = match self.layout.arrange(&batch) {
            Ok(batch) => batch,
            Err(source) => return Err(EncodeError::Batch { key, source }),
        };
        self.rows += batch.num_rows() as u64;
        let mut lane = self.lanes.remove(&key).unwrap_or_default();
        let before = lane.bytes();
        lane.wait(batch);
        if lane.waiting_rows >= GATHER_ROWS {
            lane.encode(&key, &self.layout, &self.settings, OPEN_FILE_ROWS)?;
            if lane.encoded_bytes() >= self.settings.target_file_bytes() {
                self.finish_file(&key, &mut lane)?;
            }
        }
        self.bytes = (self.bytes + lane.bytes()).saturating_sub(before);
        self.lanes.insert(key, lane);
        Ok(())
    }

    /// Memory held, in bytes: waiting rows, encoded columns of open files, finished files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Rows taken.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Closes all files. Their rows sum up to [`Self::rows`].
    ///
    /// # Errors
    /// [`EncodeError`]; nothing of the batch may be used then.
    pub fn finish(mut self) -> Result<Vec<EncodedFile>, EncodeError> {
        for (key, mut lane) in mem::take(&mut self.lanes) {
            // With no file open these are all the rows of the last file.
            let rows = lane.open.as_ref().map_or(lane.waiting_rows as u64, |_| OPEN_FILE_ROWS);
            lane.encode(&key, &self.layout, &self.settings, rows)?;
            self.finish_file(&key, &mut lane)?;
        }
        Ok(self.finished)
    }

    fn finish_file(&mut self, key: &PartitionKey, lane: &mut Lane) -> Result<(), EncodeError> {
        let Some(mut open) = lane.open.take() else { return Ok(()) };
        let footer = open.writer.finish().map_err(|source| EncodeError::Parquet { key: key.clone(), source })?;
        let bytes = Bytes::from(mem::take(open.writer.inner_mut()));
        self.bytes += bytes.len() as u64;
        self.finished.push(EncodedFile { key: key.clone(), bytes, rows: open.rows, footer });
        Ok(())
    }
}

impl Lane {
    fn wait(&mut self, batch: RecordBatch) {
        self.waiting_rows += batch.num_rows();
        self.waiting_bytes += batch.get_array_memory_size() as u64;
        self.waiting.push(batch);
    }

    /// Memory held, in bytes.
    fn bytes(&self) -> u64 {
        let open =
            |file: &OpenFile| file.writer.memory_size() as u64 + file.writer.bytes_written() as u64 + file.bloom_bytes;
        self.waiting_bytes + self.open.as_ref().map_or(0, open)
    }

    /// Size that the open file would have, were it closed now.
    fn encoded_bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |file| (file.writer.bytes_written() + file.writer.in_progress_size()) as u64)
    }

    /// Moves the waiting rows into the open file; opens one of about `rows` rows if there is none.
    fn encode(
        &mut self,
        key: &PartitionKey,
        layout: &TableLayout,
        settings: &WriterSettings,
        rows: u64,
    ) -> Result<(), EncodeError> {
        let batch = match self.waiting.as_slice() {
            [] => return Ok(()),
            [one] => one.clone(),
            many => concat_batches(layout.schema(), many)
                .map_err(|source| EncodeError::Batch { key: key.clone(), source })?,
        };
        (self.waiting_rows, self.waiting_bytes) = (0, 0);
        self.waiting.clear();
        let parquet = |source| EncodeError::Parquet { key: key.clone(), source };
        let file = match &mut self.open {
            Some(file) => file,
            none => none.insert(OpenFile::new(layout, settings, rows).map_err(parquet)?),
        };
        file.rows += batch.num_rows() as u64;
        file.writer.write(&batch).map_err(parquet)
    }
}

impl OpenFile {
    fn new(layout: &TableLayout, settings: &WriterSettings, rows: u64) -> Result<Self, ParquetError> {
        // The Arrow schema in the footer would be 4 KiB in each of many small files; Iceberg readers go by field id.
        let options =
            ArrowWriterOptions::new().with_properties(settings.properties(rows)).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(layout.schema()), options)?;
        Ok(Self { writer, rows: 0, bloom_bytes: settings.bloom_bytes(rows) })
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (lanes, finished) = (self.lanes.len(), self.finished.len());
        write!(f, "Encoder({} rows, {} bytes, {lanes} partitions, {finished} files)", self.rows, self.bytes)
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
