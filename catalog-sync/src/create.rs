//! Making a table together with its first snapshot, in one commit that only one of several creators can win.
//!
//! A table without a snapshot has a hole on Nessie before 0.101.1 (two first writers overwrite each other), so none is
//! ever made: the catalog stages the table, the empty manifest list is written, and one POST with `assert-create`
//! brings both. Called by the connector when `iceberg.tables.auto-create-enabled` is set.

use std::collections::BTreeMap;

use iceberg::TableIdent;
use protocol::lineage::POSITION_KEY;
use protocol::{Outcome, Position};
use serde_json::{Value, json};

use crate::catalog::{CatalogClient, CatalogError, LoadedTable};
use crate::snapshot::{self, Contents};
use crate::storage::StorageError;

/// A table could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The catalog said no, or nothing.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The object store cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The manifest list could not be written, or the catalog's answer is not usable.
    #[error("cannot create table {table}: {source}")]
    Iceberg {
        /// The table.
        table: String,
        /// What the library says.
        #[source]
        source: iceberg::Error,
    },
    /// The commit was sent, and the table is not there (yet).
    #[error(
        "the creation of table {table} is not settled: the catalog took it without a clear answer, and has no such table"
    )]
    Unsettled {
        /// The table.
        table: String,
    },
    /// The commit was refused.
    #[error("cannot create table {table}: the catalog refused it: {detail}")]
    Refused {
        /// The table.
        table: String,
        /// The catalog's words.
        detail: String,
    },
}

impl CreateError {
    /// Whether a later try may succeed without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Catalog(error) => error.is_transient(),
            Self::Iceberg { .. } | Self::Unsettled { .. } => true,
            Self::Storage(_) | Self::Refused { .. } => false,
        }
    }
}

/// Loads a table, or makes it (and its namespace) with the columns, partition spec and properties of `schemas`;
/// `properties` are added to those and win. Idempotent: when two call at once, both get the one table there is.
///
/// # Errors
/// [`CreateError`]. After an unknown outcome the table may exist; calling again resolves it.
pub async fn load_or_create(
    client: &CatalogClient,
    ident: &TableIdent,
    properties: &BTreeMap<String, String>,
) -> Result<LoadedTable, CreateError> {
    match client.load_table(ident).await {
        Err(CatalogError::NotFound { .. }) => {}
        other => return Ok(other?),
    }
    client.ensure_namespace(ident.namespace()).await?;
    let mut request = schemas::table::definition();
    for (key, value) in properties {
        request["properties"][key] = json!(value);
    }
    let staged = match client.stage_table(ident, request).await {
        Ok(staged) => staged,
        Err(CatalogError::AlreadyExists { .. }) => return Ok(client.load_table(ident).await?),
        Err(error) => return Err(error.into()),
    };
    let commit = first_commit(client, &staged).await?;
    match client.commit_once(ident, &commit).await {
        Outcome::Committed => tracing::info!(table = %ident, "created the table"),
        Outcome::Conflict(said) => tracing::info!(table = %ident, said, "somebody else created the table"),
        Outcome::Unknown(said) => tracing::warn!(table = %ident, said, "the outcome of the creation is unknown"),
        Outcome::Refused(detail) => return Err(CreateError::Refused { table: ident.to_string(), detail }),
    }
    match client.load_table(ident).await {
        Err(CatalogError::NotFound { .. }) => Err(CreateError::Unsettled { table: ident.to_string() }),
        other => Ok(other?),
    }
}

/// All updates that make the staged table, its empty first snapshot included. Built as JSON since `add-schema` needs
/// `last-column-id` on Nessie, which newer clients, and the library's type, leave out.
async fn first_commit(client: &CatalogClient, staged: &LoadedTable) -> Result<Value, CreateError> {
    let metadata = staged.metadata();
    let wrap = |source| CreateError::Iceberg { table: staged.ident().to_string(), source };
    let store = staged.store(&client.config().storage)?;
    let position = Position::default().encode(1);
    let summary = BTreeMap::from([(POSITION_KEY.to_owned(), position.clone())]);
    let contents = Contents { files: &[], parent: None, sequence_number: 1, summary };
    let new = snapshot::write(metadata, &store, contents).await.map_err(wrap)?;
    let added = iceberg::TableUpdate::AddSnapshot { snapshot: new.snapshot };
    let mut properties = metadata.properties().clone();
    properties.insert(POSITION_KEY.to_owned(), position);
    properties.remove("format-version");
    Ok(json!({
        "identifier": staged.ident(),
        "requirements": [{"type": "assert-create"}],
        "updates": [
            {"action": "assign-uuid", "uuid": metadata.uuid()},
            {"action": "upgrade-format-version", "format-version": 2},
            {"action": "add-schema", "schema": metadata.current_schema(), "last-column-id": metadata.last_column_id()},
            {"action": "set-current-schema", "schema-id": -1},
            {"action": "add-spec", "spec": metadata.default_partition_spec()},
            {"action": "set-default-spec", "spec-id": -1},
            {"action": "add-sort-order", "sort-order": metadata.default_sort_order()},
            {"action": "set-default-sort-order", "sort-order-id": -1},
            {"action": "set-location", "location": metadata.location()},
            {"action": "set-properties", "updates": properties},
            added,
            snapshot::main_branch(new.snapshot_id),
        ],
    }))
}
