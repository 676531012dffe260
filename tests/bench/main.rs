//! Measurements, side by side with others. Nothing is timed that was not also counted, and nothing here fails for being
//! slow.
//!
//!     tests/run --bench compare --events 1000000
//!
//! `compare.rs` measures ingestion, `queries.rs` what readers get of it, `freshness.rs` how soon, `commits.rs` what a commit
//! costs while the table grows, `maintenance.rs` what it costs to keep the table healthy. What the first two are made of, by the
//! data's way: `fill.rs` fills a topic; `connector.rs`, `sink.rs` and `spark.rs` each run one system on it, under the meter of
//! `measure.rs` and as processes of `process.rs`; `table.rs` makes the tables and counts what is in them; `report.rs` says what
//! ingestion has cost. What the last is made of: `listing.rs` makes tables of files that are there or are not; `compaction.rs`
//! has each engine of `engine.rs` compact one; `plan.rs` plans for many files.

mod commits;
mod compaction;
mod compare;
mod connector;
mod engine;
mod fill;
mod freshness;
mod listing;
mod maintenance;
mod measure;
mod plan;
mod process;
mod queries;
mod report;
mod sink;
mod spark;
mod table;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures this connector and others, on the servers of compose/local.
#[derive(Debug, Parser)]
#[command(name = "bench", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    measurement: Measurement,
}

#[derive(Debug, Subcommand)]
enum Measurement {
    /// Ingestion of one full topic by each system, one after the other: time, CPU, memory, files, commits
    Compare(compare::Wanted),
    /// Six analyses and a lookup in Trino, over the table that each system has written of one topic: time, CPU, bytes read
    Queries(queries::Wanted),
    /// From a produced event to its row in Trino, at a steady rate
    Freshness(freshness::Wanted),
    /// Calls and bytes of a commit while the table grows, and after its manifests were rewritten
    Commits(commits::Wanted),
    /// Compaction by this project, Spark and Trino; queries before and after; a plan over many files
    Maintenance(maintenance::Wanted),
}

#[tokio::main]
async fn main() -> Result<()> {
    match Cli::parse().measurement {
        Measurement::Compare(wanted) => compare::run(&wanted).await,
        Measurement::Queries(wanted) => queries::run(&wanted).await,
        Measurement::Freshness(wanted) => freshness::run(&wanted).await,
        Measurement::Commits(wanted) => commits::run(&wanted).await,
        Measurement::Maintenance(wanted) => maintenance::run(&wanted).await,
    }
}
