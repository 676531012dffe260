//! Data files of a table on the embedded catalog: made by many commits, compacted, and raced against.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;

use bytes::Bytes;
use catalog_sync::compact::options::Options;
use catalog_sync::compact::{Error, Skipped, Verdict, compact};
use common::{Between, TYPES, Trouble, World, files, rows, small_files};
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, Literal, ManifestStatus, Operation};
use serde_json::json;

#[tokio::test]
async fn small_files_become_one_a_partition_with_the_same_rows_and_the_same_position() {
    let world = small_files(6).await;
    let (before, rows_before) = (world.load().await, rows(&world).await);
    assert_eq!(rows_before.len(), 120);
    let planned = world.compact(&Options { dry_run: true, ..Options::default() }).await;
    assert_eq!((planned.verdict, planned.files), (Verdict::Planned, 12));
    assert_eq!((planned.planned.groups, planned.planned.files_before, planned.planned.files_after), (2, 12, 2));
    assert_eq!(world.load().await.metadata().current_snapshot_id(), before.metadata().current_snapshot_id());

    let options = Options { partial_progress: false, ..Options::default() };
    let report = world.compact(&options).await;
    assert_eq!((report.verdict, report.yielded, report.done.files_after), (Verdict::Committed, 0, 2));
    assert_eq!((report.done.rows, report.snapshot_ids.len(), report.skipped), (120, 1, Skipped::default()));
    assert!(rows(&world).await == rows_before, "other rows");
    assert_eq!(files(&world).await.len(), 2);

    let after = world.load().await;
    let (then, now) = (before.metadata().current_snapshot().unwrap(), after.metadata().current_snapshot().unwrap());
    assert_eq!(
        (now.summary().operation.clone(), now.parent_snapshot_id()),
        (Operation::Replace, Some(then.snapshot_id()))
    );
    let total = |snapshot: &iceberg::spec::Snapshot, key: &str| snapshot.summary().additional_properties[key].clone();
    assert_eq!(total(now, "total-records"), "120");
    assert_eq!((total(then, "total-data-files"), total(now, "total-data-files")), ("12".into(), "2".into()));
    assert_eq!(total(now, "total-files-size"), report.done.bytes_after.unwrap().to_string());
    assert_eq!(after.facts().unwrap().position, before.facts().unwrap().position);
    world.complete().await;

    let again = world.compact(&options).await;
    assert_eq!((again.verdict, again.files), (Verdict::NothingToGain, 2));
    world.commit_rows(&TYPES, 10).await;
    world.complete().await;
    assert_eq!(rows(&world).await.len(), 140);
}

#[tokio::test]
async fn the_snapshot_tells_which_files_went_and_the_next_one_forgets_them() {
    let world = small_files(5).await;
    let gone = files(&world).await;
    world.compact(&Options { partial_progress: false, ..Options::default() }).await;
    let file_io = world.store(&world.load().await).file_io();
    let mut deleted = BTreeSet::new();
    for listed in world.manifests().await {
        for entry in listed.load_manifest(&file_io).await.unwrap().entries() {
            if entry.status() == ManifestStatus::Deleted {
                deleted.insert(entry.file_path().to_owned());
            }
        }
    }
    assert_eq!(deleted, gone);
    for _ in 0..5 {
        world.commit_rows(&TYPES, 10).await;
    }
    let report = world.compact(&Options { partial_progress: false, ..Options::default() }).await;
    // The two files of the first time are candidates as well.
    assert_eq!((report.done.files_before, report.done.files_after), (12, 2));
    assert_eq!(world.manifests().await.iter().filter(|it| it.deleted_files_count > Some(0)).count(), 1);
    world.complete().await;
}

#[tokio::test]
async fn parts_are_commits_of_their_own() {
    let world = small_files(5).await;
    let rows_before = rows(&world).await;
    let report = world.compact(&Options::default()).await;
    assert_eq!((report.snapshot_ids.len(), report.done.groups), (2, 2));
    assert!(rows(&world).await == rows_before, "other rows");
    world.complete().await;
}

#[tokio::test]
async fn files_of_many_rows_that_are_small_become_one() {
    let world = World::new().await;
    for rows in [3_000, 5_000, 9_000, 100, 2_000] {
        world.commit_rows(&["click"], rows).await;
    }
    let rows_before = rows(&world).await;
    let report = world.compact(&Options::default()).await;
    assert_eq!((report.verdict, report.done.files_before, report.done.files_after), (Verdict::Committed, 5, 1));
    assert!(rows(&world).await == rows_before, "other rows");
    assert_eq!(world.compact(&Options::default()).await.verdict, Verdict::NothingToGain);
}

#[tokio::test]
async fn a_file_that_is_too_large_is_cut() {
    let world = World::new().await;
    world.commit_rows(&["click"], 30_000).await;
    let rows_before = rows(&world).await;
    let options = Options { target_file_size_bytes: Some(300_000), ..Options::default() };
    let report = world.compact(&options).await;
    assert_eq!(report.verdict, Verdict::Committed);
    assert_eq!(report.done.files_after, report.planned.files_after.min(4), "four batches of rows");
    assert!(rows(&world).await == rows_before, "other rows");
    world.complete().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_in_between_is_carried_and_the_compaction_lands_on_top_of_it() {
    for trouble in [Trouble::RowsFirst, Trouble::Rewritten] {
        let world = small_files(5).await;
        let (client, _) = Between::client(&world, trouble, 3).await;
        let options = Options { partial_progress: false, ..Options::default() };
        let report = compact(&client, &world.ident, &options).await.unwrap();
        assert_eq!((report.verdict, report.done.files_before), (Verdict::Committed, 10), "{trouble:?}");
        let more = if trouble == Trouble::RowsFirst { 3 } else { 0 };
        assert_eq!((files(&world).await.len(), rows(&world).await.len()), (2 + more, 100 + 10 * more), "{trouble:?}");
        world.complete().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_have_compacted_or_deleted_rows_of_or_swept_is_given_up() {
    for trouble in [Trouble::Compacted, Trouble::Swept, Trouble::Deleted] {
        let world = small_files(5).await;
        let (client, _) = Between::client(&world, trouble, 1).await;
        let options = Options { partial_progress: false, ..Options::default() };
        let report = compact(&client, &world.ident, &options).await.unwrap();
        assert_eq!((report.verdict, report.yielded, report.done.groups), (Verdict::Yielded, 2, 0), "{trouble:?}");
        if trouble != Trouble::Deleted {
            world.complete().await;
        }
        if trouble == Trouble::Compacted {
            assert_eq!((files(&world).await.len(), rows(&world).await.len()), (2, 100));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_lost_is_found_in_the_table_and_nothing_is_sent_twice() {
    let world = small_files(5).await;
    let (client, _) = Between::client(&world, Trouble::AnswerLost, 1).await;
    let report =
        compact(&client, &world.ident, &Options { partial_progress: false, ..Options::default() }).await.unwrap();
    assert_eq!((report.verdict, report.done.files_before), (Verdict::Committed, 10));
    assert_eq!((files(&world).await.len(), rows(&world).await.len()), (2, 100));
    world.complete().await;
}

#[tokio::test]
async fn files_that_may_have_deleted_rows_which_are_not_known_are_left_alone_and_later_ones_are_not() {
    for content in [DataContentType::EqualityDeletes, DataContentType::PositionDeletes] {
        let world = small_files(5).await;
        world.commit_deletes("click", content, Bytes::from_static(b"no Parquet"), 1).await;
        world.commit_rows(&TYPES, 10).await;
        let report = world.compact(&Options { rewrite_all: true, ..Options::default() }).await;
        assert_eq!((report.verdict, report.skipped.with_deletes), (Verdict::Committed, 5), "{content:?}");
        assert_eq!((report.done.groups, report.done.files_before, report.done.delete_files), (2, 7, 0));
        // Five that were left alone, two that were written, and the delete file.
        assert_eq!(files(&world).await.len(), 8);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_more_is_written_when_rows_were_deleted_after_the_first_part() {
    let world = small_files(5).await;
    let (client, _) = Between::client(&world, Trouble::DeletedAfter, 1).await;
    let report = compact(&client, &world.ident, &Options::default()).await.unwrap();
    assert_eq!((report.verdict, report.snapshot_ids.len(), report.yielded), (Verdict::Committed, 1, 1));
}

#[tokio::test]
async fn a_file_that_does_not_hold_what_its_manifest_says_is_not_replaced() {
    let world = small_files(4).await;
    // Its manifest counts a row more than the file has.
    let loaded = world.load().await;
    let (manifests, file_io) = (world.manifests().await, world.store(&loaded).file_io());
    let entries = catalog_sync::manifest::live_entries(&manifests[0], &file_io).await.unwrap();
    let file = entries[0].data_file().clone();
    let location = file.file_path().replace(".parquet", "-copy.parquet");
    let bytes = world.store(&loaded).read(file.file_path()).await.unwrap();
    world.store(&loaded).put_new(&location, bytes).await.unwrap();
    world.commit_files(&loaded, vec![miscounted(&file, location)]).await;

    let before = world.load().await.metadata().current_snapshot_id();
    let report = world.compact(&Options::default()).await;
    assert_eq!((report.verdict, report.failed.len(), report.done.groups), (Verdict::Failed, 1, 0));
    assert!(
        report.failed[0].why.starts_with("50 rows were read, the manifests tell of 51 that are not deleted"),
        "{report:?}"
    );
    assert_eq!(world.load().await.metadata().current_snapshot_id(), before);

    // The other partitions are compacted all the same.
    let other = if file.partition().fields()[1] == Some(Literal::string("click")) { "page_view" } else { "click" };
    world.commit_rows(&[other], 10).await;
    let report = world.compact(&Options::default()).await;
    assert_eq!((report.verdict, report.failed.len(), report.done.groups), (Verdict::Committed, 1, 1));
    assert_eq!(report.done.files_before, 5);
}

#[tokio::test]
async fn a_file_that_is_gone_stops_only_its_partition() {
    let world = small_files(5).await;
    let gone = files(&world).await.into_iter().find(|location| location.contains("event_type=click")).unwrap();
    world.store(&world.load().await).delete(&gone).await.unwrap();
    let before = files(&world).await;
    let report = world.compact(&Options { partial_progress: false, ..Options::default() }).await;
    assert_eq!((report.verdict, report.done.groups, report.failed.len()), (Verdict::Committed, 1, 1));
    assert!(report.failed[0].partition.ends_with("event_type=click"), "{report:?}");
    assert!(report.failed[0].why.contains(&gone), "{report:?}");
    let stays = before.iter().filter(|location| location.contains("event_type=click"));
    assert!(files(&world).await.is_superset(&stays.cloned().collect()), "a file of the partition was replaced");
}

fn miscounted(file: &DataFile, location: String) -> DataFile {
    DataFileBuilder::default()
        .content(file.content_type())
        .file_path(location)
        .file_format(file.file_format())
        .partition(file.partition().clone())
        .partition_spec_id(0)
        .record_count(file.record_count() + 1)
        .file_size_in_bytes(file.file_size_in_bytes())
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_table_with_columns_that_no_event_has_is_refused_since_their_values_would_be_lost() {
    let world = small_files(5).await;
    let mut schema = schemas::table::iceberg_schema();
    schema["schema-id"] = json!(1);
    schema["fields"]
        .as_array_mut()
        .unwrap()
        .push(json!({"id": 99, "name": "tenant", "required": false, "type": "string"}));
    let updates = json!([
        {"action": "add-schema", "schema": schema, "last-column-id": 99},
        {"action": "set-current-schema", "schema-id": 1},
    ]);
    let outcome = world.client.commit_once(&world.ident, &json!({"requirements": [], "updates": updates})).await;
    assert_eq!(outcome, protocol::Outcome::Committed);
    let error = compact(&world.client, &world.ident, &Options::default()).await.unwrap_err();
    assert!(matches!(&error, Error::Columns(columns) if columns == "tenant"), "{error}");
}

#[tokio::test]
async fn an_empty_table_has_nothing_to_gain_and_sizes_that_contradict_each_other_are_refused() {
    let world = World::new().await;
    assert_eq!(world.compact(&Options::default()).await.verdict, Verdict::NothingToGain);
    let options = Options { target_file_size_bytes: Some(0), ..Options::default() };
    let error = compact(&world.client, &world.ident, &options).await.unwrap_err();
    assert!(matches!(error, Error::Options(_)), "{error}");
}
