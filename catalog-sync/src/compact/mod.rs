//! Many small data files become few: bin-packed by partition, row for row the same.
//!
//! ```text
//!   live    I/O: the files of a base, by partition
//!   deletes I/O: which delete files concern which of them
//!   filter  pure: which partitions
//!   plan    pure: which are rewritten together, and into how many
//!   read    I/O: the rows of a group, without those that are deleted
//!   write   I/O: these rows -> new files; compared by `rows`, else nothing is committed
//!   commit  several groups make a commit, by `crate::replace`
//! ```
//!
//! Ingestion goes on meanwhile: a commit is made for the base that it finds, and carries the position of that base. A group whose
//! files are not live any more is given up; if somebody else deleted rows since the files were read, all groups are. A group that
//! cannot be read or written stays as it is, and the others go on. Nothing is deleted in the store: what was replaced stays for
//! older snapshots, and what was given up belongs to nobody. Called by `catalog-sync compact`.

mod commit;
mod deletes;
pub mod filter;
mod live;
pub mod options;
pub mod plan;
mod read;
mod report;
mod rows;
mod write;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, stream};
use iceberg::TableIdent;
use iceberg::spec::DEFAULT_SCHEMA_NAME_MAPPING;
use protocol::Halt;
use serde::Serialize;

use self::commit::{Compaction, Reading, Written};
use self::deletes::Left;
use self::live::Inventory;
pub use self::live::Skipped;
use self::options::Options;
use self::plan::{FileGroup, Health, Sizes};
pub(crate) use self::report::APPLIED_KEY;
pub use self::report::{Failed, Report, Rewritten, Verdict};
pub use self::write::GroupError;
use self::write::Tools;
use crate::catalog::{CatalogClient, LoadedTable};
use crate::datafile::layout::TableLayout;
use crate::datafile::settings::{SettingsError, WriterSettings};
use crate::replace::{self, stage};

/// Why groups are given up that were read before.
const GIVEN_UP: &str =
    "rows were deleted, the table changed or an orphan sweep ran since the files were read: giving up";

/// Groups of a commit when all are done before the first.
const NO_PARTS: usize = usize::MAX;

/// The table was not compacted, or only in part, or it is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The table cannot be loaded, or the commit did not land.
    #[error(transparent)]
    Replace(#[from] replace::Error),
    /// It is not a table of events.
    #[error("the table cannot be compacted: {0}")]
    Table(Halt),
    /// It has columns that this program does not write, and whose values would be lost.
    #[error("the table cannot be compacted: it has columns that no event has, and their values would be lost: {0}")]
    Columns(String),
    /// Its properties cannot be followed.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The options contradict each other.
    #[error("{0}")]
    Options(String),
    /// Names of columns cannot be mapped to ids.
    #[error("table property {DEFAULT_SCHEMA_NAME_MAPPING} cannot be read: {0}")]
    NameMapping(String),
}

/// What a compaction would do, and how the table is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// What [`compact`] would report of a dry run.
    pub compaction: Report,
    /// Those with the most small files first.
    pub partitions: Vec<Health>,
}

/// Plans a compaction and looks at each partition.
///
/// # Errors
/// [`Error`].
pub async fn plan(client: &CatalogClient, ident: &TableIdent, options: &Options) -> Result<Plan, Error> {
    let (reading, inventory) = look(client, ident, options).await?;
    let sizes = &reading.tools.sizes;
    let groups = plan::plan(&inventory.files, sizes);
    let compaction = Report::begin(ident, &inventory, &groups, &reading);
    Ok(Plan { compaction, partitions: plan::health(&inventory.files, sizes) })
}

/// The groups of files that a compaction would rewrite, and what it goes by.
///
/// # Errors
/// [`Error`].
pub async fn groups(
    client: &CatalogClient,
    ident: &TableIdent,
    options: &Options,
) -> Result<(Vec<FileGroup>, Sizes), Error> {
    let (reading, inventory) = look(client, ident, options).await?;
    let sizes = reading.tools.sizes;
    Ok((plan::plan(&inventory.files, &sizes), sizes))
}

async fn look(client: &CatalogClient, ident: &TableIdent, options: &Options) -> Result<(Reading, Inventory), Error> {
    let base = replace::load(client, ident).await?;
    let tools = Arc::new(tools(&base.loaded, options)?);
    let mut inventory =
        live::inventory(&base, &tools.layout, options.filter.as_ref()).await.map_err(replace::Error::from)?;
    if let Some(partitions) = &options.partitions {
        inventory.files.retain(|key, _| partitions.contains(key));
    }
    let deletes = std::mem::take(&mut inventory.deletes);
    let (left, delete_manifests) = (Left::new(&deletes), stage::deletes(&base.list));
    Ok((Reading { base, tools, deletes, delete_manifests, left }, inventory))
}

/// Compacts a table: what a call leaves is nothing to do for the next, unless every file is wanted, or groups were given up or
/// failed. Dropped in the middle, what was committed is committed, and nothing else has changed.
///
/// # Errors
/// [`Error`]; commits before the error stay.
pub async fn compact(client: &CatalogClient, ident: &TableIdent, options: &Options) -> Result<Report, Error> {
    let (mut reading, inventory) = look(client, ident, options).await?;
    let groups = plan::plan(&inventory.files, &reading.tools.sizes);
    let mut report = Report::begin(ident, &inventory, &groups, &reading);
    if report.verdict == Verdict::NothingToGain || options.dry_run {
        return Ok(report);
    }
    drop(inventory);
    let per_commit =
        if options.partial_progress { groups.len().div_ceil(options.max_commits.max(1)) } else { NO_PARTS };
    // Without a group there may still be delete files that delete nothing.
    let mut left = if groups.is_empty() { vec![&groups[..]] } else { groups.chunks(per_commit).collect() }.into_iter();
    while let Some(groups) = left.next() {
        let is_first = report.snapshot_ids.is_empty() && report.yielded == 0;
        // Asked before more is written, so that nothing is written in vain.
        if !is_first && !reading.is_current(&replace::load(client, ident).await?) {
            tracing::warn!(table = %ident, "{GIVEN_UP}");
            report.yielded += left.by_ref().chain([groups]).map(|groups| groups.len() as u64).sum::<u64>();
            break;
        }
        commit(client, ident, &mut reading, groups, &mut report).await?;
    }
    report.verdict = match (report.snapshot_ids.is_empty(), report.failed.is_empty()) {
        (false, _) => Verdict::Committed,
        (true, true) => Verdict::Yielded,
        (true, false) => Verdict::Failed,
    };
    Ok(report)
}

fn tools(loaded: &LoadedTable, options: &Options) -> Result<Tools, Error> {
    let metadata = loaded.metadata();
    let layout = TableLayout::new(metadata).map_err(Error::Table)?;
    let ours: HashSet<i32> = layout.columns().iter().map(|column| column.field_id).collect();
    let fields = metadata.current_schema().as_struct().fields();
    let others: Vec<&str> =
        fields.iter().filter(|field| !ours.contains(&field.id)).map(|field| field.name.as_str()).collect();
    if !others.is_empty() {
        return Err(Error::Columns(others.join(", ")));
    }
    let settings = WriterSettings::new(metadata.properties(), &BTreeMap::new())?;
    let sizes = options.sizes(settings.target_file_bytes()).map_err(Error::Options)?;
    let name_mapping = metadata.properties().get(DEFAULT_SCHEMA_NAME_MAPPING);
    let name_mapping = name_mapping.map(|text| serde_json::from_str(text).map(Arc::new)).transpose();
    let name_mapping = name_mapping.map_err(|error| Error::NameMapping(error.to_string()))?;
    let at_once = options.max_concurrent_rewrites.max(1);
    Ok(Tools { layout: Arc::new(layout), settings, sizes, name_mapping, at_once })
}

/// Writes these groups and commits them.
async fn commit(
    client: &CatalogClient,
    ident: &TableIdent,
    reading: &mut Reading,
    groups: &[FileGroup],
    report: &mut Report,
) -> Result<(), Error> {
    let (of, at_once) = (&*reading, reading.tools.at_once);
    let rewrites: Vec<_> = groups.iter().map(|group| async move { (group, write::write(of, group).await) }).collect();
    let mut rewrites = stream::iter(rewrites).buffered(at_once);
    let mut written = Vec::with_capacity(groups.len());
    while let Some((group, new)) = rewrites.next().await {
        match new {
            Ok(new) => {
                let (from, to) = (group.files.len(), new.files.len());
                tracing::info!(table = %ident, partition = %group.key, from, to, "rewrote files");
                written.push(Written { group, new });
            }
            Err(error) => {
                tracing::error!(table = %ident, partition = %group.key, %error, "files stay as they are");
                report.failed.push(Failed::new(group, &error));
            }
        }
    }
    drop(rewrites);
    if written.is_empty() && !groups.is_empty() {
        return Ok(());
    }
    let (wanted, uuid) = (written.len(), reading.base.facts.uuid.clone());
    let mut compaction = Compaction::new(reading, written);
    let settled = replace::settle(client, ident, Some(uuid), &mut compaction).await?;
    let landed = if settled.commit.is_some() { compaction.written.len() } else { 0 };
    report.yielded += (wanted - landed) as u64;
    if let Some(commit) = settled.commit {
        report.snapshot_ids.push(commit.snapshot_id);
        report.done.add(&compaction.counts());
        tracing::info!(table = %ident, snapshot_id = commit.snapshot_id, groups = landed, "committed");
        let left = compaction.left();
        (reading.delete_manifests, reading.left) = (compaction.delete_manifests, left);
    }
    Ok(())
}
