//! Two connectors begin one table of Trino's at the same time, reading the same topic or each its own, and go on side by
//! side. Trino gives a table an empty first snapshot that bears no position, and is the reader here.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use it::events::{Plan, Sent};
use it::trial::Trial;
use it::wait::{Look, say, until};
use it::worker::Worker;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn two_connectors_begin_a_table_of_trino() -> Result<()> {
    for one_topic in [true, false] {
        side_by_side(one_topic).await.with_context(|| format!("one topic: {one_topic}"))?;
    }
    Ok(())
}

async fn side_by_side(one_topic: bool) -> Result<()> {
    let trial = Trial::begin("first", if one_topic { &[2] } else { &[2, 3] }).await?;
    create_with_trino(&trial).await?;
    let mut sent = Sent::default();
    for (seed, topic) in trial.topics.iter().enumerate() {
        sent.add(tokio::task::block_in_place(|| Plan::events(seed as u64 + 1, 2_000).produce(&trial.kafka, topic))?);
    }
    let brokers = trial.stack.brokers.as_str();
    let (left_dir, right_dir) = (trial.dir.join("left"), trial.dir.join("right"));
    let (left, right) = tokio::join!(Worker::start(brokers, &left_dir), Worker::start(brokers, &right_dir));
    let (left, right) = (left?, right?);
    let last = trial.topics.len() - 1;
    let register = |side: &str, topic: &str| -> Result<_> {
        let mut registration = trial.registration(&[("topics", topic), ("commit.interval.ms", "500")])?;
        registration["name"] = json!(format!("{}_{side}", trial.name));
        Ok(registration)
    };
    let (for_left, for_right) = (register("left", &trial.topics[0])?, register("right", &trial.topics[last])?);
    let (one, other) = tokio::join!(left.register(&for_left), right.register(&for_right));
    one.and(other)?;
    trial.ingested().await?;
    // Whoever came too late must notice: both have to have looked at the table before the count is held against it.
    for (worker, side) in [(&left, "left"), (&right, "right")] {
        worker.running(&format!("{}_{side}", trial.name), 2).await?;
    }
    trial.exact(&sent).await?;

    // And they go on side by side.
    for (seed, topic) in trial.topics.iter().enumerate() {
        let plan = Plan::events(seed as u64 + 11, 1_000);
        sent.add(tokio::task::block_in_place(|| plan.produce(&trial.kafka, topic))?);
    }
    trial.ingested().await?;
    trial.exact(&sent).await?;
    let logs = left.log() + &right.log();
    let met = logs.lines().filter(|line| line.contains("fenced") || line.contains("Conflict")).count();
    say(format!("{}: the two met {met} times", trial.name));
    for (worker, side) in [(left, "left"), (right, "right")] {
        let status = worker.terminate().await?;
        ensure!(status.success(), "the {side} worker ended with {status} after SIGTERM");
    }
    trial.exact(&sent).await
}

/// As an analyst would make it. Trino commits an empty first snapshot of its own.
async fn create_with_trino(trial: &Trial) -> Result<()> {
    trial.catalog.ensure_namespace("analytics").await?;
    let column = |column: &schemas::table::Column| {
        let kind = match column.kind.iceberg() {
            "string" => "varchar",
            "int" => "integer",
            _ => "timestamp(6) with time zone",
        };
        format!("{} {kind}", column.name)
    };
    let columns: Vec<String> = schemas::table::COLUMNS.iter().map(column).collect();
    let partitioning = "partitioning = ARRAY['day(event_timestamp)', 'event_type']";
    let sql = format!("CREATE TABLE {} ({}) WITH ({partitioning})", trial.sql_name(), columns.join(", "));
    trial.trino.query(&sql).await?;
    until("the table of Trino", Duration::from_secs(10), async || {
        let table = trial.catalog.table(&trial.table).await?;
        Ok(Look::holds(table.is_some(), "no table"))
    })
    .await
}
