//! Maintenance by itself: tables are looked at, and jobs run when they are due.
//!
//! ```text
//!   config    maintenance.json: keys, defaults, JSON Schema      check     a file held against it
//!   look      I/O: a cheap look at a table -> picture            picture   pure: its files and manifests in numbers
//!   jobs/     when each has something to do, and what it does    schedule  pure: whose turn it is; cron, back-off
//!   watch     one table: look, decide, run, tell                 once      every job once, for somebody else's clock
//!   report    what is told of a run                              metrics, endpoint   for Prometheus
//! ```
//!
//! Each table has a loop of its own, in which one job runs at a time; `max-concurrent-jobs` bounds them over all tables, and with
//! them the memory. An error of a job, or of a look, is told and stops nothing: it is tried again later and later. No state is
//! kept but in the table: several schedulers may look after one table, and one that is killed at any point has left what every
//! job leaves when it is dropped. Called by `catalog-sync run`.

mod check;
pub mod config;
mod cron;
mod endpoint;
mod jobs;
mod look;
pub mod metrics;
mod once;
mod picture;
mod report;
mod retention;
mod schedule;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{Semaphore, watch as stopping};

use self::config::Maintenance;
use self::endpoint::Endpoint;
pub use self::jobs::{Job, Verdict};
use self::metrics::Metrics;
pub use self::once::once;
pub use self::report::JobRun;
use self::watch::Watch;
use crate::catalog::{CatalogClient, CatalogConfig, CatalogError};

/// The scheduler could not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The configuration cannot be followed.
    #[error("{0}")]
    Config(String),
    /// The metrics cannot be served.
    #[error("metrics.listen: cannot listen on {address}: {source}; choose another address")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The table cannot be looked at.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// What to run, and whom to tell.
pub struct Runs<'a> {
    /// Which tables and jobs, and when.
    pub config: &'a Maintenance,
    /// Only these jobs, enabled or not; none = those that are enabled.
    pub only: &'a [Job],
    /// Is told of each run of a job when it has ended.
    pub told: &'a (dyn Fn(&JobRun) + Sync),
    /// Is told as well.
    pub metrics: Arc<Metrics>,
}

impl Runs<'_> {
    fn jobs(&self) -> impl Iterator<Item = Job> + '_ {
        let jobs = &self.config.jobs;
        Job::ALL.into_iter().filter(
            |job| {
                if self.only.is_empty() { job.is_enabled(jobs) } else { self.only.contains(job) }
            },
        )
    }
}

/// Looks after the tables until `stop` is true, or its sender is gone; then a running job may end within the time that the
/// configuration gives it, and is dropped after. May itself be dropped at any point, and may run twice at once.
///
/// # Errors
/// [`RunError`], before anything is done.
pub async fn run(client: &CatalogClient, runs: &Runs<'_>, stop: &stopping::Receiver<bool>) -> Result<(), RunError> {
    let config = runs.config;
    let places = Semaphore::new(config.max_concurrent_jobs.max(1) as usize);
    let watch = |ident| Watch::new(client, ident, runs, &places, stop.clone());
    let watches: Result<Vec<Watch<'_>>, String> =
        config.idents().and_then(|idents| idents.into_iter().map(watch).collect());
    let watches = watches.map_err(RunError::Config)?;
    let _endpoint = match config.metrics.address() {
        Some(address) => Some(Endpoint::start(address, Arc::clone(&runs.metrics)).await?),
        None => None,
    };
    let all = join_all(watches.into_iter().map(Watch::run));
    let mut all = std::pin::pin!(all);
    let mut stop = stop.clone();
    tokio::select! {
        _ = &mut all => return Ok(()),
        _ = stop.wait_for(|stop| *stop) => {}
    }
    if tokio::time::timeout(Duration::from_millis(config.stop_timeout_ms), all).await.is_err() {
        tracing::warn!("what was running is dropped; it is done again next time");
    }
    Ok(())
}

/// Connects to the catalog; while it does not answer, again and again, until `stop` is true.
///
/// # Errors
/// [`CatalogError`] that waiting does not mend.
pub async fn connect(
    config: &CatalogConfig,
    backoff_max: Duration,
    stop: &stopping::Receiver<bool>,
) -> Result<Option<CatalogClient>, CatalogError> {
    let mut stop = stop.clone();
    let mut failures = 0;
    loop {
        let error = match CatalogClient::connect(config.clone()).await {
            Ok(client) => return Ok(Some(client)),
            Err(error) if error.is_transient() => error,
            Err(error) => return Err(error),
        };
        failures += 1;
        let wait = schedule::backoff(failures, backoff_max, rand::random());
        tracing::warn!(%error, ?wait, "no catalog yet");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
        }
    }
}
