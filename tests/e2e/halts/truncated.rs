//! A log that lost its end: the broker was restored from an older copy. Restarts the broker, so it runs last.

use anyhow::{Result, ensure};
use it::accidents::LogCopy;
use protocol::Counts;

use super::{end, fed, produce, rows};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_restored_from_an_older_copy_halts_a_running_worker_and_one_that_starts() -> Result<()> {
    let (trial, worker) = fed("truncated", 100).await?;
    let copy = LogCopy::take(&trial.stack, &trial.topics[0], 0, &trial.dir)?;
    produce(&trial, 2, 60)?;
    trial.ingested().await?;
    let table = trial.snapshot().await?;
    copy.put_back().await?;
    let restored = trial.kafka.end_of(&trial.topics[0], 0).await?;
    ensure!(restored == 100, "the restored log ends at {restored}");

    let halted = trial.halts(&worker, "position-ahead", &table).await?;
    halted.says("the table stands at offset 160, but Kafka ends at 100")?;
    trial.restart(&worker).await?;
    let again = trial.halts(&worker, "position-ahead", &table).await?;
    ensure!(again.token == halted.token, "{again:?}");

    trial.overrule(&halted, &[]).await?;
    produce(&trial, 3, 30)?;
    trial.restart(&worker).await?;
    trial.ingested().await?;
    trial.resumed("position-ahead").await?;
    let position = trial.catalog.position(&trial.table).await?;
    let now = &position.topics[&trial.topics[0]];
    ensure!((now.epoch, now.ended) == (1, Counts { rows: 160, ..Counts::default() }), "{now:?}");
    trial.accounts(rows(190), &[&format!("position-ahead:{}-0@0:160..100", trial.topics[0])]).await?;
    end(worker).await
}
