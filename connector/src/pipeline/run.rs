//! A sorted run: rows of many small lanes, lane by lane, compressed in memory until their batch is finished.
//!
//! Lanes that are too small for a row group of their own would fill memory as columns, and a batch would end with files of a
//! few rows. As a run they take a fifth of the room, so that a lane's rows of many runs become one row group in the end. A
//! run is a Parquet file that never leaves the process: written once, read once from front to back, a page at a time. Lanes
//! stand in order of their numbers, in every run, so that runs are read side by side. Used by
//! [`Encoder`](super::encode::Encoder) only.

use std::iter::Peekable;
use std::sync::Arc;
use std::vec;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::stage::Sorted;

/// Rows gathered, and read, at a time.
const STEP_ROWS: usize = 2_048;

/// Pages are small, since a reader holds one of each column.
const PAGE_BYTES: usize = 64 * 1024;

/// A run in memory.
#[derive(Debug)]
pub(super) struct Run {
    bytes: Bytes,
    /// Lane and number of its rows, in order.
    lanes: Vec<(usize, usize)>,
}

impl Run {
    /// Compresses these lanes, which stand in order of their numbers.
    ///
    /// # Errors
    /// Parquet refuses.
    pub(super) fn write(schema: &SchemaRef, sorted: &Sorted, lanes: &[usize]) -> Result<Self, ParquetError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .set_dictionary_page_size_limit(PAGE_BYTES)
            .set_data_page_size_limit(PAGE_BYTES)
            .set_data_page_row_count_limit(STEP_ROWS)
            .set_max_row_group_row_count(None)
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(schema), options)?;
        let places: Vec<_> = lanes.iter().flat_map(|&lane| sorted.lane(lane)).copied().collect();
        for step in places.chunks(STEP_ROWS) {
            writer.write(&sorted.gather(step)?)?;
        }
        let mut bytes = writer.into_inner()?;
        bytes.shrink_to_fit();
        let lanes = lanes.iter().map(|&lane| (lane, sorted.lane(lane).len())).collect();
        Ok(Self { bytes: Bytes::from(bytes), lanes })
    }

    /// Memory held, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        (self.bytes.len() + self.lanes.len() * size_of::<(usize, usize)>()) as u64
    }

    /// Begins to read.
    ///
    /// # Errors
    /// Parquet cannot read what it wrote.
    pub(super) fn read(self, schema: &SchemaRef) -> Result<RunReader, ParquetError> {
        let options = ArrowReaderOptions::new().with_schema(Arc::clone(schema));
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(self.bytes, options)?;
        let rows = reader.with_batch_size(STEP_ROWS).build()?;
        Ok(RunReader { rows, held: None, lanes: self.lanes.into_iter().peekable() })
    }
}

/// A run that is being read, lane by lane.
pub(super) struct RunReader {
    rows: ParquetRecordBatchReader,
    /// Rows of the last step that were not taken yet.
    held: Option<RecordBatch>,
    lanes: Peekable<vec::IntoIter<(usize, usize)>>,
}

impl RunReader {
    /// The rows of a lane, in pieces; none if the run has none. Lanes are asked for in order of their numbers.
    ///
    /// # Errors
    /// Parquet cannot read what it wrote.
    pub(super) fn take(&mut self, lane: usize) -> Result<Vec<RecordBatch>, ParquetError> {
        let mut pieces = Vec::new();
        let Some((_, mut wanted)) = self.lanes.next_if(|(next, _)| *next == lane) else { return Ok(pieces) };
        while wanted > 0 {
            let held = match self.held.take() {
                Some(held) => held,
                None => self.rows.next().ok_or_else(|| ParquetError::EOF("a run ended before its rows".into()))??,
            };
            let taken = wanted.min(held.num_rows());
            wanted -= taken;
            pieces.push(held.slice(0, taken));
            self.held = (taken < held.num_rows()).then(|| held.slice(taken, held.num_rows() - taken));
        }
        Ok(pieces)
    }
}
