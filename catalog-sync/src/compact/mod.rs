//! Many small data files become few: bin-packed by partition, row for row the same, or sorted, or without repeats.
//!
//! ```text
//!   live    I/O: the files of a base, by partition
//!   deletes I/O: which delete files concern which of them
//!   filter  pure: which partitions
//!   repeats I/O: which rows repeat an event, if that is asked for
//!   plan    pure: which are rewritten together, and into how many
//!   jobs    pure: which come first
//!   read    I/O: the rows of a group, by their places
//!   sort    the rows in an order, as `order` says
//!   write   I/O: these rows -> new files, by `encode`; compared by `rows`, else nothing is committed
//!   commit  several groups make a commit, by `crate::replace`
//! ```
//!
//! Ingestion goes on meanwhile: a commit is made for the base that it finds, and carries the position of that base. A group whose
//! files are not live any more is given up; if somebody else deleted rows since the files were read, all groups are. A group that
//! cannot be read or written stays as it is, and the others go on. Nothing is deleted in the store: what was replaced stays for
//! older snapshots, and what was given up belongs to nobody. Called by `catalog-sync compact`.

mod commit;
mod deletes;
mod encode;
pub mod filter;
pub mod jobs;
mod live;
pub mod options;
pub mod order;
pub mod plan;
mod read;
mod repeats;
mod report;
mod rows;
mod sort;
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
pub(crate) use self::report::{APPLIED_KEY, DEDUPLICATED_KEY};
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

impl Error {
    /// Whether another commit may succeed where this one did not.
    fn is_passing(&self) -> bool {
        matches!(self, Self::Replace(replace::Error::TooFast(_) | replace::Error::Unsettled(_)))
    }
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
    let (reading, inventory, compaction, _) = look(client, ident, options).await?;
    Ok(Plan { compaction, partitions: plan::health(&inventory.files, &reading.tools.sizes) })
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
    let (reading, _, _, groups) = look(client, ident, options).await?;
    Ok((groups, reading.tools.sizes))
}

/// The table, what is to be done, and a report of nothing done.
async fn look(
    client: &CatalogClient,
    ident: &TableIdent,
    options: &Options,
) -> Result<(Reading, Inventory, Report, Vec<FileGroup>), Error> {
    let base = replace::load(client, ident).await?;
    let tools = Arc::new(tools(&base.loaded, options)?);
    let mut inventory =
        live::inventory(&base, &tools.layout, options.filter.as_ref()).await.map_err(replace::Error::from)?;
    if let Some(partitions) = &options.partitions {
        inventory.files.retain(|key, _| partitions.contains(key));
    }
    let deletes = std::mem::take(&mut inventory.deletes);
    let (left, delete_manifests) = (Left::new(&deletes), stage::deletes(&base.list));
    let reading = Reading { base, tools, deletes, delete_manifests, left, rewritten: HashSet::new() };
    let failed = match options.dedupe {
        true => mark_repeats(&reading, &mut inventory, options.sort_memory_bytes).await,
        false => Vec::new(),
    };
    let sizes = &reading.tools.sizes;
    let groups = plan::plan(&inventory.files, sizes);
    let groups = jobs::choose(groups, options.job_order, options.max_files_to_rewrite, sizes);
    let report = Report::begin(ident, &inventory, &groups, &reading, failed);
    Ok((reading, inventory, report, groups))
}

/// Marks the rows that repeat an event, among as many files of a partition as a group may have; where that fails, and why.
async fn mark_repeats(reading: &Reading, inventory: &mut Inventory, memory_bytes: u64) -> Vec<Failed> {
    let mut failed = Vec::new();
    for (key, files) in &mut inventory.files {
        let lengths: Vec<usize> = plan::bins(files, &reading.tools.sizes).map(<[_]>::len).collect();
        let mut left = &mut files[..];
        for length in lengths {
            let Some((bin, rest)) = left.split_at_mut_checked(length) else { break };
            if let Err(error) = repeats::mark(reading, bin, memory_bytes).await {
                tracing::error!(partition = %key, %error, "not looked at for repeats");
                failed.push(Failed::new(key, bin, &error));
            }
            left = rest;
        }
    }
    failed
}

/// Compacts a table: what a call leaves is nothing to do for the next, unless every file is wanted, or groups were given up or
/// failed. Dropped in the middle, what was committed is committed, and nothing else has changed.
///
/// # Errors
/// [`Error`]; commits before the error stay.
pub async fn compact(client: &CatalogClient, ident: &TableIdent, options: &Options) -> Result<Report, Error> {
    let (mut reading, inventory, mut report, groups) = look(client, ident, options).await?;
    drop(inventory);
    if report.verdict != Verdict::Planned || options.dry_run {
        return Ok(report);
    }
    let per_commit =
        if options.partial_progress { groups.len().div_ceil(options.max_commits.max(1)) } else { NO_PARTS };
    let mut may_fail = if options.partial_progress { options.max_failed_commits } else { 0 };
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
        match commit(client, ident, &mut reading, groups, &mut report).await {
            Err(error) if may_fail > 0 && error.is_passing() => {
                tracing::error!(table = %ident, %error, "a commit failed, going on with the next groups");
                may_fail -= 1;
                report.failed.extend(groups.iter().map(|group| Failed::new(&group.key, &group.files, &error)));
            }
            committed => committed?,
        }
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
    let sort = options.sort(metadata).map_err(Error::Options)?;
    // Only the table's own order can be told of a file.
    let is_told = sort.as_ref().is_some_and(|sort| sort.order_id.is_some());
    let sizes = Sizes { sort: is_told, ..options.sizes(settings.target_file_bytes()).map_err(Error::Options)? };
    let name_mapping = metadata.properties().get(DEFAULT_SCHEMA_NAME_MAPPING);
    let name_mapping = name_mapping.map(|text| serde_json::from_str(text).map(Arc::new)).transpose();
    let name_mapping = name_mapping.map_err(|error| Error::NameMapping(error.to_string()))?;
    let at_once = options.max_concurrent_rewrites.max(1);
    Ok(Tools { layout: Arc::new(layout), settings, sizes, name_mapping, sort, at_once })
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
    let (mut written, mut failed) = (Vec::with_capacity(groups.len()), Vec::new());
    while let Some((group, new)) = rewrites.next().await {
        match new {
            Ok(new) => {
                let (from, to) = (group.files.len(), new.files.len());
                tracing::info!(table = %ident, partition = %group.key, from, to, "rewrote files");
                written.push(Written { group, new });
            }
            Err(error) => {
                tracing::error!(table = %ident, partition = %group.key, %error, "files stay as they are");
                failed.push(Failed::new(&group.key, &group.files, &error));
            }
        }
    }
    drop(rewrites);
    if written.is_empty() && !groups.is_empty() {
        report.failed.extend(failed);
        return Ok(());
    }
    let (wanted, uuid) = (written.len(), reading.base.facts.uuid.clone());
    let mut compaction = Compaction::new(reading, written);
    let settled = replace::settle(client, ident, Some(uuid), &mut compaction).await?;
    report.failed.extend(failed);
    let landed = if settled.commit.is_some() { compaction.written.len() } else { 0 };
    report.yielded += (wanted - landed) as u64;
    if let Some(commit) = settled.commit {
        report.snapshot_ids.push(commit.snapshot_id);
        report.done.add(&compaction.counts());
        tracing::info!(table = %ident, snapshot_id = commit.snapshot_id, groups = landed, "committed");
        let (left, rewritten) = (compaction.left(), compaction.locations());
        (reading.delete_manifests, reading.left) = (compaction.delete_manifests, left);
        reading.rewritten.extend(rewritten);
    }
    Ok(())
}
