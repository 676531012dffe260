//! Tables that are dropped under a running worker.

use anyhow::{Result, ensure};

use super::{end, fed, produce, rows};

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_dropped_halts_and_after_a_restart_a_new_one_is_fed_from_the_logs_start() -> Result<()> {
    let (trial, worker) = fed("dropped", 100).await?;
    let uuid = trial.catalog.table(&trial.table).await?.unwrap_or_default()["table-uuid"].take();
    trial.catalog.drop_table(&trial.table).await?;
    produce(&trial, 2, 20)?;
    let halted = trial.halts(&worker, "table-replaced", &trial.snapshot().await?).await?;
    halted.says("the table has uuid none, but the batch was read for the table")?;
    halted.says(uuid.as_str().unwrap_or("no uuid"))?;
    ensure!(halted.token.is_none(), "{halted:?}");
    ensure!(trial.catalog.table(&trial.table).await?.is_none(), "it was made again without an operator's word");
    trial.restart(&worker).await?;
    trial.ingested().await?;
    trial.resumed("table-replaced").await?;
    trial.accounts(rows(120), &[]).await?;
    end(worker).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_dropped_and_made_again_is_not_taken_for_the_old_one() -> Result<()> {
    let (trial, worker) = fed("replaced", 100).await?;
    trial.catalog.drop_table(&trial.table).await?;
    trial.catalog.create_without_snapshot(&trial.table).await?;
    let table = trial.snapshot().await?;
    let uuid = trial.catalog.table(&trial.table).await?.unwrap_or_default()["table-uuid"].take();
    produce(&trial, 2, 20)?;
    let halted = trial.halts(&worker, "table-replaced", &table).await?;
    halted.says(&format!("the table has uuid {}, but", uuid.as_str().unwrap_or("no uuid")))?;
    trial.restart(&worker).await?;
    trial.ingested().await?;
    trial.resumed("table-replaced").await?;
    trial.accounts(rows(120), &[]).await?;
    end(worker).await
}
