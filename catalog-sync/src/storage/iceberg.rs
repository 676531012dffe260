//! The `iceberg` crate's storage traits over [`Store`].
//!
//! The traits must be serialisable; a serialised store carries its root, endpoint and region, and no credential: whoever
//! reads it back uses the environment's. The project itself never serialises one.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use iceberg::io::{
    FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageFactory,
};
use iceberg::{Error, ErrorKind, Result};
use object_store::WriteMultipart;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::store::{PART_BYTES, PARTS_AT_ONCE};
use super::{StorageError, Store};
use crate::catalog::StorageConfig;

/// Deletions of a prefix or a stream that are under way at once.
const DELETES_AT_ONCE: usize = 16;
/// Bytes that a reader keeps of an object, at most: as many as are read with the end of a Parquet file by default, twice.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

impl Store {
    /// The `iceberg` crate's view of this store.
    #[must_use]
    pub fn file_io(&self) -> FileIO {
        FileIOBuilder::new(Arc::new(self.clone())).build()
    }
}

#[derive(Serialize, Deserialize)]
struct PublicSettings {
    root: String,
    settings: HashMap<String, String>,
}

impl Serialize for Store {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let (root, settings) = self.public_settings();
        PublicSettings { root, settings }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Store {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let PublicSettings { root, settings } = PublicSettings::deserialize(deserializer)?;
        Self::open(&StorageConfig::default(), &settings, &root).map_err(serde::de::Error::custom)
    }
}

#[typetag::serde(name = "catalog-sync-store")]
impl StorageFactory for Store {
    fn build(&self, _config: &iceberg::io::StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
#[typetag::serde(name = "catalog-sync-store")]
impl Storage for Store {
    async fn exists(&self, path: &str) -> Result<bool> {
        Ok(self.size(path).await?.is_some())
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        match self.size(path).await? {
            Some(size) => Ok(FileMetadata { size }),
            None => Err(StorageError::NotFound { location: path.to_owned() }.into()),
        }
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        Ok(Self::read(self, path).await?)
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        self.path(path)?;
        Ok(Box::new(Reader { store: self.clone(), location: path.to_owned(), last: Mutex::default() }))
    }

    async fn write(&self, path: &str, bs: Bytes) -> Result<()> {
        Ok(self.put_new(path, bs).await?)
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        self.path(path)?;
        let location = path.to_owned();
        Ok(Box::new(Writer { store: self.clone(), location, head: Vec::new(), parts: None, bytes: 0, closed: false }))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        Ok(Self::delete(self, path).await?)
    }

    async fn delete_prefix(&self, path: &str) -> Result<()> {
        let locations = futures::stream::iter(self.list(path).await?.into_iter().map(|(location, _)| location));
        self.delete_stream(locations.boxed()).await
    }

    async fn delete_stream(&self, paths: BoxStream<'static, String>) -> Result<()> {
        let deleted = paths
            .map(Ok)
            .try_for_each_concurrent(DELETES_AT_ONCE, |location| async move { Self::delete(self, &location).await });
        Ok(deleted.await?)
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        self.path(path)?;
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        self.path(path)?;
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

/// Keeps what it read last, if that is little: who reads Parquet asks for the end of a file, which is all of it if it is small,
/// and for its columns then. Objects never change.
struct Reader {
    store: Store,
    location: String,
    last: Mutex<(u64, Bytes)>,
}

impl Reader {
    fn kept(&self, range: &Range<u64>) -> Option<Bytes> {
        let (start, bytes) = &*self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |at: u64| usize::try_from(at.checked_sub(*start)?).ok().filter(|at| *at <= bytes.len());
        let (from, to) = (place(range.start)?, place(range.end)?);
        (from < to).then(|| bytes.slice(from..to))
    }
}

#[async_trait]
impl FileRead for Reader {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        if let Some(bytes) = self.kept(&range) {
            return Ok(bytes);
        }
        let start = range.start;
        let bytes = self.store.read_range(&self.location, range).await?;
        if bytes.len() <= KEPT_BYTES_MAX {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = (start, bytes.clone());
        }
        Ok(bytes)
    }
}

/// Collects the first part; an object that is no longer than that is created in one request, a longer one in parts. What
/// the store has is looked at before the object counts as written: a table whose manifest is missing cannot be read.
struct Writer {
    store: Store,
    location: String,
    head: Vec<u8>,
    parts: Option<WriteMultipart>,
    bytes: u64,
    closed: bool,
}

async fn must_have(store: &Store, location: &str, bytes: u64) -> Result<()> {
    let found = store.size(location).await?;
    if found == Some(bytes) {
        return Ok(());
    }
    let found = found.map_or("nothing".to_owned(), |bytes| format!("{bytes} bytes"));
    let reason = format!("the store took {bytes} bytes and has {found}");
    Err(StorageError::Failed { action: "write", location: location.to_owned(), reason }.into())
}

#[async_trait]
impl FileWrite for Writer {
    async fn write(&mut self, bs: Bytes) -> Result<()> {
        if self.closed {
            return Err(Error::new(ErrorKind::Unexpected, format!("{:?} is written after its close", self.location)));
        }
        self.bytes += bs.len() as u64;
        if self.parts.is_none() && self.head.len() + bs.len() <= PART_BYTES {
            self.head.extend_from_slice(&bs);
            return Ok(());
        }
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => {
                if self.store.size(&self.location).await?.is_some() {
                    return Err(StorageError::Exists { location: self.location.clone() }.into());
                }
                let path = self.store.path(&self.location)?;
                let mut parts = self.store.begin_parts(&self.location, &path).await?;
                parts.put(std::mem::take(&mut self.head).into());
                self.parts.insert(parts)
            }
        };
        let error = |error| self.store.error("write", &self.location, &error);
        parts.wait_for_capacity(PARTS_AT_ONCE).await.map_err(error)?;
        parts.put(bs);
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.closed, true) {
            return Err(Error::new(ErrorKind::Unexpected, format!("{:?} is closed twice", self.location)));
        }
        match self.parts.take() {
            None => self.store.put_new(&self.location, std::mem::take(&mut self.head).into()).await?,
            Some(parts) => {
                parts.finish().await.map_err(|error| self.store.error("write", &self.location, &error))?;
            }
        }
        must_have(&self.store, &self.location, self.bytes).await
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        let kind = match &error {
            StorageError::Location { .. } | StorageError::OtherStore { .. } | StorageError::NotFound { .. } => {
                ErrorKind::DataInvalid
            }
            _ => ErrorKind::Unexpected,
        };
        Self::new(kind, error.to_string()).with_source(error)
    }
}
