//! Snapshots of a table on the embedded catalog that are no longer wanted: removed, with the files that only they had.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use catalog_sync::compact::options::Options as CompactOptions;
use catalog_sync::expire::options::Options;
use catalog_sync::expire::{Report, Verdict, expire};
use catalog_sync::manifest;
use common::{Between, Trouble, World};
use serde_json::json;

fn all() -> Options {
    Options { older_than: Some(Duration::ZERO), ..Options::default() }
}

async fn run(world: &World, options: &Options) -> Report {
    expire(&world.client, &world.ident, options).await.unwrap()
}

/// Rows in six files that were compacted into two.
async fn compacted() -> World {
    let world = World::new().await;
    for _ in 0..3 {
        world.commit_rows(&["click", "scroll"], 5).await;
    }
    world.compact(&CompactOptions { min_input_files: 2, ..CompactOptions::default() }).await;
    world
}

/// Every file of a snapshot, itself included.
async fn files_of(world: &World, snapshot: i64) -> BTreeSet<String> {
    let loaded = world.load().await;
    let snapshot = loaded.metadata().snapshot_by_id(snapshot).unwrap();
    let file_io = world.store(&loaded).file_io();
    let mut files = BTreeSet::from([snapshot.manifest_list().to_owned()]);
    for listed in manifest::list(loaded.metadata(), snapshot, &file_io).await.unwrap() {
        let live = manifest::live_entries(&listed, &file_io).await.unwrap();
        files.extend(live.iter().map(|entry| entry.file_path().to_owned()));
        files.insert(listed.manifest_path);
    }
    files
}

#[tokio::test]
async fn snapshots_go_with_the_files_that_only_they_had() {
    let world = compacted().await;
    let (before, position) = (world.load().await, world.load().await.facts().unwrap().position);
    let current = before.metadata().current_snapshot_id().unwrap();
    let needed = files_of(&world, current).await;

    let (snapshots, files) = (before.metadata().snapshots().len(), world.files().await.len());
    assert!(snapshots > 4, "three commits, a first one, and the compaction");

    let planned = run(&world, &Options { sweep: dry(), ..all() }).await;
    assert_eq!((planned.verdict, planned.snapshots.len()), (Verdict::Planned, snapshots - 1), "{planned:#?}");
    assert_eq!(world.load().await.metadata().snapshots().len(), snapshots, "a dry run changes nothing");

    let report = run(&world, &all()).await;
    assert_eq!((report.verdict, report.snapshots.len()), (Verdict::Expired, snapshots - 1), "{report:#?}");
    let after = world.load().await;
    assert_eq!(after.metadata().snapshots().map(|it| it.snapshot_id()).collect::<Vec<_>>(), [current]);
    assert_eq!(after.facts().unwrap().position, position);
    let left: BTreeSet<String> =
        world.files().await.into_iter().filter(|location| !location.ends_with(".metadata.json")).collect();
    assert_eq!(left, needed, "all that is needed, and nothing else");
    // One came: the metadata file of the commit.
    assert_eq!(
        (report.deleted.files as usize, report.failed),
        (files + 1 - world.files().await.len(), 0),
        "{report:#?}"
    );
    world.complete().await;

    assert_eq!(run(&world, &all()).await.verdict, Verdict::NothingToDo);
    world.commit_rows(&["click"], 5).await;
    world.complete().await;
}

#[tokio::test]
async fn what_a_tag_of_the_table_names_stays_readable_file_by_file() {
    let world = World::new().await;
    for _ in 0..3 {
        world.commit_rows(&["click", "scroll"], 5).await;
    }
    let tagged = world.load().await.metadata().current_snapshot_id().unwrap();
    let update = json!({"requirements": [], "updates": [
        {"action": "set-snapshot-ref", "ref-name": "audit", "type": "tag", "snapshot-id": tagged},
    ]});
    assert_eq!(world.client.commit_once(&world.ident, &update).await, protocol::Outcome::Committed);
    let needed = files_of(&world, tagged).await;
    world.compact(&CompactOptions { min_input_files: 2, ..CompactOptions::default() }).await;
    let report = run(&world, &all()).await;
    assert!(report.verdict == Verdict::Expired && !report.snapshots.contains(&tagged), "{report:#?}");
    assert_eq!(world.load().await.metadata().snapshots().len(), 2, "the one that the tag names and the current one");
    let left: BTreeSet<String> = world.files().await.into_iter().collect();
    assert!(needed.is_subset(&left), "{:?}", needed.difference(&left));
    world.complete().await;
}

#[tokio::test]
async fn files_can_be_left_for_a_sweep() {
    let world = compacted().await;
    let before = world.files().await.len();
    let report = run(&world, &Options { delete_files: false, ..all() }).await;
    assert_eq!((report.verdict, report.deleted.files), (Verdict::Expired, 0), "{report:#?}");
    // The metadata file of the commit.
    assert_eq!(world.files().await.len(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_in_between_is_neither_lost_nor_expired_and_a_lost_answer_is_looked_up() {
    for trouble in [Trouble::RowsFirst, Trouble::AnswerLost, Trouble::AnswerLostAndOvertaken] {
        let world = Arc::new(compacted().await);
        let (client, between) = Between::client(&world, trouble, 1).await;
        let report = expire(&client, &world.ident, &all()).await.unwrap();
        let left = if trouble == Trouble::AnswerLostAndOvertaken { 2 } else { 1 };
        assert_eq!(report.verdict, Verdict::Expired, "{trouble:?}: {report:#?}");
        assert_eq!(world.load().await.metadata().snapshots().len(), left, "{trouble:?}: {report:#?}");
        let conflicts = between.seen.lock().unwrap().iter().filter(|status| **status == 409).count();
        assert_eq!(conflicts, usize::from(trouble == Trouble::RowsFirst), "{trouble:?}");
        world.complete().await;
    }
}

#[tokio::test]
async fn ways_that_exclude_each_other_are_refused() {
    let world = World::new().await;
    let both = Options { snapshot_ids: vec![1], ..all() };
    let error = expire(&world.client, &world.ident, &both).await.unwrap_err().to_string();
    assert!(error.contains("exclude each other"), "{error}");
    let unknown = Options { snapshot_ids: vec![1], ..Options::default() };
    let error = expire(&world.client, &world.ident, &unknown).await.unwrap_err().to_string();
    assert!(error.contains("no snapshot 1"), "{error}");
}

fn dry() -> catalog_sync::sweep::options::Options {
    catalog_sync::sweep::options::Options { dry_run: true, ..Default::default() }
}
