//! What a plan costs over a table of many files, in few manifests as maintenance leaves them, and in many as streaming does.
//!
//! The files do not exist: a plan reads metadata only. `catalog-sync plan` runs as a process of its own against the embedded
//! catalog, and must count every file.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use catalog_sync::catalog::{CatalogClient, CatalogConfig};
use catalog_sync::create::load_or_create;
use catalog_sync::embedded::{EmbeddedCatalog, EmbeddedOptions};
use iceberg::TableIdent;
use it::program;
use it::wait::say;
use serde::Serialize;

use crate::listing;
use crate::measure;

/// A table, and what its plan has cost.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    pub(crate) files: u64,
    pub(crate) manifests: u64,
    /// Bytes of the manifests.
    pub(crate) bytes: u64,
    pub(crate) wall_seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) memory_peak_bytes: u64,
}

/// Makes a table of so many manifests with so many files each, and plans several times; the time in the middle counts, and the
/// highest memory.
pub(crate) async fn run(dir: &Path, manifests: u64, each: u64, rounds: usize) -> Result<Line> {
    let folder = tempfile::tempdir_in(dir)?;
    let catalog = EmbeddedCatalog::start(EmbeddedOptions::below(folder.path())).await?;
    let client = CatalogClient::connect(CatalogConfig::new(catalog.uri())).await?;
    let ident = TableIdent::from_strs(["analytics", "listed"])?;
    load_or_create(&client, &ident, &BTreeMap::new()).await?;
    let parts = listing::made_up(&client.load_table(&ident).await?, manifests, each)?;
    listing::list(&client, &ident, &parts).await?;
    drop(parts);
    let files = manifests * each;
    let mut runs = Vec::new();
    for _ in 0..rounds.max(1) {
        let mut command = Command::new(program::path("catalog-sync")?);
        command.args(["plan", "analytics.listed", "--json", "--catalog-uri", &catalog.uri()]);
        let log = dir.join("plan.log");
        let (said, wall, usage) = tokio::task::spawn_blocking(move || measure::run(&mut command, &log)).await??;
        let plan: serde_json::Value = serde_json::from_str(&said).context("a plan is JSON")?;
        let partitions = plan["partitions"].as_array().context("a plan has partitions")?;
        let found: u64 = partitions.iter().filter_map(|partition| partition["files"].as_u64()).sum();
        ensure!(found == files, "the plan tells of {found} files of {files}");
        say(format!(
            "{files} files in {manifests} manifests: {:.2} s, {:.2} CPU-s",
            wall.as_secs_f64(),
            usage.cpu.as_secs_f64()
        ));
        runs.push((wall, usage));
    }
    let middle = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    };
    let loaded = client.load_table(&ident).await?;
    let file_io = loaded.store(&client.config().storage)?.file_io();
    let snapshot = loaded.metadata().current_snapshot().context("a snapshot")?;
    let listed = catalog_sync::manifest::list(loaded.metadata(), snapshot, &file_io).await?;
    let bytes = listed.iter().map(|manifest| manifest.manifest_length.unsigned_abs()).sum();
    catalog.stop().await;
    Ok(Line {
        files,
        manifests,
        bytes,
        wall_seconds: middle(runs.iter().map(|run| run.0).collect()),
        cpu_seconds: middle(runs.iter().map(|run| run.1.cpu).collect()),
        memory_peak_bytes: runs.iter().map(|run| run.1.memory_peak).max().unwrap_or_default(),
    })
}
