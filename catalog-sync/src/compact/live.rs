//! The I/O before the decision: the live data files of a base, by partition, and how many of them are not touched.
//!
//! A file is left alone if it has another partition spec than the table's default, if it is no Parquet, if it is listed twice or
//! in a manifest that cannot be written anew, or if rows of it may be deleted by a file that [`super::deletes`] does not look
//! into. Position delete files are read, so that it is known which data files they name. Called by [`super::compact`].

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures::TryStreamExt;
use iceberg::spec::{DataFileFormat, ManifestContentType, ManifestEntry, ManifestFile};
use schemas::partition::PartitionKey;
use serde::Serialize;

use super::deletes::{Concern, DeleteFile, Deletes};
use super::filter::Filter;
use super::plan::FileFact;
use crate::datafile::layout::TableLayout;
use crate::deletes::Places;
use crate::manifest::bare_entries_of;
use crate::replace::{Base, stage};

/// Data files that are not touched, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Rows of them may be deleted by equality deletes, or by a delete file that cannot be read or is of another partition.
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
    /// The position delete files.
    pub(super) deletes: Vec<DeleteFile>,
}

/// Reads the manifests of a base, and its position delete files; of the data files only those whose partition the filter takes
/// are counted or told.
///
/// # Errors
/// The `iceberg` crate's: a manifest cannot be read.
pub(super) async fn inventory(
    base: &Base,
    layout: &TableLayout,
    filter: Option<&Filter>,
) -> iceberg::Result<Inventory> {
    let file_io = base.store.file_io();
    let (data, deletes): (Vec<&ManifestFile>, Vec<_>) =
        base.list.iter().partition(|manifest| manifest.content == ManifestContentType::Data);
    let mut deletes = Deletes::read(&deletes, &file_io, layout.spec_id()).await?;
    let facts = stage::facts(base.loaded.metadata(), &base.list, ManifestContentType::Data);
    let plain: HashSet<&str> =
        facts.iter().filter_map(|fact| base.list.get(fact.place)).map(|it| it.manifest_path.as_str()).collect();
    // Order 0 is none.
    let order_id = i32::try_from(base.loaded.metadata().default_sort_order_id()).ok().filter(|id| *id > 0);
    let mut inventory = Inventory::default();
    let mut read = bare_entries_of(&data, &file_io);
    while let Some((manifest, entries)) = read.try_next().await? {
        let is_plain = plain.contains(manifest.manifest_path.as_str());
        let at: Arc<str> = Arc::from(manifest.manifest_path.as_str());
        for entry in &entries {
            let concern = deletes.concern(entry, manifest.partition_spec_id);
            let key = (manifest.partition_spec_id == layout.spec_id())
                .then(|| layout.partition_key(entry.data_file().partition()));
            let key = key.flatten();
            if key.as_ref().zip(filter).is_some_and(|(key, filter)| !filter.holds(key)) {
                continue;
            }
            match key {
                _ if !is_plain => inventory.skipped.of_odd_manifest += 1,
                None => inventory.skipped.of_other_spec += 1,
                Some(key) => {
                    let is_sorted = order_id.is_some() && entry.data_file().sort_order_id() == order_id;
                    inventory.add(entry, key, concern, is_sorted, &at);
                }
            }
        }
    }
    inventory.files.values_mut().for_each(|files| inventory.skipped.of_odd_manifest += drop_doubled(files));
    inventory.deletes = deletes.into_files();
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
        key: PartitionKey,
        concern: Concern,
        is_sorted: bool,
        manifest: &Arc<str>,
    ) {
        if entry.data_file().file_format() != DataFileFormat::Parquet {
            self.skipped.of_other_format += 1;
        } else if concern.is_odd {
            self.skipped.with_deletes += 1;
        } else {
            self.files.entry(key).or_default().push(FileFact {
                location: entry.file_path().to_owned(),
                manifest: Arc::clone(manifest),
                bytes: entry.file_size_in_bytes(),
                rows: entry.record_count(),
                deletes: concern.by,
                deleted_rows: concern.rows,
                is_sorted,
                repeats: Places::new(),
                witnesses: Vec::new(),
            });
        }
    }
}
