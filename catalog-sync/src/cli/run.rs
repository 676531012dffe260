//! `catalog-sync run`: maintenance by itself, one line for each run of a job.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::connection::CatalogArgs;
use super::{CliError, print, print_json};
use crate::run::config::{Maintenance, json_schema};
use crate::run::metrics::Metrics;
use crate::run::{Job, JobRun, Runs, connect, once};

const EXAMPLES: &str = "\
Jobs, each of which can be switched off and tuned in the file; {} is a good setup:
  compact            in partitions with small files of 10 commits, or 100 small files, or one that is 10 minutes old
  rewrite_manifests  when more than 20 are not full
  verify             off; every day at 4 o'clock UTC

The connection is in the file, under \"connection\", by the connector's keys, or in options, or in the environment, which is the
place for secrets. A table that does not exist yet is waited for. An error stops nothing: it is told, and the job is tried again
later and later. Ingestion goes first, always; it may run twice at once, and be killed at any time.

SIGTERM or Ctrl-C: a running job may end within 10 seconds (stop-timeout-ms), then it is dropped, which is safe; exit code 0.

Exit code: 0 stopped, or with --once all is well; 1 it could not begin, or with --once not all is done and well; 2 wrong usage.

Examples:
  catalog-sync run --config maintenance.json
  catalog-sync run --config maintenance.json --json                  a line of JSON for each run of a job
  catalog-sync run --config maintenance.json --once --job compact    for a CronJob or Airflow
  catalog-sync run --config maintenance.json --once --dry-run        what it would do
  catalog-sync run --print-schema > maintenance.schema.json";

/// What to look after, and how.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    /// Which tables and jobs, and when
    #[arg(long, value_name = "FILE.json", env = "CATALOG_SYNC_MAINTENANCE", required_unless_present = "print_schema")]
    config: Option<PathBuf>,
    /// Run each job once, now, and end
    #[arg(long)]
    once: bool,
    /// Only this job, enabled or not; may be repeated
    #[arg(long = "job", value_name = "JOB")]
    jobs: Vec<Job>,
    /// With --once: only tell what would be done
    #[arg(long, requires = "once")]
    dry_run: bool,
    /// Print a line of JSON for each run of a job
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of the file, and end
    #[arg(long)]
    print_schema: bool,
    #[command(flatten)]
    catalog: CatalogArgs,
}

/// Runs until SIGTERM or SIGINT, or once.
pub(super) async fn run(args: RunArgs) -> Result<ExitCode, CliError> {
    let path = match args.config {
        Some(path) if !args.print_schema => path,
        _ => return print_json(&json_schema()).map(|()| ExitCode::SUCCESS),
    };
    let unusable = |why: String| CliError::Usage(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|error| unusable(error.to_string()))?;
    let config = Maintenance::parse(&text).map_err(|problems| unusable(problems.replace('\n', "\n  ")))?;
    let catalog = args.catalog.over(&path, &config.connection)?;
    let told = |run: &JobRun| tell(args.json, run);
    let runs = Runs { config: &config, only: &args.jobs, told: &told, metrics: Arc::new(Metrics::default()) };
    let stop = stopped()?;
    let backoff_max = Duration::from_millis(config.max_backoff_ms);
    if args.once {
        let client = crate::catalog::CatalogClient::connect(catalog).await?;
        let mut stop = stop;
        let is_well = tokio::select! {
            is_well = once(&client, &runs, args.dry_run) => is_well?,
            // Not all was done.
            _ = stop.wait_for(|stop| *stop) => false,
        };
        return Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if let Some(client) = connect(&catalog, backoff_max, &stop).await? {
        tracing::info!(tables = ?config.tables, "looking after them");
        crate::run::run(&client, &runs, &stop).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// True as soon as a signal asks to stop.
fn stopped() -> Result<watch::Receiver<bool>, CliError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {},
            _ = interrupt.recv() => {},
        }
        tracing::info!("told to stop");
        stop.send_replace(true);
    });
    Ok(stopped)
}

/// A line. Whoever reads it may be gone, and that is no reason to stop.
fn tell(as_json: bool, run: &JobRun) {
    let line = if as_json { serde_json::to_string(run).unwrap_or_default() } else { run.to_string() };
    if let Err(error) = print(&format!("{line}\n")) {
        tracing::warn!(%error, "a run of a job could not be told");
    }
}
