//! Metrics of the scheduler in Prometheus' text format. Names and labels are a promise: a test has them all.
//!
//! Written by hand: these are a dozen numbers that change a few times a minute, so that a library's registry, atomics and
//! encoders would be more to read than this file. Pure but for the lock. Filled by [`super::watch`] and [`super::once`], served by
//! [`super::endpoint`].

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::jobs::{Job, Verdict};
use super::picture::Picture;
use super::report::JobRun;

/// Upper bounds of the buckets of a job's duration, in seconds.
const BUCKETS: [f64; 8] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0];

/// All numbers of one scheduler.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    jobs: BTreeMap<(String, Job), OfJob>,
    tables: BTreeMap<String, OfTable>,
}

#[derive(Debug, Default)]
struct OfJob {
    runs: BTreeMap<Verdict, u64>,
    /// Runs by bucket, not summed up; longer ones are in none.
    buckets: [u64; BUCKETS.len()],
    seconds: f64,
    files_removed: u64,
    last_success: i64,
}

#[derive(Debug, Default)]
struct OfTable {
    is_up: bool,
    files: u64,
    small_files: u64,
    manifests: u64,
    snapshots: u64,
    snapshot_ms: Option<i64>,
}

impl Metrics {
    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job that will run; its counters begin with 0.
    pub(super) fn expect(&self, table: &str, job: Job) {
        self.numbers().jobs.entry((table.to_owned(), job)).or_default();
    }

    /// A job has run and ended at this second since 1970.
    pub(super) fn ran(&self, run: &JobRun, ended: i64) {
        let mut numbers = self.numbers();
        let of = numbers.jobs.entry((run.table.clone(), run.job)).or_default();
        *of.runs.entry(run.verdict).or_default() += 1;
        let seconds = run.duration_ms as f64 / 1_000.0;
        of.seconds += seconds;
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            of.buckets[bucket] += 1;
        }
        of.files_removed += run.files_removed;
        if run.verdict != Verdict::Failed {
            of.last_success = ended;
        }
    }

    /// A table was looked at; none if that was not possible, or there is none.
    pub(super) fn looked(&self, table: &str, picture: Option<&Picture>) {
        let mut numbers = self.numbers();
        let of = numbers.tables.entry(table.to_owned()).or_default();
        of.is_up = picture.is_some();
        if let Some(picture) = picture {
            *of = OfTable {
                is_up: true,
                files: picture.files(),
                small_files: picture.small_files(),
                manifests: picture.manifests,
                snapshots: picture.snapshots,
                snapshot_ms: picture.snapshot_ms,
            };
        }
    }

    /// The text format, version 0.0.4.
    #[must_use]
    pub fn text(&self, now_ms: i64) -> String {
        let numbers = self.numbers();
        let mut page = Page(String::new());
        numbers.of_jobs(&mut page);
        numbers.of_tables(&mut page, now_ms);
        page.0
    }
}

impl Numbers {
    fn of_jobs(&self, page: &mut Page) {
        page.head("job_runs_total", "counter", "Runs of a job that have ended, by what became of them.");
        for (labels, of) in self.labelled() {
            for verdict in Verdict::ALL {
                let count = of.runs.get(&verdict).copied().unwrap_or(0);
                page.line("job_runs_total", &format!("{labels},verdict=\"{}\"", verdict.name()), count);
            }
        }
        page.head("job_duration_seconds", "histogram", "How long runs of a job took.");
        for (labels, of) in self.labelled() {
            let mut sum = 0;
            for (bound, count) in BUCKETS.iter().zip(of.buckets) {
                sum += count;
                page.line("job_duration_seconds_bucket", &format!("{labels},le=\"{bound}\""), sum);
            }
            let all: u64 = of.runs.values().sum();
            page.line("job_duration_seconds_bucket", &format!("{labels},le=\"+Inf\""), all);
            page.line("job_duration_seconds_sum", &labels, of.seconds);
            page.line("job_duration_seconds_count", &labels, all);
        }
        page.head("files_removed_total", "counter", "Data files and manifests that a job took out of the table.");
        self.labelled().for_each(|(labels, of)| page.line("files_removed_total", &labels, of.files_removed));
        let help = "When a job last ended well, in seconds since 1970; 0 if it has not yet.";
        page.head("job_last_success_timestamp_seconds", "gauge", help);
        for (labels, of) in self.labelled() {
            page.line("job_last_success_timestamp_seconds", &labels, of.last_success);
        }
    }

    fn labelled(&self) -> impl Iterator<Item = (String, &OfJob)> {
        self.jobs.iter().map(|((table, job), of)| (format!("job=\"{job}\",{}", label(table)), of))
    }

    fn of_tables(&self, page: &mut Page, now_ms: i64) {
        let mut gauge = |name: &str, help: &str, value: &dyn Fn(&OfTable) -> Option<f64>| {
            page.head(name, "gauge", help);
            for (table, of) in &self.tables {
                if let Some(value) = value(of) {
                    page.line(name, &label(table), value);
                }
            }
        };
        let seen = |number: fn(&OfTable) -> u64| move |of: &OfTable| of.is_up.then(|| number(of) as f64);
        gauge("table_up", "1 if the last look at the table succeeded.", &|of| Some(f64::from(u8::from(of.is_up))));
        gauge("table_live_files", "Live data files.", &seen(|of| of.files));
        gauge("table_small_files", "Live data files that are too small.", &seen(|of| of.small_files));
        gauge("table_manifests", "Manifests of data files.", &seen(|of| of.manifests));
        gauge("table_snapshots", "Snapshots that the catalog shows.", &seen(|of| of.snapshots));
        gauge("table_snapshot_age_seconds", "Time since the current snapshot was made.", &|of| {
            let at = of.snapshot_ms.filter(|_| of.is_up)?;
            Some((now_ms - at).max(0) as f64 / 1_000.0)
        });
    }
}

/// The text in the making.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text cannot fail.
        let _ = write!(self.0, "# HELP catalog_sync_{name} {help}\n# TYPE catalog_sync_{name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "catalog_sync_{name}{{{labels}}} {value}");
    }
}

fn label(table: &str) -> String {
    format!("table=\"{}\"", table.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::compact::options::Options;
    use crate::compact::plan::Sizes;
    use crate::run::picture::Contents;

    /// Small below 75, large above 180, five are enough.
    fn sizes() -> Sizes {
        Options::default().sizes(100).unwrap()
    }

    fn run(verdict: Verdict, duration_ms: u64, files_removed: u64) -> JobRun {
        JobRun {
            started: String::new(),
            table: "a.t".into(),
            job: Job::Compact,
            why: String::new(),
            verdict,
            summary: String::new(),
            duration_ms,
            files_removed,
            report: None,
        }
    }

    fn picture() -> Picture {
        Picture {
            snapshot_id: Some(1),
            snapshot_ms: Some(2_000),
            snapshots: 3,
            manifests: 4,
            small_manifests: 4,
            contents: Contents { partitions: BTreeMap::new(), others: 9 },
            sizes: sizes(),
        }
    }

    #[test]
    fn names_labels_and_types_are_these() {
        let metrics = Metrics::default();
        metrics.expect("a.t", Job::Compact);
        metrics.ran(&run(Verdict::Done, 700, 12), 1_700);
        metrics.ran(&run(Verdict::Failed, 2_000_000, 0), 1_800);
        metrics.looked("a.t", Some(&picture()));
        let text = metrics.text(5_500);
        for line in [
            "# TYPE catalog_sync_job_runs_total counter",
            "catalog_sync_job_runs_total{job=\"compact\",table=\"a.t\",verdict=\"done\"} 1",
            "catalog_sync_job_runs_total{job=\"compact\",table=\"a.t\",verdict=\"failed\"} 1",
            "catalog_sync_job_runs_total{job=\"compact\",table=\"a.t\",verdict=\"yielded\"} 0",
            "# TYPE catalog_sync_job_duration_seconds histogram",
            "catalog_sync_job_duration_seconds_bucket{job=\"compact\",table=\"a.t\",le=\"0.5\"} 0",
            "catalog_sync_job_duration_seconds_bucket{job=\"compact\",table=\"a.t\",le=\"1\"} 1",
            "catalog_sync_job_duration_seconds_bucket{job=\"compact\",table=\"a.t\",le=\"1800\"} 1",
            "catalog_sync_job_duration_seconds_bucket{job=\"compact\",table=\"a.t\",le=\"+Inf\"} 2",
            "catalog_sync_job_duration_seconds_sum{job=\"compact\",table=\"a.t\"} 2000.7",
            "catalog_sync_job_duration_seconds_count{job=\"compact\",table=\"a.t\"} 2",
            "# TYPE catalog_sync_files_removed_total counter",
            "catalog_sync_files_removed_total{job=\"compact\",table=\"a.t\"} 12",
            "# TYPE catalog_sync_job_last_success_timestamp_seconds gauge",
            "catalog_sync_job_last_success_timestamp_seconds{job=\"compact\",table=\"a.t\"} 1700",
            "catalog_sync_table_up{table=\"a.t\"} 1",
            "catalog_sync_table_live_files{table=\"a.t\"} 9",
            "catalog_sync_table_small_files{table=\"a.t\"} 0",
            "catalog_sync_table_manifests{table=\"a.t\"} 4",
            "catalog_sync_table_snapshots{table=\"a.t\"} 3",
            "catalog_sync_table_snapshot_age_seconds{table=\"a.t\"} 3.5",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\nis not in\n{text}");
        }
    }

    #[test]
    fn the_page_is_what_prometheus_reads() {
        let metrics = Metrics::default();
        metrics.expect("a.\"t\\\n", Job::Verify);
        metrics.looked("a.\"t\\\n", Some(&picture()));
        metrics.looked("b.t", None);
        let text = metrics.text(0);
        let mut declared = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert!(declared.insert(rest.split(' ').next().unwrap_or_default()), "twice: {line}");
            } else if !line.starts_with('#') {
                let name = line.split('{').next().unwrap_or_default();
                let of = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
                assert!(declared.contains(of), "without a type: {line}");
                let value = line.rsplit(' ').next().unwrap_or_default();
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        assert!(text.contains(r#"{job="verify",table="a.\"t\\\n"}"#), "{text}");
        assert!(text.contains("catalog_sync_table_up{table=\"b.t\"} 0\n"), "{text}");
        assert!(!text.contains("live_files{table=\"b.t\"}"), "what is not known is not said: {text}");
    }
}
