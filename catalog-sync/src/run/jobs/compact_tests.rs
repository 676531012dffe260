//! When partitions need a compaction, and when they are left alone.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::compact::options::Options;
use crate::compact::plan::Sizes;
use crate::run::config::Jobs;
use crate::run::picture::{Contents, Picture};

/// Small below 75, large above 180, five are enough.
fn sizes() -> Sizes {
    Options::default().sizes(100).unwrap()
}
const MAX: Duration = Duration::from_secs(600);

fn key(day: i32) -> PartitionKey {
    PartitionKey { day, event_type: "click".to_owned() }
}

/// A partition of so many files of one byte, which came with so many commits, the first of them number 1.
fn share(files: u64, commits: i64) -> Share {
    let mut share = Share::default();
    (0..files as i64).for_each(|file| share.count(1, Some(1 + file % commits), &sizes()));
    share
}

fn picture(shares: &[Share]) -> Picture {
    let partitions = (0..).map(key).zip(shares.iter().cloned()).collect();
    Picture {
        snapshot_id: Some(1),
        snapshot_ms: Some(0),
        snapshots: 1,
        manifests: 1,
        small_manifests: 1,
        contents: Contents { partitions, others: 0 },
        sizes: sizes(),
    }
}

/// The days of the partitions that need it, of a table whose first commit was a second ago.
fn needy(shares: &[Share], rests: &Rests, now_ms: i64) -> Option<(Vec<i32>, String)> {
    let (jobs, picture, mut moments) = (Jobs::default(), picture(shares), Moments::default());
    moments.note(1, 0);
    let wish = wanted(&Sight { jobs: &jobs, picture: &picture, moments: &moments, now_ms }, rests)?;
    Some((wish.partitions?.iter().map(|key| key.day).collect(), wish.why))
}

#[test]
fn a_partition_needs_it_by_commits_or_by_files_or_by_age() {
    let rests = Rests::default();
    assert_eq!(needy(&[share(9, 9), share(99, 1)], &rests, 599_999), None);
    let (days, why) = needy(&[share(9, 9), share(10, 10), share(100, 1)], &rests, 0).unwrap_or_default();
    assert_eq!(days, [1, 2]);
    assert_eq!(
        why,
        "2 partitions, the first event_timestamp_day=1970-01-02/event_type=click: small files of 10 commits"
    );
    let (days, why) = needy(&[share(9, 9), share(4, 4)], &rests, 600_000).unwrap_or_default();
    assert_eq!((days, why.ends_with("a small file is 600 s old")), (vec![0], true), "four are too few: {why}");
    let mut large = Share::default();
    large.count(181, Some(1), &sizes());
    assert!(needy(&[large], &rests, 0).is_some());
}

#[test]
fn what_was_tried_in_vain_is_left_alone_for_longer_and_longer() {
    let shares = [share(100, 1), share(100, 1)];
    let wish = Wish { why: String::new(), partitions: Some(BTreeSet::from([key(0), key(1)])) };
    let done = |in_vain: &[i32]| Done {
        verdict: Verdict::Done,
        summary: String::new(),
        files_removed: 0,
        in_vain: in_vain.iter().copied().map(key).collect(),
        report: serde_json::Value::Null,
    };
    let (mut rests, now) = (Rests::default(), Instant::now());
    rests.learn(&wish, &done(&[0]), now, MAX, 0.0);
    assert_eq!(needy(&shares, &rests, 0).unwrap_or_default().0, [1]);
    assert!(rests.holds(&key(0), now + Duration::from_secs(4)) && !rests.holds(&key(0), now + Duration::from_secs(5)));
    rests.learn(&wish, &done(&[0, 1]), now, MAX, 0.0);
    assert!(rests.holds(&key(0), now + Duration::from_secs(9)) && !rests.holds(&key(0), now + Duration::from_secs(10)));
    assert_eq!(needy(&shares, &rests, 0), None);
    rests.learn(&wish, &done(&[]), now, MAX, 0.0);
    assert_eq!(needy(&shares, &rests, 0).unwrap_or_default().0, [0, 1]);
}
