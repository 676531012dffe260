//! Topics that were deleted and made again: offsets of the old one mean nothing in the new one.

use anyhow::{Result, ensure};
use it::trial::Trial;
use it::worker::Worker;
use protocol::Counts;
use serde_json::Value;

use super::{end, fed, produce, rows};

/// Makes the topic again, with so many records of seed 2.
async fn recreate(trial: &Trial, records: u64) -> Result<()> {
    trial.kafka.fresh_topic(&trial.topics[0], 1).await?;
    produce(trial, 2, records)
}

/// The halt, the word, and the account: 100 rows of the old topic, and all of the new one from its start.
async fn cured(trial: &Trial, worker: &Worker, table: &Value, records: u64) -> Result<()> {
    let topic = &trial.topics[0];
    let known = trial.catalog.position(&trial.table).await?.topics[topic].id.clone();
    let halted = trial.halts(worker, "topic-recreated", table).await?;
    halted.says(&format!("but the table was fed from a topic with id {known}"))?;
    let token = halted.token.clone().unwrap_or_default();
    ensure!(token.starts_with(&format!("topic-recreated:{topic}:{known}..")), "{token}");
    trial.overrule(&halted, &[]).await?;
    trial.restart(worker).await?;
    trial.ingested().await?;
    trial.resumed("topic-recreated").await?;
    let position = trial.catalog.position(&trial.table).await?;
    let now = &position.topics[topic];
    let (id, ended) = (token.rsplit_once("..").map(|(_, id)| id), Counts { rows: 100, ..Counts::default() });
    ensure!((Some(now.id.as_str()), now.epoch, now.ended) == (id, 1, ended), "{now:?}");
    trial.accounts(rows(100 + records), &[&token]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_again_with_fewer_records_while_the_worker_was_down_halts() -> Result<()> {
    let (trial, worker) = fed("topic_small_down", 100).await?;
    end(worker).await?;
    recreate(&trial, 40).await?;
    let table = trial.snapshot().await?;
    let worker = trial.worker().await?;
    cured(&trial, &worker, &table, 40).await?;
    end(worker).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_again_with_fewer_records_under_a_running_worker_halts() -> Result<()> {
    let (trial, worker) = fed("topic_small_up", 100).await?;
    let table = trial.snapshot().await?;
    recreate(&trial, 40).await?;
    cured(&trial, &worker, &table, 40).await?;
    end(worker).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_has_grown_past_the_position_while_the_worker_was_down_is_told_by_its_id() -> Result<()> {
    let (trial, worker) = fed("topic_grown_down", 100).await?;
    end(worker).await?;
    recreate(&trial, 150).await?;
    let table = trial.snapshot().await?;
    let worker = trial.worker().await?;
    cured(&trial, &worker, &table, 150).await?;
    end(worker).await
}

/// Frozen from before the deletion until the new topic has grown, the worker sees a log that simply goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_has_grown_past_the_position_under_a_running_worker_is_told_by_its_id() -> Result<()> {
    let (trial, worker) = fed("topic_grown_up", 100).await?;
    let table = trial.snapshot().await?;
    worker.signal("STOP").await?;
    recreate(&trial, 150).await?;
    worker.signal("CONT").await?;
    cured(&trial, &worker, &table, 150).await?;
    end(worker).await
}
