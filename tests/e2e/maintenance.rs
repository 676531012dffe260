//! A table looks after itself while it is being written, and Trino rewrites its files by our plan.
//!
//! Goal: `catalog-sync run` beside a connector that commits twice a second on Nessie keeps data files and manifests few for as long
//! as it goes on, also when there are two of it, when one is killed in the middle and started again, and when one is told to stop;
//! every row stays once, by Trino's reading, and the table is complete. `catalog-sync compact --engine trino` does the same by Trino's
//! `optimize`, and the position survives. Method: the processes themselves, their lines of JSON, Trino's metadata tables.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use it::program;
use it::steady::Steady;
use it::trial::Trial;
use it::wait::{Look, say, until};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

/// Manifests that are not full, before they are rewritten.
const MANIFESTS: u64 = 8;
/// Commits that small files come with, before they are compacted.
const COMMITS: u64 = 6;
/// Commits that may pass from one look to the end of what it found to do, on a busy machine.
const COMMITS_SLACK: u64 = 60;
/// Files that a partition may get meanwhile: not every commit has rows of each.
const FILES_SLACK: u64 = 30;

/// A `catalog-sync run` process.
struct Maintenance {
    process: Child,
    /// Its lines of JSON, a run of a job each.
    out: PathBuf,
}

impl Maintenance {
    fn start(config: &Path, out: PathBuf) -> Result<Self> {
        let lines = std::fs::OpenOptions::new().create(true).append(true).open(&out)?;
        let errors = std::fs::File::create(out.with_extension("log"))?;
        let process = Command::new(program::path("catalog-sync")?)
            .args(["run", "--json", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(lines)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { process, out })
    }

    /// Runs of a job that came to this end. A last line that is cut off is passed over.
    fn told(&self, job: &str, verdict: &str) -> Result<u64> {
        let text = std::fs::read_to_string(&self.out)?;
        let runs = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(runs.filter(|run| run["job"] == job && run["verdict"] == verdict).count() as u64)
    }

    async fn has_compacted(&self, times: u64) -> Result<()> {
        until(&format!("{} has {times} compactions", self.out.display()), Duration::from_secs(180), async || {
            let (done, failed) = (self.told("compact", "done")?, self.told("compact", "failed")?);
            ensure!(failed == 0, "{failed} compactions failed, see {}", self.out.display());
            Ok(Look::holds(done >= times, done))
        })
        .await
    }

    async fn kill(mut self) -> Result<()> {
        self.process.kill().await.context("kill")
    }

    /// SIGTERM; it must end well.
    async fn stop(mut self) -> Result<()> {
        let pid = self.process.id().context("it has ended by itself")?;
        program::run(Command::new("kill").args(["-TERM", &pid.to_string()]), Duration::from_secs(10)).await?;
        let ended = tokio::time::timeout(Duration::from_secs(30), self.process.wait()).await;
        let status = ended.context("not within 30 s of SIGTERM")??;
        ensure!(status.success(), "SIGTERM ended it with {status}");
        Ok(())
    }
}

/// The trial's table and connection, and everything due at once.
fn configuration(trial: &Trial) -> Result<PathBuf> {
    let registration = trial.registration(&[])?;
    let keys = registration["config"].as_object().context("connector.json has a config")?;
    let is_known = |key: &str| key.starts_with("iceberg.catalog.") && key != "iceberg.catalog.type";
    let known = keys.iter().filter(|(key, _)| is_known(key)).map(|(key, value)| (key.clone(), value.clone()));
    let connection: serde_json::Map<String, Value> = known.collect();
    let file = json!({
        "connection": connection, "tables": [trial.table], "check-interval-ms": 500, "max-backoff-ms": 5_000,
        "jobs": {
            "compact": {"commit-count": COMMITS, "min-input-files": 2, "min-interval-ms": 1_000},
            "rewrite_manifests": {"manifest-count": MANIFESTS, "min-interval-ms": 1_000},
            "verify": {"enabled": true, "cron": "* * * * *"},
        },
    });
    let path = trial.dir.join("maintenance.json");
    std::fs::write(&path, file.to_string())?;
    Ok(path)
}

async fn manifests(trial: &Trial) -> Result<u64> {
    let (namespace, table) = trial.table.split_once('.').unwrap_or_default();
    let sql = format!("SELECT count(*) FROM lakehouse.{namespace}.\"{table}$manifests\"");
    Ok(trial.trino.number(&sql).await?.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_looked_after_stays_small_beside_a_connector_and_every_row_stays_once() -> Result<()> {
    let trial = Trial::begin("maintenance", &[4]).await?;
    let config = configuration(&trial)?;
    // Before there is a table.
    let first = Maintenance::start(&config, trial.dir.join("first.jsonl"))?;
    let worker = trial.worker().await?;
    worker.register(&trial.registration(&[("commit.interval.ms", "500")])?).await?;
    let steady = Steady::begin(&trial.kafka, &trial.topics[0], 50, 0);
    first.has_compacted(3).await?;

    let second = Maintenance::start(&config, trial.dir.join("second.jsonl"))?;
    second.has_compacted(2).await?;
    trial.committed(10).await?;
    first.kill().await?;
    say("killed one of two in the middle");
    let first = Maintenance::start(&config, trial.dir.join("first-again.jsonl"))?;
    first.has_compacted(2).await?;
    second.stop().await?;
    trial.committed(2 * COMMITS_SLACK).await?;
    let (files, manifest_count) = (trial.files().await?, manifests(&trial).await?);
    let sent = steady.stop().await?;
    trial.ingested().await?;
    let partitions = u64::try_from(sent.partitions.len())?;
    say(format!("{files} files in {partitions} partitions, {manifest_count} manifests beside the connector"));
    let (files_max, manifests_max) = (partitions * (COMMITS + FILES_SLACK), MANIFESTS + COMMITS_SLACK);
    ensure!(files <= files_max, "{files} files, there should be {files_max} at most");
    ensure!(manifest_count <= manifests_max, "{manifest_count} manifests, there should be {manifests_max} at most");
    trial.exact(&sent).await?;

    until("few files and manifests in the end", Duration::from_secs(120), async || {
        let (files, manifests) = (trial.files().await?, manifests(&trial).await?);
        let is_few = files < partitions * COMMITS && manifests <= MANIFESTS + 1;
        Ok(Look::holds(is_few, format!("{files} files in {partitions} partitions, {manifests} manifests")))
    })
    .await?;
    until("the table was verified by the clock", Duration::from_secs(90), async || {
        let (done, failed) = (first.told("verify", "done")?, first.told("verify", "failed")?);
        ensure!(failed == 0, "a verification by the clock failed, see {}", first.out.display());
        Ok(Look::holds(done > 0, done))
    })
    .await?;
    first.stop().await?;
    trial.exact(&sent).await?;
    worker.running(&trial.name, 2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn trino_rewrites_the_files_of_our_plan_and_the_position_survives() -> Result<()> {
    let trial = Trial::begin("engine", &[2]).await?;
    let worker = trial.worker().await?;
    worker.register(&trial.registration(&[("commit.interval.ms", "500")])?).await?;
    let steady = Steady::begin(&trial.kafka, &trial.topics[0], 50, 0);
    trial.committed(12).await?;
    let sent = steady.stop().await?;
    trial.ingested().await?;

    let spark = trial.catalog_sync(&["compact", &trial.table, "--min-input-files", "2", "--engine", "spark"]).await?;
    let calls =
        spark.out.lines().filter(|line| line.starts_with("CALL `lakehouse`.system.rewrite_data_files(")).count();
    let planned = optimize(&trial, &["--dry-run"]).await?;
    let statements = planned["statements"].as_array().context("statements")?.len();
    ensure!(statements > 0 && calls == statements, "{calls} calls for spark, {statements} statements for trino");
    ensure!(planned["verdict"] == "planned", "{planned}");

    let (before, files) = (trial.catalog.position(&trial.table).await?, trial.files().await?);
    let report = optimize(&trial, &[]).await?;
    ensure!(report["verdict"] == "committed", "{report}");
    for statement in report["statements"].as_array().context("statements")? {
        ensure!(statement["verdict"] == "committed" && statement["files_after"] == 1, "{statement}");
    }
    let after = trial.files().await?;
    say(format!("{files} files before trino, {after} after, in {} partitions", sent.partitions.len()));
    ensure!(after < files, "{files} files before trino, {after} after");
    ensure!(trial.catalog.position(&trial.table).await? == before, "the position did not survive");
    trial.exact(&sent).await?;
    let again = optimize(&trial, &[]).await?;
    ensure!(again["verdict"] == "nothing-to-gain", "{again}");

    // The connector goes on where it stood.
    let mut all = sent;
    let more = Steady::begin(&trial.kafka, &trial.topics[0], 50, 0);
    trial.committed(3).await?;
    all.add(more.stop().await?);
    trial.ingested().await?;
    trial.exact(&all).await?;
    worker.running(&trial.name, 2).await
}

async fn optimize(trial: &Trial, options: &[&str]) -> Result<Value> {
    let uri = &trial.stack.trino;
    let arguments =
        ["compact", &trial.table, "--json", "--min-input-files", "2", "--engine", "trino", "--trino-uri", uri];
    trial.catalog_sync(&[&arguments, options].concat()).await?.json()
}
