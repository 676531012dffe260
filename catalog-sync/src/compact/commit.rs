//! Groups that are rewritten, as one commit, on whatever base it meets.
//!
//! Files of a group must still be live, all of them; if one is not, somebody else has rewritten or removed it, and the group is
//! given up. If rows were deleted since the files were read, all groups are: the new files would bring them back. Delete files
//! that name no live data file afterwards go in the same snapshot. Called by [`super::compact`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::TryStreamExt;
use iceberg::spec::{DataFile, ManifestContentType, Operation};

use super::deletes::{DeleteFile, Left};
use super::plan::FileGroup;
use super::report::Rewritten;
use super::write::{New, Tools};
use super::{Error, GIVEN_UP, live};
use crate::datafile::layout::TableLayout;
use crate::manifest::live_entries_of;
use crate::replace::facts::Limits;
use crate::replace::stage::{self, Change, Staged};
use crate::replace::{self, Base, Work};

/// What the files are read on, and what has become of it by commits of this call.
pub(super) struct Reading {
    pub(super) base: Base,
    pub(super) tools: Arc<Tools>,
    pub(super) deletes: Vec<DeleteFile>,
    /// The delete manifests that the table has if nobody else has deleted rows.
    pub(super) delete_manifests: BTreeSet<String>,
    pub(super) left: Left,
    /// Files that commits of this call have replaced.
    pub(super) rewritten: HashSet<String>,
}

impl Reading {
    /// Whether what was read is still what the table says on this base.
    pub(super) fn is_current(&self, base: &Base) -> bool {
        base.is_as_read(&self.base, &self.delete_manifests)
    }
}

/// A group, and the files that hold its rows.
pub(super) struct Written<'a> {
    pub(super) group: &'a FileGroup,
    pub(super) new: New,
}

impl Written<'_> {
    pub(super) fn count(&self, done: &mut Rewritten) {
        done.groups += 1;
        done.files_before += self.group.files.len() as u64;
        done.files_after += self.new.files.len() as u64;
        done.bytes_before += self.group.bytes();
        let bytes: u64 = self.new.files.iter().map(DataFile::file_size_in_bytes).sum();
        *done.bytes_after.get_or_insert(0) += bytes;
        done.rows += self.group.rows();
        done.deleted_rows += self.new.deleted;
        done.repeats += self.new.repeats;
    }
}

/// Groups that are written and wait to be committed.
pub(super) struct Compaction<'a> {
    pub(super) reading: &'a Reading,
    pub(super) written: Vec<Written<'a>>,
    /// Delete files that go.
    gone: Vec<usize>,
    /// Manifests of the files that have the rows which repeats repeat.
    beside: HashSet<String>,
    /// The table's delete manifests afterwards.
    pub(super) delete_manifests: BTreeSet<String>,
}

impl Work for Compaction<'_> {
    type Error = Error;

    async fn stage(&mut self, base: &Base) -> Result<Option<Staged>, Error> {
        let is_laid_out =
            TableLayout::new(base.loaded.metadata()).is_ok_and(|layout| layout == *self.reading.tools.layout);
        if !self.reading.is_current(base) || !is_laid_out {
            tracing::warn!(table = %base.loaded.ident(), "{GIVEN_UP}");
            return Ok(None);
        }
        let manifests = self.manifests(base).await?;
        let delete_manifests = self.dangling(base).await?;
        if self.written.is_empty() && self.gone.is_empty() {
            return Ok(None);
        }
        let change = Change {
            manifests,
            added: self.written.iter().flat_map(|written| &written.new.files).cloned().collect(),
            removed: self.locations().into_iter().collect(),
            delete_manifests,
            beside: self.beside.clone(),
            removed_deletes: self.gone_files().map(|file| file.location.clone()).collect(),
        };
        let limits = Limits::of(base.loaded.metadata().properties()).map_err(replace::Error::Property)?;
        let staged = stage::stage(base, change, &limits).await?;
        self.delete_manifests = staged.deletes_after();
        Ok(Some(staged))
    }

    fn operation(&self) -> Operation {
        // Rows go: who reads the table's changes must not pass over it.
        if self.counts().repeats > 0 { Operation::Overwrite } else { Operation::Replace }
    }

    fn summary(&self, _staged: &Staged) -> BTreeMap<String, String> {
        self.counts().summary(self.gone_files())
    }
}

impl<'a> Compaction<'a> {
    pub(super) fn new(reading: &'a Reading, written: Vec<Written<'a>>) -> Self {
        Self { reading, written, gone: Vec::new(), beside: HashSet::new(), delete_manifests: BTreeSet::new() }
    }

    /// What it does.
    pub(super) fn counts(&self) -> Rewritten {
        let mut counts = Rewritten { delete_files: self.gone.len() as u64, ..Rewritten::default() };
        self.written.iter().for_each(|written| written.count(&mut counts));
        counts
    }

    /// What is left to be deleted when it is done.
    pub(super) fn left(&self) -> Left {
        self.reading.left.without(self.written.iter().flat_map(|written| &written.group.files))
    }

    /// The data files that go.
    pub(super) fn locations(&self) -> Vec<String> {
        self.written.iter().flat_map(locations).map(str::to_owned).collect()
    }

    fn gone_files(&self) -> impl Iterator<Item = &DeleteFile> {
        self.gone.iter().filter_map(|&place| self.reading.deletes.get(place))
    }

    /// The manifests of the base that list the files; groups of which a file is not live any more are dropped.
    async fn manifests(&mut self, base: &Base) -> Result<Vec<(i32, Vec<usize>)>, Error> {
        let layout = &self.reading.tools.layout;
        let facts = stage::facts(base.loaded.metadata(), &base.list, ManifestContentType::Data);
        let place_of: HashMap<&str, usize> = facts
            .iter()
            .filter_map(|fact| Some((base.list.get(fact.place)?.manifest_path.as_str(), fact.place)))
            .collect();
        let mut places: HashSet<usize> = HashSet::new();
        let known = |written: &Written<'_>| {
            written.group.files.iter().all(|file| {
                let witnesses = file.witnesses.iter().map(|(_, manifest)| manifest);
                [&file.manifest].into_iter().chain(witnesses).all(|manifest| place_of.contains_key(&**manifest))
            })
        };
        if self.written.iter().all(known) {
            let files = self.written.iter().flat_map(|written| &written.group.files);
            places.extend(files.clone().filter_map(|file| place_of.get(&*file.manifest)));
            self.beside = files.flat_map(|file| &file.witnesses).map(|(_, manifest)| manifest.to_string()).collect();
        } else {
            // Somebody has rewritten manifests, or files.
            let inventory = live::inventory(base, layout, None).await.map_err(replace::Error::from)?;
            let live: HashMap<&str, &str> =
                inventory.files.values().flatten().map(|file| (file.location.as_str(), &*file.manifest)).collect();
            self.written.retain(|written| locations(written).all(|location| live.contains_key(location)));
            // Of an event that is there twice one row must be left.
            let rewritten = &self.reading.rewritten;
            let is_there = |(location, _): &(String, _)| live.contains_key(&**location) || rewritten.contains(location);
            self.written.retain(|written| written.group.files.iter().flat_map(|file| &file.witnesses).all(is_there));
            let files = self.written.iter().flat_map(locations);
            places.extend(files.filter_map(|location| place_of.get(live.get(location)?)));
            let files = self.written.iter().flat_map(|written| &written.group.files);
            let witnesses = files.flat_map(|file| &file.witnesses).filter_map(|(location, _)| live.get(&**location));
            self.beside = witnesses.map(|manifest| (*manifest).to_owned()).collect();
        }
        let mut chosen: Vec<_> = facts.iter().filter(|fact| places.contains(&fact.place)).collect();
        chosen.sort_by(|a, b| a.lowest.order(&b.lowest));
        Ok(vec![(layout.spec_id(), chosen.iter().map(|fact| fact.place).collect())])
    }

    /// Finds the delete files that go, and the manifests of the base that list them, by partition spec.
    async fn dangling(&mut self, base: &Base) -> Result<Vec<(i32, Vec<usize>)>, Error> {
        let files = self.written.iter().flat_map(|written| &written.group.files);
        let dangling: HashMap<&str, usize> = self
            .reading
            .left
            .dangling(files)
            .into_iter()
            .filter_map(|place| Some((self.reading.deletes.get(place)?.location.as_str(), place)))
            .collect();
        self.gone.clear();
        let mut places: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        if dangling.is_empty() {
            return Ok(Vec::new());
        }
        let facts = stage::facts(base.loaded.metadata(), &base.list, ManifestContentType::Deletes);
        let plain: Vec<_> = facts.iter().filter_map(|fact| Some((fact, base.list.get(fact.place)?))).collect();
        let manifests: Vec<_> = plain.iter().map(|(_, manifest)| *manifest).collect();
        let file_io = base.store.file_io();
        let mut read = live_entries_of(&manifests, &file_io);
        let mut facts = plain.iter().map(|(fact, _)| fact);
        while let (Some((_, entries)), Some(fact)) =
            (read.try_next().await.map_err(replace::Error::from)?, facts.next())
        {
            let found: Vec<usize> =
                entries.iter().filter_map(|entry| dangling.get(entry.file_path())).copied().collect();
            if !found.is_empty() {
                places.entry(fact.spec_id).or_default().push(fact.place);
                self.gone.extend(found);
            }
        }
        Ok(places.into_iter().collect())
    }
}

fn locations<'a>(written: &'a Written<'_>) -> impl Iterator<Item = &'a str> {
    written.group.files.iter().map(|file| file.location.as_str())
}
