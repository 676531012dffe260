//! A table as one load shows it, and what the protocol wants to know of it.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::{Snapshot, TableMetadata, TableMetadataRef};
use iceberg::table::Table;
use iceberg::{Runtime, TableIdent};
use protocol::lineage::{POSITION_KEY, SnapshotFact, read_position};
use protocol::{Halt, TableFacts};

use super::config::StorageConfig;
use crate::storage::{StorageError, Store};

/// One load of a table.
#[derive(Debug, Clone)]
pub struct LoadedTable {
    ident: TableIdent,
    metadata: TableMetadataRef,
    metadata_location: Option<String>,
    config: HashMap<String, String>,
}

impl LoadedTable {
    /// Puts together what the catalog sent.
    pub(crate) fn new(
        ident: TableIdent,
        metadata: TableMetadata,
        metadata_location: Option<String>,
        config: HashMap<String, String>,
    ) -> Self {
        Self { ident, metadata: metadata.into(), metadata_location, config }
    }

    /// Its name.
    #[must_use]
    pub fn ident(&self) -> &TableIdent {
        &self.ident
    }

    /// Its metadata.
    #[must_use]
    pub fn metadata(&self) -> &TableMetadataRef {
        &self.metadata
    }

    /// Where the catalog keeps the metadata, as it says itself.
    #[must_use]
    pub fn metadata_location(&self) -> Option<&str> {
        self.metadata_location.as_deref()
    }

    /// The current snapshot and its ancestors, as far back as the catalog shows them.
    pub fn lineage(&self) -> impl Iterator<Item = &Snapshot> {
        let parent = |snapshot: &&Snapshot| {
            let parent = snapshot.parent_snapshot_id()?;
            self.metadata.snapshot_by_id(parent).map(AsRef::as_ref)
        };
        std::iter::successors(self.metadata.current_snapshot().map(AsRef::as_ref), parent)
    }

    /// What the commit decision looks at.
    ///
    /// # Errors
    /// A [`Halt`] when the position cannot be read or the table was rolled back.
    pub fn facts(&self) -> Result<TableFacts, Halt> {
        let lineage: Vec<SnapshotFact<'_>> = self
            .lineage()
            .map(|snapshot| SnapshotFact {
                sequence_number: snapshot.sequence_number(),
                position: snapshot.summary().additional_properties.get(POSITION_KEY).map(String::as_str),
            })
            .collect();
        let property = self.metadata.properties().get(POSITION_KEY).map(String::as_str);
        Ok(TableFacts {
            uuid: self.metadata.uuid().to_string(),
            snapshot_id: self.metadata.current_snapshot_id(),
            sequence_number: self.metadata.last_sequence_number(),
            position: read_position(&lineage, property)?,
        })
    }

    /// Opens the object store that holds the table.
    ///
    /// # Errors
    /// [`StorageError`] when the location has an unknown scheme or the settings contradict each other.
    pub fn store(&self, storage: &StorageConfig) -> Result<Store, StorageError> {
        Store::open(storage, &self.config, self.metadata.location())
    }

    /// The table as the `iceberg` crate sees it, for scans.
    ///
    /// # Errors
    /// The crate's own, when the metadata is not usable.
    pub fn to_iceberg(&self, store: &Store) -> iceberg::Result<Table> {
        let mut builder = Table::builder()
            .file_io(store.file_io())
            .metadata(Arc::clone(&self.metadata))
            .identifier(self.ident.clone())
            .runtime(Runtime::try_current()?)
            .readonly(true);
        if let Some(location) = &self.metadata_location {
            builder = builder.metadata_location(location.clone());
        }
        builder.build()
    }
}
