//! Snapshots expire, by the clock. Called by [`super::Job`].

use std::collections::BTreeSet;

use super::{Done, JobError, Target, Verdict, value};
use crate::expire::{Error, Verdict as Of, expire};

pub(super) async fn run(target: Target<'_>) -> Result<Done, JobError> {
    let options = target.jobs.expire.options(target.dry_run).map_err(Error::Options)?;
    let report = expire(target.client, target.ident, &options).await?;
    let verdict = match report.verdict {
        _ if report.failed > 0 => Verdict::Failed,
        Of::NothingToDo => Verdict::NothingToDo,
        Of::Planned => Verdict::Planned,
        Of::Expired => Verdict::Done,
    };
    let tags = &report.tags;
    let summary = format!(
        "{} snapshots removed, {} tags made, {} retired, {} files deleted, {} not",
        report.snapshots.len(),
        tags.made.len(),
        tags.retired.len(),
        report.deleted.files,
        report.failed
    );
    let files_removed = if verdict == Verdict::Planned { 0 } else { report.deleted.files };
    Ok(Done { verdict, summary, files_removed, in_vain: BTreeSet::new(), report: value(&report) })
}
