//! The data files of a table are compacted while it is being written.
//!
//! Goal: `catalog-sync compact` and a connector that commits twice a second share one table on Nessie, which shows one
//! snapshot: files become few, the connector goes on committing, whoever reads meanwhile sees every row that was there
//! before, and in the end each row is there once, by Trino's reading; `verify` accounts for each rewrite. Rows that Trino
//! deletes and changes by position deletes stay deleted and changed when the files are written anew, and no delete file is
//! left. Sorted files hold the same rows, and of an event that was sent twice one is left. Method: the program again and again
//! while events pour in and Trino counts; when they have ended, once more, and again for nothing; then a DELETE and an UPDATE
//! and another compaction, with Trino's checksums over all rows before and after; then all files sorted; then events a second
//! time.

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

    let left = sent.events - deletes(&trial, sent.events).await?;
    without_delete_files(&trial, left).await?;
    sorted(&trial, left).await?;
    deduplicated(&trial, left).await?;
    worker.running(&trial.name, 2).await
}

/// What Trino's DELETE and UPDATE left behind is applied: the same rows, and nothing to apply any more.
async fn without_delete_files(trial: &Trial, rows: u64) -> Result<()> {
    let before = everything(trial).await?;
    ensure!(delete_files(trial).await? > 0, "Trino has written no delete file, so that nothing is tried");
    verified_but_for_deletes(trial).await?;
    let report = compact(trial, &["--delete-file-threshold", "1"]).await?;
    ensure!(report["skipped"]["with_deletes"] == 0 && report["failed"] == serde_json::json!([]), "{report}");
    ensure!(report["done"]["deleted_rows"].as_u64() >= Some(1), "nothing was left out: {report}");
    say(format!("deletes of Trino applied: {}", report["done"]));
    let after = everything(trial).await?;
    ensure!(before == after, "{before:?} before, {after:?} after, {rows} rows");
    ensure!(after.first().and_then(Value::as_u64) == Some(rows), "{rows} rows were left: {after:?}");
    ensure!(delete_files(trial).await? == 0, "delete files are left: {report}");
    verified_but_for_deletes(trial).await
}

/// All files anew in the order of visits: the same rows.
async fn sorted(trial: &Trial, rows: u64) -> Result<()> {
    let before = everything(trial).await?;
    let report =
        compact(trial, &["--strategy", "sort", "--rewrite-all", "--max-concurrent-file-group-rewrites", "2"]).await?;
    ensure!(report["done"]["rows"] == rows && report["failed"] == serde_json::json!([]), "{report}");
    let after = everything(trial).await?;
    ensure!(before == after, "{before:?} before, {after:?} after");
    verified_but_for_deletes(trial).await
}

/// Each event of one type once more, by Trino, and all of these go again.
async fn deduplicated(trial: &Trial, rows: u64) -> Result<()> {
    let (table, before) = (trial.sql_name(), everything(trial).await?);
    let one = "SELECT * FROM {t} WHERE event_type = (SELECT min(event_type) FROM {t})".replace("{t}", &table);
    let twice = trial.trino.number(&format!("SELECT count(*) FROM ({one})")).await?.context("a number")?;
    trial.trino.query(&format!("INSERT INTO {table} {one}")).await?;
    let report = compact(trial, &["--dedupe", "event_id"]).await?;
    ensure!(report["done"]["repeats"] == twice, "{twice} events were there twice: {report}");
    let after = everything(trial).await?;
    ensure!(before == after, "{before:?} before, {after:?} after, {rows} rows");
    verified_but_for_deletes(trial).await
}

/// Number of rows, and what Trino's checksums over columns of all kinds make of them.
async fn everything(trial: &Trial) -> Result<Vec<Value>> {
    let columns = ["event_id", "event_timestamp", "session_id", "page_url", "screen_width", "city"];
    let sums: Vec<String> = columns.iter().map(|column| format!("to_hex(checksum({column}))")).collect();
    let sql = format!("SELECT count(*), {} FROM {}", sums.join(", "), trial.sql_name());
    trial.trino.query(&sql).await?.pop().context("a row")
}

async fn delete_files(trial: &Trial) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM {} WHERE content <> 0", metadata_table(trial, "files"));
    trial.trino.number(&sql).await?.context("a number")
}

fn metadata_table(trial: &Trial, name: &str) -> String {
    let (namespace, table) = trial.table.split_once('.').unwrap_or_default();
    format!("lakehouse.{namespace}.\"{table}${name}\"")
}

async fn verified_but_for_deletes(trial: &Trial) -> Result<()> {
    let report = trial.catalog_sync(&["verify", &trial.table, "--allow-foreign-changes", "--json"]).await?.json()?;
    ensure!(report["complete"] == true, "verify: {report}");
    Ok(())
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

/// Has Trino delete some rows, and change others; how many are deleted.
async fn deletes(trial: &Trial, events: u64) -> Result<u64> {
    let table = trial.sql_name();
    let some = |which: &str| format!("SELECT {which}(event_id) FROM {table} GROUP BY event_type");
    trial.trino.query(&format!("DELETE FROM {table} WHERE event_id IN ({})", some("min"))).await?;
    trial.trino.query(&format!("UPDATE {table} SET city = 'Bonn' WHERE event_id IN ({})", some("max"))).await?;
    let left = trial.trino.number(&format!("SELECT count(*) FROM {table}")).await?.context("a number")?;
    ensure!(left < events, "nothing was deleted");
    Ok(events - left)
}

async fn compact(trial: &Trial, options: &[&str]) -> Result<Value> {
    let arguments = [&["compact", &trial.table, "--json"], options].concat();
    trial.catalog_sync(&arguments).await?.json()
}
