//! The main job: events of two topics become rows of `lakehouse.analytics.clickstream`, read back by two strangers.
//!
//! Goal: what was produced is in the table, each event once, with the types and partitions promised, and every malformed
//! record is in the dead letter topic under its reason. Method: the registration of the README, at least 100,000 events
//! through an idempotent producer, then Trino, PyIceberg and `catalog-sync verify`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use connector::demo::journeys::{Journeys, Options};
use it::catalog::POSITION;
use it::events::{Plan, Sent};
use it::pyiceberg;
use it::trial::Trial;
use it::wait::say;
use schemas::table::{COLUMNS, ColumnKind};
use serde_json::Value;

/// The README's promise: from produced to visible in Trino.
const VISIBLE_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_events_of_two_topics_are_read_back_exactly_by_trino_and_pyiceberg() -> Result<()> {
    let mut trial = Trial::begin("ingest", &[]).await?;
    trial.topics = vec!["clickstream_events".to_owned(), format!("{}_app", trial.name)];
    trial.table = "analytics.clickstream".to_owned();
    trial.catalog.drop_table(&trial.table).await?;
    trial.kafka.fresh_topic(&trial.topics[0], 4).await?;
    trial.kafka.fresh_topic(&trial.topics[1], 3).await?;

    let worker = trial.worker().await?;
    // The interval of the README, not that of the other tests.
    worker.register(&trial.registration(&[("commit.interval.ms", "")])?).await?;
    worker.running(&trial.name, 2).await?;

    let mut sent = Sent::default();
    for (seed, (topic, events)) in trial.topics.iter().zip([70_000, 40_000]).enumerate() {
        let plan = Plan { malformed_every: 500, ..Plan::events(seed as u64 + 1, events) };
        let began = Instant::now();
        sent.add(tokio::task::block_in_place(|| plan.produce(&trial.kafka, topic))?);
        say(format!("{topic}: {events} events produced in {:.1} s", began.elapsed().as_secs_f64()));
    }
    trial.ingested().await?;
    trial.exact(&sent).await?;
    dead_letters_have_their_reasons(&trial, &sent)?;
    columns_have_the_promised_types(&trial).await?;
    partitions_are_day_and_type(&trial, &sent).await?;
    position_is_in_summary_and_property(&trial).await?;

    let found = pyiceberg::read(&trial.stack, &trial.table).await?;
    say(format!("pyiceberg says {} rows, {} distinct", found.rows, found.distinct));
    ensure!((found.rows, found.distinct) == (sent.events, sent.events), "pyiceberg found {found:?}");
    let iceberg: BTreeMap<String, String> =
        COLUMNS.iter().map(|column| (column.name.to_owned(), column.kind.iceberg().to_owned())).collect();
    ensure!(found.columns == iceberg, "pyiceberg sees the columns {:?}", found.columns);

    events_are_visible_in_time(&trial).await?;
    let secret = trial.stack.s3_secret_key.as_str();
    ensure!(!worker.log().contains(secret), "the log in {} shows the secret key", trial.dir.display());
    worker.running(&trial.name, 2).await
}

/// As many dead letters as malformed records, each under the code that it must have, with where it came from.
fn dead_letters_have_their_reasons(trial: &Trial, sent: &Sent) -> Result<()> {
    let mut by_code: BTreeMap<String, u64> = BTreeMap::new();
    let mut places = BTreeSet::new();
    for letter in trial.kafka.read_all(&trial.rejects)? {
        let header = |key: &str| letter.headers.get(key).cloned().with_context(|| format!("{letter:?} has no {key}"));
        *by_code.entry(header("clickstream.reject.code")?).or_default() += 1;
        let place = ["topic", "partition", "offset"].map(|part| header(&format!("__connect.errors.{part}")));
        let [topic, partition, offset] = place;
        ensure!(places.insert((topic?, partition?, offset?)), "two dead letters for one record: {letter:?}");
    }
    say(format!("{} dead letters under {} codes", places.len(), by_code.len()));
    ensure!(by_code == sent.malformed, "dead letters by code {by_code:?}, malformed {:?}", sent.malformed);
    Ok(())
}

async fn columns_have_the_promised_types(trial: &Trial) -> Result<()> {
    let rows = trial.trino.query(&format!("DESCRIBE {}", trial.sql_name())).await?;
    let found: Vec<(&str, &str)> = rows.iter().filter_map(|row| Some((row[0].as_str()?, row[1].as_str()?))).collect();
    let wanted: Vec<(&str, &str)> = COLUMNS.iter().map(|column| (column.name, trino_type(column.kind))).collect();
    ensure!(found.len() == 26 && found == wanted, "columns {found:?}, wanted {wanted:?}");
    let nulls = "SELECT count(*) FILTER (WHERE ingestion_timestamp IS NULL), \
                 count(*) FILTER (WHERE event_timestamp IS NULL), count(user_id), count(screen_width) FROM";
    let rows = trial.trino.query(&format!("{nulls} {}", trial.sql_name())).await?;
    let row = rows.first().context("one row of counts")?;
    ensure!(row[0] == 0 && row[1] == 0, "rows without a time: {row:?}");
    ensure!(row[2].as_u64() > Some(0) && row[3].as_u64() > Some(0), "columns without any value: {row:?}");
    Ok(())
}

fn trino_type(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::String => "varchar",
        ColumnKind::Int => "integer",
        ColumnKind::TimestampTz => "timestamp(6) with time zone",
    }
}

async fn partitions_are_day_and_type(trial: &Trial, sent: &Sent) -> Result<()> {
    let sql = "SELECT cast(partition.event_timestamp_day AS varchar), partition.event_type, record_count, file_count \
               FROM lakehouse.analytics.\"clickstream$partitions\"";
    let rows = trial.trino.query(sql).await?;
    let mut found = BTreeSet::new();
    let mut records = 0;
    for row in &rows {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        found.insert((text(&row[0]), text(&row[1])));
        records += row[2].as_u64().unwrap_or_default();
    }
    say(format!("{} partitions hold {records} rows", rows.len()));
    ensure!(found == sent.partitions, "partitions {found:?}, produced {:?}", sent.partitions);
    ensure!(found.len() == rows.len() && records == sent.events, "{records} rows in {} partitions", rows.len());
    Ok(())
}

async fn position_is_in_summary_and_property(trial: &Trial) -> Result<()> {
    let summary = trial.catalog.summary(&trial.table).await?;
    let table = trial.catalog.table(&trial.table).await?.context("the table is there")?;
    ensure!(summary.contains_key("kafka.ranges"), "no kafka.ranges in {summary:?}");
    let (tag, property) = (summary.get(POSITION), table["properties"][POSITION].as_str());
    ensure!(tag.is_some() && tag.map(String::as_str) == property, "summary {tag:?}, property {property:?}");
    Ok(())
}

/// Single events, on an idle connector: the interval between commits is in the time, and Trino's planning.
async fn events_are_visible_in_time(trial: &Trial) -> Result<()> {
    let now = chrono::Utc::now().timestamp_micros();
    for event in Journeys::new(99, now, Options::default()).take(3) {
        let record = (event.user_id.clone(), Some(serde_json::to_vec(&event)?));
        tokio::task::block_in_place(|| trial.kafka.produce(&trial.topics[0], [record]))?;
        let took = trial.visible(&event.event_id).await?;
        say(format!("visible in Trino {:.1} s after it was produced", took.as_secs_f64()));
        ensure!(took <= VISIBLE_WITHIN, "an event was visible after {took:?}, promised are {VISIBLE_WITHIN:?}");
    }
    Ok(())
}
