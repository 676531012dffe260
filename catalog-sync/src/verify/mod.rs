//! Proves a table complete, as far as metadata can tell: every offset between the ends of its position is in the table
//! exactly once, and every file that its snapshot refers to is there, whole.
//!
//! ```text
//!   gather    I/O: one consistent view of table, manifests, store and history
//!   files     pure: files and manifests
//!   offsets   pure: position, rows, totals
//!   history   pure: the chain of snapshots, each beginning where the one before it ended
//!   chain     pure: one link of it
//!   overrides pure: a link that an operator made
//! ```
//!
//! Read-only. Rows are counted from metadata and position delete files; data files are not opened. Called by `catalog-sync
//! verify`.

mod chain;
pub mod files;
mod gather;
pub mod history;
pub mod offsets;
pub mod overrides;

use iceberg::TableIdent;
use serde::Serialize;

pub use self::history::Walk;
use self::overrides::Override;
use crate::catalog::{CatalogClient, CatalogError};
use crate::storage::StorageError;

/// How much to look at, and what to accept.
#[derive(Debug, Clone, Copy)]
pub struct VerifyOptions {
    /// Commits of the table to walk back at most; 0 leaves the history out.
    pub history: usize,
    /// Rows that others added or removed are accepted, if their commits account for them exactly.
    pub allow_foreign_changes: bool,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { history: 1_000, allow_foreign_changes: false }
    }
}

/// Verification could not be carried out; nothing is said about the table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The catalog did not answer as it should.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The object store did not answer as it should.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What, in one word.
    pub name: &'static str,
    /// Whether it holds.
    pub ok: bool,
    /// The numbers.
    pub detail: String,
    /// Everything that is wrong; empty if `ok`.
    pub problems: Vec<String>,
}

impl Check {
    /// A check that holds if there is no problem.
    #[must_use]
    pub fn new(name: &'static str, detail: impl Into<String>, problems: Vec<String>) -> Self {
        Self { name, ok: problems.is_empty(), detail: detail.into(), problems }
    }
}

/// What was found out about a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Name of the table.
    pub table: String,
    /// Its identity.
    pub uuid: String,
    /// The snapshot that was verified; none for a table without any.
    pub snapshot_id: Option<i64>,
    /// The table's sequence number.
    pub sequence_number: i64,
    /// Whether every check holds.
    pub complete: bool,
    /// Offsets that Kafka no longer had, and that an operator gave up; the table is complete but for these.
    pub lost_offsets: u64,
    /// Rows that a rollback took away, and that stay away by an operator's word.
    pub rows_given_up: u64,
    /// Rows that repeated an event and that compactions left out, in the history that was walked.
    pub rows_deduplicated: u64,
    /// The operators' words in the history that was walked, oldest first.
    pub overrides: Vec<Override>,
    /// The checks.
    pub checks: Vec<Check>,
    /// What is worth knowing and no fault.
    pub notes: Vec<String>,
}

/// Verifies a table.
///
/// # Errors
/// [`VerifyError`] when the facts could not be gathered. A table that is not complete is no error, but a report.
pub async fn verify(client: &CatalogClient, ident: &TableIdent, options: VerifyOptions) -> Result<Report, VerifyError> {
    let view = gather::view(client, ident, options.history).await?;
    let loaded = &view.loaded;
    let store = loaded.store(&client.config().storage)?;
    let live = gather::live(loaded, &store).await?;
    let replay = history::replay(&view.walk);
    let mut notes = view.notes;
    let deleted_rows = gather::deleted_rows(&live, &store, &mut notes).await;

    let counted = offsets::Counted {
        summary: gather::summary(loaded),
        records: live.records(files::Kind::Data),
        data_files: live.count(files::Kind::Data),
        delete_files: live.count(files::Kind::PositionDeletes) + live.count(files::Kind::EqualityDeletes),
        position_deletes: live.records(files::Kind::PositionDeletes),
        deleted_rows,
        equality_deletes: live.records(files::Kind::EqualityDeletes),
    };
    let facts = loaded.facts();
    let mut checks = vec![offsets::position(&facts), files::manifests(&live.manifests), files::files(&live.files)];
    checks.push(offsets::totals(&counted));
    if let Ok(facts) = &facts {
        checks.push(offsets::rows(&facts.position, &counted, &replay, options.allow_foreign_changes));
    }
    if options.history > 0 {
        checks.push(history::ranges(&view.walk, &replay));
        checks.push(history::foreign(&replay, options.allow_foreign_changes));
    } else {
        notes.push("the history was left out: gaps and overlaps inside it cannot be seen".to_owned());
    }
    let lost_offsets = facts.as_ref().map_or(0, |facts| facts.position.counts().lost);
    notes.extend(facts.ok().and_then(|facts| offsets::property_note(loaded, &facts.position)));
    Ok(Report {
        table: ident.to_string(),
        uuid: loaded.metadata().uuid().to_string(),
        snapshot_id: loaded.metadata().current_snapshot_id(),
        sequence_number: loaded.metadata().last_sequence_number(),
        complete: checks.iter().all(|check| check.ok),
        lost_offsets,
        rows_given_up: replay.rows_given_up(),
        rows_deduplicated: replay.deduplicated,
        overrides: replay.overrides,
        checks,
        notes,
    })
}

/// The states of a table, `limit` commits back at most.
///
/// # Errors
/// [`VerifyError`].
pub(crate) async fn walk(client: &CatalogClient, ident: &TableIdent, limit: usize) -> Result<Walk, VerifyError> {
    Ok(gather::view(client, ident, limit).await?.walk)
}

/// `1 file`, `2 files`.
fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
