//! Snapshots that go and snapshots that stay: by hand, and in random histories.
#![allow(clippy::unwrap_used)]

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const HOUR: i64 = 3_600_000;
const NOW: i64 = 1_000 * 24 * HOUR;

/// A chain of snapshots of these ages in hours, oldest first and named from 1; all bear a position but those that are named.
fn chain(ages: &[i64], without: &[i64]) -> TableFacts {
    let mut table = TableFacts::default();
    for (place, hours) in ages.iter().enumerate() {
        let id = place as i64 + 1;
        let parent = (id > 1).then_some(id - 1);
        let bears_position = !without.contains(&id);
        table.snapshots.insert(id, SnapshotFact { id, parent, time: NOW - hours * HOUR, bears_position });
    }
    table.refs.insert(MAIN.to_owned(), branch(ages.len() as i64));
    table
}

fn branch(snapshot: i64) -> RefFact {
    RefFact { snapshot, is_branch: true, ..RefFact::default() }
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3_600)
}

fn removed(table: &TableFacts, retention: &Retention, last: usize) -> Vec<i64> {
    plan(table, retention, last, NOW).unwrap().snapshots
}

#[test]
fn what_is_older_goes_but_the_last_ones_stay() {
    let table = chain(&[50, 40, 30, 20, 10], &[]);
    assert_eq!(removed(&table, &Retention::Age(hours(25)), 1), [1, 2, 3]);
    assert_eq!(removed(&table, &Retention::Age(hours(5)), 1), [1, 2, 3, 4]);
    assert_eq!(removed(&table, &Retention::Age(hours(5)), 4), [1]);
    assert_eq!(removed(&table, &Retention::Age(hours(50)), 0), [0_i64; 0]);
}

#[test]
fn the_newest_that_bears_the_position_stays_and_all_that_lead_to_it() {
    let table = chain(&[50, 40, 30, 20, 10], &[4, 5]);
    assert_eq!(removed(&table, &Retention::Age(hours(5)), 1), [1, 2]);
    let error = plan(&table, &Retention::AllBut(vec![3]), 1, NOW).unwrap_err();
    assert!(error.contains("position is found by it"), "{error}");
}

#[test]
fn what_a_tag_names_stays_and_a_branch_has_its_own_settings() {
    let mut table = chain(&[50, 40, 30, 20, 10], &[]);
    table.refs.insert("audit".to_owned(), RefFact { snapshot: 1, ..RefFact::default() });
    let own = RefFact { min_snapshots: Some(2), max_age: Some(hours(1)), ..branch(3) };
    table.refs.insert("dev".to_owned(), own);
    assert_eq!(removed(&table, &Retention::Age(hours(5)), 1), [4]);
    let old = RefFact { max_ref_age: Some(hours(24)), ..RefFact { snapshot: 1, ..RefFact::default() } };
    table.refs.insert("audit".to_owned(), old);
    let plan = plan(&table, &Retention::Age(hours(5)), 1, NOW).unwrap();
    assert_eq!((plan.snapshots, plan.refs), (vec![1, 4], vec!["audit".to_owned()]));
}

#[test]
fn what_is_named_goes_unless_it_is_needed_or_unknown() {
    let table = chain(&[50, 40, 30], &[]);
    assert_eq!(removed(&table, &Retention::AllBut(vec![2]), 1), [2]);
    for id in [3, 9] {
        assert!(plan(&table, &Retention::AllBut(vec![id]), 1, NOW).is_err(), "{id}");
    }
}

#[test]
fn snapshots_that_no_branch_leads_to_are_kept_as_if_they_lay_on_the_main_branch() {
    let mut table = chain(&[50, 40], &[]);
    let stray = |id, hours: i64| SnapshotFact { id, parent: Some(1), time: NOW - hours * HOUR, bears_position: true };
    // In the day of the first one, before it; in an hour of its own; in the last hour.
    for (id, hours) in [(6, 51), (7, 2), (8, 0)] {
        table.snapshots.insert(id, stray(id, hours));
    }
    let tiers = Retention::Tiers(Tiers::default());
    assert_eq!(removed(&table, &tiers, 1), [6]);
    assert_eq!(removed(&table, &Retention::Age(hours(1)), 1), [1, 6, 7]);
}

/// By another way: what must be there afterwards, from the definition of each promise.
#[test]
fn in_random_histories_nothing_that_is_promised_goes_and_a_second_expiry_finds_nothing() {
    for seed in 0..1_000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let table = random(&mut rng);
        let tiers = Tiers::default();
        let plan = plan(&table, &Retention::Tiers(tiers), rng.random_range(1..4), NOW).unwrap();
        let mut after = table.clone();
        after.snapshots.retain(|id, _| !plan.snapshots.contains(id));
        after.refs.retain(|name, _| !plan.refs.contains(name));
        for (name, reference) in &after.refs {
            assert!(after.snapshots.contains_key(&reference.snapshot), "seed {seed}: {name} dangles");
        }
        let bearer = |table: &TableFacts| {
            let found = ancestors(table, table.refs[MAIN].snapshot).into_iter().find(|it| it.bears_position);
            found.map(|snapshot| snapshot.id)
        };
        assert_eq!(bearer(&table), bearer(&after), "seed {seed}: the position is lost");
        for branch in after.refs.values().filter(|reference| reference.is_branch && reference.max_age.is_none()) {
            for snapshot in ancestors(&table, branch.snapshot) {
                let is_young = NOW - snapshot.time <= HOUR;
                assert!(!is_young || after.snapshots.contains_key(&snapshot.id), "seed {seed}: {snapshot:?}");
            }
        }
        let wanted = |snapshot: &SnapshotFact| NOW - snapshot.time <= 30 * 24 * HOUR;
        let named: Vec<i64> = after.refs.values().map(|reference| reference.snapshot).collect();
        let leads = to_position(&table);
        let lasts = after
            .refs
            .values()
            .filter(|it| it.is_branch)
            .flat_map(|it| ancestors(&table, it.snapshot).into_iter().take(3));
        let lasts: Vec<i64> = lasts.map(|snapshot| snapshot.id).collect();
        for (id, snapshot) in &after.snapshots {
            let is_needed = named.contains(id) || leads.contains(id) || lasts.contains(id);
            assert!(wanted(snapshot) || is_needed, "seed {seed}: {snapshot:?} should be gone");
        }
        // A second expiry may find two of one span that came from different branches; a third finds nothing.
        let mut twice = after.clone();
        for _ in 0..2 {
            let more = super::plan(&twice, &Retention::Tiers(Tiers::default()), 3, NOW).unwrap();
            twice.snapshots.retain(|id, _| !more.snapshots.contains(id));
        }
        let third = super::plan(&twice, &Retention::Tiers(Tiers::default()), 3, NOW).unwrap();
        assert!(third.snapshots.is_empty(), "seed {seed}: {:?} would go in a third expiry", third.snapshots);
        let survivors = |table: &TableFacts| {
            let spans = table.snapshots.values().filter(|it| NOW - it.time > 24 * HOUR && wanted(it));
            spans.map(|snapshot| snapshot.time.div_euclid(24 * HOUR)).collect::<BTreeSet<_>>()
        };
        assert_eq!(survivors(&twice), survivors(&after), "seed {seed}: a day lost its last snapshot");
    }
}

/// Commits, branches, tags, and resets of branches to snapshots before.
fn random(rng: &mut StdRng) -> TableFacts {
    let mut table = TableFacts::default();
    let mut time = NOW - rng.random_range(1..60) * 24 * HOUR;
    for id in 1..rng.random_range(2..60) {
        time = (time + rng.random_range(0..4) * rng.random_range(1..20) * HOUR / 2).min(NOW);
        let names: Vec<String> = table.refs.iter().filter(|it| it.1.is_branch).map(|it| it.0.clone()).collect();
        let name = match names.is_empty() || rng.random_bool(0.6) {
            true => MAIN.to_owned(),
            false => names[rng.random_range(0..names.len())].clone(),
        };
        let parent = table.refs.get(&name).map(|reference| reference.snapshot);
        let fact = SnapshotFact { id, parent, time, bears_position: rng.random_bool(0.7) };
        table.snapshots.insert(id, fact);
        table.refs.insert(name, branch(id));
        let any = rng.random_range(1..=id);
        match rng.random_range(0..12) {
            0 => drop(table.refs.insert(format!("b{id}"), branch(any))),
            1 => drop(table.refs.insert(format!("t{id}"), RefFact { snapshot: any, ..RefFact::default() })),
            2 => {
                let old = Some(hours(rng.random_range(1..400)));
                table.refs.insert(format!("o{id}"), RefFact { snapshot: any, max_ref_age: old, ..RefFact::default() });
            }
            3 => drop(table.refs.insert(MAIN.to_owned(), branch(any))),
            4 => drop(table.refs.remove(&format!("b{any}"))),
            _ => {}
        }
    }
    table.refs.entry(MAIN.to_owned()).or_insert_with(|| branch(1));
    table
}
