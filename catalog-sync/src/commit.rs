//! The only commit loop of the project: load, decide, write manifests, POST once, and look again until it is known what
//! became of every batch.
//!
//! Rules (connector/docs/ARCHITECTURE.md): equality of position and batch start; `assert-table-uuid` and
//! `assert-ref-snapshot-id`; position in summary and property; no transport retry; conflict and unknown are both
//! resolved by a fresh load; files are never deleted here, whatever the outcome.
//!
//! Batches of several tasks that wait at the same time go into one snapshot. Called by the connector's committer.

use std::collections::BTreeMap;
use std::time::Duration;

use iceberg::TableIdent;
use iceberg::spec::{DataFile, FormatVersion};
use protocol::{CommitPlan, Decision, Halt, Position, Ranges, decide};
use tokio::time::Instant;
use uuid::Uuid;

use crate::catalog::{CatalogClient, CatalogError, CommitOutcome, LoadedTable, backoff};
use crate::snapshot;
use crate::storage::{StorageError, Store};

/// Summary key of the offset ranges that a snapshot brought.
pub const RANGES_KEY: &str = "kafka.ranges";
/// Summary key of the number of records that a snapshot passed over as rejects.
pub const REJECTS_KEY: &str = "kafka.rejects";
/// Summary key that names one commit, for logs and audit; never used to decide anything.
pub const COMMIT_ID_KEY: &str = "kafka.commit-id";
/// Summary key of the connector's name.
pub const CONNECTOR_KEY: &str = "kafka.connector";

/// Files that are written and that no snapshot refers to, with the offsets they come from.
#[must_use]
#[derive(Debug, Clone)]
pub struct Staged {
    /// The offsets.
    pub ranges: Ranges,
    /// The files; none if all records were rejects.
    pub files: Vec<DataFile>,
    /// Partition spec that the files were written with.
    pub spec_id: i32,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Landed {
    /// It is in the table, exactly once; the table's position as last seen.
    Committed(Position),
    /// It is not, and must not be sent again: somebody else moved the table. Go on from this position.
    Fenced {
        /// In what the batch and the table differ.
        reason: String,
        /// Where the table stands.
        position: Position,
    },
    /// Nothing may be committed until somebody has looked.
    Halt(Halt),
    /// It could not be brought about in the time given. It may still land; begin again from the table's position.
    Failed(CommitError),
}

/// Why a commit could not be brought about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The catalog or the object store did not do its part, for longer than the limit.
    #[error("gave up after {attempts} attempts: {last}")]
    GaveUp {
        /// Tries.
        attempts: u32,
        /// The last reason.
        last: String,
    },
    /// The catalog refuses the commit as such.
    #[error("the catalog refuses the commit: {0}")]
    Refused(String),
}

impl From<CatalogError> for CommitError {
    fn from(error: CatalogError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<StorageError> for CommitError {
    fn from(error: StorageError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Commits to one table.
#[derive(Debug)]
pub struct Committer {
    client: CatalogClient,
    ident: TableIdent,
    uuid: String,
    store: Store,
    connector: String,
    give_up_after: Duration,
}

/// How one attempt ended.
enum Attempt {
    /// Nothing is left to do, or the remaining batches can't be helped.
    Settled,
    /// Look again: what is left was neither seen in the table nor refused.
    Again(String),
}

impl Committer {
    /// A committer for the table that was loaded; `connector` goes into the summaries, `give_up_after` bounds one call.
    #[must_use]
    pub fn new(
        client: CatalogClient,
        table: &LoadedTable,
        store: Store,
        connector: String,
        give_up_after: Duration,
    ) -> Self {
        let (ident, uuid) = (table.ident().clone(), table.metadata().uuid().to_string());
        Self { client, ident, uuid, store, connector, give_up_after }
    }

    /// Brings the batches into the table; the answers are in their order. Not cancellation-safe: dropped in the middle,
    /// the outcome is unknown, and the table's position tells it.
    pub async fn commit(&self, staged: &[Staged]) -> Vec<Landed> {
        let mut landed: Vec<Option<Landed>> = vec![None; staged.len()];
        let began = Instant::now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let last = match self.attempt(staged, &mut landed).await {
                Ok(Attempt::Settled) => break,
                Ok(Attempt::Again(why)) => why,
                Err(error) => {
                    settle_open(&mut landed, &Landed::Failed(error));
                    break;
                }
            };
            if began.elapsed() >= self.give_up_after {
                settle_open(&mut landed, &Landed::Failed(CommitError::GaveUp { attempts, last }));
                break;
            }
            let wait = backoff(attempts);
            tracing::warn!(table = %self.ident, attempts, ?wait, last, "commit not settled yet, looking again");
            tokio::time::sleep(wait).await;
        }
        let missing = || Landed::Failed(CommitError::GaveUp { attempts, last: "no verdict".to_owned() });
        landed.into_iter().map(|verdict| verdict.unwrap_or_else(missing)).collect()
    }

    /// One load, one decision, at most one POST.
    async fn attempt(&self, staged: &[Staged], landed: &mut [Option<Landed>]) -> Result<Attempt, CommitError> {
        let loaded = match self.client.load_table(&self.ident).await {
            Ok(loaded) => loaded,
            Err(error) if error.is_transient() => return Ok(Attempt::Again(error.to_string())),
            Err(CatalogError::NotFound { .. }) => {
                let halt = Halt::TableReplaced { expected: self.uuid.clone(), found: "none".to_owned() };
                settle_open(landed, &Landed::Halt(halt));
                return Ok(Attempt::Settled);
            }
            Err(error) => return Err(error.into()),
        };
        let open = open_batches(staged, landed);
        let Some(plan) = self.settle(&loaded, &open, landed) else { return Ok(Attempt::Settled) };
        // What the decision left open is what the plan contains.
        let planned: Vec<&Staged> = open_batches(staged, landed).into_iter().map(|(_, batch)| batch).collect();
        let files: Vec<DataFile> = planned.iter().flat_map(|batch| batch.files.iter().cloned()).collect();
        let built = snapshot::append(&loaded, &self.store, &plan, &files, self.summary(&planned)).await;
        let (commit, snapshot_id) = match built {
            Ok(built) => built,
            Err(error) => return Ok(Attempt::Again(format!("cannot write the snapshot's files: {error}"))),
        };
        match self.client.commit_once(&self.ident, &commit).await {
            CommitOutcome::Committed => {
                let (files, offsets) = (files.len(), planned.iter().map(|b| b.ranges.counts().offsets()).sum::<u64>());
                tracing::info!(table = %self.ident, snapshot_id, files, offsets, "committed");
                settle_open(landed, &Landed::Committed(plan.position().clone()));
                Ok(Attempt::Settled)
            }
            CommitOutcome::Conflict(said) | CommitOutcome::Unknown(said) => Ok(Attempt::Again(said)),
            CommitOutcome::Refused(said) => Err(CommitError::Refused(said)),
        }
    }

    /// Gives a verdict to every batch that the table's facts already decide; the plan covers the others.
    fn settle(
        &self,
        loaded: &LoadedTable,
        open: &[(usize, &Staged)],
        landed: &mut [Option<Landed>],
    ) -> Option<CommitPlan> {
        let facts = match check_format(loaded, open).and_then(|()| loaded.facts()) {
            Ok(facts) => facts,
            Err(halt) => {
                settle_open(landed, &Landed::Halt(halt));
                return None;
            }
        };
        let ranges: Vec<&Ranges> = open.iter().map(|(_, batch)| &batch.ranges).collect();
        let (decisions, plan) = decide(&facts, &self.uuid, &ranges);
        for (&(index, _), decision) in open.iter().zip(decisions) {
            let verdict = match decision {
                Decision::Commit => None,
                Decision::AlreadyCommitted => Some(Landed::Committed(facts.position.clone())),
                Decision::Fenced(reason) => Some(Landed::Fenced { reason, position: facts.position.clone() }),
                Decision::Halt(halt) => Some(Landed::Halt(halt)),
            };
            if let Some(slot) = landed.get_mut(index) {
                *slot = verdict;
            }
        }
        plan
    }

    fn summary(&self, planned: &[&Staged]) -> BTreeMap<String, String> {
        let ranges: Vec<&Ranges> = planned.iter().map(|batch| &batch.ranges).collect();
        let rejects: u64 = ranges.iter().map(|ranges| ranges.counts().rejects).sum();
        BTreeMap::from([
            (RANGES_KEY.to_owned(), Ranges::to_summary(&ranges)),
            (REJECTS_KEY.to_owned(), rejects.to_string()),
            (COMMIT_ID_KEY.to_owned(), Uuid::now_v7().to_string()),
            (CONNECTOR_KEY.to_owned(), self.connector.clone()),
            ("engine-name".to_owned(), "clickstream-connector".to_owned()),
            ("engine-version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ])
    }
}

/// The batches that have no verdict yet, with their place.
fn open_batches<'a>(staged: &'a [Staged], landed: &[Option<Landed>]) -> Vec<(usize, &'a Staged)> {
    staged.iter().enumerate().filter(|(index, _)| matches!(landed.get(*index), Some(None))).collect()
}

fn settle_open(landed: &mut [Option<Landed>], verdict: &Landed) {
    for slot in landed.iter_mut().filter(|slot| slot.is_none()) {
        *slot = Some(verdict.clone());
    }
}

/// A table whose format, columns or partition spec changed since the files were written cannot take them.
fn check_format(loaded: &LoadedTable, open: &[(usize, &Staged)]) -> Result<(), Halt> {
    let metadata = loaded.metadata();
    if metadata.format_version() != FormatVersion::V2 {
        let text = format!("it has format version {}, this release writes version 2", metadata.format_version());
        return Err(Halt::SchemaIncompatible(text));
    }
    let schema = metadata.current_schema();
    let mut ids = open.iter().flat_map(|(_, batch)| &batch.files).flat_map(|file| file.value_counts().keys());
    if let Some(id) = ids.find(|id| schema.field_by_id(**id).is_none()) {
        let text = format!("the column with id {id} was dropped while the connector ran; restart the connector");
        return Err(Halt::SchemaIncompatible(text));
    }
    let now = metadata.default_partition_spec_id();
    match open.iter().find(|(_, batch)| batch.spec_id != now) {
        Some((_, batch)) => {
            let text = format!("the partition spec changed from {} to {now} while a batch was written", batch.spec_id);
            Err(Halt::SchemaIncompatible(text))
        }
        None => Ok(()),
    }
}
