//! Catalogs that go back in time: the position goes back with the rows, or the task halts.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use it::catalog::Catalog;
use it::embedded::Embedded;
use it::nessie::Nessie;
use it::pyiceberg;
use it::trial::Trial;
use serde_json::{Value, json};

use super::{end, feed, produce, rows};

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_was_reset_takes_the_position_back_and_the_rows_are_read_again() -> Result<()> {
    let mut trial = Trial::begin("reset", &[1]).await?;
    let nessie = Nessie::of(&trial.stack)?;
    trial.stack.catalog = nessie.branch(&trial.name).await?;
    trial.catalog = Catalog::connect(&trial.stack).await?;

    let worker = feed(&trial, 100).await?;
    let then = nessie.head(&trial.name).await?;
    produce(&trial, 2, 50)?;
    trial.ingested().await?;
    nessie.reset(&trial.name, &then).await?;
    ensure!(trial.counts().await? == rows(100), "the position did not go back");
    // The worker finds out with its next batch, is fenced, and begins again where the table stands.
    produce(&trial, 3, 10)?;
    trial.ingested().await?;
    trial.accounts(rows(160), &[]).await?;
    end(worker).await?;

    nessie.reset(&trial.name, &then).await?;
    let worker = trial.worker().await?;
    trial.ingested().await?;
    trial.accounts(rows(160), &[]).await?;
    end(worker).await
}

/// On a catalog that shows history, a table that somebody else began, whose first snapshot has expired, and that is set
/// back to what is left of that beginning: no snapshot in sight bears a position, and the property is from the future.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_rolled_back_under_its_position_halts_and_has_two_cures() -> Result<()> {
    let mut trial = Trial::begin("rolled", &[1]).await?;
    let warehouse = format!("s3://openlakes/{}", trial.name);
    let served = Embedded::serve(&trial.dir, Some((&warehouse, &trial.stack))).await?;
    trial.stack.catalog = served.uri.clone();
    trial.catalog = Catalog::connect(&trial.stack).await?;
    trial.catalog.create_without_snapshot(&trial.table).await?;
    let nothing = BTreeMap::new();
    pyiceberg::foreign_append(&trial.stack, &trial.table, &nothing).await?;
    let first = trial.snapshot().await?;
    pyiceberg::foreign_append(&trial.stack, &trial.table, &nothing).await?;
    let begun = trial.snapshot().await?;
    let expiry = json!([{"action": "remove-snapshots", "snapshot-ids": [first]}]);
    trial.catalog.change(&trial.table, expiry).await?;

    let worker = feed(&trial, 100).await?;
    let newest = trial.snapshot().await?;
    ensure!(newest != begun, "nothing was committed");
    set_main(&trial, &begun).await?;
    produce(&trial, 2, 50)?;
    let halted = trial.halts(&worker, "table-rolled-back", &begun).await?;
    halted.says("but the table went back to 2: it was rolled back")?;
    let said = trial.catalog_sync(&["verify", &trial.table]).await?;
    ensure!(said.code == Some(1) && said.out.contains("table-rolled-back: "), "{said:?}");

    // The first cure: forward again.
    set_main(&trial, &newest).await?;
    trial.restart(&worker).await?;
    trial.ingested().await?;
    trial.resumed("table-rolled-back").await?;
    trial.accounts(rows(150), &[]).await?;

    // The second: the rows stay away, by an operator's word.
    set_main(&trial, &begun).await?;
    produce(&trial, 3, 30)?;
    let halted = trial.halts(&worker, "table-rolled-back", &begun).await?;
    trial.overrule(&halted, &[]).await?;
    trial.restart(&worker).await?;
    trial.ingested().await?;
    trial.resumed("table-rolled-back").await?;
    let found = pyiceberg::read(&trial.stack, &trial.table).await?;
    ensure!((found.rows, found.distinct) == (30, 30), "{found:?}");
    let said = trial.catalog_sync(&["verify", &trial.table]).await?;
    ensure!(said.out.ends_with("\ncomplete, but for 150 rows given up by an operator\n"), "{}", said.out);
    end(worker).await?;
    served.kill().await
}

/// Makes a snapshot the current one, as a rollback does.
async fn set_main(trial: &Trial, snapshot: &Value) -> Result<()> {
    let update = json!([{"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": snapshot}]);
    trial.catalog.change(&trial.table, update).await?;
    ensure!(trial.snapshot().await? == *snapshot, "the catalog did not set the table back");
    Ok(())
}
