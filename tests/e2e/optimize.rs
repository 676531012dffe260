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
    worker.register(&trial.registration(&[("commit.interval.ms", "2000")])?).await?;

    let (kafka, topic) = (trial.kafka.clone(), trial.topics[0].clone());
    let producer = tokio::task::spawn_blocking(move || -> Result<Sent> {
        let mut sent = Sent::default();
        for seed in 200..225 {
            sent.add(Plan::events(seed, 1_200).produce(&kafka, &topic)?);
            std::thread::sleep(Duration::from_millis(600));
        }
        Ok(sent)
    });
    trial.passed(1).await?;
    let (mut done, mut lost) = (0, 0);
    let mut while_writing = 0;
    while done == 0 || !producer.is_finished() {
        let writing = !producer.is_finished();
        if optimize(&trial).await? {
            done += 1;
            while_writing += u32::from(writing);
        } else {
            lost += 1;
        }
        ensure!(lost < 200, "optimize lost {lost} races and won {done}");
        let position = trial.catalog.position(&trial.table).await?;
        ensure!(!position.topics.is_empty(), "the property {POSITION} is gone after an optimize");
    }
    say(format!("optimize: {done} done, {while_writing} of them while rows were written; {lost} lost to a commit"));

    let sent = producer.await??;
    trial.ingested().await?;
    trial.exact(&sent).await?;

    let before = files(&trial).await?;
    until("a last optimize", Duration::from_secs(120), async || {
        Ok(Look::holds(optimize(&trial).await?, "it lost the race"))
    })
    .await?;
    let after = files(&trial).await?;
    say(format!("{before} files before the last optimize, {after} after"));
    ensure!(after <= before, "optimize made {after} files of {before}");
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

/// True if the table was compacted, false if a commit came between, which Trino does not resolve.
async fn optimize(trial: &Trial) -> Result<bool> {
    match trial.trino.query(&format!("ALTER TABLE {} EXECUTE optimize", trial.sql_name())).await {
        Ok(_) => Ok(true),
        Err(error) => match query_error(&error).map(|refused| refused.name.as_str()) {
            Some("ICEBERG_COMMIT_ERROR" | "TRANSACTION_CONFLICT") => Ok(false),
            _ => Err(error),
        },
    }
}

async fn files(trial: &Trial) -> Result<u64> {
    let (namespace, table) = trial.table.split_once('.').unwrap_or_default();
    let sql = format!("SELECT count(*) FROM lakehouse.{namespace}.\"{table}$files\"");
    Ok(trial.trino.number(&sql).await?.unwrap_or_default())
}
