//! What is told of one run of a job: a line of JSON, or a line for people. Pure. Made by [`super::watch`] and [`super::once`],
//! printed by `catalog-sync run`.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;

use super::jobs::{Done, Job, JobError, Verdict};

/// One run of a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobRun {
    /// When it began, RFC 3339.
    pub started: String,
    /// The table.
    pub table: String,
    /// The job.
    pub job: Job,
    /// Why it ran.
    pub why: String,
    /// What became of it.
    pub verdict: Verdict,
    /// The same in a few words; the error, if it failed by one.
    pub summary: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Files that are no longer in the table: data files and manifests whose place others took.
    pub files_removed: u64,
    /// The report that the job's own command prints with `--json`; none if it failed by an error.
    pub report: Option<Value>,
}

impl JobRun {
    pub(super) fn new(
        table: &str,
        job: Job,
        why: &str,
        (started, took): (DateTime<Utc>, Duration),
        outcome: Result<Done, JobError>,
    ) -> Self {
        let (verdict, summary, files_removed, report) = match outcome {
            Ok(done) => (done.verdict, done.summary, done.files_removed, Some(done.report)),
            Err(error) => (Verdict::Failed, error.to_string(), 0, None),
        };
        Self {
            started: started.to_rfc3339_opts(SecondsFormat::Millis, true),
            table: table.to_owned(),
            job,
            why: why.to_owned(),
            verdict,
            summary,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            files_removed,
            report,
        }
    }
}

impl fmt::Display for JobRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { started, table, job, why, verdict, summary, duration_ms, .. } = self;
        let (verdict, seconds) = (verdict.name(), *duration_ms as f64 / 1_000.0);
        write!(f, "{started} {table} {job} {verdict} in {seconds:.1} s: {summary} ({why})")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_run_is_one_line_for_people_and_one_document_for_programs() {
        let done = Done {
            verdict: Verdict::Done,
            summary: "12 files became 1, in 1 groups".into(),
            files_removed: 12,
            in_vain: BTreeSet::new(),
            report: json!({"verdict": "committed"}),
        };
        let times = (DateTime::UNIX_EPOCH, Duration::from_millis(2_345));
        let run = JobRun::new("a.t", Job::RewriteManifests, "21 manifests", times, Ok(done));
        let line = "1970-01-01T00:00:00.000Z a.t rewrite_manifests done in 2.3 s: 12 files became 1, in 1 groups (21 manifests)";
        assert_eq!(run.to_string(), line);
        let document = serde_json::to_value(&run).unwrap_or_default();
        assert_eq!((&document["job"], &document["verdict"]), (&json!("rewrite_manifests"), &json!("done")));
        assert_eq!(document["report"]["verdict"], "committed");
        let error = JobError::Compact(crate::compact::Error::Options("no".into()));
        let failed = JobRun::new("a.t", Job::Compact, "why", times, Err(error));
        assert_eq!((failed.verdict, failed.summary.as_str(), failed.report), (Verdict::Failed, "no", None));
    }
}
