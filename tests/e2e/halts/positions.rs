//! A position that nobody can read: edited by hand, or written by a newer release.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use it::catalog::POSITION;
use it::halted::REASON;
use it::pyiceberg;

use super::{end, fed, produce, rows};

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_cannot_be_read_halts_and_is_replaced_by_an_operators_own() -> Result<()> {
    let (trial, worker) = fed("unreadable", 100).await?;
    let mut sent = 100;
    for (seed, text, says) in
        [(2, "about a hundred", "the position cannot be read"), (3, r#"{"v":2}"#, "the position has version 2")]
    {
        // As a newer release would write it, and a careless tool: the newest snapshot's own position is the one that counts.
        pyiceberg::foreign_append(&trial.stack, &trial.table, &BTreeMap::from([(POSITION, text)])).await?;
        produce(&trial, seed, 10)?;
        let table = trial.snapshot().await?;
        let halted = trial.halts(&worker, "position-unreadable", &table).await?;
        halted.says(says)?;
        ensure!(halted.trace.ends_with(" --position FILE"), "{halted:?}");
        trial.restart(&worker).await?;
        trial.halts(&worker, "position-unreadable", &table).await?;

        // Without one, the command offers the last position that could be read.
        let said = trial.catalog_sync(&["override", "position-unreadable", &trial.table, "--reason", REASON]).await?;
        let offered = said.err.lines().find(|line| line.starts_with(r#"{"v":1"#)).unwrap_or_default();
        ensure!(said.code == Some(2) && offered.contains(&format!("[0,{sent},{sent},0]")), "{said:?}");
        let file = trial.dir.join("position.json");
        std::fs::write(&file, offered)?;
        trial.overrule(&halted, &["--position", &file.display().to_string()]).await?;
        trial.restart(&worker).await?;
        trial.ingested().await?;
        trial.resumed("position-unreadable").await?;
        sent += 10;
    }
    trial.accounts(rows(sent), &["position-unreadable", "position-unreadable"]).await?;
    end(worker).await
}
