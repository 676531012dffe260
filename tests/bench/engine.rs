//! A table compacted by one engine after the other: this project's `catalog-sync compact`, Iceberg's own procedure in Spark, and
//! Trino's `optimize`. Each is called as its manual says, with its defaults, and each aims at files of the size that the table's
//! properties say.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use it::program;
use it::trial::Trial;
use serde_json::{Value, json};

use crate::compare::variable;
use crate::measure::{self, Usage};
use crate::spark;

const REWRITE: &str = include_str!("spark_rewrite.py");

/// Who compacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// This project
    CatalogSync,
    /// Iceberg's procedure in Spark
    Spark,
    /// Trino's optimize
    Trino,
}

/// What a compaction has cost.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) usage: Usage,
    /// Without start and end of the process, if that was measured.
    pub(crate) call_cpu: Option<Duration>,
}

impl Engine {
    /// Name and version.
    pub(crate) fn title(self) -> Result<String> {
        Ok(match self {
            Self::CatalogSync => format!("catalog-sync {}", env!("CARGO_PKG_VERSION")),
            Self::Spark => format!("Spark {}, Iceberg {}", variable("SPARK_VERSION")?, variable("ICEBERG_VERSION")?),
            Self::Trino => format!("Trino {}", variable("TRINO_VERSION")?),
        })
    }

    /// Part of the name of its table.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::CatalogSync => "sync",
            Self::Spark => "spark",
            Self::Trino => "trino",
        }
    }

    /// Fails if a part is missing, before anything is measured.
    pub(crate) fn available(self) -> Result<()> {
        if self == Self::Spark { spark::available() } else { Ok(()) }
    }

    /// Compacts a table; partitions with fewer files may be left as they are, which Trino has no option for.
    pub(crate) async fn compact(self, trial: &Trial, table: &str, min_input_files: u32) -> Result<Cost> {
        match self {
            Self::CatalogSync => catalog_sync(trial, table, min_input_files).await,
            Self::Spark => spark(trial, table, min_input_files).await,
            Self::Trino => trino(trial, table).await,
        }
    }
}

async fn catalog_sync(trial: &Trial, table: &str, min_input_files: u32) -> Result<Cost> {
    let config = trial.dir.join("connector.json");
    std::fs::write(&config, trial.registration(&[])?.to_string())?;
    let mut command = Command::new(program::path("catalog-sync")?);
    command
        .args(["compact", table, "--json", "--min-input-files", &min_input_files.to_string(), "--config"])
        .arg(config);
    let (said, cost) = process(trial, "compact.log", command).await?;
    ensure!(said["failed"] == json!([]) && said["yielded"] == 0, "{said}");
    Ok(cost)
}

async fn spark(trial: &Trial, table: &str, min_input_files: u32) -> Result<Cost> {
    let command = spark::job(trial, REWRITE, table, json!({"min_input_files": min_input_files}))?;
    let (said, cost) = process(trial, "rewrite.log", command).await?;
    let seconds = said["call_cpu_seconds"].as_f64().with_context(|| said.to_string())?;
    Ok(Cost { call_cpu: Some(Duration::from_secs_f64(seconds)), ..cost })
}

/// Runs a process, whose last line or all of whose output is JSON.
async fn process(trial: &Trial, log: &str, mut command: Command) -> Result<(Value, Cost)> {
    let log = trial.dir.join(log);
    let (said, wall, usage) = tokio::task::spawn_blocking(move || measure::run(&mut command, &log)).await??;
    let parsed = serde_json::from_str(&said).or_else(|_| serde_json::from_str(said.lines().last().unwrap_or_default()));
    let said = parsed.with_context(|| format!("it said {said}"))?;
    Ok((said, Cost { wall, usage, call_cpu: None }))
}

/// In the server's process, which was there before: what it has spent meanwhile. Memory is that of all it has ever done.
async fn trino(trial: &Trial, table: &str) -> Result<Cost> {
    let file = trial.stack.state.join("trino.pid");
    let pid = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let pid: u32 = pid.trim().parse()?;
    let (before, began) = (measure::spent(pid)?, Instant::now());
    trial.trino.query(&format!("ALTER TABLE lakehouse.{table} EXECUTE optimize")).await?;
    let wall = began.elapsed();
    let cpu = measure::spent(pid)?.saturating_sub(before);
    Ok(Cost { wall, usage: Usage { cpu, memory_peak: measure::memory_peak(pid)? }, call_cpu: None })
}
