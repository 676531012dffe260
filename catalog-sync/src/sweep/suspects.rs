//! The files that nobody needs, as a listing has them: which are found for the first time, which have waited, which wait on.
//!
//! Called by [`super`].

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};

use super::Error;
use super::options::Options;
use super::plan::{Judgement, Kind, judge, kind};
use super::quarantine::{self, Record};
use super::report::{Count, Report};
use super::scope::Owner;
use crate::reach::roots::Reach;
use crate::storage::{StorageError, Store};

/// Metadata files that are read at once.
const AT_ONCE: usize = 16;

/// A file that nobody needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) location: String,
    pub(super) bytes: u64,
    pub(super) kind: Kind,
}

impl Suspect {
    pub(super) fn count(suspects: &[Self]) -> Count {
        Count { files: suspects.len() as u64, bytes: suspects.iter().map(|suspect| suspect.bytes).sum() }
    }
}

/// All of them, and the records that were listed beside them.
pub(super) struct Suspects<'a> {
    store: &'a Store,
    files: HashMap<String, Suspect>,
    records: Vec<String>,
}

/// What is to become of them.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// Found for the first time.
    pub(super) fresh: Vec<Suspect>,
    /// They have waited long enough.
    pub(super) due: Vec<Suspect>,
    /// They wait on.
    pub(super) waiting: Count,
    /// Records that are done with when those that are due are deleted.
    pub(super) done: Vec<String>,
}

impl Sorted {
    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.due.is_empty() && self.done.is_empty()
    }

    /// Drops those that somebody has come to need; how many.
    pub(super) fn drop_reached(&mut self, store: &Store, reach: &Reach<'_>) -> Result<u64, StorageError> {
        let mut dropped = 0;
        for suspects in [&mut self.fresh, &mut self.due] {
            let all = std::mem::take(suspects);
            for suspect in all {
                match store.name(&suspect.location)? {
                    Some(name) if !reach.reached().holds(&name) => suspects.push(suspect),
                    _ => dropped += 1,
                }
            }
        }
        Ok(dropped)
    }
}

impl<'a> Suspects<'a> {
    /// Lists the folder.
    pub(super) async fn list(
        store: &'a Store,
        root: &str,
        reach: &Reach<'_>,
        options: &Options,
        now: DateTime<Utc>,
        report: &mut Report,
    ) -> Result<Self, Error> {
        let mut found = Self { store, files: HashMap::new(), records: Vec::new() };
        let folder = store.name(root)?.unwrap_or_default();
        let mut listing = store.walk(root)?;
        while let Some(object) = listing.try_next().await? {
            report.listed.add(&Count { files: 1, bytes: object.bytes }, 0);
            let Some(name) = store.name(&object.location)? else { continue };
            let kind = kind(name.strip_prefix(&folder).unwrap_or(&name));
            match judge(kind, reach.reached().holds(&name), object.modified, now, options.older_than) {
                Judgement::Left if kind == Kind::Record => found.records.push(object.location),
                Judgement::Left => report.left.unknown += 1,
                Judgement::Young => report.left.young += 1,
                Judgement::Reached => {}
                Judgement::Suspect(_) if found.files.len() >= options.max_files => report.left.too_many += 1,
                Judgement::Suspect(kind) => {
                    let suspect = Suspect { location: object.location.clone(), bytes: object.bytes, kind };
                    found.files.insert(object.location, suspect);
                }
            }
        }
        Ok(found)
    }

    /// Sorts them by the records, and proves those that are new to be the table's.
    pub(super) async fn sort(
        mut self,
        uuid: &str,
        options: &Options,
        now: DateTime<Utc>,
        report: &mut Report,
    ) -> Result<Sorted, Error> {
        let mut sorted = Sorted::default();
        for location in std::mem::take(&mut self.records) {
            let Some(record) = quarantine::read(self.store, &location, uuid).await? else { continue };
            let is_due = record.is_due(options.quarantine, now);
            let files = self.take(&record);
            tracing::debug!(location, epoch = record.epoch, files = files.len(), is_due, "read a record");
            match is_due {
                true => {
                    sorted.due.extend(files);
                    sorted.done.push(location);
                }
                false => sorted.waiting.add(&Suspect::count(&files), 0),
            }
        }
        sorted.fresh = self.prove(uuid, report).await?;
        sorted.fresh.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(sorted)
    }

    fn take(&mut self, record: &Record) -> Vec<Suspect> {
        record.files.iter().filter_map(|location| self.files.remove(location)).collect()
    }

    /// Leaves out metadata files and statistics that are not proven to be the table's.
    async fn prove(self, uuid: &str, report: &mut Report) -> Result<Vec<Suspect>, Error> {
        let store = self.store;
        let of = |wanted: Kind| self.files.values().filter(move |suspect| suspect.kind == wanted);
        let read = |suspect: &Suspect| {
            let location = suspect.location.clone();
            async move { Ok::<_, StorageError>((Owner::of(store, &location).await?, location)) }
        };
        let reads: Vec<_> = of(Kind::Metadata).map(read).collect();
        let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
        let (mut ours, mut statistics) = (HashSet::new(), HashSet::new());
        while let Some((owner, location)) = reads.try_next().await? {
            match owner {
                Some(owner) if owner.table_uuid == uuid => {
                    ours.insert(location);
                    for path in owner.into_statistics() {
                        statistics.extend(store.name(&path)?);
                    }
                }
                Some(owner) => {
                    let other = format!("with uuid {}", owner.table_uuid);
                    return Err(Error::Overlap { root: report.root.clone(), other, location });
                }
                None => {}
            }
        }
        drop(reads);
        let mut proven = Vec::with_capacity(self.files.len());
        for suspect in self.files.into_values() {
            let is_proven = match suspect.kind {
                Kind::Metadata => ours.contains(&suspect.location),
                Kind::Statistics => store.name(&suspect.location)?.is_some_and(|name| statistics.contains(&name)),
                _ => true,
            };
            match is_proven {
                true => proven.push(suspect),
                false => report.left.unproven += 1,
            }
        }
        Ok(proven)
    }
}
