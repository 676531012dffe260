//! Files that nobody needs are deleted: orphans, and what an expiry has left.
//!
//! ```text
//!   scope        whether the folder is the table's, and nobody else's
//!   (reach)      what the references reach
//!   plan         pure: which files are suspects
//!   fence        an empty snapshot: whoever has begun files before it cannot commit them any more
//!   quarantine   suspects wait, in records beside the table's metadata
//!   mod          list -> fence -> look again -> delete what is still unreachable
//! ```
//!
//! No clock and no listing is trusted with safety: a file is deleted only if it was listed before the fence and is reached by
//! nobody after it (rule R9 of the protocol). Age and quarantine come on top, for writers that know no fence. Killed at
//! any point, it leaves a table that is whole, and the next sweep goes on. Called by `catalog-sync sweep` and by
//! [`crate::expire`].

mod fence;
pub mod options;
pub mod plan;
mod quarantine;
mod report;
pub(crate) mod scope;
mod suspects;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use iceberg::TableIdent;
use uuid::Uuid;

use self::options::Options;
pub use self::report::{Count, Left, Report, Verdict};
use self::suspects::{Sorted, Suspect, Suspects};
use crate::catalog::{CatalogClient, CatalogError, LoadedTable};
use crate::reach;
use crate::reach::roots::{Found, Reach};
use crate::replace;
use crate::storage::{StorageError, Store};

/// Files that are deleted before the next word of progress.
const TOGETHER: usize = 1_000;
/// Times that references are fenced because new ones have come.
const ROUNDS: usize = 5;

/// Nothing was deleted, or not all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not known what is reached.
    #[error(transparent)]
    Reach(#[from] reach::Error),
    /// The fence could not be put up.
    #[error("the sweep's fence is not in the table, nothing was deleted: {0}")]
    Fence(#[from] replace::Error),
    /// The catalog did not answer as it should.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The object store did not.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The options contradict each other.
    #[error("{0}")]
    Options(String),
    /// The table's owner keeps garbage collectors out.
    #[error("the table says gc.enabled=false, and nothing was deleted{}", if *.by_nessie { NESSIES } else { OWNERS })]
    GcDisabled {
        /// Whether Nessie says so of every table.
        by_nessie: bool,
    },
    /// The folder cannot be told to be the table's.
    #[error("{root} is not swept: {why}")]
    NotItsFolder {
        /// The folder.
        root: String,
        /// Why not.
        why: String,
    },
    /// Two tables in one folder would sweep each other's files.
    #[error("{root} is not swept: table {other} is at {location}, and one of the two would lose its files")]
    Overlap {
        /// The folder.
        root: String,
        /// The other table.
        other: String,
        /// Its folder.
        location: String,
    },
    /// References are made faster than they can be fenced.
    #[error("new branches have the table each time that the sweep looks, nothing was deleted; run it again: {0}")]
    Restless(String),
}

const NESSIES: &str = ": Nessie says so of every table, to keep out tools that see one snapshot and would delete what other \
     branches, tags and commits need. This program looks at all of them; say allow-gc-disabled to let it";
const OWNERS: &str = ": its owner keeps garbage collectors out, perhaps since its files are shared with another table or \
     catalog. If they are not, set it to true or say allow-gc-disabled";

/// Sweeps the folder of a table. Idempotent; two at once do no harm. Dropped in the middle, some files are deleted and none
/// that is needed, and the next call goes on.
///
/// # Errors
/// [`Error`].
pub async fn sweep(client: &CatalogClient, ident: &TableIdent, options: &Options) -> Result<Report, Error> {
    options.check().map_err(Error::Options)?;
    let loaded = client.load_table(ident).await?;
    if !options.dry_run {
        scope::is_allowed(client, &loaded, options.allow_gc_disabled)?;
    }
    let store = loaded.store(&client.config().storage)?;
    let root = scope::root(client, &loaded, &store).await?;
    let now = Utc::now();
    let mut reach = Reach::new(client, ident, &root, &options.cutoffs, store.clone());
    let found = reach.look(now).await?;
    no_strangers(&root, &found)?;
    tracing::info!(table = %ident, files = reach.reached().len(), states = found.states, "looked at all references");
    let uuid = loaded.metadata().uuid().to_string();
    let mut report = Report::begin(ident, &root, &found, reach.reached());
    let suspects = Suspects::list(&store, &root, &reach, options, now, &mut report).await?;
    let mut sorted = suspects.sort(&uuid, options, now, &mut report).await?;
    if sorted.is_empty() || options.dry_run {
        report.end(&sorted, options);
        return Ok(report);
    }
    let mut sweep = Sweep { client, ident, loaded, store, root: &root, now, reach };
    if !sorted.fresh.is_empty() {
        let epoch = Uuid::now_v7().to_string();
        report.revived += sweep.fence(&epoch, &found, &mut sorted).await?;
        match options.quarantine.is_zero() {
            true => sorted.due.append(&mut sorted.fresh),
            false => {
                let files: Vec<String> = sorted.fresh.iter().map(|suspect| suspect.location.clone()).collect();
                quarantine::write(&sweep.store, sweep.root, (&uuid, &epoch), now, &files).await?;
                report.quarantined = Suspect::count(&sorted.fresh);
            }
        }
        report.epoch = Some(epoch);
    }
    sweep.delete(sorted, &mut report).await?;
    Ok(report)
}

fn no_strangers(root: &str, found: &Found) -> Result<(), Error> {
    match found.strangers.first() {
        None => Ok(()),
        Some(location) => Err(Error::Overlap {
            root: root.to_owned(),
            other: "of another name or branch".to_owned(),
            location: location.clone(),
        }),
    }
}

struct Sweep<'a> {
    client: &'a CatalogClient,
    ident: &'a TableIdent,
    loaded: LoadedTable,
    store: Store,
    root: &'a str,
    now: DateTime<Utc>,
    reach: Reach<'a>,
}

impl Sweep<'_> {
    /// Fences every branch that has the table, until none is without, and drops the suspects that somebody has come to need.
    async fn fence(&mut self, epoch: &str, found: &Found, sorted: &mut Sorted) -> Result<u64, Error> {
        let mut fenced = BTreeSet::new();
        let mut branches = found.branches.clone();
        if branches.is_empty() {
            fence::fence(self.client, self.loaded.ident(), epoch).await?;
        }
        for _ in 0..ROUNDS {
            for (branch, key) in branches.difference(&fenced) {
                let ident = TableIdent::from_strs(key).map_err(replace::Error::from)?;
                fence::fence(&self.client.on_branch(branch), &ident, epoch).await?;
            }
            fenced.append(&mut branches);
            let found = self.look().await?;
            if found.branches.is_subset(&fenced) {
                return Ok(sorted.drop_reached(&self.store, &self.reach)?);
            }
            branches = found.branches;
        }
        let new: Vec<&str> = branches.difference(&fenced).map(|(branch, _)| branch.as_str()).collect();
        Err(Error::Restless(new.join(", ")))
    }

    async fn look(&mut self) -> Result<Found, Error> {
        let found = self.reach.look(self.now).await?;
        no_strangers(self.root, &found)?;
        Ok(found)
    }

    /// Deletes what is due, metadata files last, since they prove what else is the table's.
    async fn delete(&mut self, mut sorted: Sorted, report: &mut Report) -> Result<(), Error> {
        if !sorted.due.is_empty() {
            self.look().await?;
            report.revived += sorted.drop_reached(&self.store, &self.reach)?;
        }
        report.waiting = sorted.waiting;
        sorted.due.sort_by_key(|suspect| suspect.kind == plan::Kind::Metadata);
        for suspects in sorted.due.chunks(TOGETHER) {
            let locations: Vec<String> = suspects.iter().map(|suspect| suspect.location.clone()).collect();
            let (failed, why) = self.store.delete_all(&locations).await?;
            if let Some(why) = why {
                tracing::error!(table = %self.ident, failed, %why, "files were not deleted, the next sweep tries again");
                report.why_failed.get_or_insert_with(|| why.to_string());
            }
            report.failed += failed;
            report.deleted.add(&Suspect::count(suspects), failed);
            tracing::info!(table = %self.ident, deleted = report.deleted.files, of = sorted.due.len(), "deleting");
        }
        if report.failed == 0 {
            self.store.delete_all(&sorted.done).await?;
        }
        report.verdict = Verdict::Swept;
        Ok(())
    }
}
