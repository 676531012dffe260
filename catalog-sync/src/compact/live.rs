//! The I/O before the decision: the live data files of a base, by partition, and how many of them are not touched.
//!
//! A file is left alone if it has another partition spec than the table's default, if it is no Parquet, if it is listed twice or
//! in a manifest that cannot be written anew, or if rows of it may be deleted: only manifests and what they say of partitions and
//! sequence numbers is looked at, no delete file is opened, so that a file may be left alone that has no deleted row. Called by
//! [`super::compact`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::TryStreamExt;
use iceberg::spec::{DataFileFormat, ManifestContentType, ManifestEntry, ManifestFile, Struct};
use schemas::partition::PartitionKey;
use serde::Serialize;

use super::plan::FileFact;
use crate::datafile::layout::TableLayout;
use crate::manifest::live_entries_of;
use crate::replace::{Base, stage};

/// Data files that are not touched, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Rows of them may be deleted.
    pub with_deletes: u64,
    /// They have another partition spec than the table's default, or values that do not fit it.
    pub of_other_spec: u64,
    /// They are no Parquet.
    pub of_other_format: u64,
    /// They are listed twice, or their manifest is encrypted or does not count its entries.
    pub of_odd_manifest: u64,
}

/// The data files of a base.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// Those that may be rewritten, in the order of the manifests.
    pub(super) files: BTreeMap<PartitionKey, Vec<FileFact>>,
    /// The others.
    pub(super) skipped: Skipped,
}

/// For each partition, the highest sequence number of a delete file; one of another partition spec is for all of them.
#[derive(Debug, Default)]
struct Deletes {
    everywhere: Option<i64>,
    by_partition: HashMap<Struct, i64>,
}

impl Deletes {
    fn add(&mut self, entry: &ManifestEntry, has_spec: bool) {
        // Unknown is taken for the latest.
        let sequence_number = entry.sequence_number().unwrap_or(i64::MAX);
        let partition = entry.data_file().partition();
        let latest = match has_spec && !partition.fields().is_empty() {
            false => self.everywhere.get_or_insert(sequence_number),
            true => self.by_partition.entry(partition.clone()).or_insert(sequence_number),
        };
        *latest = (*latest).max(sequence_number);
    }

    /// Whether one of them may delete rows of this file.
    fn concern(&self, entry: &ManifestEntry) -> bool {
        let latest = self.everywhere.max(self.by_partition.get(entry.data_file().partition()).copied());
        latest.is_some_and(|latest| entry.sequence_number().is_none_or(|at| at <= latest))
    }
}

/// Reads the manifests of a base.
///
/// # Errors
/// The `iceberg` crate's: a manifest cannot be read.
pub(super) async fn inventory(base: &Base, layout: &TableLayout) -> iceberg::Result<Inventory> {
    let file_io = base.store.file_io();
    let (data, deletes): (Vec<&ManifestFile>, Vec<_>) =
        base.list.iter().partition(|manifest| manifest.content == ManifestContentType::Data);
    let has_spec = |manifest: &ManifestFile| manifest.partition_spec_id == layout.spec_id();
    let mut known = Deletes::default();
    let mut read = live_entries_of(&deletes, &file_io);
    while let Some((manifest, entries)) = read.try_next().await? {
        entries.iter().for_each(|entry| known.add(entry, has_spec(manifest)));
    }
    let facts = stage::facts(base.loaded.metadata(), &base.list);
    let plain: HashSet<&str> =
        facts.iter().filter_map(|fact| base.list.get(fact.place)).map(|it| it.manifest_path.as_str()).collect();
    let mut inventory = Inventory::default();
    let mut read = live_entries_of(&data, &file_io);
    while let Some((manifest, entries)) = read.try_next().await? {
        if !plain.contains(manifest.manifest_path.as_str()) {
            inventory.skipped.of_odd_manifest += entries.len() as u64;
            continue;
        }
        let at: Arc<str> = Arc::from(manifest.manifest_path.as_str());
        for entry in &entries {
            inventory.add(entry, has_spec(manifest), &known, layout, &at);
        }
    }
    inventory.files.values_mut().for_each(|files| inventory.skipped.of_odd_manifest += drop_doubled(files));
    Ok(inventory)
}

/// Takes out the files that are listed twice; how many entries those are.
fn drop_doubled(files: &mut Vec<FileFact>) -> u64 {
    let (mut seen, mut doubled) = (HashSet::new(), HashSet::new());
    for file in files.iter() {
        if !seen.insert(file.location.as_str()) {
            doubled.insert(file.location.clone());
        }
    }
    let before = files.len();
    if !doubled.is_empty() {
        files.retain(|file| !doubled.contains(&file.location));
    }
    (before - files.len()) as u64
}

impl Inventory {
    fn add(
        &mut self,
        entry: &ManifestEntry,
        has_spec: bool,
        deletes: &Deletes,
        layout: &TableLayout,
        manifest: &Arc<str>,
    ) {
        let key = has_spec.then(|| layout.partition_key(entry.data_file().partition())).flatten();
        let Some(key) = key else {
            self.skipped.of_other_spec += 1;
            return;
        };
        if entry.data_file().file_format() != DataFileFormat::Parquet {
            self.skipped.of_other_format += 1;
        } else if deletes.concern(entry) {
            self.skipped.with_deletes += 1;
        } else {
            self.files.entry(key).or_default().push(FileFact {
                location: entry.file_path().to_owned(),
                manifest: Arc::clone(manifest),
                bytes: entry.file_size_in_bytes(),
                rows: entry.record_count(),
            });
        }
    }
}
