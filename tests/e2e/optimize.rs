//! Somebody else compacts the table while it is being written.
//!
//! Goal: Trino's `optimize` and the connector commit to one table in turn; no row is lost, none comes twice, and the
//! position outlives the foreign snapshot, which has no summary of ours. Method: `ALTER TABLE … EXECUTE optimize` again
//! and again while events pour in. Trino gives up an optimize that loses the race against a commit; that is its own,
//! documented way, and it is tried again.

use std::time::Duration;

use anyhow::{Result, ensure};
use it::catalog::POSITION;
use it::events::{Plan, Sent};
use it::trial::Trial;
use it::trino::query_error;
use it::wait::{Look, say, until};

#[tokio::test(flavor = "multi_thread")]
async fn trino_compacts_in_the_middle_and_every_row_stays_once() -> Result<()> {
    let trial = Trial::begin("optimize", &[4]).await?;
    let worker = trial.worker().await?;
    worker.register(&trial.registration(&[("commit.interval.ms", "6000")])?).await?;

    let (kafka, topic) = (trial.kafka.clone(), trial.topics[0].clone());
    let producer = tokio::task::spawn_blocking(move || -> Result<Sent> {
        let mut sent = Sent::default();
        for seed in 200..220 {
            sent.add(Plan { days: 1, ..Plan::events(seed, 1_000) }.produce(&kafka, &topic)?);
            std::thread::sleep(Duration::from_millis(1_200));
        }
        Ok(sent)
    });
    let (mut done, mut lost) = (0, 0);
    while !producer.is_finished() {
        // Right after a commit there is the most time until the next one.
        let before = trial.counts().await?.offsets();
        until("the next commit", Duration::from_secs(60), async || {
            let passed = trial.counts().await?.offsets();
            Ok(Look::holds(passed > before || producer.is_finished(), passed))
        })
        .await?;
        if optimize(&trial).await? {
            done += 1;
        } else {
            lost += 1;
        }
        let position = trial.catalog.position(&trial.table).await?;
        ensure!(!position.topics.is_empty(), "the property {POSITION} is gone after an optimize");
    }
    say(format!("optimize while rows were written: {done} done, {lost} lost to a commit"));
    ensure!(done > 0, "no optimize won against the commits, so nothing was tried; {lost} lost");

    let sent = producer.await??;
    trial.ingested().await?;
    trial.exact(&sent).await?;

    let before = trial.files().await?;
    until("a last optimize", Duration::from_secs(120), async || {
        Ok(Look::holds(optimize(&trial).await?, "it lost the race"))
    })
    .await?;
    let after = trial.files().await?;
    say(format!("{before} files before the last optimize, {after} after"));
    let partitions = u64::try_from(sent.partitions.len())?;
    ensure!(after <= partitions, "{after} files in {partitions} partitions: optimize left small ones");
    let summary = trial.catalog.summary(&trial.table).await?;
    say(format!(
        "the snapshot of optimize {} a position of ours",
        if summary.contains_key(POSITION) { "has" } else { "has not" }
    ));
    trial.exact(&sent).await?;

    let mut all = sent;
    all.add(tokio::task::block_in_place(|| Plan::events(300, 2_000).produce(&trial.kafka, &trial.topics[0]))?);
    trial.ingested().await?;
    trial.exact(&all).await?;
    worker.running(&trial.name, 2).await
}

/// True if the table was compacted, false if a commit came between, which Trino does not resolve. On a catalog that shows
/// one snapshot only (Nessie) it notices a lost race also by not finding the snapshot that it began with, and has no
/// better name for that than an internal error. Whether such an optimize did harm is what the counts tell.
async fn optimize(trial: &Trial) -> Result<bool> {
    let Err(error) = trial.trino.query(&format!("ALTER TABLE {} EXECUTE optimize", trial.sql_name())).await else {
        return Ok(true);
    };
    let lost = query_error(&error).is_some_and(|refused| {
        let snapshot_gone = refused.name == "GENERIC_INTERNAL_ERROR" && refused.message.contains("iceberg.Snapshot");
        snapshot_gone || ["ICEBERG_COMMIT_ERROR", "TRANSACTION_CONFLICT"].contains(&refused.name.as_str())
    });
    if lost {
        say(format!("optimize lost: {}", query_error(&error).map(ToString::to_string).unwrap_or_default()));
        return Ok(false);
    }
    Err(error)
}
