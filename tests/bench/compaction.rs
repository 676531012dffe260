//! The same small files, compacted by each engine in a table of its own.
//!
//! The connector has written one table of them. Each engine gets another one that lists the same data files, in as many
//! manifests; none of the engines deletes a file. Afterwards each table must hold the rows of the first one, by Trino's count and by
//! its checksum of every column, or nothing is reported.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use catalog_sync::catalog::{CatalogClient, CatalogConfig, StorageConfig};
use catalog_sync::create::load_or_create;
use catalog_sync::manifest;
use catalog_sync::secret::Secret;
use iceberg::TableIdent;
use iceberg::spec::DataFile;
use it::trial::Trial;
use it::trino::Row;
use it::wait::say;
use serde::Serialize;

use crate::engine::{Cost, Engine};
use crate::listing;
use crate::queries::Asked;

/// An engine's compaction.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    pub(crate) engine: String,
    pub(crate) wall_seconds: f64,
    pub(crate) cpu_seconds: f64,
    /// Without start and end of its process, if that is known.
    pub(crate) call_cpu_seconds: Option<f64>,
    pub(crate) memory_peak_bytes: u64,
    pub(crate) files_before: u64,
    pub(crate) bytes_before: u64,
    pub(crate) files_after: u64,
    pub(crate) bytes_after: u64,
}

impl Line {
    /// Megabytes of input for a CPU-second.
    pub(crate) fn megabytes_per_cpu_second(&self) -> f64 {
        self.bytes_before as f64 / 1e6 / self.cpu_seconds
    }
}

/// The table with the small files.
struct Source {
    client: CatalogClient,
    /// Its files, by manifest.
    parts: Vec<Vec<DataFile>>,
    sums: Vec<Row>,
}

/// Compacts `table` with each engine; the tables that come of it stand beside what it has cost.
pub(crate) async fn run(
    trial: &Trial,
    table: &str,
    engines: &[Engine],
    min_input_files: u32,
) -> Result<Vec<(Line, Asked)>> {
    let source = Source::read(trial, table).await?;
    let mut lines = Vec::new();
    for &engine in engines {
        if engine == Engine::Trino {
            // A server runs for months: what it compiles in its first minutes is not its usual price.
            let name = source.copy(trial, "warm_up").await?;
            engine.compact(trial, &name, min_input_files).await?;
        }
        let name = source.copy(trial, engine.suffix()).await?;
        let cost = engine
            .compact(trial, &name, min_input_files)
            .await
            .with_context(|| format!("{engine:?} compacts {name}"))?;
        let sums = sums(trial, &name).await?;
        ensure!(sums == source.sums, "{name} holds {sums:?}, and {table} {:?}", source.sums);
        let line = source.line(trial, engine, &name, &cost).await?;
        say(format!("{}: {:.1} s, {:.1} CPU-s", line.engine, line.wall_seconds, line.cpu_seconds));
        lines.push((line, Asked { system: format!("compacted by {}", engine.title()?), table: name }));
    }
    Ok(lines)
}

/// Rows, and a checksum of every column that does not depend on their order.
async fn sums(trial: &Trial, table: &str) -> Result<Vec<Row>> {
    let columns = schemas::table::COLUMNS.iter().map(|column| format!(", to_hex(checksum({}))", column.name));
    let sql = format!("SELECT count(*){} FROM lakehouse.{table}", columns.collect::<String>());
    trial.trino.query(&sql).await
}

impl Source {
    async fn read(trial: &Trial, table: &str) -> Result<Self> {
        let stack = &trial.stack;
        let storage = StorageConfig {
            endpoint: Some(stack.s3.clone()),
            region: Some("us-east-1".to_owned()),
            access_key_id: Some(Secret::new(&stack.s3_access_key)),
            secret_access_key: Some(Secret::new(&stack.s3_secret_key)),
            path_style_access: Some(true),
            ..StorageConfig::default()
        };
        let warehouse = Some("warehouse".to_owned());
        let client =
            CatalogClient::connect(CatalogConfig { warehouse, storage, ..CatalogConfig::new(&stack.catalog) }).await?;
        let loaded = client.load_table(&ident(table)?).await?;
        let file_io = loaded.store(&client.config().storage)?.file_io();
        let snapshot = loaded.metadata().current_snapshot().context("the connector has committed")?;
        let mut parts = Vec::new();
        for listed in manifest::list(loaded.metadata(), snapshot, &file_io).await? {
            let entries = manifest::live_entries(&listed, &file_io).await?;
            parts.push(entries.iter().map(|entry| entry.data_file().clone()).collect());
        }
        Ok(Self { client, parts, sums: sums(trial, table).await? })
    }

    /// Another table with the same files.
    async fn copy(&self, trial: &Trial, suffix: &str) -> Result<String> {
        let name = format!("{}_{suffix}", trial.table);
        let ident = ident(&name)?;
        load_or_create(&self.client, &ident, &BTreeMap::new()).await?;
        listing::list(&self.client, &ident, &self.parts).await?;
        Ok(name)
    }

    async fn line(&self, trial: &Trial, engine: Engine, table: &str, cost: &Cost) -> Result<Line> {
        let summary = trial.catalog.summary(table).await?;
        let total = |key: &str| {
            summary.get(key).and_then(|text| text.parse().ok()).with_context(|| format!("{key}: {summary:?}"))
        };
        let files = || self.parts.iter().flatten();
        Ok(Line {
            engine: engine.title()?,
            wall_seconds: cost.wall.as_secs_f64(),
            cpu_seconds: cost.usage.cpu.as_secs_f64(),
            call_cpu_seconds: cost.call_cpu.map(|cpu| cpu.as_secs_f64()),
            memory_peak_bytes: cost.usage.memory_peak,
            files_before: files().count() as u64,
            bytes_before: files().map(DataFile::file_size_in_bytes).sum(),
            files_after: total("total-data-files")?,
            bytes_after: total("total-files-size")?,
        })
    }
}

fn ident(table: &str) -> Result<TableIdent> {
    Ok(TableIdent::from_strs(table.split('.'))?)
}
