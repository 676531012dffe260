//! Records that Kafka deleted before they were read.

use std::time::Duration;

use anyhow::{Result, ensure};
use it::trial::Trial;
use it::wait::{Look, until};
use protocol::Counts;
use serde_json::json;

use super::{end, fed, produce};

#[tokio::test(flavor = "multi_thread")]
async fn records_deleted_while_the_worker_was_down_are_given_up_by_an_operators_word_only() -> Result<()> {
    let (trial, worker) = fed("gap_down", 100).await?;
    end(worker).await?;
    produce(&trial, 2, 50)?;
    trial.kafka.delete_records(&trial.topics[0], 0, 130).await?;
    let table = trial.snapshot().await?;

    let worker = trial.worker().await?;
    let halted = trial.halts(&worker, "gap", &table).await?;
    halted.says("the table stands at offset 100, but Kafka's first is 130: 30 offsets are gone")?;
    let token = format!("gap:{}-0:100..130", trial.topics[0]);
    ensure!(halted.token.as_ref() == Some(&token), "{halted:?}");
    trial.restart(&worker).await?;
    trial.halts(&worker, "gap", &table).await?;
    refused(&trial).await?;

    let printed = trial.overrule(&halted, &[]).await?;
    let changes = json!([{"topic": trial.topics[0], "partition": 0, "before": 100, "after": 130, "lost": 30}]);
    ensure!(printed["changes"] == changes && printed["lost_offsets"] == 30, "{printed}");
    trial.restart(&worker).await?;
    trial.ingested().await?;
    trial.resumed("gap").await?;
    trial.accounts(Counts { rows: 120, lost: 30, ..Counts::default() }, &[&token]).await?;

    let said = trial.catalog_sync(&["verify", &trial.table]).await?;
    ensure!(said.out.ends_with("\ncomplete, but for 30 offsets given up by an operator\n"), "{}", said.out);
    let said = trial.catalog_sync(&["position", &trial.table]).await?;
    ensure!(said.out.ends_with("\n150 offsets = 120 rows + 0 rejects + 0 skipped + 30 lost\n"), "{}", said.out);
    // The word is found again in the table's history, however many commits later.
    let again = trial.catalog_sync(&["override", &token, &trial.table, "--reason", "again", "--json"]).await?.json()?;
    ensure!(again["already"] == true && again["changes"] == changes, "{again}");
    end(worker).await
}

/// Words that fit nothing are refused, and leave the table alone.
async fn refused(trial: &Trial) -> Result<()> {
    let table = trial.snapshot().await?;
    let other = format!("gap:{}-0:99..130", trial.topics[0]);
    let topic = format!("topic-recreated:{}:a..b", trial.topics[0]);
    for (arguments, code) in [
        (vec!["override", &other, &trial.table, "--reason", "why"], 1),
        (vec!["override", &topic, &trial.table, "--reason", "why"], 1),
        (vec!["override", "table-rolled-back:9..7", &trial.table, "--reason", "why"], 1),
        (vec!["override", "gap", &trial.table, "--reason", "why"], 2),
        (vec!["override", &other, &trial.table, "--reason", " "], 2),
        (vec!["override", &other, &trial.table], 2),
    ] {
        let said = trial.catalog_sync(&arguments).await?;
        ensure!(said.code == Some(code) && said.out.is_empty(), "{arguments:?}: {said:?}");
    }
    ensure!(trial.snapshot().await? == table, "a word that was refused changed the table");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_deleted_before_a_running_worker_gets_to_them_halt_it() -> Result<()> {
    let (trial, worker) = fed("gap_behind", 100).await?;
    let table = trial.snapshot().await?;
    worker.signal("STOP").await?;
    produce(&trial, 2, 100)?;
    trial.kafka.delete_records(&trial.topics[0], 0, 160).await?;
    worker.signal("CONT").await?;
    let halted = trial.halts(&worker, "gap", &table).await?;
    halted.says("the table stands at offset 100, but Kafka's first is 160: 60 offsets are gone")?;
    trial.overrule(&halted, &[]).await?;
    trial.restart(&worker).await?;
    trial.ingested().await?;
    trial.resumed("gap").await?;
    let token = format!("gap:{}-0:100..160", trial.topics[0]);
    trial.accounts(Counts { rows: 140, lost: 60, ..Counts::default() }, &[&token]).await?;
    end(worker).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_before_the_records_were_deleted_is_committed_before_the_halt() -> Result<()> {
    let trial = Trial::begin("gap_held", &[1]).await?;
    produce(&trial, 1, 100)?;
    // A record that is logged when it is read: the last one that the worker holds, an hour before its next commit.
    trial.kafka.produce(&trial.topics[0], [(None, Some(b"no json".to_vec()))])?;
    let worker = trial.worker().await?;
    let hour = [("commit.interval.ms", "3600000"), ("errors.log.enable", "true"), ("tasks.max", "1")];
    worker.register(&trial.registration(&hour)?).await?;
    until("the worker has read all records", Duration::from_secs(30), async || {
        Ok(Look::holds(worker.log().contains("a record cannot become a row"), "not yet"))
    })
    .await?;
    worker.signal("STOP").await?;
    produce(&trial, 2, 50)?;
    trial.kafka.delete_records(&trial.topics[0], 0, 131).await?;
    worker.signal("CONT").await?;
    trial.passed(101).await?;
    let table = trial.snapshot().await?;
    let halted = trial.halts(&worker, "gap", &table).await?;
    halted.says("the table stands at offset 101, but Kafka's first is 131: 30 offsets are gone")?;
    trial.accounts(Counts { rows: 100, rejects: 1, ..Counts::default() }, &[]).await?;
    end(worker).await
}
