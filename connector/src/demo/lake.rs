//! The table of the demo, seen through its catalog: how far it is, and what is in it.
//!
//! Everything that is reported comes from here, that is from the table, and not from what the producer believes to have
//! sent. Each question loads the table anew.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use catalog_sync::catalog::{CatalogClient, CatalogConfig, CatalogError, LoadedTable};
use catalog_sync::overrule::overrule;
use catalog_sync::query::{QueryEngine, TABLE};
use futures::TryStreamExt;
use iceberg::table::Table;
use iceberg::{NamespaceIdent, TableIdent};
use protocol::{Halt, Position};

use super::DemoError;

/// Namespace of the table.
pub(super) const NAMESPACE: &str = "analytics";

/// The table through a catalog's client.
#[derive(Debug)]
pub(super) struct Lake {
    client: CatalogClient,
    ident: TableIdent,
}

/// What the table holds at one moment; all zero for a table that does not exist yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Holdings {
    /// Rows, counted by reading.
    pub(super) rows: u64,
    /// Different event ids among them, counted by reading.
    pub(super) distinct_event_ids: u64,
    /// Records that did not become rows, by the table's position.
    pub(super) rejects: u64,
    /// Data files of the current snapshot.
    pub(super) data_files: u64,
    /// The current snapshot.
    pub(super) snapshot_id: Option<i64>,
    /// Its sequence number.
    pub(super) sequence_number: i64,
}

impl Lake {
    /// Connects to the catalog at `uri`; the table need not exist.
    pub(super) async fn connect(uri: &str) -> Result<Self, DemoError> {
        let client = CatalogClient::connect(CatalogConfig::new(uri)).await?;
        let ident = TableIdent::new(NamespaceIdent::new(NAMESPACE.to_owned()), TABLE.to_owned());
        Ok(Self { client, ident })
    }

    async fn load(&self) -> Result<Option<LoadedTable>, DemoError> {
        match self.client.load_table(&self.ident).await {
            Ok(table) => Ok(Some(table)),
            Err(CatalogError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// How far the table is; empty while it does not exist.
    pub(super) async fn position(&self) -> Result<Position, DemoError> {
        match self.load().await? {
            Some(table) => Ok(table.facts()?.position),
            None => Ok(Position::default()),
        }
    }

    /// Lets the table go on with another topic of the same name, as an operator would after `topic-recreated`.
    pub(super) async fn adopt(&self, topic: &str, id: &str) -> Result<(), DemoError> {
        let position = self.position().await?;
        let Some(known) = position.topics.get(topic).filter(|known| known.id != id) else { return Ok(()) };
        let (topic, expected, found) = (topic.to_owned(), known.id.clone(), id.to_owned());
        let Some(token) = (Halt::TopicRecreated { topic, expected, found }).token() else { return Ok(()) };
        overrule(&self.client, &self.ident, &token, "each start of the demo has a broker of its own", None).await?;
        Ok(())
    }

    /// What the table holds now.
    pub(super) async fn holdings(&self) -> Result<Holdings, DemoError> {
        let Some(loaded) = self.load().await? else { return Ok(Holdings::default()) };
        let facts = loaded.facts()?;
        let table = self.readable(&loaded)?;
        let files: Vec<_> = table.scan().select_empty().build()?.plan_files().await?.try_collect().await?;
        let engine = QueryEngine::open(table, TABLE)?;
        let counts = engine.sql("SELECT COUNT(*), COUNT(DISTINCT event_id) FROM clickstream").await?;
        Ok(Holdings {
            rows: number(&counts, 0),
            distinct_event_ids: number(&counts, 1),
            rejects: facts.position.counts().rejects,
            data_files: files.len() as u64,
            snapshot_id: facts.snapshot_id,
            sequence_number: facts.sequence_number,
        })
    }

    /// Snapshots after `sequence_number` that brought rows.
    pub(super) async fn commits_after(&self, sequence_number: i64) -> Result<u64, DemoError> {
        let Some(loaded) = self.load().await? else { return Ok(0) };
        let brought_rows = loaded.lineage().filter(|snapshot| {
            let added = snapshot.summary().additional_properties.get("added-records");
            snapshot.sequence_number() > sequence_number && added.is_some_and(|added| added != "0")
        });
        Ok(brought_rows.count() as u64)
    }

    /// The table at its present snapshot, to be asked; none while it does not exist.
    pub(super) async fn engine(&self) -> Result<Option<QueryEngine>, DemoError> {
        let Some(loaded) = self.load().await? else { return Ok(None) };
        Ok(Some(QueryEngine::open(self.readable(&loaded)?, TABLE)?))
    }

    fn readable(&self, loaded: &LoadedTable) -> Result<Table, DemoError> {
        let store = loaded.store(&self.client.config().storage)?;
        Ok(loaded.to_iceberg(&store)?)
    }
}

/// The number in a column of a result of one row.
fn number(batches: &[RecordBatch], column: usize) -> u64 {
    let value = batches.iter().find(|batch| batch.num_rows() > 0).map(|batch| {
        let values = batch.column(column).as_primitive::<Int64Type>();
        values.value(0)
    });
    value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0)
}
