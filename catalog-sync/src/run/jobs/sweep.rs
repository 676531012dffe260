//! Files go that nobody needs, by the clock. Called by [`super::Job`].

use std::collections::BTreeSet;

use super::{Done, JobError, Target, Verdict, value};
use crate::sweep::{Error, Verdict as Of, sweep};

pub(super) async fn run(target: Target<'_>) -> Result<Done, JobError> {
    let options = target.jobs.sweep.files.options(target.dry_run).map_err(Error::Options)?;
    let report = sweep(target.client, target.ident, &options).await?;
    let verdict = match report.verdict {
        _ if report.failed > 0 => Verdict::Failed,
        Of::NothingToDo => Verdict::NothingToDo,
        Of::Planned => Verdict::Planned,
        Of::Swept => Verdict::Done,
    };
    let summary = format!(
        "{} files deleted, {} not, {} found, {} waiting",
        report.deleted.files, report.failed, report.quarantined.files, report.waiting.files
    );
    let files_removed = if verdict == Verdict::Planned { 0 } else { report.deleted.files };
    Ok(Done { verdict, summary, files_removed, in_vain: BTreeSet::new(), report: value(&report) })
}
