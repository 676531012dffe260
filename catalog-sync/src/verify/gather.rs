//! The I/O of verification: one consistent view of the table, its manifests, what the store has, and its history.
//!
//! On Nessie the table is loaded as of its newest commit in the history, so that a commit that lands meanwhile changes
//! nothing. Called by [`super::verify`].

use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::TableIdent;
use iceberg::spec::{DataContentType, Manifest, ManifestEntry, ManifestFile, ManifestList, ManifestStatus, Snapshot};
use protocol::lineage::POSITION_KEY;

use super::files::{FileFact, Found, Kind, ManifestFact, Tally};
use super::history::{Property, SnapshotFact, State, Walk};
use super::overrides::Word;
use super::{VerifyError, plural};
use crate::catalog::{CatalogClient, CatalogError, LoadedTable, TableCommit, backoff};
use crate::commit::{RANGES_KEY, REJECTS_KEY};
use crate::compact::{APPLIED_KEY, DEDUPLICATED_KEY};
use crate::deletes::{self, Places};
use crate::overrule::{OVERRIDE_KEY, OVERRIDE_REASON_KEY};
use crate::storage::{StorageError, Store};

/// Requests under way at once.
const AT_ONCE: usize = 16;
/// Tries of one load in the history.
const TRIES: u32 = 4;

/// A table at one moment, and what came before.
pub(super) struct View {
    pub(super) loaded: LoadedTable,
    pub(super) walk: Walk,
    pub(super) notes: Vec<String>,
}

/// What the current snapshot refers to.
#[derive(Default)]
pub(super) struct Live {
    pub(super) manifests: Vec<ManifestFact>,
    pub(super) files: Vec<FileFact>,
}

impl Live {
    /// Records of the live files of a kind.
    pub(super) fn records(&self, kind: Kind) -> u64 {
        self.files.iter().filter(|file| file.kind == kind).map(|file| file.records).sum()
    }

    /// Number of the live files of a kind.
    pub(super) fn count(&self, kind: Kind) -> u64 {
        self.files.iter().filter(|file| file.kind == kind).count() as u64
    }
}

/// The summary of the current snapshot.
pub(super) fn summary(loaded: &LoadedTable) -> HashMap<String, String> {
    let snapshot = loaded.metadata().current_snapshot();
    snapshot.map(|snapshot| snapshot.summary().additional_properties.clone()).unwrap_or_default()
}

/// Loads the table and walks its history, `limit` commits at most.
pub(super) async fn view(client: &CatalogClient, ident: &TableIdent, limit: usize) -> Result<View, VerifyError> {
    let mut notes = Vec::new();
    if client.is_nessie() && limit > 0 {
        match client.nessie_history(ident, limit).await {
            Ok(history) if !history.commits.is_empty() => {
                return nessie(client, ident, &history.commits, history.from_creation).await;
            }
            Ok(_) => notes.push("Nessie's history does not mention the table".to_owned()),
            Err(error) => notes.push(format!("Nessie's history was not read: {error}")),
        }
    }
    let loaded = client.load_table(ident).await?;
    let walk = lineage(&loaded, limit);
    Ok(View { loaded, walk, notes })
}

async fn nessie(
    client: &CatalogClient,
    ident: &TableIdent,
    commits: &[TableCommit],
    from_creation: bool,
) -> Result<View, VerifyError> {
    let mut loads = stream::iter(commits).map(|commit| load_at(client, ident, commit)).buffered(AT_ONCE);
    let (mut head, mut states, mut notes) = (None, Vec::new(), Vec::new());
    while let Some((commit, loaded)) = loads.next().await {
        match loaded {
            Ok(loaded) => {
                let short: String = commit.hash.chars().take(12).collect();
                states.push(state(&loaded, &short));
                head.get_or_insert(loaded);
            }
            Err(error) if head.is_none() => return Err(error.into()),
            Err(error) => {
                notes.push(format!("the history ends before commit {} of {}: {error}", commit.hash, commit.time));
                break;
            }
        }
    }
    drop(loads);
    let Some(loaded) = head else {
        return Err(client.load_table(ident).await.map_or_else(Into::into, |_| gone(ident)));
    };
    let from_beginning = from_creation && states.len() == commits.len();
    let since = commits.get(states.len().saturating_sub(1)).map_or("", |commit| commit.time.as_str());
    let count = plural(states.len() as u64, "Nessie commit");
    let reach = match from_beginning {
        true => format!("{count}, back to the table's creation at {since}"),
        false => format!("{count}, back to {since} and not to the beginning"),
    };
    states.reverse();
    Ok(View { loaded, walk: Walk { states, from_beginning, reach }, notes })
}

fn gone(ident: &TableIdent) -> VerifyError {
    CatalogError::Config(format!("table {ident} could not be loaded at any commit of its history")).into()
}

async fn load_at<'a>(
    client: &CatalogClient,
    ident: &TableIdent,
    commit: &'a TableCommit,
) -> (&'a TableCommit, Result<LoadedTable, CatalogError>) {
    let mut tries = 1;
    loop {
        match client.load_table_at(ident, &commit.hash).await {
            Err(error) if error.is_transient() && tries < TRIES => tokio::time::sleep(backoff(tries)).await,
            loaded => return (commit, loaded),
        }
        tries += 1;
    }
}

/// One state as a whole load shows it.
fn state(loaded: &LoadedTable, commit: &str) -> State {
    let metadata = loaded.metadata();
    let property = metadata.properties().get(POSITION_KEY);
    let property = property.map_or(Property::Absent, |text| Property::Is(text.clone()));
    let snapshot = metadata.current_snapshot().map(|snapshot| fact(snapshot));
    let at = match &snapshot {
        Some(snapshot) => format!("commit {commit} (snapshot {})", snapshot.id),
        None => format!("commit {commit}"),
    };
    State { at, snapshot, property }
}

/// The states that the snapshots of one load show.
fn lineage(loaded: &LoadedTable, limit: usize) -> Walk {
    let snapshots: Vec<&Snapshot> = loaded.lineage().take(limit).collect();
    // A catalog that shows one snapshot only leaves its parent out; the first one of a table has sequence number 1.
    let oldest = snapshots.last();
    let from_beginning =
        oldest.is_some_and(|oldest| oldest.parent_snapshot_id().is_none() && oldest.sequence_number() <= 1);
    let count = plural(snapshots.len() as u64, "snapshot");
    let reach = match (oldest, from_beginning) {
        (None, _) => "no snapshot".to_owned(),
        (Some(_), true) => format!("{count}, back to the first"),
        (Some(oldest), false) => {
            format!("{count}, back to {} and not to the beginning", oldest.snapshot_id())
        }
    };
    let state = |snapshot: &&Snapshot| State {
        at: format!("snapshot {}", snapshot.snapshot_id()),
        snapshot: Some(fact(snapshot)),
        property: Property::Unseen,
    };
    Walk { states: snapshots.iter().rev().map(state).collect(), from_beginning, reach }
}

fn fact(snapshot: &Snapshot) -> SnapshotFact {
    let summary = &snapshot.summary().additional_properties;
    let text = |key: &str| summary.get(key).cloned();
    let number = |key: &str| summary.get(key).and_then(|text| text.parse::<u64>().ok());
    SnapshotFact {
        id: snapshot.snapshot_id(),
        operation: snapshot.summary().operation.as_str().to_owned(),
        engine: text("engine-name").or_else(|| text("trino_query_id").map(|id| format!("Trino query {id}"))),
        sequence_number: snapshot.sequence_number(),
        position: text(POSITION_KEY),
        ranges: text(RANGES_KEY),
        rejects: number(REJECTS_KEY),
        overruled: text(OVERRIDE_KEY)
            .map(|token| Word { token, reason: text(OVERRIDE_REASON_KEY).unwrap_or_default() }),
        added_records: number("added-records").unwrap_or(0),
        deleted_records: number("deleted-records").unwrap_or(0),
        added_deletes: number("added-position-deletes").unwrap_or(0),
        removed_deletes: number("removed-position-deletes").unwrap_or(0),
        applied_deletes: number(APPLIED_KEY),
        deduplicated: number(DEDUPLICATED_KEY),
        total_records: number("total-records"),
    }
}

/// Reads manifest list and manifests of the current snapshot, and looks its files up.
pub(super) async fn live(loaded: &LoadedTable, store: &Store) -> Result<Live, VerifyError> {
    let metadata = loaded.metadata();
    let Some(snapshot) = metadata.current_snapshot() else { return Ok(Live::default()) };
    let location = snapshot.manifest_list();
    let mut live = Live::default();
    let (found, list) = match store.read(location).await {
        Ok(bytes) => match ManifestList::parse_with_version(&bytes, metadata.format_version()) {
            Ok(list) => (Found::Bytes(bytes.len() as u64), Some(list)),
            Err(error) => (Found::Unreadable(error.to_string()), None),
        },
        Err(error) => (not_read(error)?, None),
    };
    let listed = Tally::default();
    live.manifests.push(ManifestFact { location: location.to_owned(), bytes: None, found, listed, counted: None });
    let manifests: Vec<ManifestFile> =
        list.map(|list| list.consume_entries().into_iter().collect()).unwrap_or_default();
    let mut read = stream::iter(&manifests).map(|manifest| read_manifest(manifest, store)).buffered(AT_ONCE);
    let mut files = Vec::new();
    while let Some((fact, entries)) = read.try_next().await? {
        live.manifests.push(fact);
        files.extend(entries);
    }
    live.files = look_up(files, metadata.location(), store).await?;
    Ok(live)
}

/// Rows of live data files that live position delete files delete. One that cannot be read is taken at its manifest's word, with
/// a note.
pub(super) async fn deleted_rows(live: &Live, store: &Store, notes: &mut Vec<String>) -> u64 {
    let of = |kind: Kind| live.files.iter().filter(move |file| file.kind == kind);
    let records: HashMap<&str, u64> = of(Kind::Data).map(|file| (file.location.as_str(), file.records)).collect();
    let file_io = store.file_io();
    let read = |file: &FileFact| {
        let (location, bytes, said) = (file.location.clone(), file.bytes, file.records);
        let (records, file_io) = (&records, &file_io);
        async move {
            let mut places: HashMap<String, Places> = HashMap::new();
            let keep = |path: &str, place: u64| {
                if records.get(path).is_some_and(|rows| place < *rows) {
                    match places.get_mut(path) {
                        Some(places) => drop(places.insert(place)),
                        None => drop(places.insert(path.to_owned(), [place].into_iter().collect())),
                    }
                }
            };
            let read = deletes::read(file_io, &location, bytes, keep).await;
            read.map(|()| places).map_err(|error| (said, format!("{location} counts as its manifest says: {error}")))
        }
    };
    let reads: Vec<_> = of(Kind::PositionDeletes).map(read).collect();
    let mut reads = stream::iter(reads).buffered(AT_ONCE);
    let (mut unread, mut deleted) = (0, HashMap::<String, Places>::new());
    while let Some(read) = reads.next().await {
        match read {
            Ok(places) => places.into_iter().for_each(|(path, places)| *deleted.entry(path).or_default() |= places),
            Err((said, note)) => {
                unread += said;
                notes.push(note);
            }
        }
    }
    unread + deleted.values().map(Places::len).sum::<u64>()
}

/// A manifest as it is listed and as it is, and its live entries, whose files are not looked up yet.
async fn read_manifest(listed: &ManifestFile, store: &Store) -> Result<(ManifestFact, Vec<FileFact>), StorageError> {
    let (found, manifest) = match store.read(&listed.manifest_path).await {
        Ok(bytes) => match Manifest::parse_avro(&bytes) {
            Ok(manifest) => (Found::Bytes(bytes.len() as u64), Some(manifest)),
            Err(error) => (Found::Unreadable(error.to_string()), None),
        },
        Err(error) => (not_read(error)?, None),
    };
    let entries = manifest.as_ref().map_or(&[][..], Manifest::entries);
    let says = Tally {
        files: [listed.added_files_count, listed.existing_files_count, listed.deleted_files_count]
            .map(|count| count.map(u64::from)),
        rows: [listed.added_rows_count, listed.existing_rows_count, listed.deleted_rows_count],
    };
    let fact = ManifestFact {
        location: listed.manifest_path.clone(),
        bytes: u64::try_from(listed.manifest_length).ok(),
        found,
        listed: says,
        counted: manifest.as_ref().map(|_| tally(entries.iter().map(AsRef::as_ref))),
    };
    let live = entries.iter().filter(|entry| entry.is_alive()).map(|entry| file(entry)).collect();
    Ok((fact, live))
}

fn tally<'a>(entries: impl Iterator<Item = &'a ManifestEntry>) -> Tally {
    let (mut files, mut rows) = ([0; 3], [0; 3]);
    for entry in entries {
        let status = match entry.status() {
            ManifestStatus::Added => 0,
            ManifestStatus::Existing => 1,
            ManifestStatus::Deleted => 2,
        };
        files[status] += 1;
        rows[status] += entry.record_count();
    }
    Tally { files: files.map(Some), rows: rows.map(Some) }
}

fn file(entry: &ManifestEntry) -> FileFact {
    let kind = match entry.content_type() {
        DataContentType::Data => Kind::Data,
        DataContentType::PositionDeletes => Kind::PositionDeletes,
        DataContentType::EqualityDeletes => Kind::EqualityDeletes,
    };
    FileFact {
        location: entry.file_path().to_owned(),
        kind,
        bytes: entry.file_size_in_bytes(),
        records: entry.record_count(),
        found: Found::Missing,
    }
}

/// One listing of the data folder answers for most files; the others are asked for one by one.
async fn look_up(files: Vec<FileFact>, location: &str, store: &Store) -> Result<Vec<FileFact>, StorageError> {
    if files.is_empty() {
        return Ok(files);
    }
    let listed = store.list(&format!("{}/data", location.trim_end_matches('/'))).await?;
    let listed: HashMap<String, u64> = listed.into_iter().collect();
    let find = |mut file: FileFact| {
        let listed = listed.get(&file.location).copied();
        async move {
            file.found = match listed {
                Some(bytes) => Found::Bytes(bytes),
                None => match store.size(&file.location).await {
                    Ok(size) => size.map_or(Found::Missing, Found::Bytes),
                    Err(error) => not_read(error)?,
                },
            };
            Ok(file)
        }
    };
    stream::iter(files).map(find).buffered(AT_ONCE).try_collect().await
}

/// What is wrong with the table goes into the report; what is wrong with the store ends the verification.
fn not_read(error: StorageError) -> Result<Found, StorageError> {
    match error {
        StorageError::NotFound { .. } => Ok(Found::Missing),
        StorageError::Location { .. } | StorageError::OtherStore { .. } => Ok(Found::Unreadable(error.to_string())),
        error => Err(error),
    }
}
