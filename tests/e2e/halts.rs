//! Halts instead of silent skips: what Kafka, the catalog or the table lost is told, nothing is passed over, and only an
//! operator's word, which the table remembers, ends it.
//!
//! Goal: each scenario halts with its code and the right numbers, the table untouched; after the cure in the runbook (the
//! real `catalog-sync override` with the token of the trace, where there is one) ingestion goes on, `verify` accounts for
//! every offset, and PyIceberg reads exact counts. Method: the real accident, on the real servers, while the worker is down
//! and while it runs.
//!
//! `truncated` restarts the broker that the other tests need: it must stay the last one by name, since tests run one at a
//! time and in that order.

mod gaps;
mod positions;
mod rollbacks;
mod schemas;
mod tables;
mod topics;
mod truncated;

use anyhow::{Result, ensure};
use it::events::Plan;
use it::trial::Trial;
use it::worker::Worker;
use protocol::Counts;

/// A trial with one topic of one partition, and a worker that has brought this many events of seed 1 into the table.
async fn fed(name: &str, events: u64) -> Result<(Trial, Worker)> {
    let trial = Trial::begin(name, &[1]).await?;
    let worker = feed(&trial, events).await?;
    Ok((trial, worker))
}

/// Starts a worker on a trial, and has it bring this many events of seed 1 into the table.
async fn feed(trial: &Trial, events: u64) -> Result<Worker> {
    produce(trial, 1, events)?;
    let worker = trial.worker().await?;
    worker.register(&trial.registration(&[("tasks.max", "1")])?).await?;
    trial.ingested().await?;
    Ok(worker)
}

/// Produces events that no other seed has.
fn produce(trial: &Trial, seed: u64, events: u64) -> Result<()> {
    let sent = tokio::task::block_in_place(|| Plan::events(seed, events).produce(&trial.kafka, &trial.topics[0]))?;
    ensure!(sent.events == events, "{sent:?}");
    Ok(())
}

async fn end(worker: Worker) -> Result<()> {
    let status = worker.terminate().await?;
    ensure!(status.success(), "the worker ended with {status}");
    Ok(())
}

fn rows(rows: u64) -> Counts {
    Counts { rows, ..Counts::default() }
}
