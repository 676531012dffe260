//! The catalogs that there are, and what their references reach.
//!
//! Called by [`crate::sweep`], twice: before it looks for files that nobody needs, and after its fence.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::TableIdent;
use iceberg::spec::TableMetadata;

use super::cutoff::Cutoffs;
use super::retained::{By, Versions, retained};
use super::walk::{Root, Walk};
use super::{Error, Reached};
use crate::catalog::{CatalogClient, CatalogError, Commits, Content, LoadedTable, Reference};
use crate::storage::Store;

/// Metadata files that are read at once.
const AT_ONCE: usize = 16;
/// Metadata files whose snapshots are walked together: some megabytes.
const TOGETHER: usize = 500;

/// What is reached of one table's folder.
pub(crate) struct Reach<'a> {
    client: &'a CatalogClient,
    ident: &'a TableIdent,
    /// The folder, without a slash at its end.
    root: &'a str,
    cutoffs: &'a Cutoffs,
    store: Store,
    walk: Walk,
}

/// What a look found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Branches that have the table, with the names under which it is there; none on a catalog without branches.
    pub(crate) branches: BTreeSet<(String, Vec<String>)>,
    /// References.
    pub(crate) references: u64,
    /// Commits of their histories, or snapshots.
    pub(crate) states: u64,
    /// Files of former states that are gone.
    pub(crate) gone: u64,
    /// Folders of other tables that are below this one, or have their metadata here.
    pub(crate) strangers: Vec<String>,
}

impl<'a> Reach<'a> {
    pub(crate) fn new(
        client: &'a CatalogClient,
        ident: &'a TableIdent,
        root: &'a str,
        cutoffs: &'a Cutoffs,
        store: Store,
    ) -> Self {
        Self { client, ident, root, cutoffs, walk: Walk::new(store.clone()), store }
    }

    /// What is reached.
    pub(crate) fn reached(&self) -> &Reached {
        &self.walk.reached
    }

    /// Looks at all references and adds what they reach.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) async fn look(&mut self, now: DateTime<Utc>) -> Result<Found, Error> {
        match self.client.is_nessie() {
            true => self.look_at_references(now).await,
            false => self.look_at_snapshots().await,
        }
    }

    async fn look_at_snapshots(&mut self) -> Result<Found, Error> {
        let loaded = self.client.load_table(self.ident).await?;
        let metadata = Arc::clone(loaded.metadata());
        if let Some(location) = loaded.metadata_location() {
            self.walk.add(location)?;
        }
        let states = metadata.snapshots().len() as u64;
        let root = Root { metadata, by: format!("table {}", self.ident), is_strict: true };
        self.walk.add_all(&[root]).await?;
        Ok(Found { references: 1, states, ..Found::default() })
    }

    async fn look_at_references(&mut self, now: DateTime<Utc>) -> Result<Found, Error> {
        let is_ours = |location: &str| self.store.is_below(location, self.root);
        let kept = retained(self.client, self.cutoffs, now, is_ours).await?;
        let is_branch = |name: &str| kept.references.iter().any(|it| it.is_branch && it.name == name);
        let mut found = Found {
            references: kept.references.len() as u64,
            states: kept.commits,
            branches: kept
                .heads
                .values()
                .flatten()
                .filter(|by| is_branch(&by.reference))
                .map(|by| (by.reference.clone(), by.key.clone()))
                .collect(),
            ..Found::default()
        };
        let gone = self.walk.gone;
        let heads = kept.heads.into_iter().filter_map(|(location, by)| Some((location, by.into_iter().next()?)));
        self.add_metadata(heads.collect(), true, &mut found).await?;
        self.add_metadata(kept.past.into_iter().collect(), false, &mut found).await?;
        found.gone = self.walk.gone - gone;
        Ok(found)
    }

    /// Reads metadata files that were not read yet, and walks their snapshots.
    async fn add_metadata(
        &mut self,
        files: Vec<(String, By)>,
        is_strict: bool,
        found: &mut Found,
    ) -> Result<(), Error> {
        let mut new = Vec::new();
        for (location, by) in files {
            if self.walk.add(&location)? {
                new.push((location, by));
            }
        }
        for (number, files) in new.chunks(TOGETHER).enumerate() {
            if number > 0 {
                tracing::info!(table = %self.ident, states = number * TOGETHER, of = new.len(), "walking former states");
            }
            let this = &*self;
            let read = |(location, by): &(String, By)| {
                let (location, by) = (location.clone(), by.clone());
                async move { Ok::<_, Error>((this.metadata(&location, &by, is_strict).await?, by)) }
            };
            let reads: Vec<_> = files.iter().map(read).collect();
            let read: Vec<_> = stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await?;
            let mut roots = Vec::with_capacity(read.len());
            for (metadata, by) in read {
                let Some(metadata) = metadata else {
                    self.walk.gone += 1;
                    continue;
                };
                let location = metadata.location();
                let is_here = self.store.is_below(location, self.root) && self.store.is_below(self.root, location);
                if !is_here && !found.strangers.iter().any(|known| known == location) {
                    found.strangers.push(location.to_owned());
                }
                let by = format!("reference {} at {}", by.reference, by.hash);
                roots.push(Root { metadata, by, is_strict });
            }
            self.walk.add_all(&roots).await?;
        }
        Ok(())
    }

    /// Reads a metadata file. If it is gone, though a former state has it, Nessie may still know what was in it.
    async fn metadata(&self, location: &str, by: &By, is_strict: bool) -> Result<Option<Arc<TableMetadata>>, Error> {
        let error = match TableMetadata::read_from(&self.store.file_io(), location).await {
            Ok(metadata) => return Ok(Some(Arc::new(metadata))),
            Err(error) => error.to_string(),
        };
        if self.store.size(location).await?.is_some() {
            return Err(Error::Unreadable { location: location.to_owned(), error });
        }
        if is_strict {
            let by = format!("reference {}", by.reference);
            return Err(Error::Gone { location: location.to_owned(), by });
        }
        let ident = TableIdent::from_strs(&by.key).ok();
        match ident {
            Some(ident) => Ok(self.former(&ident, by).await?.map(|loaded| Arc::clone(loaded.metadata()))),
            None => Ok(None),
        }
    }

    async fn former(&self, ident: &TableIdent, by: &By) -> Result<Option<LoadedTable>, Error> {
        match self.client.load_table_at_commit(&by.reference, ident, &by.hash).await {
            Ok(loaded) => Ok(Some(loaded)),
            Err(error) if error.is_transient() => Err(error.into()),
            Err(_) => Ok(None),
        }
    }
}

impl Versions for CatalogClient {
    type Error = CatalogError;

    async fn references(&self) -> Result<Vec<Reference>, CatalogError> {
        self.nessie_references().await
    }

    async fn commits(&self, reference: &Reference, page: Option<&str>) -> Result<Commits, CatalogError> {
        self.nessie_commits(&reference.name, &reference.hash, page).await
    }

    async fn contents(&self, reference: &Reference, hash: &str) -> Result<Vec<Content>, CatalogError> {
        self.nessie_contents(&reference.name, hash).await
    }
}
