//! Tables of files by their sizes, and what is planned for them.

use super::*;

pub(in crate::compact) const SIZES: Sizes = Sizes {
    target: 100,
    min: 75,
    max: 180,
    group_max: 1_000,
    input_files_min: 5,
    delete_files_min: usize::MAX,
    delete_ratio_min: 0.3,
    sort: false,
    all: false,
};

pub(in crate::compact) fn key(day: i32) -> PartitionKey {
    PartitionKey { day, event_type: "click".to_owned() }
}

pub(in crate::compact) fn files(sizes: &[u64]) -> Vec<FileFact> {
    let file = |(number, &bytes): (usize, &u64)| FileFact::plain(format!("f{number}"), Arc::from("m"), (bytes, 10));
    sizes.iter().enumerate().map(file).collect()
}

/// Sizes of the files of each group.
fn planned(table: &[&[u64]], sizes: &Sizes) -> Vec<Vec<u64>> {
    let table = table.iter().enumerate().map(|(day, sizes)| (key(day as i32), files(sizes))).collect();
    plan(&table, sizes).iter().map(|group| group.files.iter().map(|file| file.bytes).collect()).collect()
}

#[test]
fn five_small_files_are_a_group_and_four_are_not_unless_they_fill_a_file() {
    assert_eq!(planned(&[&[1, 2, 3, 4, 5], &[1, 2, 3, 4]], &SIZES), [[1, 2, 3, 4, 5]]);
    assert_eq!(planned(&[&[70, 40]], &SIZES), [[70, 40]]);
    assert!(planned(&[&[60, 40], &[1], &[]], &SIZES).is_empty());
}

#[test]
fn files_of_the_right_size_are_left_alone_and_large_ones_are_cut() {
    assert_eq!(planned(&[&[75, 1, 180, 1, 1, 100, 1, 1]], &SIZES), [[1; 5]]);
    assert_eq!(planned(&[&[181]], &SIZES), [[181]]);
}

#[test]
fn a_group_ends_where_it_would_be_too_large() {
    let sizes = Sizes { group_max: 100, ..SIZES };
    assert_eq!(planned(&[&[30; 3], &[40, 60, 70, 20, 2, 2, 2, 2]], &sizes), [vec![70, 20, 2, 2, 2, 2]]);
}

#[test]
fn the_partition_with_the_most_small_files_comes_first() {
    let table = [(key(0), files(&[200, 80])), (key(1), files(&[10, 20, 90]))].into();
    let health = health(&table, &SIZES);
    let told: Vec<_> = health.iter().map(|it| (it.files, it.average(), it.small_files, it.large_files)).collect();
    assert_eq!(told, [(3, 40, 2, 0), (2, 140, 0, 1)]);
    assert_eq!(health[0].partition, "event_timestamp_day=1970-01-02/event_type=click");
}

/// A file of the right size and ten rows, with so many delete files and deleted rows.
fn deleted(delete_files: usize, deleted_rows: u64) -> Vec<FileFact> {
    vec![FileFact { deletes: (0..delete_files).collect(), deleted_rows, ..files(&[100]).remove(0) }]
}

#[test]
fn a_file_of_the_right_size_goes_when_enough_of_it_is_deleted_or_by_enough_delete_files() {
    let goes = |files: Vec<FileFact>, sizes: &Sizes| !plan(&[(key(0), files)].into(), sizes).is_empty();
    assert!(goes(deleted(1, 3), &SIZES) && !goes(deleted(9, 2), &SIZES));
    let sizes = Sizes { delete_files_min: 2, ..SIZES };
    assert!(goes(deleted(2, 2), &sizes) && !goes(deleted(1, 2), &sizes) && !goes(deleted(0, 0), &sizes));
    // A threshold of nothing means every file that has deleted rows.
    let sizes = Sizes { delete_ratio_min: 0.0, ..SIZES };
    assert!(goes(deleted(1, 1), &sizes) && !goes(deleted(0, 0), &sizes));
    assert!(!goes(deleted(1, 0), &SIZES), "a delete file that names no row");
}

#[test]
fn what_is_deleted_makes_no_files() {
    let mut files = files(&[100; 3]);
    files.iter_mut().for_each(|file| (file.deletes, file.deleted_rows) = (vec![0], 9));
    let group = FileGroup { key: key(0), files };
    assert_eq!((group.outputs(&SIZES), group.rows(), group.live_rows()), (1, 30, 3));
    let health = health(&[(key(0), group.files)].into(), &SIZES);
    assert_eq!((health[0].delete_files, health[0].deleted_rows), (1, 27));
    // A row that two delete files name.
    let twice = FileGroup { key: key(0), files: deleted(2, 20) };
    assert_eq!((twice.live_rows(), twice.outputs(&SIZES)), (0, 1));
}

#[test]
fn sorting_takes_what_is_not_sorted_and_finds_nothing_more_afterwards() {
    let sizes = Sizes { sort: true, ..SIZES };
    assert_eq!(planned(&[&[100], &[90, 100], &[1, 2, 3, 4], &[1; 5]], &sizes), [vec![100], vec![90, 100], vec![1; 5]]);
    let eager = Sizes { input_files_min: 1, ..sizes };
    assert_eq!(planned(&[&[1]], &eager), [[1]]);
    let mut sorted = files(&[100, 1, 1, 150]);
    sorted.iter_mut().for_each(|file| file.is_sorted = true);
    assert!(plan(&[(key(0), sorted.clone())].into(), &sizes).is_empty());
    assert!(plan(&[(key(0), sorted[1..3].to_vec())].into(), &eager).len() == 1, "two become one");
    assert!(plan(&[(key(0), sorted[1..2].to_vec())].into(), &eager).is_empty());
}

#[test]
fn a_file_with_a_repeat_goes_whatever_its_size() {
    let mut files = files(&[100, 100]);
    files[1].repeats.insert(3);
    let groups = plan(&[(key(0), files)].into(), &SIZES);
    assert_eq!(groups.len(), 1);
    assert_eq!((groups[0].files.len(), groups[0].repeats(), groups[0].live_rows()), (1, 1, 9));
}

#[test]
fn all_means_all() {
    let sizes = Sizes { all: true, ..SIZES };
    assert_eq!(planned(&[&[100], &[1, 2]], &sizes), [vec![100], vec![1, 2]]);
}

#[test]
fn bytes_are_divided_evenly_and_a_small_rest_makes_no_file_of_its_own() {
    let outputs: Vec<u64> = [1, 99, 105, 140, 180, 250, 310, 330].map(|bytes| SIZES.outputs(bytes)).to_vec();
    assert_eq!(outputs, [1, 1, 1, 2, 2, 3, 3, 3]);
}

#[test]
fn what_a_plan_leaves_is_nothing_to_plan() {
    let tables = [(5, 1), (40, 7), (9, 74), (200, 3), (1, 950), (30, 33), (5, 23), (2, 70), (20, 7), (6, 37), (1, 181)];
    for (count, bytes) in tables {
        for group in plan(&BTreeMap::from([(key(0), files(&vec![bytes; count]))]), &SIZES) {
            let outputs = SIZES.outputs(group.bytes());
            let after = vec![group.bytes() / outputs; outputs as usize];
            assert!(planned(&[&after], &SIZES).is_empty(), "{count} of {bytes}: {after:?}");
        }
    }
}
