//! Tables: the metadata file on the object store and the pointer to it, brought together.
//!
//! Every change writes one new metadata file under a name of its own and then moves the pointer. A change that loses
//! the swap deletes the file that it wrote; a change whose swap has an unknown outcome leaves it, since it may be the
//! current one. Metadata files never change, so those of recently used tables are kept in memory.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use iceberg::spec::{MetadataLog, TableMetadata};
use iceberg::{MetadataLocation, NamespaceIdent, TableIdent};
use iceberg_catalog_rest::{CommitTableRequest, CreateTableRequest, RegisterTableRequest};
use uuid::Uuid;

use super::apply;
use super::error::ApiError;
use super::pointer::{PointerError, Pointers, shown_table};
use crate::storage::Store;

/// Tables whose current metadata is kept in memory.
const CACHED_TABLES_MAX: usize = 64;
/// The table property that asks for deletion of metadata files that fell out of the log.
const DELETE_AFTER_COMMIT: &str = "write.metadata.delete-after-commit.enabled";

/// The catalog behind the routes.
#[derive(Debug)]
pub(super) struct Catalog {
    pub(super) pointers: Pointers,
    store: Store,
    /// Location that all tables live below, without a slash at its end.
    warehouse: String,
    /// What clients are told about the object store; never credentials.
    pub(super) client_config: HashMap<String, String>,
    cache: Mutex<HashMap<TableIdent, Arc<LoadedTable>>>,
}

/// A table at one moment.
#[derive(Debug)]
pub(super) struct LoadedTable {
    /// The metadata file.
    pub(super) location: String,
    /// Its content.
    pub(super) metadata: TableMetadata,
}

type Result<T> = std::result::Result<T, ApiError>;

impl Catalog {
    pub(super) fn new(
        pointers: Pointers,
        store: Store,
        warehouse: &str,
        client_config: HashMap<String, String>,
    ) -> Self {
        let warehouse = warehouse.trim_end_matches('/').to_owned();
        Self { pointers, store, warehouse, client_config, cache: Mutex::default() }
    }

    /// The table as it is now.
    ///
    /// # Errors
    /// 404 when it is not there.
    pub(super) async fn load(&self, table: &TableIdent) -> Result<Arc<LoadedTable>> {
        match self.find(table).await? {
            Some(loaded) => Ok(loaded),
            None => Err(PointerError::NoTable(shown_table(table)).into()),
        }
    }

    async fn find(&self, table: &TableIdent) -> Result<Option<Arc<LoadedTable>>> {
        let Some(location) = self.pointers.table(table.clone()).await? else { return Ok(None) };
        let cached = self.cached(table).filter(|cached| cached.location == location);
        if cached.is_some() {
            return Ok(cached);
        }
        let metadata = TableMetadata::read_from(&self.store.file_io(), &location).await.map_err(|error| {
            ApiError::internal(format!("metadata of {} cannot be read: {error}", shown_table(table)))
        })?;
        Ok(Some(self.remember(table, location, metadata)))
    }

    /// Makes a table, or only says what it would be (`stage-create`). Answers no location for a staged one.
    ///
    /// # Errors
    /// 404 for the namespace, 409 when the table is there, 400 for what makes no valid table.
    pub(super) async fn create(
        &self,
        namespace: NamespaceIdent,
        request: CreateTableRequest,
    ) -> Result<(Option<String>, Arc<LoadedTable>)> {
        let table = TableIdent::new(namespace, request.name.clone());
        if self.pointers.table(table.clone()).await?.is_some() {
            return Err(PointerError::Exists(format!("table {}", shown_table(&table))).into());
        }
        let location = match &request.location {
            Some(location) => self.below_warehouse(location)?,
            None => self.free_location(&table).await?,
        };
        let staged = request.stage_create == Some(true);
        let metadata = apply::new_table(request, location)?;
        if staged {
            return Ok((None, Arc::new(LoadedTable { location: String::new(), metadata })));
        }
        let created = self.put_down(table, metadata).await?;
        Ok((Some(created.location.clone()), created))
    }

    /// Applies a commit to a table that exists, or creates it when the commit asserts that it does not.
    ///
    /// # Errors
    /// 409 when a requirement does not hold or another commit was first, 404, 400 for updates that make no valid table,
    /// 500 `CommitStateUnknownException` when nobody knows whether the pointer moved.
    pub(super) async fn commit(&self, table: TableIdent, request: CommitTableRequest) -> Result<Arc<LoadedTable>> {
        let Some(current) = self.find(&table).await? else {
            let metadata = apply::first(&shown_table(&table), &request.requirements, request.updates)?;
            self.below_warehouse(metadata.location())?;
            return self.put_down(table, metadata).await;
        };
        let built = apply::next(&current.metadata, &current.location, &request.requirements, request.updates)?;
        if built.changes.is_empty() {
            return Ok(current);
        }
        self.below_warehouse(built.metadata.location())?;
        let location = self.write(&built.metadata, version(&current.location) + 1).await?;
        let swapped = self.pointers.swap(table.clone(), current.location.clone(), location.clone()).await;
        self.settle(&location, swapped).await?;
        if built.metadata.properties().get(DELETE_AFTER_COMMIT).is_some_and(|value| value == "true") {
            self.delete_expired(&built.expired_metadata_logs).await;
        }
        Ok(self.remember(&table, location, built.metadata))
    }

    /// Takes a table over whose metadata file is there already.
    ///
    /// # Errors
    /// 400 when the file is outside the warehouse or no table metadata, 409 when the table is there.
    pub(super) async fn register(
        &self,
        namespace: NamespaceIdent,
        request: RegisterTableRequest,
    ) -> Result<Arc<LoadedTable>> {
        let table = TableIdent::new(namespace, request.name);
        let location = self.below_warehouse(&request.metadata_location)?;
        let metadata = TableMetadata::read_from(&self.store.file_io(), &location)
            .await
            .map_err(|error| ApiError::bad_request(format!("{location:?} is no table metadata: {error}")))?;
        self.below_warehouse(metadata.location())?;
        match self.pointers.table(table.clone()).await? {
            Some(current) if request.overwrite == Some(true) => {
                self.pointers.swap(table.clone(), current, location.clone()).await?;
            }
            _ => self.pointers.insert(table.clone(), location.clone()).await?,
        }
        Ok(self.remember(&table, location, metadata))
    }

    async fn put_down(&self, table: TableIdent, metadata: TableMetadata) -> Result<Arc<LoadedTable>> {
        let location = self.write(&metadata, 0).await?;
        let inserted = self.pointers.insert(table.clone(), location.clone()).await;
        self.settle(&location, inserted).await?;
        Ok(self.remember(&table, location, metadata))
    }

    async fn write(&self, metadata: &TableMetadata, version: u32) -> Result<String> {
        let suffix = MetadataLocation::new_with_metadata("", metadata).compression_codec().suffix()?;
        let location =
            format!("{}/metadata/{version:05}-{}{suffix}.metadata.json", metadata.location(), Uuid::new_v4());
        metadata.write_to(&self.store.file_io(), &MetadataLocation::from_str(&location)?).await.map_err(|error| {
            ApiError::internal(format!("metadata file cannot be written; nothing was changed: {error}"))
        })?;
        Ok(location)
    }

    /// What follows from the outcome of a pointer's move for the file that was written for it.
    async fn settle(&self, location: &str, moved: std::result::Result<(), PointerError>) -> Result<()> {
        match moved {
            Ok(()) => Ok(()),
            Err(PointerError::Database(reason)) => {
                Err(ApiError::commit_unknown(format!("the commit may have been applied; load the table: {reason}")))
            }
            Err(refused) => {
                if let Err(error) = self.store.delete(location).await {
                    tracing::warn!(location, %error, "metadata file of a refused commit stays as an orphan");
                }
                Err(refused.into())
            }
        }
    }

    async fn delete_expired(&self, expired: &[MetadataLog]) {
        for entry in expired.iter().filter(|entry| self.store.is_below(&entry.metadata_file, &self.warehouse)) {
            if let Err(error) = self.store.delete(&entry.metadata_file).await {
                tracing::warn!(location = entry.metadata_file, %error, "old metadata file stays as an orphan");
            }
        }
    }

    /// Folder of a new table. One that holds files already, of a table that was renamed or dropped, is not used again:
    /// two tables in one folder would sweep each other's files.
    async fn free_location(&self, table: &TableIdent) -> Result<String> {
        let mut location = self.warehouse.clone();
        for name in table.namespace().iter().map(String::as_str).chain([table.name()]) {
            location.push('/');
            location.push_str(name);
        }
        let location = self.below_warehouse(&location)?;
        match self.store.list(&location).await?.is_empty() {
            true => Ok(location),
            false => Ok(format!("{location}-{}", Uuid::new_v4().simple())),
        }
    }

    /// The location without a slash at its end, if this catalog may write there.
    fn below_warehouse(&self, location: &str) -> Result<String> {
        let location = location.trim_end_matches('/');
        if self.store.is_below(location, &self.warehouse) && !self.store.is_below(&self.warehouse, location) {
            return Ok(location.to_owned());
        }
        let warehouse = &self.warehouse;
        Err(ApiError::bad_request(format!("location {location:?} is not below the warehouse {warehouse:?}")))
    }

    fn cached(&self, table: &TableIdent) -> Option<Arc<LoadedTable>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(table).map(Arc::clone)
    }

    fn remember(&self, table: &TableIdent, location: String, metadata: TableMetadata) -> Arc<LoadedTable> {
        let loaded = Arc::new(LoadedTable { location, metadata });
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED_TABLES_MAX && !cache.contains_key(table) {
            cache.clear();
        }
        cache.insert(table.clone(), Arc::clone(&loaded));
        loaded
    }
}

/// Version in the name of a metadata file: `00007-<uuid>.metadata.json`, or `v7.metadata.json` of a Hadoop catalog.
fn version(location: &str) -> u32 {
    let name = location.rsplit('/').next().unwrap_or_default().trim_start_matches('v');
    let digits = name.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn the_version_is_read_from_any_common_file_name() {
        assert_eq!(version("s3://b/t/metadata/00041-0198.metadata.json"), 41);
        assert_eq!(version("/t/metadata/v7.metadata.json"), 7);
        assert_eq!(version("/t/metadata/other.json"), 0);
    }
}
