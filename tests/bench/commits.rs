//! `bench commits`: what a commit costs in calls and bytes while the table grows.
//!
//! The worker reaches the catalog and the object store through proxies that count. A trickle of events of one day and type makes
//! each commit one data file, one manifest and one manifest list, so that whatever grows with the table shows. At each mark the
//! trickle pauses until the table stands where the topic ends, so that calls belong to the commits before it. After the last mark
//! manifests are rewritten, and a hundred more commits are measured.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{SecondsFormat, Utc};
use clap::Args;
use connector::demo::journeys::{Journeys, Options};
use it::proxy::http::HttpProxy;
use it::proxy::rule::{Fault, Heard, When};
use it::trial::Trial;
use it::wait::say;
use it::worker;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde::Serialize;

/// Commits at which calls are told, as far as wanted.
const MARKS: [u64; 7] = [10, 30, 100, 300, 1_000, 3_000, 10_000];
/// Commits after the manifests were rewritten.
const AFTER: u64 = 100;
/// Events that are produced at a time; the next portion waits for the commit of this one.
const PORTION: usize = 20;
/// Pause between two looks whether a commit was made.
const LOOK: Duration = Duration::from_millis(5);
/// Most calls that a commit may need more in any window than in the one that needs least: a load that met a commit.
const MORE_CALLS_MAX: f64 = 0.5;
/// Longest time from one commit to the next.
const NEXT: Duration = Duration::from_secs(60);

/// What to measure.
#[derive(Debug, Clone, Args)]
pub(crate) struct Wanted {
    /// Commits to grow the table to
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    commits: u64,
    /// Print JSON, not Markdown
    #[arg(long)]
    json: bool,
}

/// Calls and bytes sent, by what they are.
#[derive(Debug, Clone, Default)]
struct Tally(Arc<Mutex<BTreeMap<&'static str, (u64, u64)>>>);

impl Tally {
    fn note(&self, kind: &'static str, bytes: usize) {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (calls, sent) = kinds.entry(kind).or_default();
        *calls += 1;
        *sent += bytes as u64;
    }

    /// Counts every request of a proxy, and touches none.
    fn listen(&self, proxy: &HttpProxy, kind: fn(&Heard) -> &'static str) {
        let tally = self.clone();
        let matcher = Box::new(move |heard: &Heard| {
            tally.note(kind(heard), heard.body.len());
            false
        });
        proxy.inject(matcher, When::Always, Fault::Refuse);
    }

    fn now(&self) -> BTreeMap<&'static str, (u64, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn commits(&self) -> u64 {
        self.now().get("catalog POST").map_or(0, |(calls, _)| *calls)
    }
}

fn catalog_call(heard: &Heard) -> &'static str {
    if heard.method == "POST" { "catalog POST" } else { "catalog GET" }
}

fn store_call(heard: &Heard) -> &'static str {
    match heard.method.as_str() {
        "PUT" if heard.path.contains("/metadata/") => "store PUT, metadata",
        "PUT" => "store PUT, data",
        "GET" if heard.path.contains("list-type") => "store LIST",
        "GET" => "store GET",
        "HEAD" => "store HEAD",
        _ => "store, other",
    }
}

/// What the commits up to a mark have cost, each.
#[derive(Debug, Serialize)]
struct Window {
    /// Files in the table at its end: each commit adds one.
    files: u64,
    /// Manifests in the table were rewritten before.
    rewritten: bool,
    commits: u64,
    milliseconds: f64,
    calls: BTreeMap<&'static str, f64>,
    metadata_bytes: f64,
}

impl Window {
    fn calls_in_all(&self) -> f64 {
        self.calls.values().sum()
    }
}

/// The table that grows.
struct Growth {
    trial: Trial,
    tally: Tally,
    producer: ThreadedProducer<DefaultProducerContext>,
    journeys: Journeys,
}

/// Grows, rewrites, and prints.
pub(crate) async fn run(wanted: &Wanted) -> Result<()> {
    let trial = Trial::begin("commits", &[1]).await?;
    let (catalog, store) = (HttpProxy::start(&trial.stack.catalog).await?, HttpProxy::start(&trial.stack.s3).await?);
    let tally = Tally::default();
    tally.listen(&catalog, catalog_call);
    tally.listen(&store, store_call);
    let options = worker::Options { brokers: trial.stack.brokers.clone(), ..worker::Options::default() };
    let worker = worker::Worker::start_with(&options, &trial.dir).await?;
    let registration = trial.registration(&[
        ("iceberg.catalog.uri", &catalog.uri()),
        ("iceberg.catalog.s3.endpoint", &store.uri()),
        ("tasks.max", "1"),
        ("commit.interval.ms", "100"),
    ])?;
    worker.register(&registration).await?;
    let journeys = Journeys::new(1, Utc::now().timestamp_micros(), Options::spread(100_000, 1));
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &trial.stack.brokers).set("linger.ms", "1");
    let mut growth = Growth { producer: config.create()?, trial, tally, journeys };
    // The first commits come with the making of the table.
    growth.grow(3).await?;
    let mut windows = Vec::new();
    for mark in MARKS.into_iter().filter(|mark| *mark < wanted.commits).chain([wanted.commits]) {
        let files = windows.last().map_or(3, |window: &Window| window.files);
        windows.push(growth.window(mark.saturating_sub(files).max(1), false).await?);
    }
    let said = growth.trial.catalog_sync(&["rewrite-manifests", &growth.trial.table]).await?;
    ensure!(said.code == Some(0), "rewrite-manifests: {}{}", said.out, said.err);
    windows.push(growth.window(AFTER, true).await?);
    worker.terminate().await?;
    growth.trial.verified().await?;
    constant(&windows)?;
    if wanted.json {
        println!("{}", serde_json::to_string_pretty(&windows)?);
    } else {
        println!("{}", markdown(&windows));
    }
    Ok(())
}

impl Growth {
    /// Makes so many commits, or a few more, and waits until nothing is left to commit.
    async fn grow(&mut self, commits: u64) -> Result<()> {
        let wanted = self.tally.commits() + commits;
        while self.tally.commits() < wanted {
            let (before, began) = (self.tally.commits(), Instant::now());
            self.produce()?;
            while self.tally.commits() == before {
                ensure!(began.elapsed() < NEXT, "no commit for {} s", NEXT.as_secs());
                tokio::time::sleep(LOOK).await;
            }
        }
        self.trial.ingested().await
    }

    /// A portion of clicks of this moment, so that all are in one partition of the table but for a midnight.
    fn produce(&mut self) -> Result<()> {
        let topic = self.trial.topics.first().context("a trial has a topic")?;
        for mut event in self.journeys.by_ref().take(PORTION) {
            "click".clone_into(&mut event.event_type);
            event.event_timestamp = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
            let value = serde_json::to_vec(&event)?;
            self.producer.send(BaseRecord::<(), [u8]>::to(topic).payload(&value)).map_err(|(error, _)| error)?;
        }
        tokio::task::block_in_place(|| self.producer.flush(NEXT)).context("flush")
    }

    /// So many commits, or a few more, and their cost.
    async fn window(&mut self, commits: u64, rewritten: bool) -> Result<Window> {
        let (before, began) = (self.tally.now(), Instant::now());
        let files_before = self.files().await?;
        self.grow(commits).await?;
        let took = began.elapsed();
        let (after, files) = (self.tally.now(), self.files().await?);
        let commits = files - files_before;
        ensure!(commits > 0, "no file was added");
        let each = |all: u64| all as f64 / commits as f64;
        let was = |kind: &str| before.get(kind).copied().unwrap_or_default();
        let calls = after.iter().map(|(kind, (calls, _))| (*kind, each(calls - was(kind).0))).collect();
        let metadata = "store PUT, metadata";
        let bytes = after.get(metadata).map_or(0, |(_, bytes)| bytes - was(metadata).1);
        say(format!("{files} files, {:.0} ms a commit", each(1) * took.as_secs_f64() * 1e3));
        Ok(Window {
            files,
            rewritten,
            commits,
            milliseconds: took.as_secs_f64() * 1e3 / commits as f64,
            calls,
            metadata_bytes: each(bytes),
        })
    }

    /// Files in the table, asked past the proxies.
    async fn files(&self) -> Result<u64> {
        let summary = self.trial.catalog.summary(&self.trial.table).await?;
        summary.get("total-data-files").map_or(Ok(0), |files| Ok(files.parse()?))
    }
}

/// A commit needs as many calls in a large table as in a small one.
fn constant(windows: &[Window]) -> Result<()> {
    let calls = || windows.iter().map(Window::calls_in_all);
    let (least, most) = (calls().fold(f64::INFINITY, f64::min), calls().fold(0.0, f64::max));
    ensure!(most - least <= MORE_CALLS_MAX, "a commit needs from {least:.2} to {most:.2} calls: {windows:#?}");
    Ok(())
}

fn markdown(windows: &[Window]) -> String {
    let kinds: std::collections::BTreeSet<&str> =
        windows.iter().flat_map(|window| window.calls.keys().copied()).collect();
    let mut text = "| files | commits |".to_owned();
    text.extend(kinds.iter().map(|kind| format!(" {kind} |")));
    text.push_str(" calls in all | KB of metadata | ms |\n|---:|---:|");
    text.push_str(&"---:|".repeat(kinds.len() + 3));
    for window in windows {
        let rewritten = if window.rewritten { ", manifests rewritten" } else { "" };
        text.push_str(&format!("\n| {}{rewritten} | {} |", window.files, window.commits));
        text.extend(kinds.iter().map(|kind| format!(" {:.2} |", window.calls.get(kind).copied().unwrap_or_default())));
        text.push_str(&format!(
            " {:.2} | {:.1} | {:.0} |",
            window.calls_in_all(),
            window.metadata_bytes / 1e3,
            window.milliseconds
        ));
    }
    text.push_str("\n\nCalls and bytes a commit, between the line before and this one.");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(calls: f64) -> Window {
        let calls = BTreeMap::from([("catalog POST", 1.0), ("store GET", calls)]);
        Window { files: 10, rewritten: false, commits: 7, milliseconds: 120.0, calls, metadata_bytes: 9_500.0 }
    }

    #[test]
    fn a_commit_that_needs_more_calls_in_a_larger_table_fails_the_measurement() {
        assert!(constant(&[window(1.0), window(1.2), window(1.1)]).is_ok());
        assert!(constant(&[window(1.0), window(2.0)]).is_err());
        assert!(constant(&[window(2.0), window(1.0)]).is_err());
    }

    #[test]
    fn a_line_has_the_calls_of_each_kind_and_of_all() {
        let text = markdown(&[window(1.0)]);
        assert!(text.contains("| files | commits | catalog POST | store GET | calls in all | KB of metadata | ms |"));
        assert!(text.contains("| 10 | 7 | 1.00 | 1.00 | 2.00 | 9.5 | 120 |"), "{text}");
    }
}
