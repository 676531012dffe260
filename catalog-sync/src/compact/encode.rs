//! Rows into files, and what is in the files.
//!
//! A file ends at a number of rows: what it has in bytes is known when it is finished, and not before. Each finished file is
//! decoded again, so that what is compared is what is stored. Called by [`super::write`], on a thread of its own.

use std::sync::Arc;

use arrow_array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use schemas::partition::PartitionKey;
use tokio::sync::mpsc;

use super::order::OrderCheck;
use super::plan::FileGroup;
use super::read::BATCH_ROWS;
use super::rows::{RowSum, RowSummer};
use super::sort::Rows;
use super::write::{GroupError, Tools};
use crate::datafile::EncodedFile;

/// Files of one group in the making.
pub(super) struct Encoding {
    tools: Arc<Tools>,
    key: PartitionKey,
    /// Rows at which a file ends.
    file_rows: u64,
    open: Option<(ArrowWriter<Vec<u8>>, u64)>,
    written: RowSummer,
    order: Option<OrderCheck>,
}

impl Encoding {
    /// For a group that becomes so many rows.
    ///
    /// # Errors
    /// The table has columns that cannot be hashed or sorted.
    pub(super) fn new(tools: &Arc<Tools>, group: &FileGroup, rows: u64) -> Result<Self, GroupError> {
        let schema = tools.layout.schema();
        Ok(Self {
            tools: Arc::clone(tools),
            key: group.key.clone(),
            file_rows: rows.div_ceil(group.outputs(&tools.sizes)).max(1),
            open: None,
            written: RowSummer::new(schema),
            order: tools.sort.as_ref().map(|sort| OrderCheck::new(&sort.order, schema)).transpose()?,
        })
    }

    /// Encodes until there is no more, or nobody takes the files any more; what was written, by reading it.
    ///
    /// # Errors
    /// [`GroupError`]: Parquet refuses, the rows break off, or are not in order.
    pub(super) fn run(
        mut self,
        mut batches: mpsc::Receiver<Rows>,
        files: &mpsc::Sender<EncodedFile>,
    ) -> Result<RowSum, GroupError> {
        while let Some(batch) = batches.blocking_recv() {
            let batch = batch.map_err(|_| GroupError::BrokenOff)?;
            if let Some(file) = self.push(&batch)? {
                self.hand_over(file, files)?;
            }
        }
        if let Some((writer, rows)) = self.open.take() {
            let file = EncodedFile::finish(writer, self.key.clone(), rows)?;
            self.hand_over(file, files)?;
        }
        Ok(self.written.sum())
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
    fn hand_over(&mut self, file: EncodedFile, files: &mpsc::Sender<EncodedFile>) -> Result<(), GroupError> {
        let options = ArrowReaderOptions::new().with_schema(Arc::clone(self.tools.layout.schema()));
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file.bytes.clone(), options)?;
        for batch in reader.with_batch_size(BATCH_ROWS).build()? {
            let batch = batch?;
            self.written.add(&batch)?;
            if let Some(order) = &mut self.order
                && !order.is_in_order(&batch)?
            {
                return Err(GroupError::NotInOrder);
            }
        }
        let sort_order_id = self.tools.sort.as_ref().and_then(|sort| sort.order_id);
        files.blocking_send(EncodedFile { sort_order_id, ..file }).map_err(|_| GroupError::BrokenOff)
    }
}
