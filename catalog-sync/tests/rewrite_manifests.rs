//! Manifests of a table on the embedded catalog: made by many commits, written anew, and raced against by a commit.
//!
//! Data files are handmade: metadata is what counts here, so each is a text of the right length and no Parquet.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use catalog_sync::catalog::{CatalogClient, CatalogConfig, LoadedTable, StorageConfig};
use catalog_sync::commit::{Committer, Staged};
use catalog_sync::create::load_or_create;
use catalog_sync::embedded::{EmbeddedCatalog, EmbeddedOptions};
use catalog_sync::manifest;
use catalog_sync::rewrite::{Error, Report, Verdict, rewrite_manifests};
use catalog_sync::storage::Store;
use catalog_sync::verify::{VerifyOptions, verify};
use iceberg::TableIdent;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Literal, ManifestFile, ManifestStatus, Operation,
    Struct, Type,
};
use protocol::{BatchRange, Landed, Offset, OffsetRange, Proposal, Ranges, TopicRanges};
use serde_json::json;

const FILE_BYTES: usize = 10;

/// A live entry: file, snapshot that added it, data and file sequence number, rows.
type Entry = (String, Option<i64>, Option<i64>, Option<i64>, u64);

struct World {
    client: CatalogClient,
    ident: TableIdent,
    catalog: EmbeddedCatalog,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions {
            dir: dir.path().to_owned(),
            warehouse: None,
            storage: StorageConfig::default(),
            listen: "127.0.0.1:0".parse().unwrap(),
        };
        let catalog = EmbeddedCatalog::start(options).await.unwrap();
        let client = CatalogClient::connect(CatalogConfig::new(catalog.uri())).await.unwrap();
        let ident = TableIdent::from_strs(["analytics", "clicks"]).unwrap();
        load_or_create(&client, &ident, &BTreeMap::new()).await.unwrap();
        Self { client, ident, catalog, _dir: dir }
    }

    async fn load(&self) -> LoadedTable {
        self.client.load_table(&self.ident).await.unwrap()
    }

    fn store(&self, loaded: &LoadedTable) -> Store {
        loaded.store(&self.client.config().storage).unwrap()
    }

    /// One commit with a file for each of the days, which goes on where the table stands.
    async fn commit(&self, days: &[i32]) {
        let loaded = self.load().await;
        let mut files = Vec::new();
        for &day in days {
            let location = format!("{}/data/{}.parquet", loaded.metadata().location(), uuid::Uuid::new_v4());
            self.store(&loaded).put_new(&location, Bytes::from(vec![0; FILE_BYTES])).await.unwrap();
            files.push(data_file(&loaded, location, day));
        }
        let at = loaded.facts().unwrap().position.next("clicks", 0);
        let start = at.map_or(0, Offset::get);
        let end = start + days.len() as i64;
        let range = OffsetRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap();
        let part = BatchRange::new(range, at.is_none(), range.width(), 0).unwrap();
        let topic = TopicRanges { id: "topic-id".into(), epoch: 0, partitions: BTreeMap::from([(0, part)]) };
        let staged = Staged {
            proposal: Proposal {
                ranges: Ranges::new(BTreeMap::from([("clicks".to_owned(), topic)])).unwrap(),
                sweep_epoch: loaded.facts().unwrap().sweep_epoch,
            },
            files,
            fields: loaded.metadata().current_schema().as_struct().fields().into(),
            spec_id: loaded.metadata().default_partition_spec_id(),
        };
        let store = self.store(&loaded);
        let committer = Committer::new(self.client.clone(), &loaded, store, "test".to_owned(), Duration::from_secs(60));
        let landed = committer.commit(&[staged]).await.remove(0);
        assert!(matches!(landed, Landed::Committed(_)), "{landed:?}");
    }

    async fn manifests(&self) -> Vec<ManifestFile> {
        let loaded = self.load().await;
        let snapshot = loaded.metadata().current_snapshot().unwrap();
        manifest::list(loaded.metadata(), snapshot, &self.store(&loaded).file_io()).await.unwrap()
    }

    /// The live entries, by file, and for each manifest its days in the order of its entries.
    async fn entries(&self) -> (Vec<Entry>, Vec<Vec<Literal>>) {
        let file_io = self.store(&self.load().await).file_io();
        let (mut entries, mut days) = (Vec::new(), Vec::new());
        for listed in self.manifests().await {
            let live = manifest::live_entries(&listed, &file_io).await.unwrap();
            days.push(live.iter().map(|entry| entry.data_file().partition().fields()[0].clone().unwrap()).collect());
            entries.extend(live.iter().map(|entry| {
                let (snapshot, sequence) = (entry.snapshot_id(), entry.sequence_number());
                (entry.file_path().to_owned(), snapshot, sequence, entry.file_sequence_number, entry.record_count())
            }));
        }
        entries.sort();
        (entries, days)
    }

    async fn set_property(&self, key: &str, value: &str) {
        let update = json!({"requirements": [], "updates": [{"action": "set-properties", "updates": {key: value}}]});
        let outcome = self.client.commit_once(&self.ident, &update).await;
        assert_eq!(outcome, protocol::Outcome::Committed);
    }

    async fn rewrite(&self) -> Report {
        rewrite_manifests(&self.client, &self.ident, false).await.unwrap()
    }

    async fn complete(&self) {
        let report = verify(&self.client, &self.ident, VerifyOptions::default()).await.unwrap();
        assert!(report.complete, "{report:#?}");
    }
}

fn data_file(loaded: &LoadedTable, location: String, day: i32) -> DataFile {
    let spec = loaded.metadata().default_partition_type();
    let value = |kind: &Type| match kind.to_string().as_str() {
        "string" => Some(Literal::string("page_view")),
        _ => Some(Literal::date(day)),
    };
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(location)
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter(spec.fields().iter().map(|field| value(&field.field_type))))
        .partition_spec_id(loaded.metadata().default_partition_spec_id())
        .record_count(1)
        .file_size_in_bytes(FILE_BYTES as u64)
        .build()
        .unwrap()
}

#[tokio::test]
async fn many_manifests_become_one_with_the_same_entries_and_the_same_position() {
    let world = World::new().await;
    for n in 0..12 {
        world.commit(&[20_000 + n / 4, 20_003 - n / 4]).await;
    }
    let (before, (entries, _)) = (world.load().await, world.entries().await);
    let planned = rewrite_manifests(&world.client, &world.ident, true).await.unwrap();
    assert_eq!((planned.verdict, planned.replaced, planned.created), (Verdict::Planned, 12, 1));
    assert_eq!(world.load().await.metadata().current_snapshot_id(), before.metadata().current_snapshot_id());

    let report = world.rewrite().await;
    assert_eq!((report.verdict, report.replaced, report.created, report.attempts), (Verdict::Committed, 12, 1, 1));
    assert_eq!((report.before.data_manifests, report.after.data_manifests), (12, 1));
    assert!(report.after.bytes < report.before.bytes, "{report:?}");
    let (after, (kept, days)) = (world.load().await, world.entries().await);
    assert_eq!(kept, entries, "files, snapshots, sequence numbers and rows are those that they were");
    assert!(days[0].windows(2).all(|pair| format!("{:?}", pair[0]) <= format!("{:?}", pair[1])), "{days:?}");

    let (then, now) = (before.metadata().current_snapshot().unwrap(), after.metadata().current_snapshot().unwrap());
    assert_eq!(now.summary().operation, Operation::Replace);
    assert_eq!(now.parent_snapshot_id(), Some(then.snapshot_id()));
    assert_eq!(report.snapshot_id, Some(now.snapshot_id()));
    for total in ["total-records", "total-data-files", "total-files-size"] {
        let of = |snapshot: &iceberg::spec::Snapshot| snapshot.summary().additional_properties.get(total).cloned();
        assert_eq!(of(now), of(then), "{total}");
    }
    assert_eq!(after.facts().unwrap().position, before.facts().unwrap().position);
    assert_eq!(after.facts().unwrap().sequence_number, before.facts().unwrap().sequence_number + 1);
    world.complete().await;

    let again = world.rewrite().await;
    assert_eq!((again.verdict, again.snapshot_id, again.before), (Verdict::NothingToGain, None, report.after));
    assert_eq!(world.load().await.metadata().snapshots().len(), after.metadata().snapshots().len());

    world.commit(&[20_000]).await;
    assert_eq!(world.entries().await.0.len(), 25);
    world.complete().await;
}

#[tokio::test]
async fn a_manifest_holds_no_more_bytes_than_the_property_says_and_few_days() {
    let world = World::new().await;
    for day in 0..40 {
        world.commit(&[20_000 + day % 8; 10]).await;
    }
    let size = world.manifests().await[0].manifest_length;
    world.set_property("commit.manifest.target-size-bytes", "lots").await;
    let refused = rewrite_manifests(&world.client, &world.ident, false).await;
    assert!(matches!(&refused, Err(Error::Property(text)) if text == "lots"), "{refused:?}");
    let target = size * 2;
    world.set_property("commit.manifest.target-size-bytes", &target.to_string()).await;
    let report = world.rewrite().await;
    assert_eq!(report.verdict, Verdict::Committed);
    let manifests = world.manifests().await;
    assert!(manifests.len() > 2 && manifests.len() < 25, "{} of 40", manifests.len());
    for manifest in &manifests {
        assert!(manifest.manifest_length <= target + target / 50, "{} of {target}", manifest.manifest_length);
        assert_eq!(manifest.added_files_count, Some(0));
    }
    let (entries, days) = world.entries().await;
    assert_eq!(entries.len(), 400);
    for mut days in days {
        days.dedup();
        assert!(days.len() <= 3, "{days:?}");
    }
    world.complete().await;
    assert_eq!(world.rewrite().await.verdict, Verdict::NothingToGain);
}

#[tokio::test]
async fn a_table_without_a_file_has_nothing_to_gain() {
    let world = World::new().await;
    assert_eq!(world.rewrite().await.verdict, Verdict::NothingToGain);
    world.commit(&[20_000]).await;
    assert_eq!(world.rewrite().await.verdict, Verdict::NothingToGain);
}

#[tokio::test]
async fn entries_stay_existing_when_they_are_rewritten_a_second_time() {
    let world = World::new().await;
    for round in 0..3 {
        for n in 0..4 {
            world.commit(&[20_000 + n]).await;
        }
        let before = world.entries().await.0;
        assert_eq!(world.rewrite().await.after.data_manifests, 1, "round {round}");
        assert_eq!(world.entries().await.0, before);
    }
    let file_io = world.store(&world.load().await).file_io();
    let entries = manifest::live_entries(&world.manifests().await[0], &file_io).await.unwrap();
    assert!(entries.iter().all(|entry| entry.status() == ManifestStatus::Existing));
    world.complete().await;
}

/// What happens to a commit between the client and the catalog.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    /// Somebody else commits first.
    Overtaken,
    /// An orphan sweep comes first, with a snapshot of its own, as each has.
    Swept,
    /// It is applied, and the answer is lost.
    AnswerLost,
    /// It is applied, somebody else commits on top, and the answer is lost.
    AnswerLostAndOvertaken,
}

/// Before the catalog: the first `times` commits meet trouble.
struct Between {
    catalog: String,
    world: Arc<World>,
    trouble: Trouble,
    times: AtomicU32,
    seen: Mutex<Vec<u16>>,
}

impl Between {
    async fn client(world: &Arc<World>, trouble: Trouble, times: u32) -> (CatalogClient, Arc<Self>) {
        let catalog = world.catalog.uri().trim_end_matches('/').to_owned();
        let between =
            Arc::new(Self { catalog, world: Arc::clone(world), trouble, times: times.into(), seen: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(pass).with_state(Arc::clone(&between));
        tokio::spawn(async move { axum::serve(listener, app).await });
        (CatalogClient::connect(CatalogConfig::new(uri)).await.unwrap(), between)
    }
}

async fn pass(State(between): State<Arc<Between>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.path_and_query().unwrap().as_str();
    let left = |n: u32| n.checked_sub(1);
    let troubled =
        parts.method == "POST" && between.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok();
    if troubled && between.trouble == Trouble::Swept {
        between.world.set_property("catalog-sync.sweep-epoch", "a-sweep").await;
    }
    let is_overtaken = [Trouble::Overtaken, Trouble::Swept].contains(&between.trouble);
    if troubled && is_overtaken {
        between.world.commit(&[20_009]).await;
    }
    let url = format!("{}{path}", between.catalog);
    let request = reqwest::Client::new().request(parts.method, url).header("content-type", "application/json");
    let answer = request.body(body).send().await.unwrap();
    let (status, text) = (answer.status(), answer.bytes().await.unwrap());
    if troubled && between.trouble == Trouble::AnswerLostAndOvertaken {
        between.world.commit(&[20_009]).await;
    }
    between.seen.lock().unwrap().push(status.as_u16());
    let lost = troubled && !is_overtaken;
    let status = if lost { 504 } else { status.as_u16() };
    Response::builder().status(status).body(Body::from(if lost { Bytes::new() } else { text })).unwrap()
}

async fn small_table() -> Arc<World> {
    let world = Arc::new(World::new().await);
    for n in 0..6 {
        world.commit(&[20_000 + n]).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_in_between_is_carried_and_the_rewrite_lands_on_top_of_it() {
    let world = small_table().await;
    let (client, between) = Between::client(&world, Trouble::Overtaken, 3).await;
    let report = rewrite_manifests(&client, &world.ident, false).await.unwrap();
    assert_eq!((report.verdict, report.attempts, report.replaced), (Verdict::Committed, 4, 6));
    assert_eq!(between.seen.lock().unwrap().iter().filter(|status| **status == 409).count(), 3);
    // What was staged for the first base is used on the last; the three that came in between are kept as they are.
    assert_eq!((report.before.data_manifests, report.after.data_manifests), (9, 4));
    assert_eq!(world.entries().await.0.len(), 9);
    let position = world.load().await.facts().unwrap().position;
    assert_eq!(position.next("clicks", 0), Some(Offset::new(9).unwrap()));
    world.complete().await;
    assert_eq!(world.rewrite().await.after.data_manifests, 1);
    world.complete().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_staged_before_an_orphan_sweep_is_written_anew() {
    let world = small_table().await;
    let (client, _) = Between::client(&world, Trouble::Swept, 1).await;
    let report = rewrite_manifests(&client, &world.ident, false).await.unwrap();
    // The sweep may have deleted what was staged on the first base: planned again, with the seventh manifest.
    assert_eq!((report.attempts, report.replaced, report.after.data_manifests), (2, 7, 1));
    assert_eq!(world.load().await.facts().unwrap().sweep_epoch, "a-sweep");
    world.complete().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewrite_that_was_done_by_another_meanwhile_is_planned_again() {
    let world = small_table().await;
    let (client, _) = Between::client(&world, Trouble::Overtaken, 1).await;
    // Both plan on one base; the other wins while the first is held up by a commit.
    let other = rewrite_manifests(&world.client, &world.ident, false);
    let (ours, other) = tokio::join!(rewrite_manifests(&client, &world.ident, false), other);
    let (ours, other) = (ours.unwrap(), other.unwrap());
    assert!(ours.verdict == Verdict::Committed || other.verdict == Verdict::Committed, "{ours:?} {other:?}");
    assert_eq!(world.entries().await.0.len(), 7);
    world.complete().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingestion_that_is_always_faster_ends_the_tries() {
    let world = small_table().await;
    let (client, between) = Between::client(&world, Trouble::Overtaken, u32::MAX).await;
    let error = rewrite_manifests(&client, &world.ident, false).await.unwrap_err();
    assert!(matches!(error, Error::TooFast(_)), "{error}");
    assert!(error.to_string().contains("ingestion is too fast"), "{error}");
    assert_eq!(between.seen.lock().unwrap().iter().filter(|status| **status == 409).count(), 20);
    assert_eq!(world.entries().await.0.len(), 26);
    world.complete().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_lost_is_found_in_the_table_and_nothing_is_sent_twice() {
    for trouble in [Trouble::AnswerLost, Trouble::AnswerLostAndOvertaken] {
        let world = small_table().await;
        let (client, _) = Between::client(&world, trouble, 1).await;
        let report = rewrite_manifests(&client, &world.ident, false).await.unwrap();
        assert_eq!((report.verdict, report.attempts, report.replaced), (Verdict::Committed, 2, 6));
        let loaded = world.load().await;
        let rewrites = loaded.lineage().filter(|snapshot| snapshot.summary().operation == Operation::Replace);
        assert_eq!(rewrites.map(|snapshot| Some(snapshot.snapshot_id())).collect::<Vec<_>>(), [report.snapshot_id]);
        world.complete().await;
    }
}
