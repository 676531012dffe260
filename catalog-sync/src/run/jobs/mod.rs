//! The jobs: what each waits for, when it has something to do, and what it does. A new one is a variant here, a file below,
//! and a key of [`super::config::Jobs`].
//!
//! Every job is one call of the library that may be dropped at any point, may run twice at once, and gives way to ingestion.
//! Called by [`super::watch`] and [`super::once`].

pub(super) mod compact;
mod expire;
mod manifests;
mod sweep;
mod verify;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use iceberg::TableIdent;
use schemas::partition::PartitionKey;
use serde::Serialize;
use serde_json::Value;

use super::config::Jobs;
use super::cron::Cron;
use super::picture::{Moments, Picture};
use super::schedule::Schedule;
use crate::catalog::CatalogClient;

/// What is done for a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Job {
    /// Many small files become few
    Compact,
    /// Many small manifests become few
    RewriteManifests,
    /// Snapshots that are no longer wanted go
    Expire,
    /// Files that nobody needs go
    Sweep,
    /// The table is proven complete
    Verify,
}

/// What became of a run of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It did something, or has proven what it was to prove.
    Done,
    /// There was nothing to do.
    NothingToDo,
    /// A dry run: something would be done.
    Planned,
    /// Others were faster.
    Yielded,
    /// It failed, or the table is not as it should be.
    Failed,
}

/// Why a job is to run, and on what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// For people.
    pub(super) why: String,
    /// The partitions that it is about; none = all.
    pub(super) partitions: Option<BTreeSet<PartitionKey>>,
}

/// What a job did.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) verdict: Verdict,
    /// In a few words.
    pub(super) summary: String,
    /// Files that are no longer in the table, or no longer there at all.
    pub(super) files_removed: u64,
    /// Partitions of the wish that nothing was gained for.
    pub(super) in_vain: BTreeSet<PartitionKey>,
    /// The job's own report.
    pub(super) report: Value,
}

/// What a job decides by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) jobs: &'a Jobs,
    pub(super) picture: &'a Picture,
    pub(super) moments: &'a Moments,
    pub(super) now_ms: i64,
}

/// A table to work on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) client: &'a CatalogClient,
    pub(super) ident: &'a TableIdent,
    pub(super) jobs: &'a Jobs,
    /// Change nothing, say what would be done.
    pub(super) dry_run: bool,
}

/// A job failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum JobError {
    #[error(transparent)]
    Compact(#[from] crate::compact::Error),
    #[error(transparent)]
    Rewrite(#[from] crate::rewrite::Error),
    #[error(transparent)]
    Expire(#[from] crate::expire::Error),
    #[error(transparent)]
    Sweep(#[from] crate::sweep::Error),
    #[error(transparent)]
    Verify(#[from] crate::verify::VerifyError),
}

impl Job {
    /// All of them; earlier ones go first when several are due.
    pub const ALL: [Self; 5] = [Self::Compact, Self::RewriteManifests, Self::Expire, Self::Sweep, Self::Verify];

    /// Its name, as in `maintenance.json`, reports and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::RewriteManifests => "rewrite_manifests",
            Self::Expire => "expire",
            Self::Sweep => "sweep",
            Self::Verify => "verify",
        }
    }

    /// Whether the file asks for it.
    #[must_use]
    pub fn is_enabled(self, jobs: &Jobs) -> bool {
        match self {
            Self::Compact => jobs.compact.enabled,
            Self::RewriteManifests => jobs.rewrite_manifests.enabled,
            Self::Expire => jobs.expire.enabled,
            Self::Sweep => jobs.sweep.enabled,
            Self::Verify => jobs.verify.enabled,
        }
    }

    /// What it waits for.
    ///
    /// # Errors
    /// A line of a crontab that is none, which `Maintenance::parse` would have refused.
    pub(super) fn schedule(self, jobs: &Jobs) -> Result<Schedule, String> {
        let clock = |line: &str| Cron::parse(line).map(|cron| Schedule::Clock(Box::new(cron)));
        let continuous = |ms: u64| Ok(Schedule::Continuous { min_interval: Duration::from_millis(ms) });
        match self {
            Self::Compact => continuous(jobs.compact.min_interval_ms),
            Self::RewriteManifests => continuous(jobs.rewrite_manifests.min_interval_ms),
            Self::Expire => clock(&jobs.expire.cron),
            Self::Sweep => clock(&jobs.sweep.cron),
            Self::Verify => clock(&jobs.verify.cron),
        }
    }

    /// Why it should run now, of those that wait for something to do.
    pub(super) fn wanted(self, sight: &Sight<'_>, rests: &compact::Rests) -> Option<Wish> {
        match self {
            Self::Compact => compact::wanted(sight, rests),
            Self::RewriteManifests => manifests::wanted(sight),
            Self::Expire | Self::Sweep | Self::Verify => None,
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// The job's own.
    pub(super) async fn run(self, target: Target<'_>, wish: &Wish) -> Result<Done, JobError> {
        // Futures of jobs are large, and one place on the heap serves the largest.
        match self {
            Self::Compact => Box::pin(compact::run(target, wish)).await,
            Self::RewriteManifests => Box::pin(manifests::run(target)).await,
            Self::Expire => Box::pin(expire::run(target)).await,
            Self::Sweep => Box::pin(sweep::run(target)).await,
            Self::Verify => Box::pin(verify::run(target)).await,
        }
    }
}

impl Verdict {
    /// All of them, for metrics that begin with 0.
    pub(super) const ALL: [Self; 5] = [Self::Done, Self::NothingToDo, Self::Planned, Self::Yielded, Self::Failed];

    /// As in reports and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NothingToDo => "nothing-to-do",
            Self::Planned => "planned",
            Self::Yielded => "yielded",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The report as JSON; of ours there is none that has no such form.
fn value(report: &impl Serialize) -> Value {
    serde_json::to_value(report).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::run::config::Maintenance;

    #[test]
    fn a_job_has_one_name_everywhere() {
        let keys = serde_json::to_value(Maintenance::default()).unwrap();
        let keys: BTreeSet<&String> = keys["jobs"].as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), Job::ALL.len());
        for job in Job::ALL {
            assert!(keys.iter().any(|key| *key == job.name()), "{job} in {keys:?}");
            assert_eq!(value(&job), job.name());
            assert_eq!(job.to_possible_value().unwrap().get_name(), job.name());
            assert!(job.schedule(&Jobs::default()).is_ok());
        }
        for verdict in Verdict::ALL {
            assert_eq!(value(&verdict), verdict.name());
        }
    }
}
