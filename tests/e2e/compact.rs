//! The data files of a table are compacted while it is being written.
//!
//! Goal: `catalog-sync compact` and a connector that commits twice a second share one table on Nessie, which shows one
//! snapshot: files become few, the connector goes on committing, whoever reads meanwhile sees every row that was there
//! before, and in the end each row is there once, by Trino's reading; `verify` accounts for each rewrite. Files that Trino has
//! deleted rows of are left alone, so that none comes back. Method: the program again and again while events pour in and
//! Trino counts; when they have ended, once more, and again for nothing; then a DELETE, and all files anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use it::steady::Steady;
use it::trial::Trial;
use it::wait::say;
use serde_json::Value;

/// Commits that are waited for before each compaction, so that there is something to gain.
const COMMITS_BETWEEN: u64 = 6;
/// Compactions while events pour in.
const COMPACTIONS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn files_are_compacted_while_a_connector_commits_and_every_row_stays_once() -> Result<()> {
    let trial = Arc::new(Trial::begin("compact", &[4]).await?);
    let worker = trial.worker().await?;
    worker.register(&trial.registration(&[("commit.interval.ms", "500")])?).await?;
    let steady = Steady::begin(&trial.kafka, &trial.topics[0], 50, 0);
    trial.committed(COMMITS_BETWEEN).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(never_fewer(Arc::clone(&trial), Arc::clone(&is_over)));
    let mut files_before = 0;
    for _ in 0..COMPACTIONS {
        trial.committed(COMMITS_BETWEEN).await?;
        let report = compact(&trial, &["--min-input-files", "2"]).await?;
        ensure!(report["verdict"] == "committed", "nothing to gain after {COMMITS_BETWEEN} commits: {report}");
        ensure!(report["yielded"] == 0, "nobody else compacts: {report}");
        files_before += report["done"]["files_before"].as_u64().context("files")?;
        trial.verified().await?;
    }
    let sent = steady.stop().await?;
    trial.ingested().await?;
    is_over.store(true, Ordering::SeqCst);
    let counts = reader.await??;
    say(format!("{files_before} files rewritten while {} events were written; {counts} counts by Trino", sent.events));
    trial.exact(&sent).await?;

    // All is written: nobody is in the way.
    let report = compact(&trial, &["--min-input-files", "2", "--no-partial-progress"]).await?;
    let (after, partitions) = (trial.files().await?, u64::try_from(sent.partitions.len())?);
    say(format!("{after} files in {partitions} partitions after the last one: {}", report["done"]));
    ensure!(after <= partitions, "{after} files in {partitions} partitions: {report}");
    trial.exact(&sent).await?;
    let again = compact(&trial, &["--min-input-files", "2"]).await?;
    ensure!(again["verdict"] == "nothing-to-gain", "{again}");

    let deleted = deletes(&trial, sent.events).await?;
    let report = compact(&trial, &["--rewrite-all"]).await?;
    ensure!(report["skipped"]["with_deletes"].as_u64() >= Some(1), "a file has deleted rows: {report}");
    let rows = trial.trino.number(&format!("SELECT count(*) FROM {}", trial.sql_name())).await?;
    ensure!(rows == Some(sent.events - deleted), "{rows:?} rows, {deleted} of {} were deleted", sent.events);
    worker.running(&trial.name, 2).await
}

/// Counts again and again, until it is over; how often.
async fn never_fewer(trial: Arc<Trial>, is_over: Arc<AtomicBool>) -> Result<u64> {
    let (mut last, mut counts) = (0, 0);
    while !is_over.load(Ordering::SeqCst) {
        let sql = format!("SELECT count(*), count(DISTINCT event_id) FROM {}", trial.sql_name());
        let rows = trial.trino.query(&sql).await?;
        let number = |at: usize| rows.first().and_then(|row| row.get(at)?.as_u64()).context("a number");
        let (all, distinct) = (number(0)?, number(1)?);
        ensure!(all == distinct && all >= last, "{all} rows, {distinct} distinct, and {last} a moment before");
        (last, counts) = (all, counts + 1);
    }
    Ok(counts)
}

/// Has Trino delete some rows; how many.
async fn deletes(trial: &Trial, events: u64) -> Result<u64> {
    let table = trial.sql_name();
    let some = format!("SELECT min(event_id) FROM {table} GROUP BY event_type");
    trial.trino.query(&format!("DELETE FROM {table} WHERE event_id IN ({some})")).await?;
    let left = trial.trino.number(&format!("SELECT count(*) FROM {table}")).await?.context("a number")?;
    ensure!(left < events, "nothing was deleted");
    Ok(events - left)
}

async fn compact(trial: &Trial, options: &[&str]) -> Result<Value> {
    let arguments = [&["compact", &trial.table, "--json"], options].concat();
    trial.catalog_sync(&arguments).await?.json()
}
