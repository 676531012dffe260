//! The I/O of a replacement: manifests are read, their entries sorted and written into new ones, beside those of the files
//! that come.
//!
//! Entries keep what they are: file, data and file sequence number, and the snapshot that added the file. The entry of a file
//! that goes is kept once more, as deleted. What comes out is counted against what the manifest list says went in, and is
//! not used if it differs. The new manifests are files that no snapshot refers to, under names that nobody else has. Called
//! by [`crate::rewrite`] and [`crate::compact`].

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::TryStreamExt;
use iceberg::spec::{
    DataFile, Datum, FormatVersion, Literal, ManifestContentType, ManifestEntry, ManifestFile, ManifestStatus,
    ManifestWriterBuilder, PartitionSpecRef, PrimitiveType, Struct, StructType, TableMetadata, Type,
    write_data_files_to_avro,
};
use uuid::Uuid;

use super::facts::{Key, Limits, ManifestFact, field_order};
use super::pack::Packer;
use super::{Base, Error};
use crate::manifest::live_entries_of;
use crate::snapshot::{MANIFEST_FILES, new_snapshot_id, write_manifest};
use crate::storage::Store;

/// Entries that are measured, to tell how many a manifest may hold.
const SAMPLE: usize = 100;
/// Bytes of an entry beside its file: status, snapshot, sequence numbers.
const ENTRY_BYTES: u64 = 24;

/// Manifests that were written to take the place of others.
#[derive(Debug)]
pub(crate) struct Staged {
    /// Of the snapshot that will bring them.
    pub(crate) snapshot_id: i64,
    /// The table's sweep epoch before the first one was begun: a later sweep may have deleted them.
    pub(crate) sweep_epoch: String,
    /// The delete manifests that must be the table's; none if they do not matter.
    pub(crate) deletes: Option<BTreeSet<String>>,
    /// Locations of the manifests whose place they take.
    pub(crate) replaced: HashSet<String>,
    /// Locations of manifests that it does not touch and that must be there all the same.
    pub(crate) beside: HashSet<String>,
    /// They themselves.
    pub(crate) created: Vec<ManifestFile>,
    /// Entries that they hold of files that were there and stay.
    pub(crate) files: u64,
}

/// What is to take the place of what.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Manifests to be written anew, by partition spec: their places in the base's list, in the order in which their
    /// partitions begin.
    pub(crate) manifests: Vec<(i32, Vec<usize>)>,
    /// Files that come; they are of the table's default spec.
    pub(crate) added: Vec<DataFile>,
    /// Locations of the files that go; they are in those manifests.
    pub(crate) removed: HashSet<String>,
    /// Locations of manifests that must be there when it is committed, whether or not they are written anew.
    pub(crate) beside: HashSet<String>,
    /// Delete manifests to be written anew, in the same form.
    pub(crate) delete_manifests: Vec<(i32, Vec<usize>)>,
    /// Locations of the delete files that go; they are in those.
    pub(crate) removed_deletes: HashSet<String>,
}

impl Change {
    /// The same files in other manifests.
    pub(crate) fn manifests(manifests: Vec<(i32, Vec<usize>)>) -> Self {
        Self { manifests, ..Self::default() }
    }
}

/// Whether a manifest has entries of files that are there, or may have.
pub(crate) fn has_live(manifest: &ManifestFile) -> bool {
    manifest.has_added_files() || manifest.has_existing_files()
}

/// Locations of the manifests that delete rows of data files; one without a live entry deletes none.
pub(crate) fn deletes(list: &[ManifestFile]) -> BTreeSet<String> {
    let deletes = list.iter().filter(|manifest| manifest.content == ManifestContentType::Deletes && has_live(manifest));
    deletes.map(|manifest| manifest.manifest_path.clone()).collect()
}

/// What the list says of the manifests of data files, or of delete files, that can be rewritten: those whose counts are known,
/// which are not encrypted, and whose partition columns are there still.
pub(crate) fn facts(
    metadata: &TableMetadata,
    list: &[ManifestFile],
    content: ManifestContentType,
) -> Vec<ManifestFact> {
    let mut specs: HashMap<i32, Option<Partitioning>> = HashMap::new();
    let fact = |(place, manifest): (usize, &ManifestFile)| {
        let spec_id = manifest.partition_spec_id;
        let spec = specs.entry(spec_id).or_insert_with(|| Partitioning::of(metadata, spec_id)).as_ref()?;
        let is_plain = manifest.content == content && manifest.key_metadata.is_none();
        let count = |count: Option<u32>| count.map(u64::from);
        let live = count(manifest.added_files_count)? + count(manifest.existing_files_count)?;
        let deleted = count(manifest.deleted_files_count)?;
        let bytes = u64::try_from(manifest.manifest_length).ok()?;
        let lowest = spec.lowest(manifest);
        is_plain.then_some(ManifestFact { place, spec_id, bytes, live, deleted, lowest })
    };
    list.iter().enumerate().filter_map(fact).collect()
}

/// A partition spec, with the types that its values have by the current schema.
struct Partitioning {
    spec: PartitionSpecRef,
    types: StructType,
    order: Vec<usize>,
}

impl Partitioning {
    fn of(metadata: &TableMetadata, spec_id: i32) -> Option<Self> {
        let spec = Arc::clone(metadata.partition_spec_by_id(spec_id)?);
        let types = spec.partition_type(metadata.current_schema()).ok()?;
        let order = field_order(&spec);
        Some(Self { spec, types, order })
    }

    fn primitive(&self, place: usize) -> Option<PrimitiveType> {
        match self.types.fields().get(place)?.field_type.as_ref() {
            Type::Primitive(primitive) => Some(primitive.clone()),
            _ => None,
        }
    }

    fn lowest(&self, manifest: &ManifestFile) -> Key {
        let value = |&place: &usize| {
            let bound = manifest.partitions.as_ref()?.get(place)?.lower_bound.as_ref()?;
            let datum = Datum::try_from_bytes(bound, self.primitive(place)?).ok()?;
            Some(datum.literal().clone())
        };
        Key(self.order.iter().map(value).collect())
    }

    fn key(&self, values: &Struct) -> Key {
        let values: Vec<_> = values.iter().map(|value| value.and_then(Literal::as_primitive_literal)).collect();
        Key(self.order.iter().map(|&place| values.get(place).cloned().flatten()).collect())
    }
}

/// Writes the manifests of a change.
///
/// # Errors
/// [`Error`]: a manifest cannot be read or written, or does not hold what the list says, or not what is to go.
pub(crate) async fn stage(base: &Base, change: Change, limits: &Limits) -> Result<Staged, Error> {
    let (metadata, list) = (base.loaded.metadata(), &base.list);
    let snapshot_id = new_snapshot_id(metadata);
    let (store, attempt) = (&base.store, Uuid::now_v7());
    let mut writing = Writing { metadata, store, snapshot_id, attempt, created: Vec::new() };
    for files in change.added.chunks(MANIFEST_FILES) {
        let files: Vec<&DataFile> = files.iter().collect();
        let location = writing.location();
        writing.created.push(write_manifest(metadata, store, snapshot_id, location, &files).await?);
    }
    let data = (&change.manifests[..], &change.removed);
    let (mut replaced, files) = writing.replace(list, data, limits, ManifestContentType::Data).await?;
    let deletes_of = (&change.delete_manifests[..], &change.removed_deletes);
    replaced.extend(writing.replace(list, deletes_of, limits, ManifestContentType::Deletes).await?.0);
    let removes = !change.removed.is_empty() || !change.removed_deletes.is_empty();
    let deletes = removes.then(|| deletes(list));
    let sweep_epoch = base.facts.sweep_epoch.clone();
    let beside = change.beside.difference(&replaced).cloned().collect();
    Ok(Staged { snapshot_id, sweep_epoch, deletes, replaced, beside, created: writing.created, files })
}

struct Writing<'a> {
    metadata: &'a TableMetadata,
    store: &'a Store,
    snapshot_id: i64,
    attempt: Uuid,
    created: Vec<ManifestFile>,
}

impl Writing<'_> {
    /// Writes the manifests of one kind anew, without the files that go; the locations of the manifests, and the files that stay.
    async fn replace(
        &mut self,
        list: &[ManifestFile],
        (groups, removed): (&[(i32, Vec<usize>)], &HashSet<String>),
        limits: &Limits,
        content: ManifestContentType,
    ) -> Result<(HashSet<String>, u64), Error> {
        let (before, mut replaced, mut gone) = (self.created.len(), HashSet::new(), Tally::default());
        for (spec_id, places) in groups {
            let manifests: Vec<&ManifestFile> = places.iter().filter_map(|&place| list.get(place)).collect();
            replaced.extend(manifests.iter().map(|manifest| manifest.manifest_path.clone()));
            gone = gone.and(&self.group((*spec_id, content), &manifests, limits, removed).await?);
        }
        let from = list.iter().filter(|manifest| replaced.contains(&manifest.manifest_path));
        let kept = Tally::of(self.created.iter().skip(before));
        let (read, written) = (Tally::of(from), kept.and(&gone));
        if gone.files != removed.len() as u64 {
            return Err(Error::NotListed { wanted: removed.len() as u64, found: gone.files });
        }
        if read != written {
            return Err(Error::Miscounted { read: read.to_string(), written: written.to_string() });
        }
        Ok((replaced, kept.files))
    }

    /// Writes the entries of these manifests anew, and tells those that were removed.
    async fn group(
        &mut self,
        (spec_id, content): (i32, ManifestContentType),
        manifests: &[&ManifestFile],
        limits: &Limits,
        removed: &HashSet<String>,
    ) -> Result<Tally, Error> {
        let Some(spec) = Partitioning::of(self.metadata, spec_id) else { return Ok(Tally::default()) };
        let (mut packer, mut gone, mut tally) = (Packer::new(), Vec::new(), Tally::default());
        let mut entries = None;
        let file_io = self.store.file_io();
        let mut read = live_entries_of(manifests, &file_io);
        while let Some((_, live)) = read.try_next().await? {
            for entry in live {
                let entry = Arc::unwrap_or_clone(entry);
                if removed.contains(entry.file_path()) {
                    tally = tally.and(&Tally { files: 1, rows: entry.record_count() });
                    gone.push(entry);
                } else {
                    packer.push(spec.key(entry.data_file().partition()), entry);
                }
            }
            if gone.len() >= MANIFEST_FILES {
                self.write((&spec, content), std::mem::take(&mut gone), ManifestStatus::Deleted).await?;
            }
            if packer.is_full() {
                let entries = match entries {
                    Some(entries) => entries,
                    None => *entries.insert(self.entries(&spec, &packer, limits)?),
                };
                for manifest in packer.overflow(entries) {
                    self.write((&spec, content), manifest, ManifestStatus::Existing).await?;
                }
            }
        }
        let entries = entries.map_or_else(|| self.entries(&spec, &packer, limits), Ok)?;
        for manifest in packer.rest(entries) {
            self.write((&spec, content), manifest, ManifestStatus::Existing).await?;
        }
        if !gone.is_empty() {
            self.write((&spec, content), gone, ManifestStatus::Deleted).await?;
        }
        Ok(tally)
    }

    fn location(&self) -> String {
        format!("{}/metadata/{}-m{}.avro", self.metadata.location(), self.attempt, self.created.len())
    }

    /// How many entries a manifest may hold, by the size that some of them have when written.
    fn entries(&self, spec: &Partitioning, packer: &Packer<ManifestEntry>, limits: &Limits) -> Result<usize, Error> {
        let size = |files: Vec<_>| -> iceberg::Result<u64> {
            let mut bytes = Vec::new();
            write_data_files_to_avro(&mut bytes, files, &spec.types, FormatVersion::V2)?;
            Ok(bytes.len() as u64)
        };
        let step = (packer.held().count() / SAMPLE).max(1);
        let sample: Vec<_> = packer.held().step_by(step).map(|entry| entry.data_file().clone()).collect();
        let (count, empty) = (sample.len() as u64, size(Vec::new())?);
        let entry = (size(sample)?.saturating_sub(empty) / count.max(1)).saturating_add(ENTRY_BYTES);
        let schema = serde_json::to_vec(self.metadata.current_schema()).map_or(0, |text| text.len() as u64);
        Ok(limits.files_of(empty.saturating_add(schema), entry))
    }

    async fn write(
        &mut self,
        (spec, content): (&Partitioning, ManifestContentType),
        entries: Vec<ManifestEntry>,
        status: ManifestStatus,
    ) -> Result<(), Error> {
        let output = self.store.file_io().new_output(self.location())?;
        let (schema, spec) = (Arc::clone(self.metadata.current_schema()), spec.spec.as_ref().clone());
        let builder = ManifestWriterBuilder::new(output, Some(self.snapshot_id), schema, spec);
        let mut writer = match content {
            ManifestContentType::Data => builder.build_v2_data(),
            ManifestContentType::Deletes => builder.build_v2_deletes(),
        };
        for entry in entries {
            let (Some(snapshot_id), Some(sequence_number)) = (entry.snapshot_id(), entry.sequence_number()) else {
                return Err(Error::Unnumbered(entry.file_path().to_owned()));
            };
            let file_sequence_number = entry.file_sequence_number;
            if status == ManifestStatus::Deleted {
                writer.add_delete_file(entry.data_file, sequence_number, file_sequence_number)?;
            } else {
                writer.add_existing_file(entry.data_file, snapshot_id, sequence_number, file_sequence_number)?;
            }
        }
        self.created.push(writer.write_manifest_file().await?);
        Ok(())
    }
}

/// Live files and their rows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    files: u64,
    rows: u64,
}

impl Tally {
    fn and(&self, other: &Self) -> Self {
        Self { files: self.files.saturating_add(other.files), rows: self.rows.saturating_add(other.rows) }
    }

    fn of<'a>(manifests: impl IntoIterator<Item = &'a ManifestFile>) -> Self {
        manifests.into_iter().fold(Self { files: 0, rows: 0 }, |sum, manifest| Self {
            files: [manifest.added_files_count, manifest.existing_files_count]
                .iter()
                .fold(sum.files, |sum, count| sum.saturating_add(count.unwrap_or(0).into())),
            rows: [manifest.added_rows_count, manifest.existing_rows_count]
                .iter()
                .fold(sum.rows, |sum, count| sum.saturating_add(count.unwrap_or(0))),
        })
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} files of {} rows", self.files, self.rows)
    }
}
