//! Many small data files become few: bin-packed by partition, row for row the same.
//!
//! ```text
//!   live    I/O: the files of a base, by partition
//!   plan    pure: which are rewritten together, and into how many
//!   write   I/O: the rows of a group -> new files; compared by `rows`, else nothing is committed
//!   mod     several groups make a commit, by `crate::replace`
//! ```
//!
//! Ingestion goes on meanwhile: a commit is made for the base that it finds, and carries the position of that base. Files of
//! a group must still be live there, all of them; if one is not, somebody else has rewritten or removed it, and the group is
//! given up. If rows were deleted since the files were read, all groups are. A group that cannot be read or written stays as it
//! is, and the others go on. Nothing is deleted here: what was
//! replaced stays for older snapshots, and what was given up belongs to nobody. Called by `catalog-sync compact`.

mod live;
pub mod options;
pub mod plan;
mod report;
mod rows;
mod write;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use iceberg::TableIdent;
use iceberg::spec::{DEFAULT_SCHEMA_NAME_MAPPING, DataFile};
use protocol::Halt;
use serde::Serialize;

use self::live::Inventory;
pub use self::live::Skipped;
use self::options::Options;
use self::plan::{FileGroup, Health, Sizes};
pub use self::report::{Failed, Report, Rewritten, Verdict};
pub use self::write::GroupError;
use self::write::Tools;
use crate::catalog::{CatalogClient, LoadedTable};
use crate::datafile::layout::TableLayout;
use crate::datafile::settings::{SettingsError, WriterSettings};
use crate::replace::facts::Limits;
use crate::replace::stage::{self, Change, Staged};
use crate::replace::{self, Base, Work};

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
    let (_, tools, inventory) = look(client, ident, options).await?;
    let groups = plan::plan(&inventory.files, &tools.sizes);
    let compaction = Report::begin(ident, &inventory, &groups, &tools.sizes);
    Ok(Plan { compaction, partitions: plan::health(&inventory.files, &tools.sizes) })
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
    let (_, tools, inventory) = look(client, ident, options).await?;
    Ok((plan::plan(&inventory.files, &tools.sizes), tools.sizes))
}

async fn look(
    client: &CatalogClient,
    ident: &TableIdent,
    options: &Options,
) -> Result<(Base, Arc<Tools>, Inventory), Error> {
    let base = replace::load(client, ident).await?;
    let tools = Arc::new(tools(&base.loaded, options)?);
    let mut inventory = live::inventory(&base, &tools.layout).await.map_err(replace::Error::from)?;
    if let Some(partitions) = &options.partitions {
        inventory.files.retain(|key, _| partitions.contains(key));
    }
    Ok((base, tools, inventory))
}

/// Compacts a table: what a call leaves is nothing to do for the next, unless every file is wanted, or groups were given up or
/// failed. Dropped in the middle, what was committed is committed, and nothing else has changed.
///
/// # Errors
/// [`Error`]; commits before the error stay.
pub async fn compact(client: &CatalogClient, ident: &TableIdent, options: &Options) -> Result<Report, Error> {
    let (base, tools, inventory) = look(client, ident, options).await?;
    let groups = plan::plan(&inventory.files, &tools.sizes);
    let mut report = Report::begin(ident, &inventory, &groups, &tools.sizes);
    if groups.is_empty() || options.dry_run {
        return Ok(report);
    }
    drop(inventory);
    let per_commit =
        if options.partial_progress { groups.len().div_ceil(options.max_commits.max(1)) } else { NO_PARTS };
    let mut left = groups.chunks(per_commit);
    while let Some(groups) = left.next() {
        let is_first = report.snapshot_ids.is_empty() && report.yielded == 0;
        // Asked before more is written, so that nothing is written in vain.
        if !is_first && !replace::load(client, ident).await?.is_as_read(&base) {
            tracing::warn!(table = %ident, "{GIVEN_UP}");
            report.yielded += left.by_ref().chain([groups]).map(|groups| groups.len() as u64).sum::<u64>();
            break;
        }
        commit(client, ident, &base, &tools, groups, &mut report).await?;
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
    Ok(Tools { layout: Arc::new(layout), settings, sizes, name_mapping })
}

/// Writes these groups and commits them.
async fn commit(
    client: &CatalogClient,
    ident: &TableIdent,
    base: &Base,
    tools: &Arc<Tools>,
    groups: &[FileGroup],
    report: &mut Report,
) -> Result<(), Error> {
    let mut written = Vec::with_capacity(groups.len());
    for group in groups {
        match write::write(base, tools, group).await {
            Ok(files) => {
                let (from, to) = (group.files.len(), files.len());
                tracing::info!(table = %ident, partition = %group.key, from, to, "rewrote files");
                written.push(Written { group, files });
            }
            Err(error) => {
                tracing::error!(table = %ident, partition = %group.key, %error, "files stay as they are");
                report.failed.push(Failed::new(group, &error));
            }
        }
    }
    if written.is_empty() {
        return Ok(());
    }
    let wanted = written.len();
    let mut compaction = Compaction { layout: &tools.layout, read_on: base, written };
    let settled = replace::settle(client, ident, Some(base.facts.uuid.clone()), &mut compaction).await?;
    let landed = if settled.commit.is_some() { compaction.written.len() } else { 0 };
    report.yielded += (wanted - landed) as u64;
    if let Some(commit) = settled.commit {
        report.snapshot_ids.push(commit.snapshot_id);
        compaction.written.iter().for_each(|written| written.count(&mut report.done));
        tracing::info!(table = %ident, snapshot_id = commit.snapshot_id, groups = landed, "committed");
    }
    Ok(())
}

/// A group, and the files that hold its rows.
struct Written<'a> {
    group: &'a FileGroup,
    files: Vec<DataFile>,
}

impl Written<'_> {
    fn count(&self, done: &mut Rewritten) {
        done.groups += 1;
        done.files_before += self.group.files.len() as u64;
        done.files_after += self.files.len() as u64;
        done.bytes_before += self.group.bytes();
        let bytes: u64 = self.files.iter().map(DataFile::file_size_in_bytes).sum();
        *done.bytes_after.get_or_insert(0) += bytes;
        done.rows += self.group.rows();
    }
}

/// Groups that are written and wait to be committed.
struct Compaction<'a> {
    layout: &'a TableLayout,
    /// The base that the files were read on.
    read_on: &'a Base,
    written: Vec<Written<'a>>,
}

impl Work for Compaction<'_> {
    type Error = Error;

    async fn stage(&mut self, base: &Base) -> Result<Option<Staged>, Error> {
        let is_laid_out = TableLayout::new(base.loaded.metadata()).is_ok_and(|layout| layout == *self.layout);
        if !base.is_as_read(self.read_on) || !is_laid_out {
            tracing::warn!(table = %base.loaded.ident(), "{GIVEN_UP}");
            return Ok(None);
        }
        let manifests = self.manifests(base).await?;
        if self.written.is_empty() {
            return Ok(None);
        }
        let change = Change {
            manifests,
            added: self.written.iter().flat_map(|written| &written.files).cloned().collect(),
            removed: self.written.iter().flat_map(locations).map(str::to_owned).collect(),
        };
        let limits = Limits::of(base.loaded.metadata().properties()).map_err(replace::Error::Property)?;
        Ok(Some(stage::stage(base, change, &limits).await?))
    }

    fn summary(&self, _staged: &Staged) -> BTreeMap<String, String> {
        let mut counts = Rewritten::default();
        self.written.iter().for_each(|written| written.count(&mut counts));
        counts.summary()
    }
}

impl Compaction<'_> {
    /// The manifests of the base that list the files; groups of which a file is not live any more are dropped.
    async fn manifests(&mut self, base: &Base) -> Result<Vec<(i32, Vec<usize>)>, Error> {
        let facts = stage::facts(base.loaded.metadata(), &base.list);
        let place_of: HashMap<&str, usize> = facts
            .iter()
            .filter_map(|fact| Some((base.list.get(fact.place)?.manifest_path.as_str(), fact.place)))
            .collect();
        let mut places: HashSet<usize> = HashSet::new();
        let known =
            |written: &Written<'_>| written.group.files.iter().all(|file| place_of.contains_key(&*file.manifest));
        if self.written.iter().all(known) {
            let files = self.written.iter().flat_map(|written| &written.group.files);
            places.extend(files.filter_map(|file| place_of.get(&*file.manifest)));
        } else {
            // Somebody has rewritten manifests, or files.
            let inventory = live::inventory(base, self.layout).await.map_err(replace::Error::from)?;
            let live: HashMap<&str, &str> =
                inventory.files.values().flatten().map(|file| (file.location.as_str(), &*file.manifest)).collect();
            self.written.retain(|written| locations(written).all(|location| live.contains_key(location)));
            let files = self.written.iter().flat_map(locations);
            places.extend(files.filter_map(|location| place_of.get(live.get(location)?)));
        }
        let mut chosen: Vec<_> = facts.iter().filter(|fact| places.contains(&fact.place)).collect();
        chosen.sort_by(|a, b| a.lowest.order(&b.lowest));
        Ok(vec![(self.layout.spec_id(), chosen.iter().map(|fact| fact.place).collect())])
    }
}

fn locations<'a>(written: &'a Written<'_>) -> impl Iterator<Item = &'a str> {
    written.group.files.iter().map(|file| file.location.as_str())
}
