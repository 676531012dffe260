//! `bench maintenance`: what it costs to keep a table healthy, and what readers get of it.
//!
//! The connector writes a table of small files, by committing as often as it may. Each engine compacts the same files; then Trino is
//! asked over the small files and over what each engine has made of them. Beside that, a plan is made for tables of many files
//! that do not exist.

use std::fmt::Write;

use anyhow::{Context, Result};
use chrono::{NaiveDate, Utc};
use clap::{Args, ValueEnum};
use it::program;
use serde::Serialize;

use crate::compaction;
use crate::compare::{self, System};
use crate::engine::Engine;
use crate::measure::Machine;
use crate::plan;
use crate::queries::{self, Asked};
use crate::report::{figure, ratio};

/// Files of a manifest as maintenance leaves them.
const MANIFEST_FILES: u64 = 1_000;

/// What to measure.
#[derive(Debug, Clone, Args)]
pub(crate) struct Wanted {
    /// What of it
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Compact, Part::Queries, Part::Plan])]
    only: Vec<Part>,
    /// Who compacts, in this order; each other is held against the first
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Engine::CatalogSync, Engine::Spark, Engine::Trino])]
    engines: Vec<Engine>,
    /// Events in the table that is compacted
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Of the events: the same seed gives the same events on the same day
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Milliseconds between two commits of the connector: the shorter, the more files
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(100..))]
    commit_ms: u64,
    /// Files that make a partition worth compacting; the default is that of the engines
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..))]
    min_input_files: u32,
    /// Times that each question is asked of each table; the first time warms up, and does not count
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(2..))]
    rounds: u64,
    /// Files of the table that is planned for, a thousand in each manifest
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    plan_files: u64,
    /// Manifests of another table that is planned for, of one file each
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    plan_manifests: u64,
    /// Print JSON, not Markdown
    #[arg(long)]
    json: bool,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Compaction by each engine
    Compact,
    /// The analyses of `bench queries`, before and after; compacts too
    Queries,
    /// A plan over many files
    Plan,
}

/// Everything that a reader needs to do it again.
#[derive(Debug, Serialize)]
struct Report {
    date: NaiveDate,
    machine: Machine,
    events: u64,
    compaction: Vec<compaction::Line>,
    queries: Vec<queries::Line>,
    plans: Vec<plan::Line>,
}

/// Measures and prints.
pub(crate) async fn run(wanted: &Wanted) -> Result<()> {
    let mut report = Report {
        date: Utc::now().date_naive(),
        machine: Machine::this()?,
        events: wanted.events,
        compaction: Vec::new(),
        queries: Vec::new(),
        plans: Vec::new(),
    };
    if wanted.only.contains(&Part::Plan) {
        let dir = program::build_folder()?.join("e2e");
        std::fs::create_dir_all(&dir)?;
        for (manifests, each) in [(wanted.plan_files / MANIFEST_FILES, MANIFEST_FILES), (wanted.plan_manifests, 1)] {
            report.plans.push(plan::run(&dir, manifests, each, 3).await?);
        }
    }
    if wanted.only.iter().any(|part| *part != Part::Plan) {
        compact(wanted, &mut report).await?;
    }
    if wanted.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", markdown(&report));
    }
    Ok(())
}

async fn compact(wanted: &Wanted, report: &mut Report) -> Result<()> {
    wanted.engines.iter().try_for_each(|engine| engine.available())?;
    let ingestion = compare::Wanted {
        events: wanted.events,
        seed: wanted.seed,
        only: vec![System::Connector],
        commit_ms: wanted.commit_ms,
        json: wanted.json,
    };
    let (trial, _, runs) = compare::ingest(&ingestion).await?;
    let small = &runs.first().context("the connector has run")?.table;
    let (lines, made): (Vec<_>, Vec<_>) =
        compaction::run(&trial, small, &wanted.engines, wanted.min_input_files).await?.into_iter().unzip();
    report.compaction = lines;
    if wanted.only.contains(&Part::Queries) {
        let mut tables = vec![Asked { system: "small files".to_owned(), table: small.clone() }];
        tables.extend(made);
        report.queries = queries::ask(&trial, &tables, wanted.rounds).await?;
    }
    Ok(())
}

fn markdown(report: &Report) -> String {
    let mut text = String::new();
    if !report.compaction.is_empty() {
        compaction_table(&mut text, &report.compaction, report.events);
    }
    if !report.queries.is_empty() {
        text.push_str(&queries::markdown(&report.queries));
        text.push('\n');
    }
    if !report.plans.is_empty() {
        plan_table(&mut text, &report.plans);
    }
    let Machine { processor, cores, memory_gib } = &report.machine;
    // Writing to a String does not fail.
    let _ = write!(text, "{processor}, {cores} cores, {memory_gib} GiB, servers on the same cores. {}.", report.date);
    text
}

const COLUMNS: [&str; 7] = [
    "MB per CPU-second",
    "CPU-s",
    "of them in the call",
    "wall, s",
    "peak memory, MB",
    "files afterwards",
    "MB afterwards",
];
/// Digits after the point, by column.
const DIGITS: [usize; 7] = [2, 2, 2, 1, 0, 0, 1];

fn compaction_table(text: &mut String, lines: &[compaction::Line], events: u64) {
    let numbers = |line: &compaction::Line| {
        [
            line.megabytes_per_cpu_second(),
            line.cpu_seconds,
            line.call_cpu_seconds.unwrap_or(f64::NAN),
            line.wall_seconds,
            line.memory_peak_bytes as f64 / 1e6,
            line.files_after as f64,
            line.bytes_after as f64 / 1e6,
        ]
    };
    let mut row = |name: &str, cells: [String; 7]| {
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    };
    row("", COLUMNS.map(str::to_owned));
    row("---", COLUMNS.map(|_| "---:".to_owned()));
    for line in lines {
        let numbers = numbers(line);
        row(&line.engine, std::array::from_fn(|at| figure(numbers[at], DIGITS[at])));
    }
    if let [first, others @ ..] = lines {
        for other in others {
            let (mine, theirs) = (numbers(first), numbers(other));
            row(&format!("{} : {}", first.engine, other.engine), std::array::from_fn(|at| ratio(mine[at], theirs[at])));
        }
        let (files, megabytes) = (figure(first.files_before as f64, 0), figure(first.bytes_before as f64 / 1e6, 1));
        let _ = writeln!(text, "\n{files} files of {megabytes} MB, {} events.\n", figure(events as f64, 0));
    }
}

fn plan_table(text: &mut String, lines: &[plan::Line]) {
    text.push_str(
        "| files | manifests | MB of manifests | s | CPU-s | peak memory, MB |\n|---:|---:|---:|---:|---:|---:|\n",
    );
    for line in lines {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.2} | {:.2} | {} |",
            figure(line.files as f64, 0),
            figure(line.manifests as f64, 0),
            figure(line.bytes as f64 / 1e6, 1),
            line.wall_seconds,
            line.cpu_seconds,
            figure(line.memory_peak_bytes as f64 / 1e6, 0)
        );
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(engine: &str, cpu_seconds: f64, call: Option<f64>) -> compaction::Line {
        compaction::Line {
            engine: engine.to_owned(),
            wall_seconds: 2.0,
            cpu_seconds,
            call_cpu_seconds: call,
            memory_peak_bytes: 100_000_000,
            files_before: 2_000,
            bytes_before: 80_000_000,
            files_after: 27,
            bytes_after: 60_000_000,
        }
    }

    #[test]
    fn each_engine_has_a_line_and_the_first_is_held_against_each_other() {
        let mut text = String::new();
        compaction_table(&mut text, &[line("one", 4.0, None), line("other", 20.0, Some(8.0))], 1_000);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
        assert_eq!(lines[2], "| one | 20.00 | 4.00 | – | 2.0 | 100 | 27 | 60.0 |");
        assert_eq!(lines[3], "| other | 4.00 | 20.00 | 8.00 | 2.0 | 100 | 27 | 60.0 |");
        assert_eq!(lines[4], "| one : other | × 5.00 | × 0.20 | – | × 1.00 | × 1.00 | × 1.00 | × 1.00 |");
        assert_eq!(lines[6], "2,000 files of 80.0 MB, 1,000 events.");
    }

    #[test]
    fn a_plan_has_a_line_for_each_shape_of_table() {
        let plan = |files, manifests| plan::Line {
            files,
            manifests,
            bytes: 120_000_000,
            wall_seconds: 1.25,
            cpu_seconds: 1.0,
            memory_peak_bytes: 150_000_000,
        };
        let mut text = String::new();
        plan_table(&mut text, &[plan(100_000, 100), plan(10_000, 10_000)]);
        assert!(text.contains("| 100,000 | 100 | 120.0 | 1.25 | 1.00 | 150 |\n| 10,000 | 10,000 | 120.0 |"), "{text}");
    }
}
