//! The tables that the systems fill: one definition for all, made beforehand; and what is in them, by the snapshot's own
//! account and by another engine's count.

use anyhow::{Context, Result, ensure};
use it::nessie::Nessie;
use it::pyiceberg;
use it::trial::Trial;
use it::trino::query_error;
use serde_json::json;

/// Where a table's history begins.
pub(crate) struct Table {
    pub(crate) name: String,
    /// Nessie's commit before the first of the table.
    before: String,
}

/// What is in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Snapshots that the table has had.
    pub(crate) commits: u64,
    /// Who counted the rows.
    pub(crate) counted_by: &'static str,
}

impl Table {
    /// Makes a table of clicks, as the connector would, but without rows: `analytics.<trial>_<suffix>`.
    pub(crate) async fn make(trial: &Trial, suffix: &str) -> Result<Self> {
        let name = format!("{}_{suffix}", trial.table);
        let before = Nessie::of(&trial.stack)?.head("main").await?;
        trial.catalog.create_without_snapshot(&name).await?;
        Ok(Self { name, before })
    }

    /// Rows, by the summary of the current snapshot: all that is asked while a system runs.
    pub(crate) async fn rows(&self, trial: &Trial) -> Result<u64> {
        self.total(trial, "total-records").await
    }

    async fn total(&self, trial: &Trial, key: &str) -> Result<u64> {
        let summary = trial.catalog.summary(&self.name).await?;
        summary.get(key).map_or(Ok(0), |text| text.parse().with_context(|| format!("{key}: {text:?}")))
    }

    /// Everything, after the system has ended. Rows and distinct event ids must be the events produced.
    pub(crate) async fn contents(&self, trial: &Trial, events: u64) -> Result<Contents> {
        let (counted_by, rows, distinct) = self.count(trial).await?;
        ensure!(
            (rows, distinct) == (events, events),
            "{}: {counted_by} counts {rows} rows, {distinct} distinct event ids, of {events} events",
            self.name
        );
        let snapshots = Nessie::of(&trial.stack)?.snapshots_since(&self.before).await?;
        Ok(Contents {
            files: self.total(trial, "total-data-files").await?,
            bytes: self.total(trial, "total-files-size").await?,
            commits: snapshots.get(&self.name).map_or(0, |snapshots| snapshots.len() as u64),
            counted_by,
        })
    }

    /// Who counted, rows, and distinct event ids: by Trino if it is up, else by PyIceberg.
    async fn count(&self, trial: &Trial) -> Result<(&'static str, u64, u64)> {
        let sql = format!("SELECT count(*), count(DISTINCT event_id) FROM lakehouse.{}", self.name);
        match trial.trino.query(&sql).await {
            Ok(rows) => {
                let number = |at: usize| rows.first().and_then(|row| row.get(at)?.as_u64());
                let counts = number(0).zip(number(1)).with_context(|| format!("{sql} yielded {}", json!(rows)))?;
                Ok(("Trino", counts.0, counts.1))
            }
            Err(error) if query_error(&error).is_some() => Err(error),
            Err(_) => {
                let found = pyiceberg::read(&trial.stack, &self.name).await?;
                Ok(("PyIceberg", found.rows, found.distinct))
            }
        }
    }
}
