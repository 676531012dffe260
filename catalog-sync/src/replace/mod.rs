//! A commit that puts files or manifests in the place of others: a snapshot of operation `replace`, with the same rows, or
//! `overwrite` where some are left out.
//!
//! ```text
//!   facts   pure: what the manifest list tells
//!   mod     the loop: load -> is it in already? -> stage, or what was staged for an earlier base -> POST once -> look again
//!   stage   I/O: old manifests -> new manifests, without the files that go and with those that come
//!   pack    pure: entries sorted and cut into manifests, in bounded memory
//! ```
//!
//! The snapshot carries the position of the base that it is committed on and moves nothing (R8 of the protocol): the plan
//! that it commits by cannot hold another position. When ingestion has moved the base, what was staged is used again if
//! every manifest whose place it takes is in the new base, nobody has deleted rows and no orphan sweep has run; else it is
//! staged again. No file is deleted here, whatever the outcome. Called by [`crate::rewrite`] and [`crate::compact`], which
//! say what takes the place of what, and by [`crate::sweep`], whose fence replaces nothing.

mod error;
pub(crate) mod facts;
mod pack;
pub(crate) mod stage;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::future::Future;

use iceberg::TableIdent;
use iceberg::spec::{FormatVersion, ManifestContentType, ManifestFile, Operation};
use iceberg_catalog_rest::CommitTableRequest;
use protocol::{CommitPlan, Outcome, TableFacts};
use serde::Serialize;

use self::error::ATTEMPTS;
pub use self::error::Error;
use self::stage::Staged;
use crate::catalog::{CatalogClient, LoadedTable, backoff};
use crate::commit::identity;
use crate::snapshot;
use crate::storage::Store;
use crate::verify;

/// Commits to look back at for a snapshot whose answer was lost.
const HISTORY: usize = 100;

/// Manifests of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Manifests of data files.
    pub data_manifests: u64,
    /// Manifests of delete files.
    pub delete_manifests: u64,
    /// Bytes of all of them; none for what is only planned.
    pub bytes: Option<u64>,
    /// Live data files.
    pub data_files: u64,
}

/// One load of the table, to work on.
pub(crate) struct Base {
    pub(crate) loaded: LoadedTable,
    pub(crate) facts: TableFacts,
    pub(crate) store: Store,
    /// Its manifests; none for a table without a snapshot.
    pub(crate) list: Vec<ManifestFile>,
}

impl Base {
    /// Whether files that were read on another base may be replaced on this one, if they are there: it is the same table,
    /// nobody has deleted rows, so that these are its delete manifests, and no orphan sweep has run.
    pub(crate) fn is_as_read(&self, on: &Self, deletes: &BTreeSet<String>) -> bool {
        let (now, then) = (&self.facts, &on.facts);
        let is_same = (&now.uuid, &now.sweep_epoch) == (&then.uuid, &then.sweep_epoch);
        is_same && stage::deletes(&self.list) == *deletes
    }
}

/// What is replaced by what.
pub(crate) trait Work: Send {
    /// Why it cannot be said or written.
    type Error: From<Error>;

    /// Says it for this base and writes the new manifests; none if there is nothing to do.
    fn stage(&mut self, base: &Base) -> impl Future<Output = Result<Option<Staged>, Self::Error>> + Send;

    /// What it does to the rows: nothing, unless it says so.
    fn operation(&self) -> Operation {
        Operation::Replace
    }

    /// What the snapshot's summary says of it.
    fn summary(&self, staged: &Staged) -> BTreeMap<String, String>;

    /// Table properties that are set by the same commit.
    fn properties(&self) -> HashMap<String, String> {
        HashMap::new()
    }
}

/// What a call led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Looks at the table that it took.
    pub(crate) attempts: u32,
    /// The base.
    pub(crate) before: Counts,
    /// What was committed; none if there was nothing to do.
    pub(crate) commit: Option<Commit>,
}

/// A snapshot that is in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) snapshot_id: i64,
    /// Manifests whose place was taken.
    pub(crate) replaced: u64,
    /// Manifests that took it.
    pub(crate) created: u64,
    /// The table as it is afterwards.
    pub(crate) after: Counts,
}

/// Does the work on the table as it is when the commit arrives; `uuid` is the table's that the work is for, if it has begun
/// already. Dropped in the middle, the outcome is unknown, and a second call settles it.
///
/// # Errors
/// [`Error`], or the work's own.
pub(crate) async fn settle<W: Work>(
    client: &CatalogClient,
    ident: &TableIdent,
    uuid: Option<String>,
    work: &mut W,
) -> Result<Settled, W::Error> {
    let mut replace = Replace { client, ident, uuid, staged: None, sent: Vec::new() };
    let (mut last, mut is_unknown) = (String::new(), false);
    for attempt in 1..=ATTEMPTS {
        match replace.attempt(work, is_unknown).await? {
            Step::Done(settled) => return Ok(Settled { attempts: attempt, ..settled }),
            // Not waited: right after another's commit there is the most time until the next.
            Step::Conflict(said) => {
                tracing::warn!(table = %ident, attempt, said, "the base has moved, trying on the new one");
                (last, is_unknown) = (said, false);
            }
            Step::Unsettled(said) => {
                tracing::warn!(table = %ident, attempt, said, "not settled, looking again");
                tokio::time::sleep(backoff(attempt)).await;
                (last, is_unknown) = (said, true);
            }
        }
    }
    Err(if is_unknown { Error::Unsettled(last) } else { Error::TooFast(last) }.into())
}

/// Looks at the table.
///
/// # Errors
/// [`Error`]: it cannot be loaded, or has a form or a position that nothing may be committed on.
pub(crate) async fn load(client: &CatalogClient, ident: &TableIdent) -> Result<Base, Error> {
    base(client, client.load_table(ident).await?).await
}

async fn base(client: &CatalogClient, loaded: LoadedTable) -> Result<Base, Error> {
    let metadata = loaded.metadata();
    if metadata.format_version() != FormatVersion::V2 {
        return Err(Error::Format(metadata.format_version()));
    }
    let facts = loaded.facts().map_err(Error::Halted)?;
    let store = loaded.store(&client.config().storage)?;
    let list = match metadata.current_snapshot() {
        Some(snapshot) => crate::manifest::list(metadata, snapshot, &store.file_io()).await?,
        None => Vec::new(),
    };
    Ok(Base { facts, store, list, loaded })
}

/// What one attempt led to.
enum Step {
    Done(Settled),
    /// Somebody else was faster.
    Conflict(String),
    /// Nobody knows.
    Unsettled(String),
}

/// A call at work.
struct Replace<'a> {
    client: &'a CatalogClient,
    ident: &'a TableIdent,
    /// Identity of the table, as soon as one is known.
    uuid: Option<String>,
    /// Written for an earlier base, and perhaps good for the next.
    staged: Option<Staged>,
    /// What was sent without the answer that it is in, newest last.
    sent: Vec<Settled>,
}

impl Replace<'_> {
    /// Load, look whether it is there already, stage, send once.
    async fn attempt<W: Work>(&mut self, work: &mut W, is_unknown: bool) -> Result<Step, W::Error> {
        let loaded = match self.client.load_table(self.ident).await {
            Ok(loaded) => loaded,
            Err(error) if error.is_transient() => return Ok(Step::Unsettled(error.to_string())),
            Err(error) => return Err(Error::from(error).into()),
        };
        let uuid = loaded.metadata().uuid().to_string();
        if self.uuid.get_or_insert_with(|| uuid.clone()) != &uuid {
            return Err(Error::Replaced.into());
        }
        if let Some(settled) = self.landed(&loaded, is_unknown).await? {
            return Ok(Step::Done(settled));
        }
        let base = match base(self.client, loaded).await {
            // What was sent may be in.
            Err(Error::Iceberg(error)) if !self.sent.is_empty() => return Ok(Step::Unsettled(error.to_string())),
            base => base?,
        };
        let before = Counts::of(&base.list);
        let staged = match self.staged.take() {
            // Whoever committed on top has carried them on.
            Some(staged) if staged.is_in(&base.list) => {
                let nothing = Settled { attempts: 0, before, commit: None };
                return Ok(Step::Done(self.sent.pop().unwrap_or(nothing)));
            }
            Some(staged) if staged.fits(&base) => staged,
            _ => match work.stage(&base).await? {
                Some(staged) => staged,
                None => return Ok(Step::Done(Settled { attempts: 0, before, commit: None })),
            },
        };
        let made = self.commit(&base, &staged, work).await;
        self.staged = Some(staged);
        let (request, commit) = match made {
            Err(Error::Iceberg(error)) if !self.sent.is_empty() => return Ok(Step::Unsettled(error.to_string())),
            made => made?,
        };
        self.post(&base.loaded, &request, Settled { attempts: 0, before, commit: Some(commit) }).await
    }

    /// The commit that brings what was staged, and what it leads to.
    async fn commit<W: Work>(
        &self,
        base: &Base,
        staged: &Staged,
        work: &W,
    ) -> Result<(CommitTableRequest, Commit), Error> {
        let plan = CommitPlan::carrying(&base.facts);
        // A manifest without a live file tells of files that an earlier snapshot removed, and that one has it.
        let stays =
            |manifest: &&ManifestFile| !staged.replaced.contains(&manifest.manifest_path) && stage::has_live(manifest);
        let kept = base.list.iter().filter(stays);
        let manifests: Vec<ManifestFile> = staged.created.iter().chain(kept).cloned().collect();
        let (created, replaced) = (staged.created.len(), staged.replaced.len());
        let kept = manifests.len() - created;
        let mut summary = BTreeMap::from(identity());
        summary.extend(work.summary(staged));
        for (key, count) in [("created", created), ("replaced", replaced), ("kept", kept)] {
            summary.insert(format!("manifests-{key}"), count.to_string());
        }
        let commit = Commit {
            snapshot_id: staged.snapshot_id,
            replaced: replaced as u64,
            created: created as u64,
            after: Counts::of(&manifests),
        };
        let contents = (staged.snapshot_id, work.operation(), manifests);
        let says = (summary, work.properties());
        let request = snapshot::replace(&base.loaded, &base.store, &plan, contents, says).await?;
        Ok((request, commit))
    }

    async fn post<E: From<Error>>(
        &mut self,
        loaded: &LoadedTable,
        request: &CommitTableRequest,
        settled: Settled,
    ) -> Result<Step, E> {
        match self.client.commit_on(loaded, request).await {
            Outcome::Committed => {
                tracing::debug!(table = %self.ident, ?settled, "committed");
                Ok(Step::Done(settled))
            }
            Outcome::Refused(said) => Err(Error::Refused(said).into()),
            Outcome::Conflict(said) => {
                self.sent.push(settled);
                Ok(Step::Conflict(said))
            }
            Outcome::Unknown(said) => {
                self.sent.push(settled);
                Ok(Step::Unsettled(said))
            }
        }
    }

    /// A commit of this call that is in the table's history, though its answer did not say so. After a conflict only what
    /// the load shows is looked at: what is asked beyond it takes the time that the next try needs.
    async fn landed(&self, loaded: &LoadedTable, is_unknown: bool) -> Result<Option<Settled>, Error> {
        let is_ours = |id: i64| {
            let sent = |settled: &&Settled| settled.commit.is_some_and(|commit| commit.snapshot_id == id);
            self.sent.iter().rev().find(sent).cloned()
        };
        if let Some(settled) = loaded.lineage().find_map(|snapshot| is_ours(snapshot.snapshot_id())) {
            return Ok(Some(settled));
        }
        if !is_unknown || self.sent.is_empty() {
            return Ok(None);
        }
        match verify::walk(self.client, self.ident, HISTORY).await {
            Ok(walk) => Ok(walk.states.iter().rev().find_map(|state| is_ours(state.snapshot.as_ref()?.id))),
            Err(error) => {
                tracing::warn!(table = %self.ident, %error, "the history cannot be read");
                Ok(None)
            }
        }
    }
}

impl Staged {
    /// The delete manifests of the table when it is committed.
    pub(crate) fn deletes_after(&self) -> BTreeSet<String> {
        let kept = self.deletes.iter().flatten().filter(|location| !self.replaced.contains(*location)).cloned();
        kept.chain(stage::deletes(&self.created)).collect()
    }

    /// Whether it was committed, and a base with these manifests comes after it.
    fn is_in(&self, list: &[ManifestFile]) -> bool {
        self.created.first().is_some_and(|ours| list.iter().any(|it| it.manifest_path == ours.manifest_path))
    }

    /// Whether it can be committed on this base: all whose place it takes are there, and those that it leans on, no rows
    /// were deleted from them, and it is itself still there.
    fn fits(&self, base: &Base) -> bool {
        let there: HashSet<&String> = base.list.iter().map(|manifest| &manifest.manifest_path).collect();
        let are_there = self.replaced.iter().chain(&self.beside).all(|needed| there.contains(needed));
        let as_before = self.deletes.as_ref().is_none_or(|deletes| *deletes == stage::deletes(&base.list));
        are_there && as_before && self.sweep_epoch == base.facts.sweep_epoch
    }
}

impl Counts {
    pub(crate) fn of(list: &[ManifestFile]) -> Self {
        let is_data = |manifest: &&ManifestFile| manifest.content == ManifestContentType::Data;
        let live = |manifest: &ManifestFile| {
            let counts = [manifest.added_files_count, manifest.existing_files_count];
            counts.iter().map(|count| u64::from(count.unwrap_or(0))).sum::<u64>()
        };
        let data_manifests = list.iter().filter(is_data).count() as u64;
        Self {
            data_manifests,
            delete_manifests: list.len() as u64 - data_manifests,
            bytes: Some(list.iter().map(|manifest| u64::try_from(manifest.manifest_length).unwrap_or(0)).sum()),
            data_files: list.iter().filter(is_data).map(live).sum(),
        }
    }
}
