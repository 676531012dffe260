//! Files that nobody needs, in the folder of a table on the embedded catalog: which are deleted, and which never.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use catalog_sync::compact::options::Options as CompactOptions;
use catalog_sync::create::load_or_create;
use catalog_sync::expire::options::Options as ExpireOptions;
use catalog_sync::expire::{self, expire};
use catalog_sync::sweep::options::Options;
use catalog_sync::sweep::{Error, Report, Verdict, sweep};
use common::{Between, Trouble, World};
use iceberg::TableIdent;
use protocol::Landed;
use serde_json::json;

/// At once, whatever its age: nobody writes here but what knows the fence.
fn at_once() -> Options {
    Options { older_than: Duration::ZERO, quarantine: Duration::ZERO, only_fenced_writers: true, ..Options::default() }
}

async fn run(world: &World, options: &Options) -> Report {
    sweep(&world.client, &world.ident, options).await.unwrap()
}

async fn refused(world: &World, options: &Options) -> String {
    let before = world.files().await;
    let error = sweep(&world.client, &world.ident, options).await.unwrap_err();
    assert_eq!(world.files().await, before, "nothing is deleted by a sweep that refuses");
    error.to_string()
}

/// Files that nobody needs, of all kinds that a table writes.
async fn orphans(world: &World) -> BTreeSet<String> {
    let root = world.load().await.metadata().location().to_owned();
    let names = [
        "data/event_timestamp_day=2026-01-01/a b.parquet",
        "data/x.avro",
        "metadata/lost-m0.avro",
        "metadata/snap-1-0-lost.avro",
    ];
    let orphans: BTreeSet<String> = names.iter().map(|name| format!("{root}/{name}")).collect();
    for location in &orphans {
        world.put(location).await;
    }
    orphans
}

fn gone(before: &[String], after: &[String]) -> BTreeSet<String> {
    before.iter().filter(|location| !after.contains(location)).cloned().collect()
}

#[tokio::test]
async fn what_nobody_needs_is_deleted_and_nothing_else() {
    let world = World::new().await;
    for _ in 0..3 {
        world.commit_rows(&["click", "scroll"], 5).await;
    }
    // Replaced files are still those of earlier snapshots.
    world.compact(&CompactOptions { min_input_files: 2, ..CompactOptions::default() }).await;
    let orphans = orphans(&world).await;
    let root = world.load().await.metadata().location().to_owned();
    for name in
        ["data/_SUCCESS", "metadata/version-hint.text", "metadata/other.stats", "metadata/no-json.metadata.json"]
    {
        world.put(&format!("{root}/{name}")).await;
    }
    let (before, position) = (world.files().await, world.load().await.facts().unwrap().position);

    let planned = run(&world, &Options { dry_run: true, ..at_once() }).await;
    assert_eq!((planned.verdict, planned.deleted.files), (Verdict::Planned, 4), "{planned:#?}");
    assert_eq!(planned.some.iter().cloned().collect::<BTreeSet<_>>(), orphans);
    assert_eq!(world.files().await, before, "a dry run changes nothing");

    let report = run(&world, &at_once()).await;
    assert_eq!((report.verdict, report.deleted.files, report.failed), (Verdict::Swept, 4, 0), "{report:#?}");
    assert_eq!((report.left.unknown, report.left.unproven), (2, 2), "{report:#?}");
    assert_eq!(gone(&before, &world.files().await), orphans);
    let facts = world.load().await.facts().unwrap();
    assert_eq!((Some(facts.sweep_epoch), facts.position), (report.epoch, position));
    world.complete().await;

    let again = run(&world, &at_once()).await;
    assert_eq!((again.verdict, &again.epoch), (Verdict::NothingToDo, &None), "{again:#?}");
    world.commit_rows(&["click"], 5).await;
    world.complete().await;
}

#[tokio::test]
async fn files_that_are_young_are_left_alone() {
    let world = World::new().await;
    world.commit(&[20_000]).await;
    orphans(&world).await;
    let report = run(&world, &Options { quarantine: Duration::ZERO, ..Options::default() }).await;
    assert_eq!((report.verdict, report.left.young), (Verdict::NothingToDo, 4), "{report:#?}");
    let error = refused(&world, &Options { only_fenced_writers: false, ..at_once() }).await;
    assert!(error.contains("only-fenced-writers"), "{error}");
}

#[tokio::test]
async fn found_files_wait_and_go_when_still_nobody_needs_them() {
    let world = World::new().await;
    world.commit(&[20_000]).await;
    let orphans = orphans(&world).await;
    let waiting = Options { quarantine: Duration::from_secs(3_600), ..at_once() };
    let found = run(&world, &waiting).await;
    assert_eq!((found.quarantined.files, found.deleted.files), (4, 0), "{found:#?}");
    let before = world.files().await;

    let again = run(&world, &waiting).await;
    assert_eq!((again.verdict, again.waiting.files, &again.epoch), (Verdict::NothingToDo, 4, &None), "{again:#?}");
    assert_eq!(world.files().await, before);

    let due = run(&world, &at_once()).await;
    assert_eq!((due.deleted.files, &due.epoch), (4, &None), "{due:#?}");
    let after = world.files().await;
    let gone = gone(&before, &after);
    assert!(orphans.is_subset(&gone), "{gone:?}");
    assert!(!after.iter().any(|location| location.contains("quarantine")), "its record goes with them: {after:?}");
    world.complete().await;
}

#[tokio::test]
async fn one_run_finds_no_more_than_it_may_and_the_next_goes_on() {
    let world = World::new().await;
    world.commit(&[20_000]).await;
    orphans(&world).await;
    let few = Options { max_files: 3, ..at_once() };
    let report = run(&world, &few).await;
    assert_eq!((report.deleted.files, report.left.too_many), (3, 1), "{report:#?}");
    assert_eq!(run(&world, &few).await.deleted.files, 1);
}

#[tokio::test]
async fn whoever_has_begun_files_before_a_sweep_cannot_commit_them_after_it() {
    let world = World::new().await;
    world.commit(&[20_000]).await;
    let loaded = world.load().await;
    let files = world.stage(&loaded, &[20_001, 20_002]).await;
    let report = run(&world, &at_once()).await;
    assert_eq!(report.deleted.files, 2, "{report:#?}");
    let landed = world.try_commit(&loaded, files).await;
    assert!(matches!(landed, Landed::Fenced(_)), "{landed:?}");
    world.complete().await;
    world.commit(&[20_003]).await;
    world.complete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_before_the_fence_is_not_deleted() {
    let world = std::sync::Arc::new(World::new().await);
    world.commit(&[20_000]).await;
    orphans(&world).await;
    // Somebody commits between the listing and the fence.
    let (client, _) = Between::client(&world, Trouble::Overtaken, 1).await;
    let report = sweep(&client, &world.ident, &at_once()).await.unwrap();
    assert_eq!(report.deleted.files, 4, "{report:#?}");
    world.complete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_whose_answer_is_lost_is_found_in_the_table() {
    for trouble in [Trouble::AnswerLost, Trouble::AnswerLostAndOvertaken] {
        let world = std::sync::Arc::new(World::new().await);
        world.commit(&[20_000]).await;
        orphans(&world).await;
        let (client, _) = Between::client(&world, trouble, 1).await;
        let report = sweep(&client, &world.ident, &at_once()).await.unwrap();
        assert_eq!((report.deleted.files, world.load().await.facts().unwrap().sweep_epoch), (4, report.epoch.unwrap()));
        world.complete().await;
    }
}

#[tokio::test]
async fn a_folder_that_is_shared_is_not_swept() {
    let world = World::new().await;
    world.commit(&[20_000]).await;
    orphans(&world).await;
    let root = world.load().await.metadata().location().to_owned();
    // A metadata file of another table, as one that was dropped leaves it.
    let other = json!({"format-version": 2, "table-uuid": uuid::Uuid::new_v4()}).to_string();
    let location = format!("{root}/metadata/00000-other.metadata.json");
    world.store(&world.load().await).put_new(&location, Bytes::from(other)).await.unwrap();
    let error = refused(&world, &at_once()).await;
    assert!(error.contains("one of the two would lose its files"), "{error}");
    world.store(&world.load().await).delete(&location).await.unwrap();

    // A table inside the folder.
    let inner = TableIdent::from_strs(["analytics", "inner"]).unwrap();
    load_or_create(&world.client, &inner, &Default::default()).await.unwrap();
    let update =
        json!({"requirements": [], "updates": [{"action": "set-location", "location": format!("{root}/data/inner")}]});
    assert_eq!(world.client.commit_once(&inner, &update).await, protocol::Outcome::Committed);
    let error = refused(&world, &at_once()).await;
    assert!(error.contains("analytics.inner"), "{error}");
}

#[tokio::test]
async fn a_table_whose_metadata_is_elsewhere_is_not_swept() {
    let world = World::new().await;
    world.commit(&[20_000]).await;
    let root = world.load().await.metadata().location().to_owned();
    let update = json!({"requirements": [], "updates": [{"action": "set-location", "location": format!("{root}-2")}]});
    // The metadata file of this commit is written below the new location, so that the next is looked at: back again.
    assert_eq!(world.client.commit_once(&world.ident, &update).await, protocol::Outcome::Committed);
    let loaded = world.load().await;
    let store = world.store(&loaded);
    let marker = loaded.metadata_location().unwrap().to_owned();
    let text = String::from_utf8(store.read(&marker).await.unwrap().to_vec()).unwrap();
    store.delete(&marker).await.unwrap();
    let other = text.replace(&loaded.metadata().uuid().to_string(), &uuid::Uuid::new_v4().to_string());
    store.put_new(&marker, Bytes::from(other)).await.unwrap();
    let error = refused(&world, &at_once()).await;
    assert!(error.contains("is not swept") && error.contains("is of table"), "{error}");
}

#[tokio::test]
async fn garbage_collectors_are_kept_out_if_the_owner_says_so_unless_he_lets_this_one_in() {
    let world = World::new().await;
    world.commit(&[20_000]).await;
    orphans(&world).await;
    world.set_property("gc.enabled", "false").await;
    let error = refused(&world, &at_once()).await;
    assert!(error.contains("gc.enabled=false") && error.contains("allow-gc-disabled"), "{error}");
    let options = ExpireOptions { older_than: Some(Duration::ZERO), sweep: at_once(), ..ExpireOptions::default() };
    let error = expire(&world.client, &world.ident, &options).await.unwrap_err();
    assert!(matches!(error, expire::Error::Sweep(Error::GcDisabled { by_nessie: false })), "{error}");
    assert_eq!(run(&world, &Options { dry_run: true, ..at_once() }).await.verdict, Verdict::Planned);
    assert_eq!(run(&world, &Options { allow_gc_disabled: true, ..at_once() }).await.deleted.files, 4);
}

#[tokio::test]
async fn a_file_that_the_table_needs_and_that_is_gone_stops_the_sweep() {
    let world = World::new().await;
    world.commit(&[20_000]).await;
    orphans(&world).await;
    let loaded = world.load().await;
    let list = loaded.metadata().current_snapshot().unwrap().manifest_list().to_owned();
    world.store(&loaded).delete(&list).await.unwrap();
    let error = refused(&world, &at_once()).await;
    assert!(error.contains(&list) && error.contains("is gone"), "{error}");
}

#[tokio::test]
async fn metadata_files_that_fell_out_of_the_log_go_and_the_others_stay() {
    let world = World::new().await;
    world.set_property("write.metadata.previous-versions-max", "2").await;
    for _ in 0..5 {
        world.commit(&[20_000]).await;
    }
    let report = run(&world, &at_once()).await;
    let left = world.files().await.iter().filter(|location| location.ends_with(".metadata.json")).count();
    // The current one and two of the log, after the fence.
    assert_eq!((report.verdict, left), (Verdict::Swept, 4), "{report:#?}");
    world.complete().await;
}
