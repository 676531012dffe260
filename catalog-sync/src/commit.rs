//! The only commit loop of the project: it performs what `protocol::round` says, on the real catalog and object store.
//!
//! Rules (connector/docs/ARCHITECTURE.md): equality of position and batch start; `assert-table-uuid` and
//! `assert-ref-snapshot-id`; position in summary and property; no transport retry; conflict and unknown are both
//! resolved by a fresh load; files are never deleted here, whatever the outcome.
//!
//! Batches of several tasks that wait at the same time go into one snapshot. Called by the connector's committer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use iceberg::TableIdent;
use iceberg::spec::{DataFile, FormatVersion, NestedField, NestedFieldRef, PrimitiveType, Schema, Type};
use iceberg_catalog_rest::CommitTableRequest;
use protocol::round::{LoadFailure, Round, RoundEffect, RoundEvent};
use protocol::{CommitPlan, Halt, Landed, Outcome, Proposal, Ranges};
use tokio::time::Instant;
use uuid::Uuid;

use crate::catalog::{CatalogClient, CatalogError, LoadedTable, backoff};
use crate::snapshot;
use crate::storage::Store;

/// Summary key of the offset ranges that a snapshot brought.
pub const RANGES_KEY: &str = "kafka.ranges";
/// Summary key of the number of records that a snapshot passed over as rejects.
pub const REJECTS_KEY: &str = "kafka.rejects";
/// Summary key that names one commit, for logs and audit; never used to decide anything.
pub const COMMIT_ID_KEY: &str = "kafka.commit-id";
/// Summary key of the connector's name.
pub const CONNECTOR_KEY: &str = "kafka.connector";
/// Summary key of the halt that the connector was started again after, in the first snapshot since.
pub const RESUMED_KEY: &str = "kafka.resumed-after";

/// Number of lost races after which waits no longer grow: at most 800 ms, since every commit that passes meanwhile makes
/// the next look longer.
const CONTENDED_MAX: u32 = 3;

/// Files that are written and that no snapshot refers to, with the offsets they come from.
#[must_use]
#[derive(Debug, Clone)]
pub struct Staged {
    /// The offsets, and when the files were begun.
    pub proposal: Proposal,
    /// The files; none if all records were rejects.
    pub files: Vec<DataFile>,
    /// The table's fields that the files hold, as they were when the files were begun.
    pub fields: Arc<[NestedFieldRef]>,
    /// Partition spec that the files were written with.
    pub spec_id: i32,
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
    resumed_after: Untold,
}

/// The halt that a connector was started again after, until a snapshot has told it.
pub type Untold = Arc<Mutex<Option<String>>>;

/// What one load and one build left for the POST.
#[derive(Debug, Default)]
struct Attempt {
    loaded: Option<LoadedTable>,
    built: Option<(CommitTableRequest, i64)>,
    files: usize,
    offsets: u64,
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
        Self { client, ident, uuid, store, connector, give_up_after, resumed_after: Untold::default() }
    }

    /// Has the first snapshot tell which halt the connector was started again after; what was told is taken out.
    #[must_use]
    pub fn resumed_after(self, halt: Untold) -> Self {
        Self { resumed_after: halt, ..self }
    }

    /// Brings the batches into the table; the answers are in their order. Not cancellation-safe: dropped in the middle,
    /// the outcome is unknown, and the table's position tells it.
    pub async fn commit(&self, staged: &[Staged]) -> Vec<Landed> {
        let proposals = staged.iter().map(|batch| batch.proposal.clone()).collect();
        let (mut round, mut effect) = Round::begin(self.uuid.clone(), proposals);
        let (began, mut attempt) = (Instant::now(), Attempt::default());
        loop {
            let event = match effect {
                RoundEffect::Done(landed) => return landed,
                RoundEffect::Load => self.load(staged, &round, &mut attempt).await,
                RoundEffect::Build { plan, batches } => self.build(staged, &plan, &batches, &mut attempt).await,
                RoundEffect::Post => self.post(&mut attempt).await,
                RoundEffect::Wait { attempts, contended, last } => self.wait(began, attempts, contended, &last).await,
            };
            let (next, then) = round.step(event);
            round = next;
            // Every effect is answered by its own event, so there is a next one; if not, nothing is claimed.
            effect =
                then.unwrap_or_else(|| RoundEffect::Done(vec![Landed::Failed("no verdict".to_owned()); staged.len()]));
        }
    }

    async fn load(&self, staged: &[Staged], round: &Round, attempt: &mut Attempt) -> RoundEvent {
        *attempt = Attempt::default();
        let loaded = match self.client.load_table(&self.ident).await {
            Ok(loaded) => loaded,
            Err(error) => return RoundEvent::Loaded(Err(failure(&error))),
        };
        let open: Vec<&Staged> = round.open().filter_map(|place| staged.get(place)).collect();
        let facts = check_format(&loaded, &open).and_then(|()| loaded.facts());
        let loaded = attempt.loaded.insert(loaded);
        tracing::debug!(table = %self.ident, snapshot = ?loaded.metadata().current_snapshot_id(), "loaded");
        RoundEvent::Loaded(facts.map_err(LoadFailure::Halt))
    }

    async fn build(
        &self,
        staged: &[Staged],
        plan: &CommitPlan,
        batches: &[usize],
        attempt: &mut Attempt,
    ) -> RoundEvent {
        let Some(loaded) = &attempt.loaded else { return RoundEvent::Built(Err("nothing was loaded".to_owned())) };
        let planned: Vec<&Staged> = batches.iter().filter_map(|&place| staged.get(place)).collect();
        let files: Vec<&DataFile> = planned.iter().flat_map(|batch| &batch.files).collect();
        attempt.files = files.len();
        attempt.offsets = planned.iter().map(|batch| batch.proposal.ranges.counts().offsets()).sum();
        match snapshot::append(loaded, &self.store, plan, &files, self.summary(&planned)).await {
            Ok(built) => {
                attempt.built = Some(built);
                RoundEvent::Built(Ok(()))
            }
            Err(error) => RoundEvent::Built(Err(error.to_string())),
        }
    }

    async fn post(&self, attempt: &mut Attempt) -> RoundEvent {
        let (Some(loaded), Some((commit, snapshot_id))) = (&attempt.loaded, attempt.built.take()) else {
            return RoundEvent::Answered(Outcome::Refused("nothing was built".to_owned()));
        };
        let outcome = self.client.commit_on(loaded, &commit).await;
        if outcome == Outcome::Committed {
            self.told();
            let (files, offsets) = (attempt.files, attempt.offsets);
            tracing::info!(table = %self.ident, snapshot_id, files, offsets, "committed");
        }
        RoundEvent::Answered(outcome)
    }

    async fn wait(&self, began: Instant, attempts: u32, contended: bool, last: &str) -> RoundEvent {
        if began.elapsed() >= self.give_up_after {
            return RoundEvent::TimeUp;
        }
        let wait = backoff(if contended { attempts.min(CONTENDED_MAX) } else { attempts });
        tracing::warn!(table = %self.ident, attempts, ?wait, last, "commit not settled yet, looking again");
        tokio::time::sleep(wait).await;
        RoundEvent::Waited
    }

    fn summary(&self, planned: &[&Staged]) -> BTreeMap<String, String> {
        let ranges: Vec<&Ranges> = planned.iter().map(|batch| &batch.proposal.ranges).collect();
        let rejects: u64 = ranges.iter().map(|ranges| ranges.counts().rejects).sum();
        let mut summary = BTreeMap::from([
            (RANGES_KEY.to_owned(), Ranges::to_summary(&ranges)),
            (REJECTS_KEY.to_owned(), rejects.to_string()),
            (CONNECTOR_KEY.to_owned(), self.connector.clone()),
        ]);
        summary.extend(identity());
        if let Some(halt) = self.resumed_after.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            summary.insert(RESUMED_KEY.to_owned(), halt);
        }
        summary
    }

    /// A snapshot has told which halt came before; the next ones need not.
    fn told(&self) {
        *self.resumed_after.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Summary entries by which every commit of this project can be told.
pub(crate) fn identity() -> [(String, String); 3] {
    [
        (COMMIT_ID_KEY.to_owned(), Uuid::now_v7().to_string()),
        ("engine-name".to_owned(), "clickstream-connector".to_owned()),
        ("engine-version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ]
}

fn failure(error: &CatalogError) -> LoadFailure {
    match error {
        error if error.is_transient() => LoadFailure::Passing(error.to_string()),
        CatalogError::NotFound { .. } => LoadFailure::Gone,
        error => LoadFailure::Refused(error.to_string()),
    }
}

/// A table whose format, columns or partition spec changed since the files were written cannot take them.
fn check_format(loaded: &LoadedTable, open: &[&Staged]) -> Result<(), Halt> {
    let metadata = loaded.metadata();
    if metadata.format_version() != FormatVersion::V2 {
        let text = format!("it has format version {}, this release writes version 2", metadata.format_version());
        return Err(Halt::SchemaIncompatible(text));
    }
    let mut fields = open.iter().map(|batch| &batch.fields).collect::<Vec<_>>();
    fields.dedup_by(|a, b| Arc::ptr_eq(a, b));
    if let Some(fault) = fields.iter().find_map(|fields| changed(metadata.current_schema(), fields)) {
        return Err(Halt::SchemaIncompatible(format!("{fault} while the connector ran")));
    }
    let now = metadata.default_partition_spec_id();
    match open.iter().find(|batch| batch.spec_id != now) {
        Some(batch) => {
            let text = format!("the partition spec changed from {} to {now} while a batch was written", batch.spec_id);
            Err(Halt::SchemaIncompatible(text))
        }
        None => Ok(()),
    }
}

/// What keeps files that hold these fields out of a table with this schema; columns that came in addition do not.
fn changed(now: &Schema, written: &[NestedFieldRef]) -> Option<String> {
    // Readers widen by themselves.
    let wider = |then: &Type, now: &Type| {
        (then, now) == (&Type::Primitive(PrimitiveType::Int), &Type::Primitive(PrimitiveType::Long))
    };
    let lost = written.iter().find_map(|then| match now.field_by_id(then.id) {
        None => Some(format!("column {} (id {}) was dropped", then.name, then.id)),
        Some(now) if now.field_type != then.field_type && !wider(&then.field_type, &now.field_type) => {
            Some(format!("column {} changed from {} to {}", then.name, then.field_type, now.field_type))
        }
        Some(now) if now.required && !then.required => {
            Some(format!("column {} became required, but events may lack it", now.name))
        }
        Some(_) => None,
    });
    let unknown = |field: &&NestedFieldRef| {
        let is_written = written.iter().any(|written| written.id == field.id);
        field.required && field.initial_default.is_none() && !is_written
    };
    lost.or_else(|| {
        let field: &NestedField = now.as_struct().fields().iter().find(unknown)?;
        Some(format!("column {} was added as required, but no event has it", field.name))
    })
}
