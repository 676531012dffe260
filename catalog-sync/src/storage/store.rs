//! The object store of one table or one warehouse, addressed by full locations.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, WriteMultipart};

use super::StorageError;
use super::location::Root;
use super::s3::Settings;
use crate::catalog::StorageConfig;
use crate::secret::Secret;

/// Attempts of a create-if-absent whose answer was lost.
const CREATE_ATTEMPTS: u32 = 4;
/// Pause before the second attempt; doubled for each further one.
const CREATE_PAUSE: Duration = Duration::from_millis(100);
/// Objects above this size are sent in parts, so that one time-out does not repeat all of it.
const MULTIPART_FROM_BYTES: usize = 64 * 1024 * 1024;
/// Size of a part.
pub(super) const PART_BYTES: usize = 16 * 1024 * 1024;
/// Parts of one object that are under way at once.
pub(super) const PARTS_AT_ONCE: usize = 4;

/// Where the bytes of one table live: an object store, and how its locations begin. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    objects: Arc<dyn ObjectStore>,
    root: Root,
    settings: Settings,
    secrets: Vec<Secret>,
}

/// An object as a listing tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where it is.
    pub location: String,
    /// Its size.
    pub bytes: u64,
    /// When it was written last, by the store's clock.
    pub modified: DateTime<Utc>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("root", &self.inner.root.to_string())
            .field("endpoint", &self.inner.settings.endpoint)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store that `location` is on: `s3://bucket/…` (also `s3a`, `s3n`), `file:///…` or an absolute path.
    ///
    /// `table_config` is what the catalog sent with the table (`s3.endpoint`, `s3.path-style-access`, `client.region`,
    /// `s3.access-key-id`, …); values in `config` win. Without credentials in either, the environment and then the
    /// machine's role are asked. Nothing is sent yet.
    ///
    /// # Errors
    /// [`StorageError::Location`] for a location that is not understood, [`StorageError::Settings`] for settings that
    /// do not make a client.
    pub fn open(
        config: &StorageConfig,
        table_config: &HashMap<String, String>,
        location: &str,
    ) -> Result<Self, StorageError> {
        let (root, _) = Root::split(location)?;
        let settings = Settings::merge(config, table_config);
        let secrets = settings.secrets();
        let objects: Arc<dyn ObjectStore> = match &root {
            Root::Local { .. } => Arc::new(LocalFileSystem::new()),
            Root::S3 { bucket, .. } => settings.connect(bucket).map_err(|error| StorageError::Settings {
                location: location.to_owned(),
                reason: super::error::safe_text(&error.to_string(), &secrets),
            })?,
        };
        Ok(Self { inner: Arc::new(Inner { objects, root, settings, secrets }) })
    }

    /// Writes a new object. An object that is already there is never changed.
    ///
    /// Local files appear whole or not at all, and missing folders are made; they are not forced to the disk, so a power
    /// cut may undo the last ones. A lost answer is resolved here: when the
    /// object turns out to be there with the same content, it was written. Names are unique to an attempt, so the same
    /// content under the same name is this attempt's.
    ///
    /// # Errors
    /// [`StorageError::Exists`] when something else is at the location; else what the store said last.
    pub async fn put_new(&self, location: &str, bytes: Bytes) -> Result<(), StorageError> {
        let path = self.path(location)?;
        if bytes.len() > MULTIPART_FROM_BYTES && matches!(self.inner.root, Root::S3 { .. }) {
            return self.put_parts(location, &path, bytes).await;
        }
        let (mut attempt, mut pause) = (1, CREATE_PAUSE);
        loop {
            let payload = PutPayload::from_bytes(bytes.clone());
            let error = match self.inner.objects.put_opts(&path, payload, PutMode::Create.into()).await {
                Ok(_) => return Ok(()),
                Err(error) => self.error("write", location, &error),
            };
            let again = match &error {
                StorageError::Exists { .. } => match self.size(location).await? {
                    // Two conditional writes met: neither need have won.
                    None => true,
                    Some(size) if size == bytes.len() as u64 && self.read(location).await? == bytes => return Ok(()),
                    Some(_) => false,
                },
                StorageError::Failed { .. } => matches!(self.inner.root, Root::S3 { .. }),
                _ => false,
            };
            if !again || attempt >= CREATE_ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            (attempt, pause) = (attempt + 1, pause * 2);
        }
    }

    async fn put_parts(&self, location: &str, path: &Path, bytes: Bytes) -> Result<(), StorageError> {
        if self.size(location).await?.is_some() {
            return Err(StorageError::Exists { location: location.to_owned() });
        }
        let mut upload = self.begin_parts(location, path).await?;
        upload.put(bytes);
        upload.finish().await.map(drop).map_err(|error| self.error("write", location, &error))
    }

    pub(super) async fn begin_parts(&self, location: &str, path: &Path) -> Result<WriteMultipart, StorageError> {
        let upload =
            self.inner.objects.put_multipart(path).await.map_err(|error| self.error("write", location, &error))?;
        Ok(WriteMultipart::new_with_chunk_size(upload, PART_BYTES))
    }

    /// The whole object.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] when it is not there; else what the store said last.
    pub async fn read(&self, location: &str) -> Result<Bytes, StorageError> {
        let path = self.path(location)?;
        let read = async { self.inner.objects.get(&path).await?.bytes().await };
        read.await.map_err(|error| self.error("read", location, &error))
    }

    /// The bytes `range` of the object.
    ///
    /// # Errors
    /// As [`Self::read`]; also when the range begins behind the end.
    pub async fn read_range(&self, location: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        let path = self.path(location)?;
        self.inner.objects.get_range(&path, range).await.map_err(|error| self.error("read", location, &error))
    }

    /// Size of the object in bytes; `None` when it is not there.
    ///
    /// # Errors
    /// What the store said last.
    pub async fn size(&self, location: &str) -> Result<Option<u64>, StorageError> {
        let path = self.path(location)?;
        match self.inner.objects.head(&path).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error("look up", location, &error)),
        }
    }

    /// Every object below a location, as full location and size in bytes.
    ///
    /// # Errors
    /// Those of [`Self::walk`]; a partial list is never returned.
    pub async fn list(&self, prefix_location: &str) -> Result<Vec<(String, u64)>, StorageError> {
        self.walk(prefix_location)?.map_ok(|object| (object.location, object.bytes)).try_collect().await
    }

    /// Every object below a location, one after another, in no order. The prefix is a folder: `a/b` does not list `a/bc`. A
    /// folder that is not there is empty.
    ///
    /// # Errors
    /// What the store said last; what came before the error is not all there is.
    pub fn walk(
        &self,
        prefix_location: &str,
    ) -> Result<impl Stream<Item = Result<Listed, StorageError>> + Send + use<>, StorageError> {
        let path = self.path(prefix_location)?;
        let (store, prefix) = (self.clone(), prefix_location.to_owned());
        let objects = self.inner.objects.list(Some(&path));
        Ok(objects.map(move |listed| match listed {
            Ok(meta) => Ok(Listed {
                location: store.inner.root.location(&meta.location),
                bytes: meta.size,
                modified: meta.last_modified,
            }),
            Err(error) => Err(store.error("list", &prefix, &error)),
        }))
    }

    /// Removes the object; one that is not there is fine.
    ///
    /// # Errors
    /// What the store said last.
    pub async fn delete(&self, location: &str) -> Result<(), StorageError> {
        let path = self.path(location)?;
        match self.inner.objects.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error("delete", location, &error)),
        }
    }

    /// Removes many objects, in as few requests as the store has for it; those that are not there are fine. How many were
    /// not removed, and the first reason.
    ///
    /// # Errors
    /// A location that is not on this store; then nothing was removed.
    pub async fn delete_all(&self, locations: &[String]) -> Result<(u64, Option<StorageError>), StorageError> {
        let paths = locations.iter().map(|location| self.path(location)).collect::<Result<Vec<_>, _>>()?;
        let mut answers = self.inner.objects.delete_stream(stream::iter(paths.into_iter().map(Ok)).boxed());
        let (mut failed, mut first) = (0, None);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => {
                    failed += 1;
                    first.get_or_insert_with(|| self.error("delete", "several objects", &error));
                }
            }
        }
        Ok((failed, first))
    }

    /// What names an object in this store, however its location is spelled: scheme and percent signs do not count, so that
    /// two names that somebody may take for one are one. None for a location on another store.
    ///
    /// # Errors
    /// [`StorageError::Location`]: not understood, so that nobody knows where it is.
    pub(crate) fn name(&self, location: &str) -> Result<Option<String>, StorageError> {
        let (root, path) = Root::split(location)?;
        let decoded = || percent_encoding::percent_decode_str(path.as_ref()).decode_utf8_lossy().into_owned();
        Ok(root.same_store(&self.inner.root).then(decoded))
    }

    /// Whether a location is at or below a folder, both on this store and however each is spelled.
    #[must_use]
    pub fn is_below(&self, location: &str, folder: &str) -> bool {
        match (self.path(location), self.path(folder)) {
            (Ok(path), Ok(folder)) => path.prefix_matches(&folder),
            _ => false,
        }
    }

    /// What another process needs to open the same store, without any credential.
    pub(super) fn public_settings(&self) -> (String, HashMap<String, String>) {
        let Settings { endpoint, region, path_style_access, .. } = &self.inner.settings;
        let settings = [
            ("s3.endpoint", endpoint.clone()),
            ("client.region", region.clone()),
            ("s3.path-style-access", path_style_access.map(|on| on.to_string())),
        ];
        let settings = settings.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
        (self.inner.root.to_string(), settings)
    }

    /// The path of a location on this store.
    pub(super) fn path(&self, location: &str) -> Result<Path, StorageError> {
        let (root, path) = Root::split(location)?;
        if root.same_store(&self.inner.root) {
            return Ok(path);
        }
        Err(StorageError::OtherStore { location: location.to_owned(), store: self.inner.root.to_string() })
    }

    pub(super) fn error(&self, action: &'static str, location: &str, error: &object_store::Error) -> StorageError {
        StorageError::new(action, location, error, &self.inner.secrets)
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
