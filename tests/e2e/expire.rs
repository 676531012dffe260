//! History expires on a catalog that has branches and tags, while the table is being written.
//!
//! Goal: on Nessie, files go that no branch, no tag and no retained commit needs, and only those: whatever a reference
//! shows reads as it did before, file by file, and the connector goes on although each sweep fences it (faults 42 to 46).
//! Method: a tag and a branch in the middle of ingestion; compaction and expiry again and again with nothing to wait for and
//! no history kept; then Trino reads at each reference what it read there before. A commit that was cut off cannot be read,
//! and says so. When tag and branch are gone, so are their files, and a last sweep finds nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use catalog_sync::catalog::{CatalogClient, CatalogConfig};
use catalog_sync::expire::tags;
use catalog_sync::reach::cutoff::Cutoff;
use chrono::{Days, Utc};
use iceberg::TableIdent;
use it::nessie::Nessie;
use it::steady::Steady;
use it::trial::Trial;
use it::trino::Row;
use it::wait::say;
use serde_json::Value;

/// Keep no history, wait for nothing.
const AT_ONCE: [&str; 10] = [
    "expire",
    "--cutoff=1",
    "--older-than=0s",
    "--only-fenced-writers",
    "--quarantine=0s",
    "--keep-daily-tags=0",
    "--allow-gc-disabled",
    "--max-files=100000",
    "--retain-last=1",
    "--json",
];
/// Compactions and expiries while events pour in.
const ROUNDS: usize = 4;
/// Commits before each, so that there is something to gain.
const COMMITS_BETWEEN: u64 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reference_shows_reads_as_before_and_what_nobody_needs_is_gone() -> Result<()> {
    let trial = Trial::begin("expire", &[3]).await?;
    let nessie = Nessie::of(&trial.stack)?;
    let worker = trial.worker().await?;
    worker.register(&trial.registration(&[("commit.interval.ms", "500")])?).await?;
    let steady = Steady::begin(&trial.kafka, &trial.topics[0], 200, 0);
    trial.committed(COMMITS_BETWEEN).await?;
    let old = nessie.head("main").await?;
    trial.committed(COMMITS_BETWEEN).await?;
    let (tag, branch) = (format!("tag_{}", trial.name), format!("branch_{}", trial.name));
    nessie.tag(&tag).await?;
    nessie.branch(&branch).await?;
    let then = [read_at(&trial, &tag).await?, read_at(&trial, &branch).await?];
    ensure!(then[0].len() > 3, "a tag on a table with few files shows little: {then:?}");

    let refused = trial.catalog_sync(&["expire", &trial.table, "--json"]).await?;
    ensure!(refused.err.contains("allow-gc-disabled"), "gc.enabled is respected: {refused:?}");
    let mut deleted = 0;
    for _ in 0..ROUNDS {
        trial.committed(COMMITS_BETWEEN).await?;
        trial.catalog_sync(&["compact", &trial.table, "--min-input-files=2", "--json"]).await?.json()?;
        deleted += expire(&trial).await?;
        trial.verified().await?;
    }
    ensure!(deleted > 0, "nothing was deleted in {ROUNDS} expiries");
    let sent = steady.stop().await?;
    trial.ingested().await?;
    deleted += expire(&trial).await?;
    say(format!("{deleted} files deleted while {} events were written", sent.events));
    trial.exact(&sent).await?;
    worker.running(&trial.name, 2).await?;
    let now = [read_at(&trial, &tag).await?, read_at(&trial, &branch).await?];
    ensure!(now == then, "what the references show has changed: {then:?}, now {now:?}");

    let gone = read_at(&trial, &format!("main@{old}")).await;
    let said = gone.err().context("a commit that was cut off can be read")?;
    say(format!("a commit that was cut off: {said:#}"));
    nessie.remove(&tag).await?;
    nessie.remove(&branch).await?;
    let more = expire(&trial).await?;
    ensure!(more >= then[0].len() as u64, "{more} files deleted when the tag with {} was gone", then[0].len());
    // The commit before the fence is cut off by the fence itself: metadata of that one is all that is left.
    let report =
        trial.catalog_sync(&[&AT_ONCE[..1], &[&trial.table, "--dry-run"], &AT_ONCE[1..]].concat()).await?.json()?;
    let left: Vec<&str> = report["sweep"]["some"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let is_metadata = |location: &&str| location.contains("/metadata/");
    ensure!(left.len() <= 4 && left.iter().all(is_metadata), "files that an expiry has left: {report}");
    trial.exact(&sent).await
}

#[tokio::test(flavor = "multi_thread")]
async fn days_that_are_over_get_a_tag_and_old_tags_are_retired() -> Result<()> {
    let trial = Trial::begin("tags", &[1]).await?;
    let nessie = Nessie::of(&trial.stack)?;
    let worker = trial.worker().await?;
    worker.register(&trial.registration(&[])?).await?;
    let steady = Steady::begin(&trial.kafka, &trial.topics[0], 50, 0);
    trial.committed(2).await?;
    let sent = steady.stop().await?;
    trial.ingested().await?;
    let prefix = format!("{}-daily-", trial.name);
    let (old, other) = (format!("{prefix}2020-01-01"), format!("{}-weekly-2020-01-01", trial.name));
    nessie.tag(&old).await?;
    nessie.tag(&other).await?;
    let client = CatalogClient::connect(CatalogConfig {
        warehouse: Some("warehouse".to_owned()),
        ..CatalogConfig::new(&trial.stack.catalog)
    })
    .await?;
    let ident = TableIdent::from_strs(trial.table.split('.'))?;
    // Tomorrow, today is over.
    let tomorrow = Utc::now() + Days::new(1);
    let today = format!("{prefix}{}", Utc::now().date_naive());
    let policy = (30, Cutoff::Age(Duration::from_secs(2 * 86_400)));
    let planned = tags::keep(&client, &ident, policy, tomorrow, true).await?;
    ensure!(nessie.references().await?.contains(&old), "a dry run changes nothing");
    let done = tags::keep(&client, &ident, policy, tomorrow, false).await?;
    ensure!(done == planned && done.made == [today.clone()] && done.retired == [old.clone()], "{planned:?}, {done:?}");
    let names = nessie.references().await?;
    ensure!(names.contains(&today) && names.contains(&other) && !names.contains(&old), "{names:?}");
    let again = tags::keep(&client, &ident, policy, tomorrow, false).await?;
    ensure!(again == tags::Tags::default(), "twice is once: {again:?}");
    let rows = trial.trino.number(&format!("SELECT count(*) FROM {}", trial.sql_name_at(&today).await?)).await?;
    ensure!(rows == Some(sent.events), "{rows:?} of {} rows at the tag", sent.events);
    nessie.remove(&today).await?;
    nessie.remove(&other).await
}

/// Each file that a reference shows, with its rows and a checksum of what they say.
async fn read_at(trial: &Trial, reference: &str) -> Result<Vec<Row>> {
    let table = trial.sql_name_at(reference).await?;
    let sums = "count(*), to_hex(checksum(event_id)), to_hex(checksum(page_url)), to_hex(checksum(event_timestamp))";
    trial.trino.query(&format!("SELECT \"$path\", {sums} FROM {table} GROUP BY 1 ORDER BY 1")).await
}

/// Expires; how many files were deleted.
async fn expire(trial: &Trial) -> Result<u64> {
    let mut arguments = AT_ONCE.to_vec();
    arguments.insert(1, &trial.table);
    let report: Value = trial.catalog_sync(&arguments).await?.json()?;
    ensure!(report["failed"] == 0 && report["sweep"]["left"]["unproven"] == 0, "{report}");
    report["deleted"]["files"].as_u64().with_context(|| report.to_string())
}
