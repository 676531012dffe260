//! One Parquet data file of the event's table: how it is written, what the catalog is told of it, how it is stored.
//!
//! [`layout`] says how the event lies in a table, [`settings`] how files are written, [`metrics`] tells the catalog what is
//! in one, [`upload`] stores it. Who fills it is somebody else: the connector's write path from records, a compaction from
//! other files. Nothing here commits: a file that was uploaded and never committed is an orphan, and harmless.

pub mod layout;
pub mod metrics;
pub mod settings;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod upload;

use std::mem;

use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use schemas::partition::PartitionKey;

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
    /// The sort order of the table that its rows are in; none if they are in no order.
    pub sort_order_id: Option<i32>,
}

impl EncodedFile {
    /// Closes a file that so many rows were written to.
    ///
    /// # Errors
    /// Parquet refuses.
    pub fn finish(mut writer: ArrowWriter<Vec<u8>>, key: PartitionKey, rows: u64) -> Result<Self, ParquetError> {
        let footer = writer.finish()?;
        Ok(Self { key, bytes: Bytes::from(mem::take(writer.inner_mut())), rows, footer, sort_order_id: None })
    }
}
