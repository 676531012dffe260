//! Small manifests become few, all the time. Called by [`super::Job`].

use std::collections::BTreeSet;

use super::{Done, JobError, Sight, Target, Verdict, Wish, value};
use crate::rewrite::rewrite_manifests;

/// Wanted when there are more manifests that are not full than there should be. Pure.
pub(super) fn wanted(sight: &Sight<'_>) -> Option<Wish> {
    let (there, may) = (sight.picture.small_manifests, sight.jobs.rewrite_manifests.manifest_count);
    (there > may).then(|| Wish { why: format!("{there} manifests that are not full"), partitions: None })
}

pub(super) async fn run(target: Target<'_>) -> Result<Done, JobError> {
    use crate::rewrite::Verdict as Of;
    let report = rewrite_manifests(target.client, target.ident, target.dry_run).await?;
    let verdict = match report.verdict {
        Of::NothingToGain => Verdict::NothingToDo,
        Of::Planned => Verdict::Planned,
        Of::Committed => Verdict::Done,
    };
    Ok(Done {
        verdict,
        summary: format!("{} manifests became {}", report.replaced, report.created),
        files_removed: if verdict == Verdict::Done { report.replaced } else { 0 },
        in_vain: BTreeSet::new(),
        report: value(&report),
    })
}
