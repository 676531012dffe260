//! This connector: the registration of the README, on a worker of its own.

use std::time::Instant;

use anyhow::{Result, ensure};
use it::worker::{Options, Worker};

use crate::compare::{Run, Task};
use crate::measure::Meter;
use crate::table::Table;

pub(crate) async fn run(task: &Task<'_>) -> Result<Run> {
    let trial = task.trial;
    let table = Table::make(trial, "connector").await?;
    let commit_ms = task.wanted.commit_ms.to_string();
    let registration = trial.registration(&[("iceberg.tables", &table.name), ("commit.interval.ms", &commit_ms)])?;
    let began = Instant::now();
    let options = Options { brokers: trial.stack.brokers.clone(), ..Options::default() };
    let worker = Worker::start_with(&options, &trial.dir).await?;
    let meter = Meter::start(worker.pid()?);
    worker.register(&registration).await?;
    let progress = task
        .done(&table, async || {
            let status = worker.status(&trial.name).await?;
            ensure!(!status.to_string().contains("FAILED"), "the connector failed: {status}");
            Ok(())
        })
        .await?;
    let (wall, usage) = (began.elapsed(), meter.stop()?);
    worker.terminate().await?;
    let rejects = trial.kafka.count(&trial.rejects)?;
    ensure!(rejects == 0, "{rejects} events were rejected");
    let title = format!("this connector {}", env!("CARGO_PKG_VERSION"));
    let contents = table.contents(trial, task.events).await?;
    Ok(Run { table: table.name, title, wall, warm: progress.warm(), usage, contents })
}
