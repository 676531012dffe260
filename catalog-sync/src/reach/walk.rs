//! The I/O of a walk: from a metadata file to every file that its snapshots have, each read once.
//!
//! Files are read on several tasks, so that parsing takes all cores. A file that is gone ends the walk if a reference needs it
//! now; below a former state it is counted, since an earlier expiry may have taken it. Called by [`super::roots`].

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{FormatVersion, ManifestFile, ManifestList, TableMetadata};

use super::{Error, Reached};
use crate::storage::Store;

/// Files that are read at once.
const AT_ONCE: usize = 16;

/// A walk through the files of one store.
pub(crate) struct Walk {
    store: Store,
    pub(crate) reached: Reached,
    /// Files of former states that are gone.
    pub(crate) gone: u64,
    /// The files that were not reached before, if somebody wants to know.
    new: Option<Vec<String>>,
}

/// Snapshots to be walked, and who needs them.
pub(crate) struct Root {
    pub(crate) metadata: Arc<TableMetadata>,
    pub(crate) by: String,
    /// Whether a file that is gone is an error.
    pub(crate) is_strict: bool,
}

/// What was read of a file; none if it is gone.
type Read<T> = Result<Option<T>, Error>;

impl Walk {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, reached: Reached::default(), gone: 0, new: None }
    }

    /// The files that these roots reach, and that were not reached so far.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) async fn new_of(mut self, roots: &[Root]) -> Result<Vec<String>, Error> {
        self.new = Some(Vec::new());
        self.add_all(roots).await?;
        Ok(self.new.unwrap_or_default())
    }

    /// Adds a location; whether it is new. One on another store is none that could be deleted here.
    pub(crate) fn add(&mut self, location: &str) -> Result<bool, Error> {
        let is_new = self.store.name(location)?.is_some_and(|name| self.reached.add(&name));
        self.new.as_mut().filter(|_| is_new).into_iter().for_each(|new| new.push(location.to_owned()));
        Ok(is_new)
    }

    /// Adds all that these roots reach.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) async fn add_all(&mut self, roots: &[Root]) -> Result<(), Error> {
        let mut lists = Vec::new();
        for root in roots {
            for snapshot in root.metadata.snapshots() {
                if self.is_to_be_read(snapshot.manifest_list())? {
                    lists.push((snapshot.manifest_list().to_owned(), root.metadata.format_version(), root));
                }
            }
            for location in statistics(&root.metadata) {
                self.add(&location)?;
            }
            // Former metadata files are no snapshot's, and so not for whoever asks for those of some snapshots.
            if self.new.is_none() {
                for entry in root.metadata.metadata_log() {
                    self.add(&entry.metadata_file)?;
                }
            }
        }
        let store = self.store.clone();
        let mut read = stream::iter(lists)
            .map(|(location, version, root)| {
                let list = list(store.clone(), location.clone(), version);
                async move { Ok::<_, Error>((root, settle(list.await?, &location, root)?)) }
            })
            .buffer_unordered(AT_ONCE);
        let mut manifests = Vec::new();
        while let Some((root, list)) = read.try_next().await? {
            self.gone += u64::from(list.is_none());
            for manifest in list.into_iter().flatten() {
                if self.is_to_be_read(&manifest.manifest_path)? {
                    manifests.push((manifest, root));
                }
            }
        }
        drop(read);
        self.add_files(manifests).await
    }

    async fn add_files(&mut self, manifests: Vec<(ManifestFile, &Root)>) -> Result<(), Error> {
        let store = self.store.clone();
        let mut read = stream::iter(manifests)
            .map(|(manifest, root)| {
                let location = manifest.manifest_path.clone();
                let files = files(store.clone(), manifest);
                async move { settle(files.await?, &location, root) }
            })
            .buffer_unordered(AT_ONCE);
        while let Some(files) = read.try_next().await? {
            self.gone += u64::from(files.is_none());
            for location in files.into_iter().flatten() {
                self.add(&location)?;
            }
        }
        Ok(())
    }

    /// What is on another store has to be read as well, and is not told apart there.
    fn is_to_be_read(&mut self, location: &str) -> Result<bool, Error> {
        match self.store.name(location)? {
            Some(_) => self.add(location),
            None => Ok(self.reached.add(location)),
        }
    }
}

fn statistics(metadata: &TableMetadata) -> Vec<String> {
    let files = metadata.statistics_iter().map(|file| file.statistics_path.clone());
    files.chain(metadata.partition_statistics_iter().map(|file| file.statistics_path.clone())).collect()
}

/// Below a former state a file may be gone; below what a reference shows now it may not.
fn settle<T>(read: Option<T>, location: &str, root: &Root) -> Read<T> {
    match read {
        None if root.is_strict => Err(Error::Gone { location: location.to_owned(), by: root.by.clone() }),
        read => Ok(read),
    }
}

/// Reads on a task of its own.
async fn apart<T: Send + 'static>(work: impl Future<Output = Read<T>> + Send + 'static) -> Read<T> {
    tokio::spawn(work)
        .await
        .map_err(|error| Error::Unreadable { location: "a file".to_owned(), error: error.to_string() })?
}

async fn list(store: Store, location: String, version: FormatVersion) -> Read<Vec<ManifestFile>> {
    apart(async move {
        let bytes = match store.read(&location).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match ManifestList::parse_with_version(&bytes, version) {
            Ok(list) => Ok(Some(list.consume_entries().into_iter().collect())),
            Err(error) => Err(Error::Unreadable { location, error: error.to_string() }),
        }
    })
    .await
}

/// Locations of the live files of a manifest.
async fn files(store: Store, manifest: ManifestFile) -> Read<Vec<String>> {
    apart(async move {
        let entries = match crate::manifest::live_entries(&manifest, &store.file_io()).await {
            Ok(entries) => entries,
            Err(error) => {
                return match store.size(&manifest.manifest_path).await? {
                    None => Ok(None),
                    Some(_) => Err(Error::Unreadable { location: manifest.manifest_path, error: error.to_string() }),
                };
            }
        };
        Ok(Some(entries.iter().map(|entry| entry.file_path().to_owned()).collect()))
    })
    .await
}
