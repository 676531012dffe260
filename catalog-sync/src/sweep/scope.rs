//! Whether a folder may be swept: it is this table's, and nobody else's.
//!
//! Called by [`super`] before anything is listed.

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::TableIdent;
use serde::Deserialize;

use super::Error;
use crate::catalog::{CatalogClient, CatalogError, LoadedTable};
use crate::storage::{StorageError, Store};

/// Tables that are loaded at once.
const AT_ONCE: usize = 8;
/// Table property by which an owner keeps garbage collectors out; Nessie sets it for every table.
pub(crate) const GC_ENABLED: &str = "gc.enabled";

/// Whose a metadata file is, and the statistics that it names.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Owner {
    pub(super) table_uuid: String,
    #[serde(default)]
    statistics: Vec<StatisticsFile>,
    #[serde(default)]
    partition_statistics: Vec<StatisticsFile>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct StatisticsFile {
    statistics_path: String,
}

impl Owner {
    /// Reads a metadata file; none if it is gone or says nothing of the kind.
    pub(super) async fn of(store: &Store, location: &str) -> Result<Option<Self>, StorageError> {
        match store.read(location).await {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn into_statistics(self) -> impl Iterator<Item = String> {
        self.statistics.into_iter().chain(self.partition_statistics).map(|file| file.statistics_path)
    }
}

/// Whether the table's owner lets garbage collectors in.
///
/// # Errors
/// [`Error::GcDisabled`], unless the operator says that he knows.
pub(crate) fn is_allowed(client: &CatalogClient, loaded: &LoadedTable, although: bool) -> Result<(), Error> {
    let is_off = loaded.metadata().properties().get(GC_ENABLED).is_some_and(|text| text == "false");
    if !is_off || although {
        return Ok(());
    }
    Err(Error::GcDisabled { by_nessie: client.is_nessie() })
}

/// The folder of a table, without a slash at its end.
///
/// # Errors
/// [`Error::NotItsFolder`] if the table's metadata is not in it; [`Error::Overlap`] if another table's folder is above or
/// below it.
pub(super) async fn root(client: &CatalogClient, loaded: &LoadedTable, store: &Store) -> Result<String, Error> {
    let root = loaded.metadata().location().trim_end_matches('/').to_owned();
    let not_its = |why: String| Error::NotItsFolder { root: root.clone(), why };
    if store.name(&root)?.is_none_or(|name| name.is_empty()) {
        return Err(not_its("it is a whole bucket or disk".to_owned()));
    }
    let Some(marker) = loaded.metadata_location().filter(|location| store.is_below(location, &root)) else {
        return Err(not_its("the table's metadata file is not in it".to_owned()));
    };
    let uuid = loaded.metadata().uuid().to_string();
    match Owner::of(store, marker).await? {
        Some(owner) if owner.table_uuid == uuid => {}
        Some(owner) => return Err(not_its(format!("{marker} is of table {}, not {uuid}", owner.table_uuid))),
        None => return Err(not_its(format!("{marker} is gone or no metadata file"))),
    }
    overlap(client, loaded.ident(), store, &root).await?;
    Ok(root)
}

async fn overlap(client: &CatalogClient, ident: &TableIdent, store: &Store, root: &str) -> Result<(), Error> {
    let others = client.tables().await?.into_iter().filter(|other| other != ident);
    let load = |other: TableIdent| async move {
        match client.load_table(&other).await {
            Ok(loaded) => Ok(Some((other, loaded.metadata().location().to_owned()))),
            Err(CatalogError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    };
    let mut loads = stream::iter(others.map(load)).buffer_unordered(AT_ONCE);
    while let Some(loaded) = loads.try_next().await? {
        let Some((other, location)) = loaded else { continue };
        if store.is_below(&location, root) || store.is_below(root, &location) {
            return Err(Error::Overlap { root: root.to_owned(), other: other.to_string(), location });
        }
    }
    Ok(())
}
