//! The table is proven complete, by the clock; a table that is not complete is a failure. Called by [`super::Job`].

use std::collections::BTreeSet;

use super::{Done, JobError, Target, Verdict, value};
use crate::verify::verify;

pub(super) async fn run(target: Target<'_>) -> Result<Done, JobError> {
    let report = verify(target.client, target.ident, target.jobs.verify.options()).await?;
    let wrong = report.checks.iter().filter(|check| !check.ok);
    let wrong: Vec<String> =
        wrong.map(|check| format!("{}: {}", check.name, check.problems.first().map_or("", String::as_str))).collect();
    let (verdict, summary) = match report.complete {
        true => (Verdict::Done, "complete".to_owned()),
        false => (Verdict::Failed, format!("NOT COMPLETE: {}", wrong.join("; "))),
    };
    Ok(Done { verdict, summary, files_removed: 0, in_vain: BTreeSet::new(), report: value(&report) })
}
