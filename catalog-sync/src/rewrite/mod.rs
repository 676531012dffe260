//! Many manifests become few: a snapshot of operation `replace` with the same files.
//!
//! Each commit of the connector adds a manifest, and each commit and each reader reads the list of all of them. Here the
//! small ones are written anew, by partition, so that a manifest covers few days; delete manifests stay untouched.
//!
//! ```text
//!   plan    pure: which manifests, and what is gained
//!   pack    pure: entries sorted and cut into manifests, in bounded memory
//!   stage   I/O: old manifests -> new manifests
//! ```
//!
//! The snapshot carries the position of the base that it is committed on and moves nothing (R8 of the protocol): the plan
//! that it commits by cannot hold another position. When ingestion has moved the base, what was staged is used again if
//! every manifest whose place it takes is in the new base and no orphan sweep has run; else it is planned again. No file is
//! deleted here, whatever the outcome. Called by `catalog-sync rewrite-manifests`.

mod pack;
pub mod plan;
mod stage;

use std::collections::BTreeMap;

use iceberg::TableIdent;
use iceberg::spec::{FormatVersion, ManifestContentType, ManifestFile};
use iceberg_catalog_rest::CommitTableRequest;
use protocol::{CommitPlan, Halt, Outcome};
use serde::Serialize;

use self::plan::{Group, Limits, TARGET_SIZE_KEY};
use self::stage::Staged;
use crate::catalog::{CatalogClient, CatalogError, LoadedTable, backoff};
use crate::commit::identity;
use crate::snapshot;
use crate::storage::{StorageError, Store};
use crate::verify;

/// Tries before giving up; a conflict costs one, and so does a catalog that does not answer.
const ATTEMPTS: u32 = 20;
/// Commits to look back at for a snapshot whose answer was lost.
const HISTORY: usize = 100;

/// The manifests were not rewritten, or it is not known whether they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The table cannot be loaded.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The object store cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A manifest or a manifest list cannot be read or written.
    #[error("cannot read or write manifests: {0}")]
    Iceberg(#[from] iceberg::Error),
    /// The position cannot be read, so that there is none to carry.
    #[error("the table's position cannot be carried: {0}")]
    Halted(Halt),
    /// The table has a form that this release does not write.
    #[error("the table has format version {0}, this release writes version 2")]
    Format(FormatVersion),
    /// A table property says nonsense.
    #[error("table property {TARGET_SIZE_KEY} is {0:?}, which is no number of bytes above 0")]
    Property(String),
    /// An entry that the specification does not allow.
    #[error("data file {0} has no snapshot or no sequence number in its manifest")]
    Unnumbered(String),
    /// The new manifests would not hold what the old ones do.
    #[error("the manifest list tells of {read}, the manifests hold {written}: see `catalog-sync verify`")]
    Miscounted {
        /// What the list says.
        read: String,
        /// What was found.
        written: String,
    },
    /// Another table has the name now.
    #[error("the table was replaced by another one of its name")]
    Replaced,
    /// The catalog does not take the commit.
    #[error("the catalog does not take the commit: {0}")]
    Refused(String),
    /// Others commit all the time.
    #[error(
        "lost the race against other commits {ATTEMPTS} times: ingestion is too fast; run it again when there is less of it, \
         or lengthen the connector's commit.interval.ms for as long as it takes ({0})"
    )]
    TooFast(String),
    /// The catalog does not answer.
    #[error("not settled after {ATTEMPTS} attempts: {0}; run it again, it changes nothing twice")]
    Unsettled(String),
}

/// Manifests of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Manifests of data files.
    pub data_manifests: u64,
    /// Manifests of delete files, which stay as they are.
    pub delete_manifests: u64,
    /// Bytes of all of them; none for what is only planned.
    pub bytes: Option<u64>,
    /// Live data files.
    pub data_files: u64,
}

/// What a call led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// There is nothing to gain, and nothing was committed.
    NothingToGain,
    /// A dry run: so it would be, about.
    Planned,
    /// So it is.
    Committed,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The table.
    pub table: String,
    /// What became of the call.
    pub verdict: Verdict,
    /// The snapshot that was committed.
    pub snapshot_id: Option<i64>,
    /// Manifests whose place was taken.
    pub replaced: u64,
    /// Manifests that took it.
    pub created: u64,
    /// Looks at the table that it took.
    pub attempts: u32,
    /// The base.
    pub before: Counts,
    /// The base as it is afterwards.
    pub after: Counts,
}

/// Rewrites the manifests of a table, if that makes fewer; `dry_run` only tells what would be done. Idempotent: a second
/// call finds nothing to gain. Dropped in the middle, the outcome is unknown, and a second call settles it.
///
/// # Errors
/// [`Error`].
pub async fn rewrite_manifests(client: &CatalogClient, ident: &TableIdent, dry_run: bool) -> Result<Report, Error> {
    let mut rewrite = Rewrite { client, ident, dry_run, uuid: None, staged: None, sent: Vec::new() };
    let (mut last, mut is_unknown) = (String::new(), false);
    for attempt in 1..=ATTEMPTS {
        match rewrite.attempt(attempt, is_unknown).await? {
            Step::Done(report) => return Ok(*report),
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
    Err(if is_unknown { Error::Unsettled(last) } else { Error::TooFast(last) })
}

/// What one attempt led to.
enum Step {
    Done(Box<Report>),
    /// Somebody else was faster.
    Conflict(String),
    /// Nobody knows.
    Unsettled(String),
}

/// A call at work.
struct Rewrite<'a> {
    client: &'a CatalogClient,
    ident: &'a TableIdent,
    dry_run: bool,
    /// Identity of the table that was seen first.
    uuid: Option<String>,
    /// Written for an earlier base, and perhaps good for the next.
    staged: Option<Staged>,
    /// What was sent without the answer that it is in, newest last.
    sent: Vec<Report>,
}

impl Rewrite<'_> {
    /// Load, look whether it is there already, plan, send once.
    async fn attempt(&mut self, attempt: u32, is_unknown: bool) -> Result<Step, Error> {
        let loaded = match self.client.load_table(self.ident).await {
            Ok(loaded) => loaded,
            Err(error) if error.is_transient() => return Ok(Step::Unsettled(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        let metadata = loaded.metadata();
        let uuid = metadata.uuid().to_string();
        if self.uuid.get_or_insert_with(|| uuid.clone()) != &uuid {
            return Err(Error::Replaced);
        }
        if let Some(report) = self.landed(&loaded, is_unknown).await? {
            return Ok(Step::Done(Box::new(Report { attempts: attempt, ..report })));
        }
        if metadata.format_version() != FormatVersion::V2 {
            return Err(Error::Format(metadata.format_version()));
        }
        let facts = loaded.facts().map_err(Error::Halted)?;
        let limits = Limits::of(metadata.properties()).map_err(Error::Property)?;
        let store = loaded.store(&self.client.config().storage)?;
        let list = match metadata.current_snapshot() {
            Some(snapshot) => crate::manifest::list(metadata, snapshot, &store.file_io()).await?,
            None => Vec::new(),
        };
        let before = Counts::of(&list);
        let staged = match self.staged.take() {
            // Whoever committed on top has carried them on.
            Some(staged) if staged.is_in(&list) => {
                let report = self.sent.pop().map(|report| Report { attempts: attempt, ..report });
                return Ok(Step::Done(Box::new(report.unwrap_or_else(|| planned(self.ident, attempt, before, &[])))));
            }
            Some(staged) if staged.fits(&list, &facts.sweep_epoch) => staged,
            _ => {
                let groups = plan::plan(&stage::facts(metadata, &list), &limits);
                if groups.is_empty() || self.dry_run {
                    return Ok(Step::Done(Box::new(planned(self.ident, attempt, before, &groups))));
                }
                stage::stage(metadata, &store, &list, &groups, (&limits, &facts.sweep_epoch)).await?
            }
        };
        let (commit, report) = self.commit(&loaded, &store, &staged, list).await?;
        self.staged = Some(staged);
        self.post(&loaded, &commit, Report { attempts: attempt, before, ..report }).await
    }

    /// The commit that brings what was staged, and what it leads to.
    async fn commit(
        &self,
        loaded: &LoadedTable,
        store: &Store,
        staged: &Staged,
        list: Vec<ManifestFile>,
    ) -> Result<(CommitTableRequest, Report), Error> {
        let plan = CommitPlan::carrying(&loaded.facts().map_err(Error::Halted)?);
        let before = Counts::of(&list);
        let kept: Vec<ManifestFile> =
            list.into_iter().filter(|manifest| !staged.replaced.contains(&manifest.manifest_path)).collect();
        let (created, replaced) = (staged.created.len(), staged.replaced.len());
        let mut summary = BTreeMap::from(identity());
        for (key, count) in [("created", created), ("replaced", replaced), ("kept", kept.len())] {
            summary.insert(format!("manifests-{key}"), count.to_string());
        }
        summary.insert("entries-processed".to_owned(), staged.files.to_string());
        let manifests: Vec<ManifestFile> = staged.created.iter().cloned().chain(kept).collect();
        let report = Report {
            table: self.ident.to_string(),
            verdict: Verdict::Committed,
            snapshot_id: Some(staged.snapshot_id),
            replaced: replaced as u64,
            created: created as u64,
            attempts: 0,
            before,
            after: Counts::of(&manifests),
        };
        let commit = snapshot::replace(loaded, store, &plan, (staged.snapshot_id, manifests), summary).await?;
        Ok((commit, report))
    }

    async fn post(&mut self, loaded: &LoadedTable, commit: &CommitTableRequest, report: Report) -> Result<Step, Error> {
        match self.client.commit_on(loaded, commit).await {
            Outcome::Committed => {
                tracing::info!(table = %self.ident, ?report, "rewrote manifests");
                Ok(Step::Done(Box::new(report)))
            }
            Outcome::Refused(said) => Err(Error::Refused(said)),
            Outcome::Conflict(said) => {
                self.sent.push(report);
                Ok(Step::Conflict(said))
            }
            Outcome::Unknown(said) => {
                self.sent.push(report);
                Ok(Step::Unsettled(said))
            }
        }
    }

    /// The report of a commit of this call that is in the table's history, though its answer did not say so. After a
    /// conflict only what the load shows is looked at: what is asked beyond it takes the time that the next try needs.
    async fn landed(&self, loaded: &LoadedTable, is_unknown: bool) -> Result<Option<Report>, Error> {
        let is_ours = |id: i64| self.sent.iter().rev().find(|report| report.snapshot_id == Some(id)).cloned();
        if let Some(report) = loaded.lineage().find_map(|snapshot| is_ours(snapshot.snapshot_id())) {
            return Ok(Some(report));
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
    /// Whether it was committed, and a base with these manifests comes after it.
    fn is_in(&self, list: &[ManifestFile]) -> bool {
        self.created.first().is_some_and(|ours| list.iter().any(|it| it.manifest_path == ours.manifest_path))
    }

    /// Whether it can be committed on a base with these manifests: all whose place it takes are there, and it is itself.
    fn fits(&self, list: &[ManifestFile], sweep_epoch: &str) -> bool {
        let there = list.iter().filter(|manifest| self.replaced.contains(&manifest.manifest_path)).count();
        there == self.replaced.len() && self.sweep_epoch == sweep_epoch
    }
}

impl Counts {
    fn of(list: &[ManifestFile]) -> Self {
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

/// The report of a call that commits nothing.
fn planned(table: &TableIdent, attempts: u32, before: Counts, groups: &[Group]) -> Report {
    let replaced = groups.iter().map(|group| group.places.len() as u64).sum();
    let created = groups.iter().map(|group| group.after).sum();
    let table = table.to_string();
    let mut report = Report {
        table,
        verdict: Verdict::NothingToGain,
        snapshot_id: None,
        replaced,
        created,
        attempts,
        before,
        after: before,
    };
    if !groups.is_empty() {
        report.verdict = Verdict::Planned;
        let data_manifests = before.data_manifests.saturating_sub(replaced).saturating_add(created);
        report.after = Counts { data_manifests, bytes: None, ..before };
    }
    report
}
