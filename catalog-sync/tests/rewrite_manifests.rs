//! Manifests of a table on the embedded catalog: made by many commits, written anew, and raced against by a commit.
//!
//! Data files are handmade: metadata is what counts here, so each is a text of the right length and no Parquet.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use catalog_sync::manifest;
use catalog_sync::rewrite::{Error, Verdict, rewrite_manifests};
use common::{Between, Trouble, World};
use iceberg::spec::{ManifestStatus, Operation};
use protocol::Offset;

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
