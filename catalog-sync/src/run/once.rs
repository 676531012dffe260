//! Every job once, now, for whoever has a clock of his own: a CronJob, Airflow, a person.
//!
//! Nothing is waited for: neither conditions nor lines of a crontab are looked at, and each job does what there is to do. Called
//! by `catalog-sync run --once`.

use std::time::Instant;

use super::jobs::{Target, Verdict, Wish};
use super::report::JobRun;
use super::{RunError, Runs};
use crate::catalog::{CatalogClient, CatalogError};

/// Runs each job once, table by table; whether none failed. A table that does not exist is told and passed over. `dry_run`
/// changes nothing and tells what would be done. May be dropped at any point.
///
/// # Errors
/// [`RunError`]; an error of a job is in what is told of it, and the others go on.
pub async fn once(client: &CatalogClient, runs: &Runs<'_>, dry_run: bool) -> Result<bool, RunError> {
    let mut is_well = true;
    let wish = Wish { why: "--once".to_owned(), partitions: None };
    for ident in runs.config.idents().map_err(RunError::Config)? {
        let name = ident.to_string();
        match client.load_table(&ident).await {
            Ok(_) => {}
            Err(CatalogError::NotFound { .. }) => {
                tracing::warn!(table = name, "the table does not exist, there is nothing to do for it");
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        for job in runs.jobs() {
            let (started, began) = (chrono::Utc::now(), Instant::now());
            let outcome = job.run(Target { client, ident: &ident, jobs: &runs.config.jobs, dry_run }, &wish).await;
            let run = JobRun::new(&name, job, &wish.why, (started, began.elapsed()), outcome);
            is_well &= run.verdict != Verdict::Failed;
            runs.metrics.ran(&run, chrono::Utc::now().timestamp());
            (runs.told)(&run);
        }
    }
    Ok(is_well)
}
