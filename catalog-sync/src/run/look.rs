//! A look at a table: one request to the catalog; when the snapshot has changed, its manifest list, and the manifests that were
//! not there before.
//!
//! A manifest never changes, so that it is read once and what it says is kept: a few numbers for each partition in it, for as
//! long as the snapshot lists it. Called by [`super::watch`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::TryStreamExt;
use iceberg::TableIdent;
use iceberg::spec::{ManifestContentType, ManifestFile, TableMetadata};
use protocol::Halt;

use super::picture::{Contents, Moments, Picture};
use crate::catalog::{CatalogClient, CatalogError, LoadedTable};
use crate::compact::options::Options;
use crate::compact::plan::Sizes;
use crate::datafile::layout::TableLayout;
use crate::datafile::settings::{SettingsError, WriterSettings};
use crate::manifest;
use crate::rewrite;
use crate::storage::StorageError;

/// The table cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    /// The catalog did not answer as it should.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The object store cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A manifest or a manifest list cannot be read.
    #[error("cannot read manifests: {0}")]
    Iceberg(#[from] iceberg::Error),
    /// The table's properties cannot be followed.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Manifests of the table cannot be rewritten, by its properties.
    #[error(transparent)]
    Rewrite(#[from] rewrite::Error),
    /// The sizes of `jobs.compact` contradict each other.
    #[error("jobs.compact: {0}")]
    Options(String),
}

/// Somebody who looks at one table again and again.
#[derive(Debug)]
pub(super) struct Looker {
    options: Options,
    /// What the manifests of the last look say, by their location.
    known: HashMap<String, Arc<Contents>>,
    /// The identity of the table and the last look.
    last: Option<(String, Picture)>,
    moments: Moments,
    /// Why the table cannot be compacted, once it is told.
    told: Option<Halt>,
}

impl Looker {
    /// Nothing is looked at yet; `options` say what is small.
    pub(super) fn new(options: Options) -> Self {
        Self { options, known: HashMap::new(), last: None, moments: Moments::default(), told: None }
    }

    /// When commits were made.
    pub(super) fn moments(&self) -> &Moments {
        &self.moments
    }

    /// The table as it is now; none if there is none.
    pub(super) async fn look(
        &mut self,
        client: &CatalogClient,
        ident: &TableIdent,
        now_ms: i64,
    ) -> Result<Option<&Picture>, LookError> {
        let loaded = match client.load_table(ident).await {
            Ok(loaded) => loaded,
            Err(CatalogError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let metadata = loaded.metadata();
        let target = WriterSettings::new(metadata.properties(), &Default::default())?.target_file_bytes();
        let sizes = self.options.sizes(target).map_err(LookError::Options)?;
        let uuid = metadata.uuid().to_string();
        let same = |(last, picture): &(String, Picture)| {
            *last == uuid && picture.snapshot_id == metadata.current_snapshot_id() && picture.sizes == sizes
        };
        if !self.last.as_ref().is_some_and(same) {
            if self.last.as_ref().is_some_and(|(last, picture)| *last != uuid || picture.sizes != sizes) {
                (self.known, self.moments) = (HashMap::new(), Moments::default());
            }
            let picture = self.read(client, &loaded, sizes).await?;
            self.note(metadata, &picture, now_ms);
            self.last = Some((uuid, picture));
        }
        Ok(self.last.as_ref().map(|(_, picture)| picture))
    }

    fn note(&mut self, metadata: &TableMetadata, picture: &Picture, now_ms: i64) {
        for snapshot in metadata.snapshots() {
            self.moments.note(snapshot.sequence_number(), snapshot.timestamp_ms());
        }
        self.moments.note(metadata.last_sequence_number(), now_ms);
        let small = picture.contents.partitions.values().filter_map(|share| share.commits.first().copied());
        self.moments.forget_before(small.min());
    }

    async fn read(&mut self, client: &CatalogClient, loaded: &LoadedTable, sizes: Sizes) -> Result<Picture, LookError> {
        let metadata = loaded.metadata();
        let snapshot = metadata.current_snapshot();
        let store = loaded.store(&client.config().storage)?;
        let list = match snapshot {
            Some(snapshot) => manifest::list(metadata, snapshot, &store.file_io()).await?,
            None => Vec::new(),
        };
        let data: Vec<&ManifestFile> =
            list.iter().filter(|manifest| manifest.content == ManifestContentType::Data).collect();
        let listed: HashSet<&str> = data.iter().map(|manifest| manifest.manifest_path.as_str()).collect();
        self.known.retain(|location, _| listed.contains(location.as_str()));
        let layout = self.layout(loaded);
        let new: Vec<&ManifestFile> =
            data.iter().copied().filter(|manifest| !self.known.contains_key(&manifest.manifest_path)).collect();
        let file_io = store.file_io();
        let mut read = manifest::live_entries_of(&new, &file_io);
        while let Some((manifest, entries)) = read.try_next().await? {
            let mut contents = Contents::default();
            for entry in &entries {
                let of_spec = layout.as_ref().filter(|layout| manifest.partition_spec_id == layout.spec_id());
                match of_spec.and_then(|layout| layout.partition_key(entry.data_file().partition())) {
                    Some(key) => {
                        let share = contents.partitions.entry(key).or_default();
                        share.count(entry.file_size_in_bytes(), entry.sequence_number(), &sizes);
                    }
                    None => contents.others += 1,
                }
            }
            self.known.insert(manifest.manifest_path.clone(), Arc::new(contents));
        }
        let mut contents = Contents::default();
        self.known.values().for_each(|known| contents.add(known));
        Ok(Picture {
            snapshot_id: metadata.current_snapshot_id(),
            snapshot_ms: snapshot.map(|snapshot| snapshot.timestamp_ms()),
            snapshots: metadata.snapshots().len() as u64,
            manifests: data.len() as u64,
            small_manifests: rewrite::replaceable(metadata, &list)?,
            contents,
            sizes,
        })
    }

    /// The table's partitions; none if its files cannot be compacted, which is told once.
    fn layout(&mut self, loaded: &LoadedTable) -> Option<TableLayout> {
        match TableLayout::new(loaded.metadata()) {
            Ok(layout) => {
                self.told = None;
                Some(layout)
            }
            Err(halt) => {
                if self.told.as_ref() != Some(&halt) {
                    tracing::warn!(table = %loaded.ident(), why = %halt, "its files cannot be compacted");
                }
                self.told = Some(halt);
                None
            }
        }
    }
}
