//! `bench queries`: what the layout of the files is worth to readers.
//!
//! Each system reads one topic into a table of its own, as in `compare`; then Trino runs the same analyses over each table by
//! turns, several rounds, and the middle one counts. Answers of all tables must be the same, or nothing is reported.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use it::trial::Trial;
use it::trino::{Cost, Row};
use it::wait::say;
use serde::Serialize;

use crate::compare::{self, Run, System};

/// By name: what is asked, with `{table}` and `{session}` to be filled in.
const ANALYSES: [(&str, &str); 7] = [
    ("engagement", include_str!("analyses/engagement.sql")),
    ("sessions", include_str!("analyses/sessions.sql")),
    ("funnel", include_str!("analyses/funnel.sql")),
    ("devices", include_str!("analyses/devices.sql")),
    ("campaigns", include_str!("analyses/campaigns.sql")),
    ("geography", include_str!("analyses/geography.sql")),
    ("one session", include_str!("analyses/one_session.sql")),
];

/// What to measure.
#[derive(Debug, Clone, Args)]
pub(crate) struct Wanted {
    /// Events in the topic
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Of the events: the same seed gives the same events on the same day
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Whose tables, in this order; each other is held against the first
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [System::Connector, System::Sink])]
    only: Vec<System>,
    /// Milliseconds between two commits of any system
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..))]
    commit_ms: u64,
    /// Times that each question is asked of each table; the first time warms up, and does not count
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(2..))]
    rounds: u64,
    /// Print JSON, not Markdown
    #[arg(long)]
    json: bool,
}

/// A table that is asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Whose it is, for the report.
    pub(crate) system: String,
    /// `namespace.table`.
    pub(crate) table: String,
}

/// A question to one table: the middle of the rounds, each figure by itself.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    analysis: &'static str,
    system: String,
    elapsed_ms: u64,
    cpu_ms: u64,
    bytes: u64,
    rows: usize,
}

/// Ingests, asks, and prints.
pub(crate) async fn run(wanted: &Wanted) -> Result<()> {
    let ingestion = compare::Wanted {
        events: wanted.events,
        seed: wanted.seed,
        only: wanted.only.clone(),
        commit_ms: wanted.commit_ms,
        json: wanted.json,
    };
    let (trial, _, runs) = compare::ingest(&ingestion).await?;
    let tables = runs.iter().map(|Run { title, table, .. }| Asked { system: title.clone(), table: table.clone() });
    let lines = ask(&trial, &tables.collect::<Vec<_>>(), wanted.rounds).await?;
    if wanted.json {
        println!("{}", serde_json::to_string_pretty(&lines)?);
    } else {
        println!("{}", markdown(&lines));
    }
    Ok(())
}

/// All questions to all tables, which must hold the same events.
pub(crate) async fn ask(trial: &Trial, tables: &[Asked], rounds: u64) -> Result<Vec<Line>> {
    let first = tables.first().context("no system is named")?;
    let session = trial.trino.query(&format!("SELECT min(session_id) FROM lakehouse.{}", first.table)).await?;
    let session = session.first().and_then(|row| row.first()?.as_str()).context("no event has a session")?.to_owned();
    let mut lines = Vec::new();
    for (analysis, sql) in ANALYSES {
        lines.extend(asked(trial, tables, analysis, &sql.replace("{session}", &session), rounds).await?);
        say(format!("{analysis}: the same answer of {} tables", tables.len()));
    }
    Ok(lines)
}

/// One question to all tables, by turns.
async fn asked(trial: &Trial, tables: &[Asked], analysis: &'static str, sql: &str, rounds: u64) -> Result<Vec<Line>> {
    let mut costs = vec![Vec::new(); tables.len()];
    let mut answer: Option<Vec<Row>> = None;
    for round in 0..rounds {
        for (Asked { system, table }, costs) in tables.iter().zip(&mut costs) {
            let (rows, cost) = trial.trino.costed(&sql.replace("{table}", &format!("lakehouse.{table}"))).await?;
            let expected = answer.get_or_insert_with(|| rows.clone());
            ensure!(*expected == rows, "{analysis}: {system} answers {rows:?}, {} {expected:?}", tables[0].system);
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    let rows = answer.map_or(0, |rows| rows.len());
    ensure!(rows > 0, "{analysis} has no answer");
    let line = |(asked, costs): (&Asked, &Vec<Cost>)| Line {
        analysis,
        system: asked.system.clone(),
        elapsed_ms: middle(costs.iter().map(|cost| milliseconds(cost.elapsed))),
        cpu_ms: middle(costs.iter().map(|cost| milliseconds(cost.cpu))),
        bytes: middle(costs.iter().map(|cost| cost.bytes)),
        rows,
    };
    Ok(tables.iter().zip(&costs).map(line).collect())
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The one in the middle, the higher of two.
fn middle(figures: impl Iterator<Item = u64>) -> u64 {
    let mut figures: Vec<u64> = figures.collect();
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

pub(crate) fn markdown(lines: &[Line]) -> String {
    let mut text = "| analysis | over the table of | ms | CPU-ms | MB read |\n|---|---|---:|---:|---:|\n".to_owned();
    for line in lines {
        let megabytes = line.bytes as f64 / 1e6;
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {megabytes:.2} |",
            line.analysis, line.system, line.elapsed_ms, line.cpu_ms
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_figures_is_no_mean() {
        assert_eq!(middle([900, 1, 2].into_iter()), 2);
        assert_eq!(middle([4, 1].into_iter()), 4);
        assert_eq!(middle([].into_iter()), 0);
    }

    #[test]
    fn every_analysis_asks_the_table() {
        for (name, sql) in ANALYSES {
            assert!(sql.contains("FROM {table}"), "{name}");
        }
    }
}
