//! A table as one load shows it, and what the protocol wants to know of it.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::{Snapshot, TableMetadata, TableMetadataRef};
use iceberg::table::Table;
use iceberg::{Runtime, TableIdent};
use protocol::decide::SWEEP_EPOCH_KEY;
use protocol::lineage::{POSITION_KEY, SnapshotFact, read_position};
use protocol::overrule::Found;
use protocol::{Halt, Position, TableFacts};

use super::config::StorageConfig;
use super::nessie::IS_NESSIE;
use crate::storage::{StorageError, Store};

/// Key under which Nessie tells the commit of a load, among the table's properties.
const NESSIE_COMMIT: &str = "nessie.commit.id";
/// Key under which it tells the branch.
const NESSIE_REFERENCE: &str = "nessie.commit.ref";

/// A snapshot that the load does not show, and that lies below those that it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ancestor {
    pub(crate) sequence_number: i64,
    pub(crate) root: bool,
    pub(crate) position: Option<String>,
}

/// Reads a table's name as people write it.
///
/// # Errors
/// What it is not: a namespace, a point, a name.
pub fn parse_table(name: &str) -> Result<TableIdent, String> {
    let levels: Vec<&str> = name.split('.').collect();
    if levels.len() < 2 || levels.iter().any(|level| level.trim().is_empty()) {
        return Err("a table is written namespace.table".to_owned());
    }
    TableIdent::from_strs(levels).map_err(|error| error.message().to_owned())
}

/// One load of a table.
#[derive(Debug, Clone)]
pub struct LoadedTable {
    ident: TableIdent,
    metadata: TableMetadataRef,
    metadata_location: Option<String>,
    config: HashMap<String, String>,
    /// Newest first; looked for only where the position needs them.
    older: Vec<Ancestor>,
}

impl LoadedTable {
    /// Puts together what the catalog sent.
    pub(crate) fn new(
        ident: TableIdent,
        metadata: TableMetadata,
        metadata_location: Option<String>,
        config: HashMap<String, String>,
    ) -> Self {
        Self { ident, metadata: metadata.into(), metadata_location, config, older: Vec::new() }
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

    /// The same load, with ancestors that it does not show.
    pub(super) fn with_older(self, older: Vec<Ancestor>) -> Self {
        Self { older, ..self }
    }

    /// Whether the position is to be looked for below what this load shows: there is one, and nobody who is in sight
    /// bears it.
    pub(super) fn hides_position(&self) -> bool {
        let bears = |snapshot: &Snapshot| snapshot.summary().additional_properties.contains_key(POSITION_KEY);
        let begins = self.lineage().last().is_none_or(|oldest| oldest.sequence_number() <= 1);
        self.metadata.properties().contains_key(POSITION_KEY) && !begins && !self.lineage().any(bears)
    }

    /// The current snapshot, as an ancestor of a later one; none for a table without any.
    pub(super) fn current_ancestor(&self) -> Option<Ancestor> {
        let snapshot = self.metadata.current_snapshot()?;
        let position = snapshot.summary().additional_properties.get(POSITION_KEY).cloned();
        Some(Ancestor { sequence_number: snapshot.sequence_number(), root: false, position })
    }

    /// Branch and hash of the Nessie commit that was loaded; none from other catalogs.
    pub(super) fn nessie_commit(&self) -> Option<(&str, &str)> {
        let properties = self.metadata.properties();
        let (reference, hash) = (properties.get(NESSIE_REFERENCE)?, properties.get(NESSIE_COMMIT)?);
        let is_hash = !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        (self.is_nessies() && is_hash).then_some((reference.as_str(), hash.as_str()))
    }

    fn is_nessies(&self) -> bool {
        self.config.get(IS_NESSIE).is_some_and(|text| text == "true")
    }

    /// What the commit decision looks at.
    ///
    /// # Errors
    /// A [`Halt`] when the position cannot be read or the table was rolled back.
    pub fn facts(&self) -> Result<TableFacts, Halt> {
        Ok(self.facts_with(self.position()?))
    }

    /// What an operator's word against a halt is held against.
    #[must_use]
    pub fn found(&self) -> Found<'_> {
        Found {
            position: self.position(),
            property: self.property(POSITION_KEY),
            facts: self.facts_with(Position::default()),
        }
    }

    fn facts_with(&self, position: Position) -> TableFacts {
        TableFacts {
            uuid: self.metadata.uuid().to_string(),
            snapshot_id: self.metadata.current_snapshot_id(),
            sequence_number: self.metadata.last_sequence_number(),
            position,
            sweep_epoch: self.property(SWEEP_EPOCH_KEY).unwrap_or_default().to_owned(),
        }
    }

    fn property(&self, key: &str) -> Option<&str> {
        self.metadata.properties().get(key).map(String::as_str)
    }

    fn position(&self) -> Result<Position, Halt> {
        // Nessie shows no parents, so that a missing one says nothing.
        let shows_parents = !self.is_nessies();
        let shown = self.lineage().map(|snapshot| SnapshotFact {
            sequence_number: snapshot.sequence_number(),
            root: shows_parents && snapshot.parent_snapshot_id().is_none(),
            position: snapshot.summary().additional_properties.get(POSITION_KEY).map(String::as_str),
        });
        let older = self.older.iter().map(|ancestor| SnapshotFact {
            sequence_number: ancestor.sequence_number,
            root: ancestor.root,
            position: ancestor.position.as_deref(),
        });
        let lineage: Vec<SnapshotFact<'_>> = shown.chain(older).collect();
        read_position(&lineage, self.property(POSITION_KEY))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::parse_table;

    #[test]
    fn a_table_needs_a_namespace() {
        assert_eq!(parse_table("a.b.c").unwrap().namespace().as_ref(), &["a".to_owned(), "b".to_owned()]);
        for name in ["", "clickstream", "a.", ".a", "a..b"] {
            assert!(parse_table(name).is_err(), "{name}");
        }
    }
}
