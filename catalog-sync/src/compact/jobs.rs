//! In which order groups are rewritten, and how many of them. Pure. Called by [`super`].

use clap::ValueEnum;

use super::plan::{FileGroup, Sizes};

/// Which groups come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum JobOrder {
    /// As they come: by partition.
    None,
    /// Those of the fewest bytes.
    BytesAsc,
    /// Those of the most bytes.
    BytesDesc,
    /// Those of the fewest files.
    FilesAsc,
    /// Those of the most files.
    #[default]
    FilesDesc,
}

/// The groups in this order, and of them so many that no more files than `files_max` are rewritten. The last one may be cut, if
/// what is left of it is worth its while.
#[must_use]
pub(super) fn choose(
    mut groups: Vec<FileGroup>,
    order: JobOrder,
    files_max: Option<usize>,
    sizes: &Sizes,
) -> Vec<FileGroup> {
    let count = |group: &FileGroup| group.files.len();
    match order {
        JobOrder::None => {}
        JobOrder::BytesAsc => groups.sort_by_key(FileGroup::bytes),
        JobOrder::BytesDesc => groups.sort_by_key(|group| std::cmp::Reverse(group.bytes())),
        JobOrder::FilesAsc => groups.sort_by_key(count),
        JobOrder::FilesDesc => groups.sort_by_key(|group| std::cmp::Reverse(count(group))),
    }
    let Some(mut left) = files_max else { return groups };
    let mut chosen = Vec::new();
    for mut group in groups {
        let fits = count(&group) <= left;
        group.files.truncate(left);
        left -= count(&group);
        if fits || sizes.is_worth_it(&group.files) {
            chosen.push(group);
        }
        if left == 0 {
            break;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::{SIZES, files, key};
    use super::*;

    fn chosen(order: JobOrder, files_max: Option<usize>) -> Vec<Vec<u64>> {
        let groups = [vec![9, 9], vec![1; 6], vec![50, 60, 70]];
        let group = |(day, sizes): (usize, &Vec<u64>)| FileGroup { key: key(day as i32), files: files(sizes) };
        let groups = groups.iter().enumerate().map(group).collect();
        let sizes_of = |group: FileGroup| group.files.iter().map(|file| file.bytes).collect();
        choose(groups, order, files_max, &SIZES).into_iter().map(sizes_of).collect()
    }

    #[test]
    fn groups_come_in_the_order_that_is_asked_for() {
        let (two, six, three) = (vec![9, 9], vec![1; 6], vec![50, 60, 70]);
        assert_eq!(chosen(JobOrder::None, None), [two.clone(), six.clone(), three.clone()]);
        assert_eq!(chosen(JobOrder::BytesAsc, None), [six.clone(), two.clone(), three.clone()]);
        assert_eq!(chosen(JobOrder::BytesDesc, None), [three.clone(), two.clone(), six.clone()]);
        assert_eq!(chosen(JobOrder::FilesAsc, None), [two.clone(), three.clone(), six.clone()]);
        assert_eq!(chosen(JobOrder::default(), None), [six, three, two]);
    }

    #[test]
    fn no_more_files_are_taken_than_may_be() {
        assert_eq!(chosen(JobOrder::FilesDesc, Some(8)), [vec![1; 6], vec![50, 60]]);
        assert_eq!(chosen(JobOrder::FilesDesc, Some(5)), [vec![1; 5]]);
        assert!(chosen(JobOrder::FilesDesc, Some(4)).is_empty(), "four small files are not worth it");
        assert!(chosen(JobOrder::FilesDesc, Some(0)).is_empty());
    }
}
