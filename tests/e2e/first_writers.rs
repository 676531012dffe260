//! Two connectors write the first rows of a table at the same time.
//!
//! Goal: nothing is lost and nothing comes twice, although the catalog (Nessie before 0.101.1) accepts a second first
//! writer who says that there is no snapshot yet, and drops the first one's rows. Method: rounds in which two workers are
//! registered at once, on a table that does not exist, on one that exists without a snapshot, and on one that Trino made;
//! reading the same topic, or each its own.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use it::events::{Plan, Sent};
use it::trial::Trial;
use it::wait::{Look, say, until};
use it::worker::Worker;
use serde_json::json;

/// What the two find.
#[derive(Debug, Clone, Copy)]
enum Found {
    NoTable,
    TableWithoutSnapshot,
    TableOfTrino,
}

const ROUNDS: [(Found, bool); 6] = [
    (Found::TableWithoutSnapshot, true),
    (Found::TableWithoutSnapshot, false),
    (Found::NoTable, true),
    (Found::NoTable, false),
    (Found::TableWithoutSnapshot, false),
    (Found::TableOfTrino, true),
];

#[tokio::test(flavor = "multi_thread")]
async fn two_first_writers_at_once_lose_nothing_and_repeat_nothing() -> Result<()> {
    for (round, (found, one_topic)) in ROUNDS.into_iter().enumerate() {
        say(format!(
            "round {} of {}: {found:?}, {}",
            round + 1,
            ROUNDS.len(),
            if one_topic { "one topic" } else { "two topics" }
        ));
        race(found, one_topic)
            .await
            .with_context(|| format!("round {}: {found:?}, one topic: {one_topic}", round + 1))?;
    }
    Ok(())
}

async fn race(found: Found, one_topic: bool) -> Result<()> {
    let trial = Trial::begin("first", if one_topic { &[2] } else { &[2, 3] }).await?;
    match found {
        Found::NoTable => {}
        Found::TableWithoutSnapshot => trial.catalog.create_without_snapshot(&trial.table).await?,
        Found::TableOfTrino => create_with_trino(&trial).await?,
    }
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
