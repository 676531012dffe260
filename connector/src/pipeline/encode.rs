//! Batches in, Parquet files in memory out: one file for each partition key (`write.distribution-mode=hash`), or more where
//! one would pass its target size.
//!
//! ```text
//!   rows ──> stage ── full ──> large lanes: a row group each, appended to the lane's open file
//!                         └──> small lanes: few rows in all stay in the stage, many become a compressed run
//!   finish:  open file + runs + stage, lane by lane ──> finished files, each handed over as soon as it is done
//! ```
//!
//! What is held is counted in [`Encoder::bytes`]; the task compares it with its budget. It does not grow with the number of
//! lanes: an open file keeps no column writers, since its row groups are closed at once (each of the 26 writers would hold
//! a hash table and a compressor, some megabytes a file), and lanes without a row group cost nothing but their rows. Small
//! lanes end as one row group each, large ones as several.
//!
//! An encoder serves one batch of offsets. Work on it is CPU only, on as many threads as it was told; call it off the
//! async threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use catalog_sync::datafile::EncodedFile;
use catalog_sync::datafile::layout::TableLayout;
use catalog_sync::datafile::settings::WriterSettings;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use schemas::partition::PartitionKey;

use super::parallel::on_threads;
use super::run::Run;
use super::stage::{Lanes, Place, Sorted, Stage};

/// Rows of a lane that are gathered at a time; a lane that has as many in the stage is always encoded.
const GATHER_ROWS: usize = 8_192;

/// The smallest row group that is made before the batch ends: below it, the fixed cost of 26 column chunks outweighs rows.
const GROUP_ROWS_MIN: usize = 256;

/// Rows that the bloom filters of a file are made for when more row groups may follow; they are folded to their fill.
const OPEN_FILE_ROWS: u64 = 128 * 1024;

/// What an open file holds beside its encoded rows, for each row group: what the footer says of 26 columns and their pages.
const GROUP_BYTES: u64 = 32 * 1024;

/// How much an encoder may hold, and how it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderLimits {
    /// Bytes of memory; when they are held, rows are encoded to make room.
    pub bytes_max: u64,
    /// Threads that encode at the same time.
    pub threads: usize,
}

/// Why rows could not be encoded. The batch is lost to this attempt; its offsets are not committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The batch does not have the columns of the table.
    #[error("cannot take rows: {0}")]
    Batch(#[from] ArrowError),
    /// Parquet refused.
    #[error("cannot write the file of partition {key}: {source}")]
    Parquet {
        /// Partition of the file.
        key: PartitionKey,
        /// What it says.
        source: ParquetError,
    },
    /// Rows of small lanes could not be set aside, or not be read back.
    #[error("cannot keep rows compressed in memory: {0}")]
    Run(ParquetError),
}

struct OpenFile {
    writer: ArrowWriter<Vec<u8>>,
    rows: u64,
}

/// Rows of one lane that become a row group of its file.
struct Job<'a> {
    lane: usize,
    file: Option<OpenFile>,
    pieces: Vec<RecordBatch>,
    places: &'a [Place],
}

/// What it takes to write a file.
struct Tools {
    layout: Arc<TableLayout>,
    settings: WriterSettings,
    limits: EncoderLimits,
}

/// Encodes the batches of one commit.
pub struct Encoder {
    tools: Tools,
    lanes: Lanes,
    stage: Stage,
    runs: Vec<Run>,
    open: BTreeMap<usize, OpenFile>,
    finished: Vec<EncodedFile>,
    rows: u64,
}

impl Encoder {
    /// An encoder that holds nothing yet.
    #[must_use]
    pub fn new(layout: Arc<TableLayout>, settings: WriterSettings, limits: EncoderLimits) -> Self {
        Self {
            tools: Tools { layout, settings, limits },
            lanes: Lanes::default(),
            stage: Stage::default(),
            runs: Vec::new(),
            open: BTreeMap::new(),
            finished: Vec::new(),
            rows: 0,
        }
    }

    /// Takes rows, whatever their partitions.
    ///
    /// # Errors
    /// [`EncodeError`]; the encoder is of no further use then.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = self.tools.layout.arrange(batch)?;
        self.rows += batch.num_rows() as u64;
        self.stage.push(&mut self.lanes, batch)?;
        if self.bytes() >= self.tools.limits.bytes_max { self.settle() } else { Ok(()) }
    }

    /// Memory held, in bytes: rows in the stage, and [`Self::encoded_bytes`].
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.stage.bytes() + self.encoded_bytes()
    }

    /// Memory held, in bytes, that cannot be made less: runs, encoded row groups, finished files. The more they are, the
    /// less room there is for rows, and the smaller the row groups become; the batch is best finished at half of its limit.
    #[must_use]
    pub fn encoded_bytes(&self) -> u64 {
        let runs: u64 = self.runs.iter().map(Run::bytes).sum();
        let open: u64 = self.open.values().map(OpenFile::bytes).sum();
        let finished: u64 = self.finished.iter().map(|file| file.bytes.len() as u64 + GROUP_BYTES).sum();
        runs + open + finished
    }

    /// Rows taken.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Closes all files and hands each over as soon as it is done, in no order and from several threads; their rows sum up
    /// to [`Self::rows`]. It stops early, without an error, when `take` wants no more.
    ///
    /// # Errors
    /// [`EncodeError`]; nothing of the batch may be used then.
    pub fn finish(self, take: impl Fn(EncodedFile) -> bool + Sync) -> Result<(), EncodeError> {
        let Self { tools, lanes, mut stage, runs, mut open, finished, .. } = self;
        if !finished.into_iter().all(&take) {
            return Ok(());
        }
        let sorted = stage.sort(lanes.len());
        let read = |run: Run| run.read(tools.layout.schema()).map_err(EncodeError::Run);
        let mut runs = runs.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let jobs = (0..lanes.len()).map(|lane| {
            let mut pieces = Vec::new();
            for run in &mut runs {
                pieces.extend(run.take(lane).map_err(EncodeError::Run)?);
            }
            Ok(Job { lane, file: open.remove(&lane), pieces, places: sorted.lane(lane) })
        });
        // A lane without rows has all of them in finished files.
        let jobs = jobs.filter(|job: &Result<Job<'_>, _>| job.as_ref().map_or(true, |job| !job.is_empty()));
        let wanted = AtomicBool::new(true);
        on_threads(tools.limits.threads, jobs, |job| {
            if wanted.load(Ordering::Relaxed) {
                let key = lanes.key(job.lane);
                let file = tools.append(key, job, &sorted, None)?;
                wanted.fetch_and(take(file.finish(key)?), Ordering::Relaxed);
            }
            Ok(())
        })
    }

    /// Makes room in the stage: large lanes are encoded, small ones stay if they are few, else become a run.
    fn settle(&mut self) -> Result<(), EncodeError> {
        let sorted = self.stage.sort(self.lanes.len());
        let (large, small) = divide(&sorted, self.lanes.len());
        self.encode(&sorted, &large)?;
        let left: usize = small.iter().map(|&lane| sorted.lane(lane).len()).sum();
        if left * 4 > sorted.rows() {
            return self.set_aside(&sorted, &small);
        }
        self.stage.keep(&sorted, &small)?;
        drop(sorted);
        // Rows are not all of one size: few may be most of the bytes.
        if left > 0 && self.bytes() * 4 > self.tools.limits.bytes_max * 3 {
            let kept = self.stage.sort(self.lanes.len());
            return self.set_aside(&kept, &small);
        }
        Ok(())
    }

    /// Appends a row group to the file of each of these lanes.
    fn encode(&mut self, sorted: &Sorted, lanes: &[usize]) -> Result<(), EncodeError> {
        let (tools, keys) = (&self.tools, &self.lanes);
        let open = &mut self.open;
        let jobs = lanes
            .iter()
            .map(|&lane| Ok(Job { lane, file: open.remove(&lane), pieces: Vec::new(), places: sorted.lane(lane) }));
        let done = Mutex::new(Vec::with_capacity(lanes.len()));
        let outcome = on_threads(tools.limits.threads, jobs, |job: Job<'_>| {
            let lane = job.lane;
            let file = tools.append(keys.key(lane), job, sorted, Some(OPEN_FILE_ROWS))?;
            done.lock().unwrap_or_else(PoisonError::into_inner).push((lane, file));
            Ok::<_, EncodeError>(())
        });
        outcome?;
        for (lane, file) in done.into_inner().unwrap_or_else(PoisonError::into_inner) {
            if file.writer.bytes_written() as u64 >= self.tools.settings.target_file_bytes() {
                self.finished.push(file.finish(self.lanes.key(lane))?);
            } else {
                self.open.insert(lane, file);
            }
        }
        Ok(())
    }

    fn set_aside(&mut self, sorted: &Sorted, lanes: &[usize]) -> Result<(), EncodeError> {
        let run = Run::write(self.tools.layout.schema(), sorted, lanes).map_err(EncodeError::Run)?;
        self.runs.push(run);
        Ok(())
    }
}

/// Divides the lanes that have rows into those to be encoded now, the largest first until a quarter of the rows is left, and
/// the rest, in order of their numbers.
fn divide(sorted: &Sorted, lanes: usize) -> (Vec<usize>, Vec<usize>) {
    let rows = |lane: usize| sorted.lane(lane).len();
    let mut by_rows: Vec<usize> = (0..lanes).filter(|&lane| rows(lane) > 0).collect();
    by_rows.sort_unstable_by_key(|&lane| (std::cmp::Reverse(rows(lane)), lane));
    let mut left = sorted.rows();
    let large = by_rows.iter().take_while(|&&lane| {
        let take = rows(lane) >= GATHER_ROWS || (rows(lane) >= GROUP_ROWS_MIN && left * 4 > sorted.rows());
        left -= if take { rows(lane) } else { 0 };
        take
    });
    let large = large.count();
    let mut small = by_rows.split_off(large);
    small.sort_unstable();
    (by_rows, small)
}

impl Job<'_> {
    fn is_empty(&self) -> bool {
        self.file.is_none() && self.pieces.is_empty() && self.places.is_empty()
    }

    fn rows(&self) -> usize {
        self.places.len() + self.pieces.iter().map(RecordBatch::num_rows).sum::<usize>()
    }
}

impl Tools {
    /// Appends the rows of a job as one row group; opens a file for `file_rows`, or just these rows, if there is none.
    fn append(
        &self,
        key: &PartitionKey,
        job: Job<'_>,
        sorted: &Sorted,
        file_rows: Option<u64>,
    ) -> Result<OpenFile, EncodeError> {
        let parquet = |source| EncodeError::Parquet { key: key.clone(), source };
        let rows = job.rows() as u64;
        let mut file = match job.file {
            Some(file) => file,
            None => OpenFile::new(&self.layout, &self.settings, file_rows.unwrap_or(rows)).map_err(parquet)?,
        };
        for piece in &job.pieces {
            file.writer.write(piece).map_err(parquet)?;
        }
        for places in job.places.chunks(GATHER_ROWS) {
            file.writer.write(&sorted.gather(places)?).map_err(parquet)?;
        }
        file.writer.flush().map_err(parquet)?;
        file.rows += rows;
        Ok(file)
    }
}

impl OpenFile {
    fn new(layout: &TableLayout, settings: &WriterSettings, rows: u64) -> Result<Self, ParquetError> {
        // The Arrow schema in the footer would be 4 KiB in each of many small files; Iceberg readers go by field id.
        let options =
            ArrowWriterOptions::new().with_properties(settings.properties(rows)).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(layout.schema()), options)?;
        Ok(Self { writer, rows: 0 })
    }

    /// Memory held, in bytes.
    fn bytes(&self) -> u64 {
        self.writer.inner().capacity() as u64 + self.writer.flushed_row_groups().len() as u64 * GROUP_BYTES
    }

    fn finish(self, key: &PartitionKey) -> Result<EncodedFile, EncodeError> {
        let parquet = |source| EncodeError::Parquet { key: key.clone(), source };
        EncodedFile::finish(self.writer, key.clone(), self.rows).map_err(parquet)
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (lanes, runs, open, finished) = (self.lanes.len(), self.runs.len(), self.open.len(), self.finished.len());
        write!(
            f,
            "Encoder({} rows in {lanes} partitions, {runs} runs, {open} open files, {finished} finished)",
            self.rows
        )
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
