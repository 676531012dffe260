//! The manifests of a table are rewritten while it is being written.
//!
//! Goal: `catalog-sync rewrite-manifests` and a connector that commits as often as it can share one table on Nessie,
//! which shows one snapshot: the rewrite gets its turn, the connector goes on committing, no row is lost and none comes
//! twice, by Trino's reading, and `verify` accounts for each rewrite. Method: the program again and again while events
//! pour in; when they have ended, once more, and again for nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use it::steady::Steady;
use it::trial::Trial;
use it::wait::say;
use serde_json::Value;

/// Commits that are waited for before each rewrite, so that there is something to gain.
const COMMITS_BETWEEN: u64 = 6;
/// Rewrites while events pour in.
const REWRITES: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn manifests_are_rewritten_while_a_connector_commits_and_every_row_stays_once() -> Result<()> {
    let trial = Trial::begin("manifests", &[4]).await?;
    let worker = trial.worker().await?;
    worker.register(&trial.registration(&[("commit.interval.ms", "200")])?).await?;
    let steady = Steady::begin(&trial.kafka, &trial.topics[0], 50, 0);
    let (mut lost, mut done) = (0, 0);
    while done < REWRITES {
        trial.committed(COMMITS_BETWEEN).await?;
        let report = rewrite(&trial, &[]).await?;
        ensure!(report["verdict"] == "committed", "nothing to gain after {COMMITS_BETWEEN} commits: {report}");
        lost += report["attempts"].as_u64().unwrap_or_default() - 1;
        done += 1;
        trial.verified().await?;
    }
    trial.committed(COMMITS_BETWEEN).await?;
    let sent = steady.stop().await?;
    trial.ingested().await?;
    say(format!("{done} rewrites while {} events were written, {lost} tries lost to a commit", sent.events));
    trial.exact(&sent).await?;

    // All is written: nobody is in the way, and the same rows are read through fewer manifests.
    let planned = rewrite(&trial, &["--dry-run"]).await?;
    let (before, report) = (manifests(&trial).await?, rewrite(&trial, &[]).await?);
    let after = manifests(&trial).await?;
    say(format!("{before} manifests before the last rewrite, {after} after; planned {}", planned["after"]));
    ensure!(report["verdict"] == "committed" && after < before, "{report}: {before} manifests, then {after}");
    ensure!(report["attempts"] == 1 && report["after"]["data_manifests"] == after, "{report}");
    ensure!(planned["after"]["data_manifests"] == after, "planned {planned}, done {report}");
    trial.exact(&sent).await?;
    let again = rewrite(&trial, &[]).await?;
    ensure!(again["verdict"] == "nothing-to-gain" && again["before"] == report["after"], "{again}");

    let mut all = sent;
    let more = Steady::begin(&trial.kafka, &trial.topics[0], 100, 0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    all.add(more.stop().await?);
    trial.ingested().await?;
    trial.exact(&all).await?;
    worker.running(&trial.name, 2).await
}

async fn rewrite(trial: &Trial, options: &[&str]) -> Result<Value> {
    let arguments = [&["rewrite-manifests", &trial.table, "--json"], options].concat();
    trial.catalog_sync(&arguments).await?.json()
}

async fn manifests(trial: &Trial) -> Result<u64> {
    let (namespace, table) = trial.table.split_once('.').unwrap_or_default();
    let sql = format!("SELECT count(*) FROM lakehouse.{namespace}.\"{table}$manifests\"");
    Ok(trial.trino.number(&sql).await?.unwrap_or_default())
}
