//! Rows that a compaction sorts, and repeats that it leaves out: read back, counted, and accounted for by `verify`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use catalog_sync::compact::options::{Options, Strategy};
use catalog_sync::compact::order::SortOrder;
use catalog_sync::compact::{Error, Verdict, compact, plan};
use catalog_sync::verify::{VerifyOptions, verify};
use common::{Between, Trouble, World, batches, files, rows, small_files};
use iceberg::spec::{DataFile, Operation};
use serde_json::json;

fn sort() -> Options {
    Options { strategy: Strategy::Sort, partial_progress: false, ..Options::default() }
}

/// For no other reason than repeats.
fn dedupe() -> Options {
    let options = Options { min_file_size_bytes: Some(1), delete_ratio_threshold: 1.0, ..Options::default() };
    Options { dedupe: true, partial_progress: false, ..options }
}

/// For each event type the sessions and times of its rows, as they lie in the table.
async fn visits(world: &World) -> BTreeMap<String, Vec<(String, i64)>> {
    let mut visits: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
    for batch in batches(world).await {
        let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
        let (types, sessions) = (text("event_type"), text("session_id"));
        let times = batch.column_by_name("event_timestamp").unwrap().as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let visit = (sessions.value(row).to_owned(), times.value(row));
            visits.entry(types.value(row).to_owned()).or_default().push(visit);
        }
    }
    visits
}

async fn sort_order_ids(world: &World) -> BTreeSet<Option<i32>> {
    world.data_files().await.iter().map(DataFile::sort_order_id).collect()
}

/// Gives the table a sort order: by session, then by time.
async fn with_sort_order(world: &World) {
    let field =
        |id: i32| json!({"transform": "identity", "source-id": id, "direction": "asc", "null-order": "nulls-first"});
    let updates = json!([
        {"action": "add-sort-order", "sort-order": {"order-id": 1, "fields": [field(4), field(2)]}},
        {"action": "set-default-sort-order", "sort-order-id": -1},
    ]);
    let outcome = world.client.commit_once(&world.ident, &json!({"requirements": [], "updates": updates})).await;
    assert_eq!(outcome, protocol::Outcome::Committed);
}

#[tokio::test]
async fn rows_are_sorted_across_the_files_of_a_group_and_are_the_same() {
    let world = small_files(6).await;
    let rows_before = rows(&world).await;
    assert!(!visits(&world).await["click"].is_sorted(), "nothing to sort");
    let report = world.compact(&sort()).await;
    assert_eq!((report.verdict, report.done.files_after, report.failed.len()), (Verdict::Committed, 2, 0));
    assert!(rows(&world).await == rows_before, "other rows");
    for (event_type, visits) in visits(&world).await {
        assert!(visits.len() == 60 && visits.is_sorted(), "{event_type}");
    }
    assert_eq!(sort_order_ids(&world).await, BTreeSet::from([None]), "the table has no sort order");
    world.complete().await;
    assert_eq!(world.compact(&sort()).await.verdict, Verdict::NothingToGain);

    let by_city = Options { sort_order: Some(SortOrder::parse("city DESC").unwrap()), rewrite_all: true, ..sort() };
    assert_eq!(world.compact(&by_city).await.verdict, Verdict::Committed);
    assert!(!visits(&world).await["click"].is_sorted());
    assert!(rows(&world).await == rows_before, "other rows");
}

#[tokio::test]
async fn files_in_the_tables_own_order_say_so_and_only_others_are_sorted() {
    let world = World::new().await;
    with_sort_order(&world).await;
    for rows in [3_000, 2_000, 4_000] {
        world.commit_rows(&["click"], rows).await;
    }
    // All of them are large enough, so that there is nothing to pack.
    let sizes = Options { min_file_size_bytes: Some(1), target_file_size_bytes: Some(90_000), ..Options::default() };
    let sizes = Options { max_file_size_bytes: Some(10_000_000), partial_progress: false, ..sizes };
    assert_eq!(world.compact(&sizes).await.verdict, Verdict::NothingToGain);
    let rows_before = rows(&world).await;
    let options = Options { strategy: Strategy::Sort, ..sizes };
    let report = world.compact(&options).await;
    assert_eq!((report.verdict, report.done.files_before), (Verdict::Committed, 3));
    assert!(report.done.files_after > 1, "{report:?}");
    assert!(rows(&world).await == rows_before, "other rows");
    assert_eq!(sort_order_ids(&world).await, BTreeSet::from([Some(1)]));
    // Between files as well as in them: they are cut from one order.
    let mut bounds = world.bounds_of(4).await;
    bounds.sort();
    assert!(bounds.windows(2).all(|two| two[0].1 <= two[1].0), "{bounds:?}");
    assert_eq!(world.compact(&options).await.verdict, Verdict::NothingToGain);

    world.commit_rows(&["click"], 3_000).await;
    let health = plan(&world.client, &world.ident, &options).await.unwrap().partitions.remove(0);
    assert_eq!((health.files - health.sorted_files, health.delete_files), (1, 0));
    let report = world.compact(&options).await;
    assert_eq!((report.done.files_before, report.done.rows), (1, 3_000));
    assert_eq!(sort_order_ids(&world).await, BTreeSet::from([Some(1)]));
    world.complete().await;
}

#[tokio::test]
async fn a_sort_that_spills_gives_the_same_rows_in_order() {
    let world = World::new().await;
    for _ in 0..3 {
        world.commit_rows(&["click"], 60_000).await;
    }
    let options = Options { sort_memory_bytes: 32 * 1024 * 1024, rewrite_all: true, ..sort() };
    let report = world.compact(&options).await;
    assert_eq!((report.verdict, report.done.rows, report.failed.len()), (Verdict::Committed, 180_000, 0), "{report:?}");
    let visits = visits(&world).await.remove("click").unwrap();
    assert!(visits.len() == 180_000 && visits.is_sorted());
    world.complete().await;
}

#[tokio::test]
async fn options_that_do_not_go_together_are_refused() {
    let world = World::new().await;
    for options in [
        Options { sort_order: Some(SortOrder::by_session()), ..Options::default() },
        Options { sort_memory_bytes: 1_000, ..sort() },
        Options { delete_ratio_threshold: 2.0, ..sort() },
    ] {
        let error = compact(&world.client, &world.ident, &options).await.unwrap_err();
        assert!(matches!(error, Error::Options(_)), "{error}");
    }
}

#[tokio::test]
async fn of_an_event_that_was_sent_twice_one_row_stays_and_verify_accounts_for_the_others() {
    let world = World::new().await;
    // Rows 0 to 9, then 5 to 14, then 5 to 9 once more.
    for range in [0..10, 5..15, 5..10] {
        world.commit_events("click", range).await;
    }
    world.commit_events("page_view", 0..10).await;
    let planned = world.compact(&Options { dry_run: true, ..dedupe() }).await;
    assert_eq!((planned.verdict, planned.planned.files_before, planned.planned.repeats), (Verdict::Planned, 2, 10));
    let report = world.compact(&dedupe()).await;
    // The first file has no repeat.
    assert_eq!((report.verdict, report.done.files_before, report.done.files_after), (Verdict::Committed, 2, 1));
    assert_eq!((report.done.rows, report.done.repeats, report.failed.len()), (15, 10, 0));
    assert_eq!(world.event_ids("click").await, (0..15).map(|id| format!("event-{id}")).collect::<Vec<_>>());
    assert_eq!(world.event_ids("page_view").await.len(), 10, "the same ids in another partition");

    let loaded = world.load().await;
    let summary = loaded.metadata().current_snapshot().unwrap().summary();
    assert_eq!(summary.operation, Operation::Overwrite);
    assert_eq!(summary.additional_properties["catalog-sync.deduplicated-records"], "10");
    assert_eq!(summary.additional_properties["total-records"], "25");
    let verified = verify(&world.client, &world.ident, VerifyOptions::default()).await.unwrap();
    assert!(verified.complete && verified.rows_deduplicated == 10, "{verified:#?}");

    assert_eq!(world.compact(&dedupe()).await.verdict, Verdict::NothingToGain);
    world.commit_events("click", 14..16).await;
    world.complete().await;
    assert_eq!(world.compact(&Options { dedupe: true, ..sort() }).await.done.repeats, 1);
    world.complete().await;
}

#[tokio::test]
async fn the_row_that_was_taken_in_first_stays_and_a_deleted_one_is_no_row() {
    let world = World::new().await;
    world.commit_events_at("click", 0..3, 200).await;
    world.commit_events_at("click", 0..3, 100).await;
    let (first, second) = {
        let files = world.data_files_in_order().await;
        (files[0].clone(), files[1].clone())
    };
    // Event 1 of the file that was taken in first is deleted, so that the other one's stays.
    world.delete("click", &[(&second, &[1])]).await;
    let report = world.compact(&dedupe()).await;
    assert_eq!((report.done.repeats, report.done.deleted_rows), (2, 0), "{report:?}");
    assert_eq!(world.event_ids("click").await, ["event-0", "event-1", "event-2"]);
    let live = files(&world).await;
    assert!(live.contains(&second) && !live.contains(&first));
    let times: Vec<i64> = world.taken_in("click").await;
    assert_eq!(times, [100, 100, 200]);
    world.complete_but_for_deletes().await;
}

#[tokio::test]
async fn rows_without_an_id_are_never_repeats() {
    let world = World::new().await;
    world.commit_without_ids("click", 5).await;
    world.commit_without_ids("click", 5).await;
    assert_eq!(world.compact(&dedupe()).await.verdict, Verdict::NothingToGain);
    assert_eq!(rows(&world).await.len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_row_that_stays_was_rewritten_by_somebody_else_the_repeat_is_given_up() {
    let world = std::sync::Arc::new(World::new().await);
    world.commit_events("click", 0..10).await;
    world.commit_events("click", 9..12).await;
    let second = world.data_files_in_order().await.remove(1);
    let (client, _) = Between::client(&world, Trouble::OldestCompacted, 1).await;
    let report = compact(&client, &world.ident, &dedupe()).await.unwrap();
    assert_eq!((report.verdict, report.yielded), (Verdict::Yielded, 1));
    assert!(files(&world).await.contains(&second), "the file with the repeat is as it was");
    assert_eq!(rows(&world).await.len(), 13);
    assert_eq!(world.compact(&dedupe()).await.done.repeats, 1);
    assert_eq!(world.event_ids("click").await.len(), 12);
    world.complete().await;
}

#[tokio::test]
async fn groups_are_rewritten_at_once_and_no_more_files_than_asked_for() {
    let world = small_files(6).await;
    let rows_before = rows(&world).await;
    let options = Options { max_concurrent_rewrites: 4, max_files_to_rewrite: Some(6), ..Options::default() };
    let report = world.compact(&options).await;
    assert_eq!((report.verdict, report.done.groups, report.done.files_before), (Verdict::Committed, 1, 6));
    let report = world.compact(&Options { max_concurrent_rewrites: 4, rewrite_all: true, ..Options::default() }).await;
    assert_eq!((report.done.groups, report.done.files_after, report.yielded), (2, 2, 0));
    assert!(rows(&world).await == rows_before, "other rows");
    world.complete().await;
}
