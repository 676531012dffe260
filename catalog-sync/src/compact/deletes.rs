//! Which delete files concern which data files, and which of them delete nothing any more.
//!
//! A position delete file is read, and what it names is what it concerns: a data file of its own partition that is no younger.
//! What equality deletes concern cannot be told without reading every row, so they concern all older files of their partition;
//! so does a position delete file that is no Parquet or cannot be read. Called by [`super::live`], which goes through the table,
//! by [`super::read`], which leaves deleted rows out, and by [`super::commit`], which removes delete files.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::io::FileIO;
use iceberg::spec::{DataContentType, DataFileFormat, ManifestEntry, ManifestEntryRef, ManifestFile, Struct};

use super::plan::FileFact;
use crate::deletes::{self, Places};
use crate::manifest::live_entries_of;

/// Delete files that are read at once.
const AT_ONCE: usize = 8;

/// A position delete file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeleteFile {
    pub(super) location: String,
    pub(super) bytes: u64,
    /// Rows that it deletes, by its manifest.
    pub(super) records: u64,
    /// Live data files that it names.
    pub(super) names: u64,
    sequence_number: i64,
    spec_id: i32,
    partition: Struct,
}

/// What delete files say of one data file.
#[derive(Debug, Default)]
pub(super) struct Concern {
    /// Places of the position delete files that name it.
    pub(super) by: Vec<usize>,
    /// Rows that these delete, those twice that two of them name.
    pub(super) rows: u64,
    /// It may have deleted rows that are not known.
    pub(super) is_odd: bool,
}

/// The delete files of a table.
#[derive(Debug, Default)]
pub(super) struct Deletes {
    files: Vec<DeleteFile>,
    /// By data file: who names it, and how often.
    names: HashMap<String, Vec<(usize, u64)>>,
    unknown: Unknown,
}

/// For each partition, up to which sequence number data files may have deleted rows that are not known.
#[derive(Debug, Default)]
struct Unknown {
    everywhere: Option<i64>,
    by_partition: HashMap<Struct, i64>,
}

impl Unknown {
    fn add(&mut self, entry: &ManifestEntry, has_spec: bool) {
        // Unknown is taken for the latest. Equality deletes are for older files only, position deletes for those of their own
        // commit as well.
        let latest = entry.sequence_number().unwrap_or(i64::MAX);
        let latest = latest.saturating_sub((entry.content_type() == DataContentType::EqualityDeletes).into());
        let partition = entry.data_file().partition();
        let known = match has_spec && !partition.fields().is_empty() {
            false => self.everywhere.get_or_insert(latest),
            true => self.by_partition.entry(partition.clone()).or_insert(latest),
        };
        *known = (*known).max(latest);
    }

    fn concern(&self, entry: &ManifestEntry) -> bool {
        let latest = self.everywhere.max(self.by_partition.get(entry.data_file().partition()).copied());
        latest.is_some_and(|latest| entry.sequence_number().is_none_or(|at| at <= latest))
    }
}

impl Deletes {
    /// Reads the live entries of delete manifests, and the position delete files; `spec_id` is the table's default.
    ///
    /// # Errors
    /// A manifest cannot be read.
    pub(super) async fn read(manifests: &[&ManifestFile], file_io: &FileIO, spec_id: i32) -> iceberg::Result<Self> {
        let mut deletes = Self::default();
        let mut to_read: Vec<(ManifestEntryRef, i32)> = Vec::new();
        let mut read = live_entries_of(manifests, file_io);
        while let Some((manifest, entries)) = read.try_next().await? {
            for entry in entries {
                let of = manifest.partition_spec_id;
                let is_read = entry.content_type() == DataContentType::PositionDeletes
                    && entry.data_file().file_format() == DataFileFormat::Parquet;
                match (is_read, entry.sequence_number()) {
                    (true, Some(_)) => to_read.push((entry, of)),
                    _ => deletes.unknown.add(&entry, of == spec_id),
                }
            }
        }
        let read = |(entry, of): (ManifestEntryRef, i32)| async move {
            let mut named: HashMap<String, u64> = HashMap::new();
            let count = |path: &str, _| match named.get_mut(path) {
                Some(count) => *count += 1,
                None => drop(named.insert(path.to_owned(), 1)),
            };
            let read = deletes::read(file_io, entry.file_path(), entry.file_size_in_bytes(), count).await;
            (entry, of, read.map(|()| named))
        };
        let mut read = stream::iter(to_read).map(read).buffered(AT_ONCE);
        while let Some((entry, of, named)) = read.next().await {
            match named {
                Ok(named) => deletes.add(&entry, of, named),
                Err(error) => {
                    tracing::warn!(file = entry.file_path(), %error, "what it may concern is left alone");
                    deletes.unknown.add(&entry, of == spec_id);
                }
            }
        }
        Ok(deletes)
    }

    fn add(&mut self, entry: &ManifestEntry, spec_id: i32, named: HashMap<String, u64>) {
        let place = self.files.len();
        self.files.push(DeleteFile {
            location: entry.file_path().to_owned(),
            bytes: entry.file_size_in_bytes(),
            records: entry.record_count(),
            names: 0,
            sequence_number: entry.sequence_number().unwrap_or(i64::MAX),
            spec_id,
            partition: entry.data_file().partition().clone(),
        });
        for (path, rows) in named {
            self.names.entry(path).or_default().push((place, rows));
        }
    }

    /// What they say of a live data file. Asked once for each.
    pub(super) fn concern(&mut self, entry: &ManifestEntry, spec_id: i32) -> Concern {
        let mut concern = Concern { is_odd: self.unknown.concern(entry), ..Concern::default() };
        for &(place, rows) in self.names.get(entry.file_path()).into_iter().flatten() {
            let Some(file) = self.files.get_mut(place) else { continue };
            let Some(at) = entry.sequence_number() else {
                (file.names, concern.is_odd) = (file.names + 1, true);
                continue;
            };
            if at > file.sequence_number {
                continue;
            }
            file.names += 1;
            concern.is_odd |= file.spec_id != spec_id || &file.partition != entry.data_file().partition();
            concern.by.push(place);
            concern.rows += rows;
        }
        concern
    }

    /// The position delete files, when every live data file has been asked for.
    pub(super) fn into_files(self) -> Vec<DeleteFile> {
        self.files
    }
}

/// The rows of these data files that are deleted, by location. Each delete file is read once.
///
/// # Errors
/// One of them cannot be read.
pub(super) async fn places(
    deletes: &[DeleteFile],
    files: &[FileFact],
    file_io: &FileIO,
) -> iceberg::Result<HashMap<String, Places>> {
    let mut by_delete: HashMap<usize, HashSet<&str>> = HashMap::new();
    for file in files {
        for &place in &file.deletes {
            by_delete.entry(place).or_default().insert(&file.location);
        }
    }
    let read =
        by_delete.iter().filter_map(|(&place, of)| Some((deletes.get(place)?, of))).map(|(file, of)| async move {
            let mut found: HashMap<String, Places> = HashMap::new();
            let keep = |path: &str, row| match found.get_mut(path) {
                Some(places) => drop(places.insert(row)),
                None if of.contains(path) => drop(found.insert(path.to_owned(), [row].into_iter().collect())),
                None => {}
            };
            deletes::read(file_io, &file.location, file.bytes, keep).await?;
            iceberg::Result::Ok(found)
        });
    let mut all: HashMap<String, Places> = HashMap::new();
    let mut read = stream::iter(read.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
    while let Some(found) = read.try_next().await? {
        for (path, places) in found {
            *all.entry(path).or_default() |= places;
        }
    }
    // A place beyond the end of a file is no row.
    for file in files {
        if let Some(places) = all.get_mut(&file.location) {
            places.remove_range(file.rows..);
        }
    }
    Ok(all)
}

/// What is left to be deleted by each position delete file while data files are rewritten.
#[derive(Debug)]
pub(super) struct Left(Vec<Option<u64>>);

impl Left {
    pub(super) fn new(deletes: &[DeleteFile]) -> Self {
        Self(deletes.iter().map(|file| Some(file.names)).collect())
    }

    /// Delete files that delete nothing any more when these data files are gone, and are not removed yet.
    pub(super) fn dangling<'a>(&self, files: impl Iterator<Item = &'a FileFact>) -> Vec<usize> {
        let left = self.less(files);
        left.iter().enumerate().filter(|(_, left)| **left == Some(0)).map(|(place, _)| place).collect()
    }

    /// When these data files are gone, and with them the delete files that are dangling then.
    pub(super) fn without<'a>(&self, files: impl Iterator<Item = &'a FileFact>) -> Self {
        Self(self.less(files).into_iter().map(|left| left.filter(|left| *left > 0)).collect())
    }

    fn less<'a>(&self, files: impl Iterator<Item = &'a FileFact>) -> Vec<Option<u64>> {
        let mut left = self.0.clone();
        for &place in files.flat_map(|file| &file.deletes) {
            if let Some(Some(left)) = left.get_mut(place) {
                *left = left.saturating_sub(1);
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::files;
    use super::*;

    fn naming(names: u64) -> DeleteFile {
        let (location, partition) = (String::new(), Struct::empty());
        DeleteFile { location, bytes: 1, records: 1, names, sequence_number: 1, spec_id: 0, partition }
    }

    fn with(deletes: &[usize]) -> FileFact {
        FileFact { deletes: deletes.to_vec(), ..files(&[1]).remove(0) }
    }

    #[test]
    fn a_delete_file_goes_with_the_last_data_file_that_it_names_and_only_once() {
        let mut left = Left::new(&[naming(2), naming(1), naming(0)]);
        // The third one was dangling before.
        assert_eq!(left.dangling([].into_iter()), [2]);
        let (first, second) = (with(&[0]), with(&[0, 1]));
        assert_eq!(left.dangling([&first].into_iter()), [2]);
        left = left.without([&first].into_iter());
        assert_eq!(left.dangling([&second].into_iter()), [0, 1]);
        left = left.without([&second].into_iter());
        assert!(left.dangling([].into_iter()).is_empty());
    }
}
