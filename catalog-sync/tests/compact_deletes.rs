//! Rows that position delete files have deleted: compaction leaves them out, and removes the delete files.
//!
//! The delete files are real ones; who reads the table before and after is the `iceberg` crate, which applies them by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;

use catalog_sync::compact::filter::Filter;
use catalog_sync::compact::options::Options;
use catalog_sync::compact::{Skipped, Verdict, compact, plan};
use common::{Between, Trouble, World, files, rows, small_files};
use iceberg::spec::{ManifestContentType, ManifestStatus, Operation};

fn at_once() -> Options {
    Options { partial_progress: false, ..Options::default() }
}

async fn summary(world: &World, key: &str) -> Option<String> {
    let loaded = world.load().await;
    loaded.metadata().current_snapshot().unwrap().summary().additional_properties.get(key).cloned()
}

/// Delete files by the status that the manifests give them.
async fn delete_files(world: &World, status: ManifestStatus) -> BTreeSet<String> {
    let file_io = world.store(&world.load().await).file_io();
    let mut found = BTreeSet::new();
    for listed in world.manifests().await.iter().filter(|it| it.content == ManifestContentType::Deletes) {
        let manifest = listed.load_manifest(&file_io).await.unwrap();
        found.extend(manifest.entries().iter().filter(|it| it.status() == status).map(|it| it.file_path().to_owned()));
    }
    found
}

#[tokio::test]
async fn deleted_rows_are_left_out_and_their_delete_file_is_removed_by_the_same_snapshot() {
    let world = small_files(5).await;
    let clicks = world.files_of("click").await;
    let deletes = world.delete("click", &[(&clicks[0], &[0, 9]), (&clicks[3], &[4])]).await;
    let rows_before = rows(&world).await;
    assert_eq!(rows_before.len(), 97);
    world.complete_but_for_deletes().await;

    let report = world.compact(&at_once()).await;
    assert_eq!((report.verdict, report.skipped, report.failed.len()), (Verdict::Committed, Skipped::default(), 0));
    assert_eq!((report.done.rows, report.done.deleted_rows, report.done.delete_files), (100, 3, 1));
    assert_eq!(report.planned.deleted_rows, 3);
    assert!(rows(&world).await == rows_before, "other rows");
    assert_eq!(files(&world).await.len(), 2);
    assert_eq!(delete_files(&world, ManifestStatus::Deleted).await, BTreeSet::from([deletes]));
    for (key, value) in [
        ("added-records", "97"),
        ("deleted-records", "100"),
        ("removed-delete-files", "1"),
        ("removed-position-delete-files", "1"),
        ("removed-position-deletes", "3"),
        ("total-records", "97"),
        ("total-delete-files", "0"),
        ("total-position-deletes", "0"),
        ("catalog-sync.applied-position-deletes", "3"),
    ] {
        assert_eq!(summary(&world, key).await.as_deref(), Some(value), "{key}");
    }
    let operation = world.load().await.metadata().current_snapshot().unwrap().summary().operation.clone();
    assert_eq!(operation, Operation::Replace);
    world.complete_but_for_deletes().await;

    // The next commits go on top, and there is nothing left to do.
    world.commit_rows(&["click"], 10).await;
    assert_eq!(world.compact(&at_once()).await.verdict, Verdict::NothingToGain);
    world.complete_but_for_deletes().await;
}

#[tokio::test]
async fn a_row_that_is_deleted_twice_or_is_not_there_counts_once_or_not_at_all() {
    let world = small_files(5).await;
    let clicks = world.files_of("click").await;
    world.delete("click", &[(&clicks[0], &[1, 1, 2])]).await;
    world.delete("click", &[(&clicks[0], &[2, 10, 4_000]), ("s3://elsewhere/file.parquet", &[0])]).await;
    let rows_before = rows(&world).await;
    assert_eq!(rows_before.len(), 98);
    let report = world.compact(&at_once()).await;
    assert_eq!((report.done.deleted_rows, report.done.delete_files), (2, 2));
    assert!(rows(&world).await == rows_before, "other rows");
}

#[tokio::test]
async fn a_delete_file_that_still_names_a_live_file_stays_and_goes_with_the_last_one() {
    let world = small_files(4).await;
    let clicks = world.files_of("click").await;
    let shared = world.delete("click", &[(&clicks[0], &[0, 1, 2]), (&clicks[1], &[5])]).await;
    world.delete("page_view", &[(&world.files_of("page_view").await[0], &[7])]).await;
    let rows_before = rows(&world).await;
    // Only the file of which three rows in ten are deleted.
    let options = Options { min_file_size_bytes: Some(1), ..Options::default() };
    let report = world.compact(&options).await;
    assert_eq!((report.done.files_before, report.done.deleted_rows, report.done.delete_files), (1, 3, 0));
    assert!(delete_files(&world, ManifestStatus::Added).await.contains(&shared));
    assert!(rows(&world).await == rows_before, "other rows");
    world.complete_but_for_deletes().await;

    // Each partition is a commit of its own, and the second one must not mind the delete files that the first removed.
    let report = world.compact(&Options { delete_file_threshold: 1, ..options }).await;
    assert_eq!((report.snapshot_ids.len(), report.yielded), (2, 0));
    assert_eq!((report.done.files_before, report.done.deleted_rows, report.done.delete_files), (2, 2, 2));
    assert!(delete_files(&world, ManifestStatus::Added).await.is_empty());
    assert!(delete_files(&world, ManifestStatus::Existing).await.is_empty());
    assert!(rows(&world).await == rows_before, "other rows");
    world.complete_but_for_deletes().await;
}

#[tokio::test]
async fn a_file_of_which_every_row_is_deleted_goes_and_nothing_comes() {
    let world = small_files(1).await;
    let clicks = world.files_of("click").await;
    world.delete("click", &[(&clicks[0], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])]).await;
    let report = world.compact(&at_once()).await;
    assert_eq!((report.done.files_before, report.done.files_after, report.done.delete_files), (1, 0, 1));
    assert_eq!((files(&world).await.len(), rows(&world).await.len()), (1, 10));
    world.complete_but_for_deletes().await;
    assert_eq!(world.compact(&at_once()).await.verdict, Verdict::NothingToGain);
}

#[tokio::test]
async fn a_delete_file_that_names_nothing_that_is_there_is_removed_although_no_file_is_worth_rewriting() {
    let world = small_files(1).await;
    world.delete("click", &[("s3://elsewhere/file.parquet", &[0, 1])]).await;
    let planned = plan(&world.client, &world.ident, &Options::default()).await.unwrap();
    assert_eq!((planned.compaction.verdict, planned.compaction.planned.delete_files), (Verdict::Planned, 1));
    let report = world.compact(&Options::default()).await;
    assert_eq!((report.verdict, report.done.groups, report.done.delete_files), (Verdict::Committed, 0, 1));
    assert_eq!(summary(&world, "total-position-deletes").await.as_deref(), Some("0"));
    assert_eq!((files(&world).await.len(), rows(&world).await.len()), (2, 20));
    assert_eq!(world.compact(&Options::default()).await.verdict, Verdict::NothingToGain);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_that_comes_between_reading_and_committing_is_never_lost() {
    let world = small_files(5).await;
    let clicks = world.files_of("click").await;
    world.delete("click", &[(&clicks[1], &[0])]).await;
    let (client, _) = Between::client(&world, Trouble::Deleted, 1).await;
    let report = compact(&client, &world.ident, &at_once()).await.unwrap();
    assert_eq!((report.verdict, report.yielded), (Verdict::Yielded, 2));
    assert_eq!(rows(&world).await.len(), 98);
    let report = world.compact(&at_once()).await;
    assert_eq!((report.done.deleted_rows, report.done.delete_files), (2, 2));
    assert_eq!(rows(&world).await.len(), 98);
    world.complete_but_for_deletes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingestion_that_comes_between_is_carried_and_the_delete_file_goes_all_the_same() {
    let world = small_files(5).await;
    world.delete_rows("click").await;
    let (client, _) = Between::client(&world, Trouble::RowsFirst, 2).await;
    let report = compact(&client, &world.ident, &at_once()).await.unwrap();
    assert_eq!((report.verdict, report.done.delete_files, report.snapshot_ids.len()), (Verdict::Committed, 1, 1));
    assert_eq!(rows(&world).await.len(), 99 + 20);
    world.complete_but_for_deletes().await;
}

#[tokio::test]
async fn only_the_partitions_that_are_asked_for_are_looked_at() {
    let world = small_files(5).await;
    let filter = |text: &str| Options { filter: Some(Filter::parse(text).unwrap()), ..Options::default() };
    let none = world.compact(&filter("event_timestamp_day < '2026-03-03'")).await;
    assert_eq!((none.verdict, none.files), (Verdict::NothingToGain, 0));
    let report = world.compact(&filter("event_type = 'click' AND event_timestamp_day = '2026-03-03'")).await;
    assert_eq!((report.files, report.done.groups), (5, 1));
    assert_eq!(world.files_of("page_view").await.len(), 5);
    let health = plan(&world.client, &world.ident, &filter("event_type <> 'click'")).await.unwrap().partitions;
    assert_eq!((health.len(), health[0].small_files), (1, 5));
}
