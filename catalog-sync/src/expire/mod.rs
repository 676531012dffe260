//! Snapshots that are no longer wanted are removed, and the files that only they had.
//!
//! ```text
//!   tiers   pure: all for an hour, one an hour for a day, one a day for 30 days
//!   plan    pure: which snapshots and table references go
//!   tags    Nessie: daily tags, made and retired
//!   mod     history: remove, then delete what nothing reaches any more; Nessie: tags, then a sweep up to the cut-off
//! ```
//!
//! On a catalog with history, snapshots are removed from the table's metadata by a commit that asserts every reference; then
//! what they reached and nothing reaches now is deleted. Nessie takes no such commit: there a history is cut off by deleting
//! what no branch, no tag and no commit since the cut-off needs, which is a sweep. Killed at any point, what is left over is
//! found by the next sweep. Called by `catalog-sync expire`.

pub mod options;
pub mod plan;
mod report;
pub mod tags;
pub mod tiers;

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use iceberg::spec::{MAIN_BRANCH, TableMetadata};
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use iceberg_catalog_rest::CommitTableRequest;
use protocol::Outcome;
use protocol::lineage::POSITION_KEY;
use serde_json::Value;

use self::options::Options;
use self::plan::{Plan, RefFact, SnapshotFact, TableFacts};
pub use self::report::{Report, Verdict};
use crate::catalog::{CatalogClient, CatalogError, LoadedTable, backoff};
use crate::reach;
use crate::reach::walk::{Root, Walk};
use crate::storage::{StorageError, Store};
use crate::sweep::{self, Count, scope};

/// Tries before giving up; each is lost only to another commit, or to a catalog that does not answer.
const ATTEMPTS: u32 = 20;
/// Files that are deleted in one go.
const TOGETHER: usize = 1_000;

/// Nothing was removed, or not all that should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The catalog did not answer as it should.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The object store did not.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// It is not known what is still needed; snapshots may be removed, their files are not.
    #[error(transparent)]
    Reach(#[from] reach::Error),
    /// The sweep failed, or may not be done.
    #[error(transparent)]
    Sweep(#[from] sweep::Error),
    /// What was asked for contradicts itself or the table.
    #[error("{0}")]
    Options(String),
    /// The catalog does not take the commit.
    #[error("the catalog does not take the commit: {0}")]
    Refused(String),
    /// Others commit all the time, or the catalog does not answer.
    #[error("not settled after {ATTEMPTS} attempts: {0}; run it again, it removes nothing twice")]
    Unsettled(String),
}

/// Expires snapshots of a table. Idempotent; two at once do no harm. Dropped in the middle, snapshots are removed or not,
/// and files of removed ones may be left for a sweep.
///
/// # Errors
/// [`Error`].
pub async fn expire(client: &CatalogClient, ident: &TableIdent, options: &Options) -> Result<Report, Error> {
    if client.is_nessie() {
        return on_nessie(client, ident, options).await;
    }
    let mut last = String::new();
    for attempt in 1..=ATTEMPTS {
        let loaded = client.load_table(ident).await?;
        let mut report = Report::begin(ident, loaded.metadata().snapshots().len() as u64);
        let facts = facts(loaded.metadata());
        let now = Utc::now().timestamp_millis();
        let plan = plan::plan(&facts, &options.retention()?, options.retain_last, now).map_err(Error::Options)?;
        report.plan(&plan);
        if plan.is_empty() {
            return Ok(report);
        }
        if options.sweep.dry_run {
            report.verdict = Verdict::Planned;
            return Ok(report);
        }
        scope::is_allowed(client, &loaded, options.sweep.allow_gc_disabled)?;
        match client.commit_once(ident, &request(&loaded, &facts, &plan)).await {
            Outcome::Committed => {}
            Outcome::Refused(said) => return Err(Error::Refused(said)),
            Outcome::Conflict(said) => {
                last = said;
                continue;
            }
            Outcome::Unknown(said) => {
                tracing::warn!(table = %ident, attempt, said, "not settled, looking again");
                tokio::time::sleep(backoff(attempt)).await;
                if !is_removed(&client.load_table(ident).await?, &plan) {
                    last = said;
                    continue;
                }
            }
        }
        tracing::info!(table = %ident, snapshots = plan.snapshots.len(), "removed snapshots");
        report.verdict = Verdict::Expired;
        if options.delete_files {
            delete_files(client, &loaded, &mut report).await?;
        }
        return Ok(report);
    }
    Err(Error::Unsettled(last))
}

async fn on_nessie(client: &CatalogClient, ident: &TableIdent, options: &Options) -> Result<Report, Error> {
    if let Some(what) = options.only_with_history() {
        return Err(Error::Options(format!(
            "{what} is for catalogs that keep a table's history in its metadata; Nessie keeps it in its commits: say cutoff \
             and keep-daily-tags"
        )));
    }
    let now = Utc::now();
    let loaded = client.load_table(ident).await?;
    if !options.sweep.dry_run {
        scope::is_allowed(client, &loaded, options.sweep.allow_gc_disabled)?;
    }
    let cutoff = options.sweep.cutoffs.of(&client.branch());
    let tags = tags::keep(client, ident, (options.keep_daily_tags, cutoff), now, options.sweep.dry_run).await?;
    let swept = sweep::sweep(client, ident, &options.sweep).await?;
    Ok(Report::of_sweep(ident, tags, swept))
}

/// What the plan looks at.
fn facts(metadata: &TableMetadata) -> TableFacts {
    let snapshot = |snapshot: &iceberg::spec::SnapshotRef| SnapshotFact {
        id: snapshot.snapshot_id(),
        parent: snapshot.parent_snapshot_id(),
        time: snapshot.timestamp_ms(),
        bears_position: snapshot.summary().additional_properties.contains_key(POSITION_KEY),
    };
    let snapshots = metadata.snapshots().map(snapshot).map(|snapshot| (snapshot.id, snapshot)).collect();
    // The crate has no list of them.
    let text = serde_json::to_value(metadata).unwrap_or_default();
    let refs = text["refs"].as_object().into_iter().flatten();
    let reference = |reference: &Value| {
        let number = |key: &str| reference[key].as_u64();
        Some(RefFact {
            snapshot: reference["snapshot-id"].as_i64()?,
            is_branch: reference["type"] == "branch",
            min_snapshots: number("min-snapshots-to-keep").and_then(|count| usize::try_from(count).ok()),
            max_age: number("max-snapshot-age-ms").map(Duration::from_millis),
            max_ref_age: number("max-ref-age-ms").map(Duration::from_millis),
        })
    };
    let refs = refs.filter_map(|(name, text)| Some((name.clone(), reference(text)?))).collect();
    TableFacts { snapshots, refs }
}

/// The commit that removes them, if every reference still stands where it stood.
fn request(loaded: &LoadedTable, facts: &TableFacts, plan: &Plan) -> CommitTableRequest {
    let mut requirements = vec![TableRequirement::UuidMatch { uuid: loaded.metadata().uuid() }];
    for (name, reference) in &facts.refs {
        let snapshot_id = Some(reference.snapshot);
        requirements.push(TableRequirement::RefSnapshotIdMatch { r#ref: name.clone(), snapshot_id });
    }
    if !facts.refs.contains_key(MAIN_BRANCH) {
        requirements.push(TableRequirement::RefSnapshotIdMatch { r#ref: MAIN_BRANCH.to_owned(), snapshot_id: None });
    }
    let is_gone = |id: i64| plan.snapshots.contains(&id);
    let statistics = loaded.metadata().statistics_iter().map(|file| file.snapshot_id).filter(|id| is_gone(*id));
    let partitions = loaded.metadata().partition_statistics_iter().map(|file| file.snapshot_id);
    let refs = plan.refs.iter().map(|name| TableUpdate::RemoveSnapshotRef { ref_name: name.clone() });
    let mut updates: Vec<TableUpdate> = refs.collect();
    updates.extend(statistics.map(|snapshot_id| TableUpdate::RemoveStatistics { snapshot_id }));
    let partitions = partitions.filter(|id| is_gone(*id));
    updates.extend(partitions.map(|snapshot_id| TableUpdate::RemovePartitionStatistics { snapshot_id }));
    if !plan.snapshots.is_empty() {
        updates.push(TableUpdate::RemoveSnapshots { snapshot_ids: plan.snapshots.clone() });
    }
    CommitTableRequest { identifier: Some(loaded.ident().clone()), requirements, updates }
}

fn is_removed(loaded: &LoadedTable, plan: &Plan) -> bool {
    plan.snapshots.iter().all(|id| loaded.metadata().snapshot_by_id(*id).is_none())
}

/// Deletes what the table reached before and does not reach now.
async fn delete_files(client: &CatalogClient, before: &LoadedTable, report: &mut Report) -> Result<(), Error> {
    let store: Store = before.store(&client.config().storage)?;
    let root = before.metadata().location().to_owned();
    let now = client.load_table(before.ident()).await?;
    let of = |loaded: &LoadedTable, is_strict: bool| Root {
        metadata: Arc::clone(loaded.metadata()),
        by: format!("table {}", loaded.ident()),
        is_strict,
    };
    let mut walk = Walk::new(store.clone());
    walk.add_all(&[of(&now, true)]).await?;
    let files = walk.new_of(&[of(before, false)]).await?;
    // What lies elsewhere was brought in from there, and may be another table's.
    let files: Vec<String> = files.into_iter().filter(|location| store.is_below(location, &root)).collect();
    for locations in files.chunks(TOGETHER) {
        let (failed, why) = store.delete_all(locations).await?;
        if let Some(why) = why {
            tracing::error!(table = %before.ident(), failed, %why, "files were not deleted, a sweep will find them");
        }
        report.failed += failed;
        report.deleted.files += (locations.len() as u64).saturating_sub(failed);
    }
    Ok(())
}

impl Report {
    fn plan(&mut self, plan: &Plan) {
        self.snapshots = plan.snapshots.clone();
        self.refs = plan.refs.clone();
    }

    fn of_sweep(ident: &TableIdent, tags: tags::Tags, swept: sweep::Report) -> Self {
        let is_idle = tags == tags::Tags::default();
        let verdict = match swept.verdict {
            sweep::Verdict::Planned => Verdict::Planned,
            sweep::Verdict::NothingToDo if is_idle => Verdict::NothingToDo,
            _ => Verdict::Expired,
        };
        let deleted = Count { files: swept.deleted.files, bytes: swept.deleted.bytes };
        let (failed, before) = (swept.failed, swept.states);
        Self { verdict, tags, deleted, failed, sweep: Some(swept), ..Self::begin(ident, before) }
    }
}
