//! A plan carried out by Trino: `ALTER TABLE … EXECUTE optimize` for each partition, and a look at the table after each.
//!
//! Trino knows nothing of the position, and carries the table's properties: after each statement the table is loaded, and must stand
//! where it stood before or further on. If it does not, nothing more is asked for. A statement that lost the race against a
//! commit, which Trino does not resolve, is tried again some times; then the partition is left as it is. Files are
//! counted by this program, before and after; what was ingested meanwhile counts as well. [`statement`] is pure. Called by
//! `catalog-sync compact --engine trino`.

use std::collections::BTreeMap;

use iceberg::TableIdent;
use protocol::Position;
use schemas::time::format_day;
use serde::Serialize;

use super::client::{Server, Trino, TrinoError};
use super::{Order, orders, qualified};
use crate::catalog::{CatalogClient, CatalogError, backoff};
use crate::compact;
use crate::compact::options::Options;
use crate::compact::plan::Sizes;

/// Times that a statement is run which loses the race against commits.
const ATTEMPTS: u32 = 5;

/// The engine could not be asked, or must not be asked any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] compact::Error),
    /// The table cannot be looked at.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Trino's address or password cannot be used.
    #[error(transparent)]
    Trino(#[from] TrinoError),
    /// The position did not survive a statement.
    #[error(
        "after `{sql}` the table's position {what}: nothing more was run; see `catalog-sync position`, and RUNBOOK.md before \
         connectors go on"
    )]
    Position {
        /// The statement.
        sql: String,
        /// What is wrong with it.
        what: String,
    },
}

/// What became of a partition, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// No partition is worth the trouble.
    NothingToGain,
    /// A dry run.
    Planned,
    /// Trino has done it.
    Committed,
    /// Others were faster, each time.
    Yielded,
    /// Trino refused, or could not be spoken to.
    Failed,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// The partition, as in the path of its files.
    pub partition: String,
    /// What was to be run, or was.
    pub sql: String,
    /// What became of it.
    pub verdict: Verdict,
    /// Runs that lost a race.
    pub lost: u32,
    /// Files of the partition before.
    pub files_before: u64,
    /// And afterwards, with what was ingested meanwhile; none if it was only planned.
    pub files_after: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The table.
    pub table: String,
    /// The best that became of a statement; failed if one failed.
    pub verdict: Verdict,
    /// One for each partition.
    pub statements: Vec<Statement>,
}

/// The statement for one partition. The condition is one that Trino sees to be about partitions alone.
#[must_use]
pub fn statement(catalog: &str, table: &TableIdent, order: &Order, sizes: &Sizes) -> String {
    let name = qualified(catalog, table, '"');
    let threshold = if sizes.all { "1PB".to_owned() } else { format!("{}B", sizes.min) };
    let (day, event_type) = (format_day(order.key.day), order.key.event_type.replace('\'', "''"));
    format!(
        "ALTER TABLE {name} EXECUTE optimize(file_size_threshold => '{threshold}') WHERE \
         CAST(event_timestamp AS date) = DATE '{day}' AND event_type = '{event_type}'"
    )
}

/// Has Trino do what a compaction with these options would; `catalog` is the table's catalog by Trino's name for it. What is done
/// stays done when this is dropped in the middle; a statement under way ends by itself or is done.
///
/// # Errors
/// [`Error`]; what one statement fails by is in the report, and the others go on.
pub async fn optimize(
    client: &CatalogClient,
    ident: &TableIdent,
    options: &Options,
    server: Server,
    catalog: &str,
) -> Result<Report, Error> {
    let (groups, sizes) = compact::groups(client, ident, options).await?;
    let orders = orders(&groups, &sizes);
    let session = (format!("{catalog}.target_max_file_size"), format!("{}B", sizes.target));
    let trino = Trino::new(server, vec![session])?;
    let before = files(client, ident, options).await?;
    let begin = |order: &Order| {
        let partition = order.key.to_string();
        Statement {
            sql: statement(catalog, ident, order, &sizes),
            verdict: Verdict::Planned,
            lost: 0,
            files_before: before.get(&partition).copied().unwrap_or(0),
            files_after: None,
            error: None,
            partition,
        }
    };
    let mut statements: Vec<Statement> = orders.iter().map(begin).collect();
    if !options.dry_run && !statements.is_empty() {
        for statement in &mut statements {
            run(client, ident, &trino, statement).await?;
        }
        let after = files(client, ident, options).await?;
        for statement in &mut statements {
            statement.files_after = after.get(&statement.partition).copied().or(Some(0));
        }
    }
    Ok(Report { table: ident.to_string(), verdict: verdict(&statements), statements })
}

/// Files of each partition.
async fn files(
    client: &CatalogClient,
    ident: &TableIdent,
    options: &Options,
) -> Result<BTreeMap<String, u64>, compact::Error> {
    let plan = compact::plan(client, ident, options).await?;
    Ok(plan.partitions.into_iter().map(|health| (health.partition, health.files)).collect())
}

/// Runs one statement, again if it lost a race, and looks at the position.
async fn run(
    client: &CatalogClient,
    ident: &TableIdent,
    trino: &Trino,
    statement: &mut Statement,
) -> Result<(), Error> {
    let before = position(client, ident, "it is to be run").await?;
    for attempt in 1..=ATTEMPTS {
        let ended = trino.execute(&statement.sql).await;
        // Also after an error: it may be in all the same.
        let now = position(client, ident, &statement.sql).await?;
        if let Some((topic, partition)) = now.behind(&before) {
            let what = format!("has gone back in partition {partition} of topic {topic}");
            return Err(Error::Position { sql: statement.sql.clone(), what });
        }
        match ended {
            Ok(()) => {
                tracing::info!(table = %ident, partition = statement.partition, "optimized by trino");
                statement.verdict = Verdict::Committed;
                return Ok(());
            }
            Err(error) if error.is_lost_race() => {
                tracing::warn!(table = %ident, partition = statement.partition, attempt, %error, "lost a race");
                statement.verdict = Verdict::Yielded;
                statement.lost = attempt;
                tokio::time::sleep(backoff(attempt)).await;
            }
            Err(error) => {
                tracing::error!(table = %ident, partition = statement.partition, %error, "not optimized");
                (statement.verdict, statement.error) = (Verdict::Failed, Some(error.to_string()));
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn position(client: &CatalogClient, ident: &TableIdent, sql: &str) -> Result<Position, Error> {
    let facts = client.load_table(ident).await?.facts();
    let unreadable =
        |halt: protocol::Halt| Error::Position { sql: sql.to_owned(), what: format!("cannot be read: {halt}") };
    facts.map(|facts| facts.position).map_err(unreadable)
}

fn verdict(statements: &[Statement]) -> Verdict {
    let any = |verdict: Verdict| statements.iter().any(|statement| statement.verdict == verdict);
    let order = [Verdict::Failed, Verdict::Committed, Verdict::Yielded, Verdict::Planned];
    order.into_iter().find(|verdict| any(*verdict)).unwrap_or(Verdict::NothingToGain)
}

#[cfg(test)]
mod tests {
    use schemas::partition::PartitionKey;

    use super::*;

    #[test]
    fn a_partition_is_a_statement_about_itself() -> Result<(), String> {
        let table = TableIdent::from_strs(["analytics", "clickstream"]).map_err(|error| error.to_string())?;
        let order = Order { key: PartitionKey { day: 20_515, event_type: "it's".to_owned() }, files: 9 };
        let sizes = Options::default().sizes(1_000)?;
        assert_eq!(
            statement("lakehouse", &table, &order, &sizes),
            "ALTER TABLE \"lakehouse\".\"analytics\".\"clickstream\" EXECUTE optimize(file_size_threshold => '750B') WHERE \
             CAST(event_timestamp AS date) = DATE '2026-03-03' AND event_type = 'it''s'"
        );
        let all = Options { rewrite_all: true, ..Options::default() }.sizes(1_000)?;
        assert!(statement("lakehouse", &table, &order, &all).contains("=> '1PB')"));
        Ok(())
    }

    #[test]
    fn one_failure_is_told_before_all_else() {
        let of = |verdict: Verdict| Statement {
            partition: "p".into(),
            sql: "s".into(),
            verdict,
            lost: 0,
            files_before: 1,
            files_after: None,
            error: None,
        };
        let told = |verdicts: &[Verdict]| verdict(&verdicts.iter().map(|it| of(*it)).collect::<Vec<_>>());
        assert_eq!(told(&[]), Verdict::NothingToGain);
        assert_eq!(told(&[Verdict::Planned, Verdict::Planned]), Verdict::Planned);
        assert_eq!(told(&[Verdict::Committed, Verdict::Yielded]), Verdict::Committed);
        assert_eq!(told(&[Verdict::Committed, Verdict::Failed, Verdict::Yielded]), Verdict::Failed);
    }
}
