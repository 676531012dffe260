//! A table's life on the embedded catalog: made, fed by committers that race, verified, damaged, verified again.
//!
//! Data files are handmade: metadata is what counts here, so each is a text of the right length and no Parquet.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use catalog_sync::catalog::{CatalogClient, CatalogConfig, LoadedTable};
use catalog_sync::commit::{Committer, Staged};
use catalog_sync::create::load_or_create;
use catalog_sync::embedded::{EmbeddedCatalog, EmbeddedOptions};
use catalog_sync::storage::Store;
use catalog_sync::verify::{Check, Report, VerifyOptions, verify};
use iceberg::TableIdent;
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Literal, Struct, Type};
use protocol::{BatchRange, Landed, Offset, OffsetRange, Outcome, Proposal, Ranges, TopicRanges};
use serde_json::json;

const FILE_BYTES: usize = 100;

struct World {
    client: CatalogClient,
    ident: TableIdent,
    catalog: EmbeddedCatalog,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let catalog = EmbeddedCatalog::start(EmbeddedOptions::below(dir.path())).await.unwrap();
        let client = CatalogClient::connect(CatalogConfig::new(catalog.uri())).await.unwrap();
        Self { client, ident: TableIdent::from_strs(["analytics", "clicks"]).unwrap(), catalog, _dir: dir }
    }

    async fn create(&self) -> LoadedTable {
        load_or_create(&self.client, &self.ident, &BTreeMap::new()).await.unwrap()
    }

    /// A table that somebody else made, without any snapshot.
    async fn create_bare(&self) -> LoadedTable {
        self.client.ensure_namespace(self.ident.namespace()).await.unwrap();
        let request = json!({
            "name": self.ident.name(),
            "schema": schemas::table::iceberg_schema(),
            "partition-spec": schemas::table::partition_spec(),
            "stage-create": false,
        });
        let url = format!("{}/v1/namespaces/analytics/tables", self.catalog.uri());
        let answer = reqwest::Client::new().post(url).json(&request).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        let loaded = self.load().await;
        assert!(loaded.metadata().current_snapshot().is_none());
        loaded
    }

    async fn load(&self) -> LoadedTable {
        self.client.load_table(&self.ident).await.unwrap()
    }

    fn store(&self, loaded: &LoadedTable) -> Store {
        loaded.store(&self.client.config().storage).unwrap()
    }

    fn committer(&self, loaded: &LoadedTable) -> Committer {
        let store = self.store(loaded);
        Committer::new(self.client.clone(), loaded, store, "test".to_owned(), Duration::from_secs(60))
    }

    async fn verify(&self) -> Report {
        verify(&self.client, &self.ident, VerifyOptions::default()).await.unwrap()
    }

    /// A batch of all the offsets from `start` to `end`, in one file that is there.
    async fn batch(&self, loaded: &LoadedTable, partition: i32, start: i64, end: i64) -> Staged {
        let name = uuid::Uuid::new_v4();
        let location = format!("{}/data/{name}.parquet", loaded.metadata().location());
        self.store(loaded).put_new(&location, Bytes::from(vec![0; FILE_BYTES])).await.unwrap();
        let range = OffsetRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap();
        let first = loaded.facts().unwrap().position.next("clicks", partition).is_none();
        let part = BatchRange::new(range, first, range.width(), 0).unwrap();
        let topic = TopicRanges { id: "topic-id".into(), epoch: 0, partitions: BTreeMap::from([(partition, part)]) };
        let ranges = Ranges::new(BTreeMap::from([("clicks".to_owned(), topic)])).unwrap();
        Staged {
            proposal: Proposal { ranges, sweep_epoch: String::new() },
            files: vec![data_file(loaded, location, range.width())],
            fields: loaded.metadata().current_schema().as_struct().fields().into(),
            spec_id: loaded.metadata().default_partition_spec_id(),
        }
    }
}

fn data_file(loaded: &LoadedTable, location: String, records: u64) -> DataFile {
    let spec = loaded.metadata().default_partition_type();
    let value = |kind: &Type| match kind.to_string().as_str() {
        "string" => Some(Literal::string("page_view")),
        "date" => Some(Literal::date(20_000)),
        "int" => Some(Literal::int(20_000)),
        other => panic!("no value for a partition field of type {other}"),
    };
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(location)
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter(spec.fields().iter().map(|field| value(&field.field_type))))
        .partition_spec_id(loaded.metadata().default_partition_spec_id())
        .record_count(records)
        .file_size_in_bytes(FILE_BYTES as u64)
        .build()
        .unwrap()
}

fn check<'a>(report: &'a Report, name: &str) -> &'a Check {
    report.checks.iter().find(|check| check.name == name).unwrap()
}

async fn commit_one(committer: &Committer, batch: &Staged) -> Landed {
    committer.commit(std::slice::from_ref(batch)).await.remove(0)
}

#[tokio::test]
async fn a_table_that_was_fed_is_complete_until_a_file_is_gone() {
    let world = World::new().await;
    let table = world.create().await;
    assert!(world.verify().await.complete, "an empty table lacks nothing");
    let committer = world.committer(&table);
    for (start, end) in [(3, 10), (10, 14)] {
        let batch = world.batch(&world.load().await, 0, start, end).await;
        assert!(matches!(commit_one(&committer, &batch).await, Landed::Committed(_)));
    }
    let report = world.verify().await;
    assert!(report.complete, "{report:#?}");
    let detail = &check(&report, "ranges").detail;
    assert_eq!(detail, "2 snapshots of ingest brought 11 offsets, 0 rewrites; 3 snapshots, back to the first");
    assert_eq!(
        check(&report, "rows").detail,
        "11 rows by the position, 11 in the table (11 in live data files, 0 deleted)"
    );

    let store = world.store(&table);
    let (file, _) = store.list(&format!("{}/data", table.metadata().location())).await.unwrap().remove(0);
    store.delete(&file).await.unwrap();
    let report = world.verify().await;
    assert!(!report.complete);
    assert_eq!(check(&report, "files").problems, [format!("{file} is missing")]);
    store.put_new(&file, Bytes::from_static(b"short")).await.unwrap();
    let report = world.verify().await;
    assert_eq!(check(&report, "files").problems, [format!("{file} has 5 bytes, its entry says {FILE_BYTES}")]);
}

#[tokio::test]
async fn a_missing_manifest_is_reported_and_does_not_end_the_verification() {
    let world = World::new().await;
    let table = world.create().await;
    let batch = world.batch(&table, 0, 0, 5).await;
    assert!(matches!(commit_one(&world.committer(&table), &batch).await, Landed::Committed(_)));
    let store = world.store(&table);
    let listed = store.list(&format!("{}/metadata", table.metadata().location())).await.unwrap();
    let (manifest, _) = listed.into_iter().find(|(location, _)| location.ends_with("-m0.avro")).unwrap();
    store.delete(&manifest).await.unwrap();
    let report = world.verify().await;
    assert!(!report.complete);
    assert_eq!(check(&report, "manifests").problems, [format!("{manifest} is missing")]);
    assert!(!check(&report, "rows").ok && !check(&report, "totals").ok && check(&report, "ranges").ok);
}

#[tokio::test]
async fn a_stale_batch_is_fenced_and_the_same_batch_again_is_committed_already() {
    let world = World::new().await;
    let table = world.create().await;
    let committer = world.committer(&table);
    let first = world.batch(&table, 0, 0, 10).await;
    assert!(matches!(commit_one(&committer, &first).await, Landed::Committed(_)));
    let snapshot = world.load().await.metadata().current_snapshot_id();

    let Landed::Committed(position) = commit_one(&committer, &first).await else { panic!("it is there") };
    assert_eq!(position.next("clicks", 0), Some(Offset::new(10).unwrap()));
    let now = world.load().await;
    for (start, end) in [(0, 5), (5, 12), (11, 12)] {
        let stale = world.batch(&now, 0, start, end).await;
        let landed = commit_one(&committer, &stale).await;
        assert!(matches!(landed, Landed::Fenced(_)), "{start}..{end}: {landed:?}");
    }
    assert_eq!(world.load().await.metadata().current_snapshot_id(), snapshot, "nothing was committed");
    assert!(world.verify().await.complete);
}

#[tokio::test]
async fn batches_of_several_tasks_go_into_one_snapshot() {
    let world = World::new().await;
    let table = world.create().await;
    let mut staged = Vec::new();
    for partition in 0..3 {
        staged.push(world.batch(&table, partition, 0, 10).await);
    }
    let landed = world.committer(&table).commit(&staged).await;
    assert!(landed.iter().all(|landed| matches!(landed, Landed::Committed(_))), "{landed:?}");
    assert_eq!(world.load().await.metadata().snapshots().len(), 2);
    let report = world.verify().await;
    assert!(report.complete, "{report:#?}");
}

/// Eight committers send a batch of the same offsets each, each of another width.
async fn race(world: &World, table: &LoadedTable) {
    let mut tasks = Vec::new();
    for writer in 1..=8 {
        let batch = world.batch(table, 0, 0, writer).await;
        let committer = world.committer(table);
        tasks.push(tokio::spawn(async move { commit_one(&committer, &batch).await }));
    }
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Landed::Committed(_) => won += 1,
            Landed::Fenced(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(won, 1);
    let loaded = world.load().await;
    let ingests = loaded.lineage().filter(|s| s.summary().additional_properties.contains_key("kafka.ranges"));
    assert_eq!(ingests.count(), 1);
    let report = world.verify().await;
    assert!(report.complete, "{report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_eight_committers_of_the_same_offsets_exactly_one_lands() {
    let world = World::new().await;
    let table = world.create().await;
    race(&world, &table).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_eight_first_writers_to_a_table_without_snapshot_exactly_one_lands() {
    let world = World::new().await;
    let table = world.create_bare().await;
    race(&world, &table).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_eight_creators_all_get_the_same_table() {
    let world = Arc::new(World::new().await);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.create().await.metadata().uuid() })
        })
        .collect();
    let mut uuids = Vec::new();
    for task in tasks {
        uuids.push(task.await.unwrap());
    }
    uuids.dedup();
    assert_eq!(uuids.len(), 1);
    assert_eq!(world.load().await.metadata().snapshots().len(), 1);
}

#[tokio::test]
async fn two_batches_of_one_partition_in_one_commit_leave_a_range_that_covers_both() {
    let world = World::new().await;
    let table = world.create().await;
    let (one, mut two) = (world.batch(&table, 0, 0, 10).await, world.batch(&table, 0, 10, 14).await);
    let range = OffsetRange::new(Offset::new(10).unwrap(), Offset::new(14).unwrap()).unwrap();
    let part = BatchRange::new(range, false, 4, 0).unwrap();
    let topic = TopicRanges { id: "topic-id".into(), epoch: 0, partitions: BTreeMap::from([(0, part)]) };
    two.proposal.ranges = Ranges::new(BTreeMap::from([("clicks".to_owned(), topic)])).unwrap();
    let landed = world.committer(&table).commit(&[one, two]).await;
    assert!(landed.iter().all(|landed| matches!(landed, Landed::Committed(_))), "{landed:?}");
    let report = world.verify().await;
    assert!(report.complete, "{report:#?}");
}

#[tokio::test]
async fn a_clock_that_is_a_day_behind_makes_no_snapshot_that_is_older_than_its_parent() {
    let world = World::new().await;
    let table = world.create().await;
    let parent = table.metadata().current_snapshot().unwrap();
    let later = table.metadata().last_updated_ms() + 86_400_000;
    let foreign = json!({
        "requirements": [{"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": parent.snapshot_id()}],
        "updates": [
            {"action": "add-snapshot", "snapshot": {
                "snapshot-id": 77, "parent-snapshot-id": parent.snapshot_id(), "timestamp-ms": later,
                "sequence-number": table.metadata().last_sequence_number() + 1, "schema-id": 0,
                "manifest-list": parent.manifest_list(), "summary": {"operation": "append"},
            }},
            {"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": 77},
        ],
    });
    assert_eq!(world.client.commit_once(&world.ident, &foreign).await, Outcome::Committed);
    let batch = world.batch(&world.load().await, 0, 0, 10).await;
    assert!(matches!(commit_one(&world.committer(&table), &batch).await, Landed::Committed(_)));
    let now = world.load().await;
    assert!(now.metadata().current_snapshot().unwrap().timestamp_ms() >= later);
    assert!(world.verify().await.complete);
}
