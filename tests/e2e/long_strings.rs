//! Strings longer than the 64 bytes that Parquet keeps of a bound are found by predicate, in files of several row groups.
//!
//! Goal: no reader loses a row to a bound that is too narrow: where one row group's bound is cut and another's is not, and
//! where the cut goes through a character or there is none after it. Method: addresses of several kinds, in files of many
//! small row groups; Trino, which skips files and row groups by their bounds, must count what a plain loop counts.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use chrono::Utc;
use connector::demo::journeys::{Journeys, Options};
use it::kafka::Record;
use it::pyiceberg;
use it::trial::Trial;
use it::wait::say;

/// Events, a third of each kind: the writer takes 8,192 rows at a time, and cannot cut within the first of a row group.
const EVENTS: usize = 30_000;
/// The smallest row group that the connector allows.
const ROW_GROUP_BYTES: &str = "65536";

/// Two bytes each and after nine of ASCII: byte 64 is the second half of one.
const CUT: &str = "ä";
/// Nothing comes after it, so that a bound that ends with it cannot be made larger.
const LAST: &str = "\u{10FFFF}";

/// The address of an event: one kind after the other, so that row groups differ in theirs.
fn page_url(number: usize) -> String {
    match number * 3 / EVENTS {
        0 => format!("/product/{}/{number:05}", CUT.repeat(60)),
        // Among short ones, which are whole in their bounds, some that no bound reaches.
        1 if number.is_multiple_of(100) => format!("{}{number:05}", LAST.repeat(40)),
        1 => format!("m{number:05}"),
        _ => format!("/search?{}{number:05}", "z".repeat(100)),
    }
}

/// Clicks of one day, so that all are in one partition of the table.
fn records(urls: &[String]) -> Result<Vec<Record>> {
    let now = Utc::now();
    let journeys = Journeys::new(1, now.timestamp_micros(), Options::spread(EVENTS as u64, 1));
    let record = |(mut event, url): (schemas::click::ClickEvent, &String)| {
        "click".clone_into(&mut event.event_type);
        event.event_timestamp = now.to_rfc3339();
        event.page_url = Some(url.clone());
        Ok((None, Some(serde_json::to_vec(&event)?)))
    };
    journeys.zip(urls).map(record).collect()
}

async fn counts(trial: &Trial, predicate: &str, wanted: usize) -> Result<()> {
    let sql = format!("SELECT count(*) FROM {} WHERE {predicate}", trial.sql_name());
    let found = trial.trino.number(&sql).await?.context("a number")?;
    ensure!(found == wanted as u64, "{found} rows, {wanted} were produced with {predicate}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_lost_to_a_bound_that_was_cut() -> Result<()> {
    let trial = Trial::begin("strings", &[1]).await?;
    let urls: Vec<String> = (0..EVENTS).map(page_url).collect();
    let topic = trial.topics.first().context("a trial has a topic")?;
    tokio::task::block_in_place(|| trial.kafka.produce(topic, records(&urls)?))?;
    let worker = trial.worker().await?;
    let row_groups = "iceberg.tables.write-props.write.parquet.row-group-size-bytes";
    let changes = [(row_groups, ROW_GROUP_BYTES), ("tasks.max", "1"), ("commit.interval.ms", "3000")];
    worker.register(&trial.registration(&changes)?).await?;
    trial.ingested().await?;
    worker.terminate().await?;

    let files = pyiceberg::row_groups(&trial.stack, &trial.table).await?;
    say(format!("row groups by file: {:?}", files.values()));
    ensure!(files.values().any(|row_groups| *row_groups >= 3), "no file has three row groups: {files:?}");

    let third = EVENTS / 3;
    let probes =
        [0, third - 1, third, third + 100 - third % 100, 2 * third - 100, 2 * third - 1, 2 * third, EVENTS - 1];
    let probes: BTreeSet<&String> = probes.iter().map(|at| &urls[*at]).collect();
    for probe in probes {
        let count = |holds: fn(&str, &str) -> bool| urls.iter().filter(|url| holds(url, probe)).count();
        counts(&trial, &format!("page_url = '{probe}'"), 1).await?;
        counts(&trial, &format!("page_url >= '{probe}'"), count(|url, probe| url >= probe)).await?;
        counts(&trial, &format!("page_url < '{probe}'"), count(|url, probe| url < probe)).await?;
        let prefix = probe.trim_end_matches(|digit: char| digit.is_ascii_digit());
        let begins = urls.iter().filter(|url| url.starts_with(prefix)).count();
        counts(&trial, &format!("page_url LIKE '{prefix}%'"), begins).await?;
    }
    Ok(())
}
