//! Finished files into the store, each under a name that no other attempt uses.
//!
//! A batch that is read again is written again under new names: a replay never touches a file that a committed snapshot may
//! reference. The stored size is read back before anything is committed, since a table that references half a file cannot
//! be read at all. Called by the connector's task between encoding and committing, and by a compaction.

use std::future::Future;
use std::mem;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use iceberg::spec::DataFile;
use uuid::Uuid;

use super::EncodedFile;
use super::layout::TableLayout;
use super::metrics::{self, MetricsError};
use crate::storage::Store;

/// An upload that did not complete, and what it may have left behind.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct UploadError {
    /// Every location that was begun, stored or not. Nothing references them, so they may be deleted.
    pub staged: Vec<String>,
    /// The first failure.
    #[source]
    pub cause: UploadFault,
}

/// Why one file is not in the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadFault {
    /// The store refused, or did not answer.
    #[error("cannot store {location}: {reason}")]
    Store {
        /// The file.
        location: String,
        /// What the store says.
        reason: String,
    },
    /// The store has another number of bytes than it was given.
    #[error("{location} has {} in the store, {expected} bytes were written", found.map_or("no object".to_owned(), |n| format!("{n} bytes")))]
    Size {
        /// The file.
        location: String,
        /// Bytes written.
        expected: u64,
        /// Bytes found; none if there is no such object.
        found: Option<u64>,
    },
    /// The file cannot be described to the catalog.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

/// What an upload needs of a store.
pub(crate) trait FileStore: Sync {
    /// Writes an object that must not exist yet.
    fn put_new(&self, location: &str, bytes: Bytes) -> impl Future<Output = Result<(), String>> + Send;

    /// Size of an object in bytes; none if it does not exist.
    fn size(&self, location: &str) -> impl Future<Output = Result<Option<u64>, String>> + Send;
}

impl FileStore for Store {
    async fn put_new(&self, location: &str, bytes: Bytes) -> Result<(), String> {
        Self::put_new(self, location, bytes).await.map_err(|error| error.to_string())
    }

    async fn size(&self, location: &str) -> Result<Option<u64>, String> {
        Self::size(self, location).await.map_err(|error| error.to_string())
    }
}

/// Stores all files as they come, up to `concurrency` at a time, and describes them in the order in which they came. `writer`
/// is part of the names, for people who look at a bucket.
///
/// # Errors
/// [`UploadError`] at the first failure; no further file is taken then.
pub async fn upload(
    store: &Store,
    layout: &TableLayout,
    files: impl Stream<Item = EncodedFile> + Send,
    writer: &str,
    concurrency: usize,
) -> Result<Vec<DataFile>, UploadError> {
    upload_to(store, layout, files, writer, concurrency).await
}

pub(crate) async fn upload_to<S: FileStore>(
    store: &S,
    layout: &TableLayout,
    files: impl Stream<Item = EncodedFile> + Send,
    writer: &str,
    concurrency: usize,
) -> Result<Vec<DataFile>, UploadError> {
    // The time in front sorts a bucket's listing by attempt; the random rest makes it unique.
    let attempt = Uuid::now_v7();
    let staged = Mutex::new(Vec::new());
    let begin = |(number, file): (usize, EncodedFile)| {
        let location = format!("{}{attempt}-{writer}-{number}.parquet", layout.partition_location(&file.key));
        staged.lock().unwrap_or_else(PoisonError::into_inner).push(location.clone());
        store_file(store, layout, location, file)
    };
    let stored = files.enumerate().map(begin).buffered(concurrency.max(1)).try_collect().await;
    stored.map_err(|cause| {
        let staged = mem::take(&mut *staged.lock().unwrap_or_else(PoisonError::into_inner));
        UploadError { staged, cause }
    })
}

async fn store_file<S: FileStore>(
    store: &S,
    layout: &TableLayout,
    location: String,
    file: EncodedFile,
) -> Result<DataFile, UploadFault> {
    let described = metrics::data_file(layout, &file, &location)?;
    let expected = file.bytes.len() as u64;
    let refused = |reason| UploadFault::Store { location: location.clone(), reason };
    store.put_new(&location, file.bytes).await.map_err(refused)?;
    let found = store.size(&location).await.map_err(refused)?;
    if found != Some(expected) {
        return Err(UploadFault::Size { location, expected, found });
    }
    Ok(described)
}

#[cfg(test)]
#[path = "upload_tests.rs"]
mod tests;
