//! What came of a run: numbers read from the table and from the dead letter topic, and whether they add up.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::HumanCount;
use serde::Serialize;

use super::DemoError;
use super::lake::Holdings;
use super::stack::{REJECTS, Stack};

/// The result of a run; with `--json` this is what is printed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Records sent to the topic in this run, the malformed ones included.
    pub produced: u64,
    /// Records in the dead letter topic.
    pub dead_letters: u64,
    /// Rows in the table, counted by reading it.
    pub rows: u64,
    /// Rows that were there before this run.
    pub rows_before: u64,
    /// Different event ids in the table.
    pub distinct_event_ids: u64,
    /// Snapshots that brought rows in this run.
    pub commits: u64,
    /// Data files of the table.
    pub data_files: u64,
    /// From the start of the program to the end of the check, in seconds.
    pub seconds: f64,
    /// The table's snapshot.
    pub snapshot_id: Option<i64>,
    /// The seed of the journeys: the same seed on the same rows gives the same journeys.
    pub seed: u64,
    /// Where catalog and data files are.
    pub dir: PathBuf,
    /// Records that did not become rows, as the table's position says.
    #[serde(skip)]
    pub rejects: u64,
}

impl Report {
    /// Reads the numbers.
    pub(super) async fn read(stack: &Stack, run: &Run) -> Result<Self, DemoError> {
        let now = stack.lake.holdings().await?;
        Ok(Self {
            produced: run.produced,
            dead_letters: stack.broker.records_in(REJECTS).await?,
            rows: now.rows,
            rows_before: run.before.rows,
            distinct_event_ids: now.distinct_event_ids,
            commits: stack.lake.commits_after(run.before.sequence_number).await?,
            data_files: now.data_files,
            seconds: (run.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            snapshot_id: now.snapshot_id,
            seed: run.seed,
            dir: run.dir.clone(),
            rejects: now.rejects.saturating_sub(run.before.rejects),
        })
    }

    /// Why the numbers do not add up; empty when they do.
    #[must_use]
    pub fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        let added = self.rows.saturating_sub(self.rows_before);
        let expected = self.produced.saturating_sub(self.dead_letters);
        if added != expected {
            found.push(format!("{added} rows were added where produced less dead letters is {expected}"));
        }
        if self.distinct_event_ids != self.rows {
            found.push(format!("{} rows have {} different event ids", self.rows, self.distinct_event_ids));
        }
        if self.rejects != self.dead_letters {
            found.push(format!("the table counts {} rejects, the topic has {}", self.rejects, self.dead_letters));
        }
        found
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |number: u64| HumanCount(number).to_string();
        let added = self.rows.saturating_sub(self.rows_before);
        write!(
            f,
            "{} records produced = {} rows + {} dead letters",
            count(self.produced),
            count(added),
            count(self.dead_letters)
        )?;
        if self.rows_before > 0 {
            write!(f, "; with {} from before the table has {}", count(self.rows_before), count(self.rows))?;
        }
        write!(
            f,
            "; distinct event ids: {}; commits: {}; data files: {}; {:.1} s",
            count(self.distinct_event_ids),
            count(self.commits),
            count(self.data_files),
            Duration::from_secs_f64(self.seconds.max(0.0)).as_secs_f64()
        )
    }
}

/// What is known of a run besides the table.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) started: std::time::Instant,
    pub(super) before: Holdings,
    pub(super) produced: u64,
    pub(super) seed: u64,
    pub(super) dir: PathBuf,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            produced: 1_000,
            dead_letters: 1,
            rows: 1_499,
            rows_before: 500,
            distinct_event_ids: 1_499,
            commits: 2,
            data_files: 27,
            seconds: 1.5,
            snapshot_id: Some(1),
            seed: 1,
            dir: PathBuf::from("demo"),
            rejects: 1,
        }
    }

    #[test]
    fn numbers_that_add_up_are_no_contradiction() {
        assert_eq!(report().contradictions(), Vec::<String>::new());
        let told = report().to_string();
        assert!(told.starts_with("1,000 records produced = 999 rows + 1 dead letters; with 500 from before"), "{told}");
    }

    #[test]
    fn a_lost_row_a_double_row_and_a_lost_dead_letter_are_noticed() {
        assert_eq!(Report { rows: 1_498, distinct_event_ids: 1_498, ..report() }.contradictions().len(), 1);
        assert_eq!(Report { distinct_event_ids: 1_498, ..report() }.contradictions().len(), 1);
        assert_eq!(Report { rejects: 2, ..report() }.contradictions().len(), 1);
    }

    #[test]
    fn the_json_form_has_the_promised_numbers() {
        let json = serde_json::to_value(report()).unwrap();
        let promised =
            ["produced", "rows", "distinct_event_ids", "dead_letters", "commits", "data_files", "seconds", "dir"];
        assert!(promised.iter().all(|key| !json[key].is_null()), "{json}");
    }
}
