//! The decision: which snapshots and table references are no longer wanted. Pure. Called by [`super`] and by the tests of
//! random histories.
//!
//! Kept are: what a reference names; of each branch's ancestors those that the retention wants, by the branch's own settings if
//! it has any; and of the main branch's every one down to the newest that bears the position, so that the position is found
//! as before. Nothing is removed that anything kept needs, since files are told apart by who reaches them and not here.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use super::tiers::Tiers;

/// Name of the branch that is never removed.
pub const MAIN: &str = "main";

/// A snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotFact {
    /// Its id.
    pub id: i64,
    /// The one that it was made on.
    pub parent: Option<i64>,
    /// When, in milliseconds since 1970.
    pub time: i64,
    /// Whether the position is in its summary.
    pub bears_position: bool,
}

/// A branch or tag of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefFact {
    /// The snapshot that it names.
    pub snapshot: i64,
    /// Whether it is a branch.
    pub is_branch: bool,
    /// `min-snapshots-to-keep` of a branch.
    pub min_snapshots: Option<usize>,
    /// `max-snapshot-age-ms` of a branch.
    pub max_age: Option<Duration>,
    /// `max-ref-age-ms`.
    pub max_ref_age: Option<Duration>,
}

/// A table's snapshots and references.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableFacts {
    /// By id.
    pub snapshots: BTreeMap<i64, SnapshotFact>,
    /// By name.
    pub refs: BTreeMap<String, RefFact>,
}

/// What is to be kept of a branch that has no settings of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retention {
    /// By tiers.
    Tiers(Tiers),
    /// What is not older.
    Age(Duration),
    /// All but these.
    AllBut(Vec<i64>),
}

/// What is to be removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Snapshots.
    pub snapshots: Vec<i64>,
    /// References.
    pub refs: Vec<String>,
}

impl Plan {
    /// Whether there is nothing to remove.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.snapshots.is_empty() && self.refs.is_empty()
    }
}

/// Plans an expiry; `retain_last` snapshots of each branch are kept whatever their age, one at least. `now` in milliseconds
/// since 1970.
///
/// # Errors
/// A sentence about a snapshot that was named and cannot be removed.
pub fn plan(table: &TableFacts, retention: &Retention, retain_last: usize, now: i64) -> Result<Plan, String> {
    let is_old = |reference: &RefFact| {
        let age = table.snapshots.get(&reference.snapshot).map(|snapshot| age(snapshot.time, now));
        reference.max_ref_age.zip(age).is_some_and(|(max, age)| age > max)
    };
    let is_gone = |(name, reference): &(&String, &RefFact)| name.as_str() != MAIN && is_old(reference);
    let refs: Vec<String> = table.refs.iter().filter(is_gone).map(|(name, _)| name.clone()).collect();
    let live = || table.refs.iter().filter(|(name, _)| !refs.contains(name));
    let needed: BTreeSet<i64> = live().map(|(_, reference)| reference.snapshot).chain(to_position(table)).collect();
    if let Retention::AllBut(ids) = retention {
        return all_but(table, ids, &needed).map(|snapshots| Plan { snapshots, refs: Vec::new() });
    }
    let mut kept = needed;
    let mut on_branches: BTreeSet<i64> = BTreeSet::new();
    for (_, branch) in live().filter(|(_, reference)| reference.is_branch) {
        let ancestors = ancestors(table, branch.snapshot);
        on_branches.extend(ancestors.iter().map(|snapshot| snapshot.id));
        kept.extend(of_branch(&ancestors, branch, retention, retain_last, now));
    }
    kept.extend(strays(table, &on_branches, retention, now));
    Ok(Plan { snapshots: table.snapshots.keys().copied().filter(|id| !kept.contains(id)).collect(), refs })
}

fn all_but(table: &TableFacts, ids: &[i64], needed: &BTreeSet<i64>) -> Result<Vec<i64>, String> {
    for id in ids {
        if !table.snapshots.contains_key(id) {
            return Err(format!("the table has no snapshot {id}"));
        }
        if needed.contains(id) {
            return Err(format!("snapshot {id} is needed: a branch or a tag names it, or the position is found by it"));
        }
    }
    Ok(ids.to_vec())
}

/// Those of a branch that are kept, `ancestors` being newest first.
fn of_branch<'a>(
    ancestors: &'a [SnapshotFact],
    branch: &'a RefFact,
    retention: &'a Retention,
    retain_last: usize,
    now: i64,
) -> impl Iterator<Item = i64> + 'a {
    let last = branch.min_snapshots.unwrap_or(retain_last).max(1);
    let next = |place: usize| place.checked_sub(1).and_then(|place| ancestors.get(place)).map(|snapshot| snapshot.time);
    let is_kept = move |(place, snapshot): &(usize, &SnapshotFact)| match (branch.max_age, retention) {
        _ if *place < last => true,
        (Some(max), _) => age(snapshot.time, now) <= max,
        (None, Retention::Age(max)) => age(snapshot.time, now) <= *max,
        (None, Retention::Tiers(tiers)) => tiers.keep(snapshot.time, next(*place), now),
        (None, Retention::AllBut(_)) => true,
    };
    ancestors.iter().enumerate().filter(is_kept).map(|(_, snapshot)| snapshot.id)
}

/// Those that are kept of snapshots that no branch leads to: a branch was set back, or its line was cut by an earlier expiry.
/// They count as if they lay on the main branch, so that what one expiry keeps the next one keeps.
fn strays(table: &TableFacts, on_branches: &BTreeSet<i64>, retention: &Retention, now: i64) -> Vec<i64> {
    let main: Vec<i64> = table
        .refs
        .get(MAIN)
        .map_or_else(Vec::new, |main| ancestors(table, main.snapshot).iter().map(|snapshot| snapshot.id).collect());
    let is_stray = |id: i64| !on_branches.contains(&id);
    let mut line: Vec<&SnapshotFact> =
        table.snapshots.values().filter(|snapshot| is_stray(snapshot.id) || main.contains(&snapshot.id)).collect();
    line.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.time));
    let next = |place: usize| place.checked_sub(1).and_then(|place| line.get(place)).map(|snapshot| snapshot.time);
    let is_kept = |(place, snapshot): &(usize, &&SnapshotFact)| match retention {
        _ if !is_stray(snapshot.id) => false,
        Retention::Tiers(tiers) => tiers.keep(snapshot.time, next(*place), now),
        Retention::Age(max) => age(snapshot.time, now) <= *max,
        Retention::AllBut(_) => true,
    };
    line.iter().enumerate().filter(is_kept).map(|(_, snapshot)| snapshot.id).collect()
}

/// From the current snapshot down to the newest one that bears the position; none if none does.
fn to_position(table: &TableFacts) -> Vec<i64> {
    let Some(main) = table.refs.get(MAIN) else { return Vec::new() };
    let ancestors = ancestors(table, main.snapshot);
    let bearer = ancestors.iter().position(|snapshot| snapshot.bears_position);
    bearer.map_or_else(Vec::new, |bearer| ancestors.iter().take(bearer + 1).map(|snapshot| snapshot.id).collect())
}

/// A snapshot and those before it, as far as they are there.
fn ancestors(table: &TableFacts, from: i64) -> Vec<SnapshotFact> {
    let mut seen: HashSet<i64> = HashSet::new();
    let of = |id: i64| table.snapshots.get(&id).copied();
    let parent = |snapshot: &SnapshotFact| of(snapshot.parent?);
    // A parent that comes again ends it: what a catalog sends is not trusted to end.
    std::iter::successors(of(from), parent).take_while(|snapshot| seen.insert(snapshot.id)).collect()
}

fn age(time: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(now.saturating_sub(time)).unwrap_or(0))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
