//! `bench compare`: one topic, filled once, read by one system after the other into tables of the same definition.
//!
//! The clock starts with the process, whose cold start is part of the price, and stops when the table's snapshot has every
//! row. All systems commit at the same interval, and have the machine to themselves but for the servers. A run whose table
//! does not hold exactly what was produced, by another engine's count, fails and reports nothing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use it::trial::Trial;
use it::wait::{Look, say, until};

use crate::fill::{self, Filled};
use crate::measure::Usage;
use crate::report::{self, Report};
use crate::table::{Contents, Table};
use crate::{connector, sink, spark};

/// Partitions of the topic.
const PARTITIONS: i32 = 4;
/// Longest time for a run: a start, and then so many events a second, a tenth of what the slowest system does on a busy
/// machine.
const START: Duration = Duration::from_secs(300);
const EVENTS_PER_SEC_MIN: u64 = 1_000;

/// What to measure.
#[derive(Debug, Clone, Args)]
pub(crate) struct Wanted {
    /// Events in the topic
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) events: u64,
    /// Of the events: the same seed gives the same events on the same day
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Which systems, in this order; each other is held against the first
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [System::Connector, System::Sink])]
    pub(crate) only: Vec<System>,
    /// Milliseconds between two commits of any system
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub(crate) commit_ms: u64,
    /// Print JSON, not Markdown
    #[arg(long)]
    pub(crate) json: bool,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum System {
    /// This connector
    Connector,
    /// The Apache Iceberg sink on Kafka Connect
    Sink,
    /// The Spark job that the project replaces
    Spark,
}

/// What the systems work on.
pub(crate) struct Task<'a> {
    pub(crate) trial: &'a Trial,
    pub(crate) wanted: &'a Wanted,
    pub(crate) events: u64,
}

impl Task<'_> {
    /// Waits until the table's snapshot has every event. `well` fails when the system has.
    pub(crate) async fn done(&self, table: &Table, mut well: impl AsyncFnMut() -> Result<()>) -> Result<Progress> {
        let within = START + Duration::from_secs(self.events / EVENTS_PER_SEC_MIN);
        let mut progress = Progress::default();
        until(&format!("{} has {} rows", table.name, self.events), within, async || {
            well().await?;
            let rows = table.rows(self.trial).await?;
            ensure!(rows <= self.events, "{} has {rows} rows of {} events", table.name, self.events);
            progress.note(Instant::now(), rows);
            Ok(Look::holds(rows == self.events, rows))
        })
        .await?;
        Ok(progress)
    }
}

/// When the table was seen with how many rows; a line for each number.
#[derive(Debug, Default)]
pub(crate) struct Progress(Vec<(Instant, u64)>);

impl Progress {
    fn note(&mut self, at: Instant, rows: u64) {
        if rows > self.0.last().map_or(0, |(_, rows)| *rows) {
            self.0.push((at, rows));
        }
    }

    /// Events a second between the first commit that was seen and the first with nine tenths of all rows: without the cold
    /// start, and without the wait for the commit of the rest. None if that is one and the same.
    pub(crate) fn warm(&self) -> Option<f64> {
        let ((first, begun), (_, all)) = (self.0.first()?, self.0.last()?);
        let (at, rows) = self.0.iter().find(|(_, rows)| rows * 10 >= all * 9)?;
        (rows > begun).then(|| (rows - begun) as f64 / at.duration_since(*first).as_secs_f64())
    }
}

/// A run that was measured, and counted.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) table: String,
    /// Name and version.
    pub(crate) title: String,
    pub(crate) wall: Duration,
    /// Events a second, by [`Progress::warm`].
    pub(crate) warm: Option<f64>,
    pub(crate) usage: Usage,
    pub(crate) contents: Contents,
}

/// Fills, runs, and prints.
pub(crate) async fn run(wanted: &Wanted) -> Result<()> {
    let (_, filled, runs) = ingest(wanted).await?;
    print(&Report::of(wanted, &filled, &runs)?, wanted.json)
}

/// Fills a topic, and has each system read it into a table of its own.
pub(crate) async fn ingest(wanted: &Wanted) -> Result<(Trial, Filled, Vec<Run>)> {
    for system in &wanted.only {
        match system {
            System::Connector => {}
            System::Sink => sink::available()?,
            System::Spark => spark::available()?,
        }
    }
    let trial = Trial::begin("bench", &[PARTITIONS]).await?;
    let filled = fill::fill(&trial, wanted.seed, wanted.events)?;
    let task = Task { trial: &trial, wanted, events: filled.events };
    let mut runs = Vec::new();
    for system in &wanted.only {
        let run = match system {
            System::Connector => connector::run(&task).await?,
            System::Sink => sink::run(&task).await?,
            System::Spark => spark::run(&task).await?,
        };
        say(format!("{}: {:.1} s, {:.1} CPU-s", run.title, run.wall.as_secs_f64(), run.usage.cpu.as_secs_f64()));
        runs.push(run);
    }
    Ok((trial, filled, runs))
}

fn print(report: &Report, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        println!("{}", report::markdown(report));
    }
    Ok(())
}

/// A setting that `tests/run` exports.
pub(crate) fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: start this with tests/run --bench"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_rate_knows_neither_the_start_nor_the_wait_for_the_rest() {
        let began = Instant::now();
        let mut progress = Progress::default();
        assert_eq!(progress.warm(), None);
        for (seconds, rows) in [(0, 0), (20, 100), (21, 100), (30, 600), (40, 910), (50, 990), (90, 1_000)] {
            progress.note(began + Duration::from_secs(seconds), rows);
        }
        assert_eq!(progress.warm(), Some(40.5));
        let mut at_once = Progress::default();
        at_once.note(began, 1_000);
        assert_eq!(at_once.warm(), None);
    }
}
