//! Many manifests become few: a snapshot of operation `replace` with the same files.
//!
//! Each commit of the connector adds a manifest, and each commit and each reader reads the list of all of them. Here the
//! small ones are written anew, by partition, so that a manifest covers few days; delete manifests stay untouched.
//! [`plan`] says which, purely; [`crate::replace`] writes and commits. Called by `catalog-sync rewrite-manifests` and
//! by [`crate::run`].

mod plan;

use std::collections::BTreeMap;

use iceberg::TableIdent;
use iceberg::spec::{ManifestContentType, ManifestFile, TableMetadata};
use serde::Serialize;

use self::plan::Group;
use crate::catalog::CatalogClient;
use crate::replace::facts::Limits;
use crate::replace::stage::{self, Change, Staged};
use crate::replace::{self, Base, Settled, Work};
pub use crate::replace::{Counts, Error};

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
    let mut rewrite = Rewrite { dry_run, planned: Vec::new() };
    let settled = replace::settle(client, ident, None, &mut rewrite).await?;
    let report = report(ident, &settled, &rewrite.planned);
    if report.verdict == Verdict::Committed {
        tracing::info!(table = %ident, ?report, "rewrote manifests");
    }
    Ok(report)
}

struct Rewrite {
    dry_run: bool,
    planned: Vec<Group>,
}

impl Work for Rewrite {
    type Error = Error;

    async fn stage(&mut self, base: &Base) -> Result<Option<Staged>, Error> {
        let (groups, limits) = groups(base.loaded.metadata(), &base.list)?;
        self.planned = groups;
        if self.planned.is_empty() || self.dry_run {
            return Ok(None);
        }
        let manifests = self.planned.iter().map(|group| (group.spec_id, group.places.clone())).collect();
        Ok(Some(stage::stage(base, Change::manifests(manifests), &limits).await?))
    }

    fn summary(&self, staged: &Staged) -> BTreeMap<String, String> {
        BTreeMap::from([("entries-processed".to_owned(), staged.files.to_string())])
    }
}

/// What is to be rewritten of these manifests, and what one may hold.
fn groups(metadata: &TableMetadata, list: &[ManifestFile]) -> Result<(Vec<Group>, Limits), Error> {
    let limits = Limits::of(metadata.properties()).map_err(Error::Property)?;
    Ok((plan::plan(&stage::facts(metadata, list, ManifestContentType::Data), &limits), limits))
}

/// Manifests of a list whose place fewer would take.
///
/// # Errors
/// [`Error::Property`].
pub(crate) fn replaceable(metadata: &TableMetadata, list: &[ManifestFile]) -> Result<u64, Error> {
    let (groups, _) = groups(metadata, list)?;
    Ok(groups.iter().map(|group| group.places.len() as u64).sum())
}

fn report(table: &TableIdent, settled: &Settled, groups: &[Group]) -> Report {
    let (attempts, before) = (settled.attempts, settled.before);
    if let Some(commit) = settled.commit {
        return Report {
            table: table.to_string(),
            verdict: Verdict::Committed,
            snapshot_id: Some(commit.snapshot_id),
            replaced: commit.replaced,
            created: commit.created,
            attempts,
            before,
            after: commit.after,
        };
    }
    planned(table, attempts, before, groups)
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
