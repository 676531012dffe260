//! The small world with all rules, in which nothing breaks, and with each rule switched off, which must break what the
//! rule is for: so the search can find what it looks for.
//!
//! `cargo test --release -p model -- --nocapture` prints a line per configuration, and the shortest way to each broken
//! promise.

use std::num::NonZero;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use model::{Bounds, Carried, Fence, Found, Identity, OnUnknown, RangeOf, Rules, Step, Violation, search};

/// States in all, at least: fewer would mean little.
const STATES_MIN: usize = 5_000_000;

const ZOMBIE: Bounds = Bounds::ZOMBIE;
/// A bad network, a crash, a foreign commit.
const NESSIE: Bounds = Bounds { records: 3, faults: 2, crashes: 1, foreign: 1, ..ZOMBIE };
const COMPACTED: Bounds = Bounds { compactors: 1, compactions: 1, ..ZOMBIE };
const SWEPT: Bounds = Bounds { writers: 1, sweeps: 1, ..ZOMBIE };

/// Every step that there is.
const STEPS: [&str; 27] = [
    "load",
    "stage",
    "look",
    "survey",
    "missing",
    "restart",
    "crash",
    "ok",
    "conflict",
    "answer-lost",
    "request-lost",
    "time-out",
    "doubled",
    "late",
    "gone",
    "plan",
    "write",
    "give-up",
    "list",
    "fence",
    "delete",
    "commit",
    "replace",
    "trim",
    "remake",
    "overrule",
    "begin",
];

/// The configurations that are closed with all rules, the largest first.
const CLOSED: [(&str, Bounds); 9] = [
    (
        "2 writers, 2 compactors, crash, fault",
        Bounds { records: 3, compactors: 2, compactions: 3, faults: 1, crashes: 1, ..ZOMBIE },
    ),
    ("2 writers, compactor, sweep, crash, fault", Bounds { records: 3, faults: 1, crashes: 1, sweeps: 1, ..COMPACTED }),
    (
        "2 writers, aborted records, 2 gaps, topic made again, crash, fault",
        Bounds { records: 3, aborted: 0b010, trims: 2, remade: 1, faults: 1, crashes: 1, ..ZOMBIE },
    ),
    (
        "2 writers, compactor, table made again, crash, 2 faults",
        Bounds { records: 3, replaced: 1, faults: 2, crashes: 1, ..COMPACTED },
    ),
    ("2 writers, compactor, foreign commit, crash, 2 faults", Bounds { compactors: 1, compactions: 2, ..NESSIE }),
    (
        "1 writer, compactor, 2 sweeps, crash, fault",
        Bounds { records: 3, sweeps: 2, faults: 1, crashes: 1, compactions: 2, ..Bounds { writers: 1, ..COMPACTED } },
    ),
    ("2 writers, 2 sweeps, crash, fault", Bounds { records: 3, writers: 2, sweeps: 2, faults: 1, crashes: 1, ..SWEPT }),
    ("2 writers, foreign commit, crash, 3 faults", Bounds { records: 4, faults: 3, ..NESSIE }),
    (
        "2 writers, 2 foreign commits, crash, 2 faults, a catalog with history",
        Bounds { records: 4, one_snapshot: false, foreign: 2, ..NESSIE },
    ),
];

fn shown(steps: &[Step]) -> String {
    steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Nothing breaks.
fn holds(what: &str, rules: Rules, bounds: Bounds) -> Result<Found> {
    let begun = Instant::now();
    let found = search(rules, bounds, None);
    if let Some((violation, steps)) = &found.broken {
        return Err(anyhow!("{what}: {violation:?} after {} steps: {}", steps.len(), shown(steps)));
    }
    ensure!(found.ends > 0, "{what}: no end was reached");
    println!(
        "{what}: closed, {} states, {} ends, {} steps deep, {:.1} s",
        found.states,
        found.ends,
        found.depth,
        begun.elapsed().as_secs_f64()
    );
    Ok(found)
}

/// With all rules nothing breaks in this world; with these, this does.
fn breaks(what: &str, rules: Rules, bounds: Bounds, promise: &Violation) -> Result<()> {
    holds(&format!("{what}: all rules"), Rules::ALL, bounds)?;
    let found = search(rules, bounds, Some(promise.clone()));
    let states = found.states;
    let (violation, steps) = found.broken.with_context(|| format!("{what}: {states} states, and nothing breaks"))?;
    println!("{what}: {violation:?} after {} steps, {states} states: {}", steps.len(), shown(&steps));
    ensure!(violation == *promise, "{what}: {violation:?} instead");
    Ok(())
}

/// All of [`CLOSED`], on as many threads as there are processors.
#[test]
fn with_all_rules_no_promise_is_broken() -> Result<()> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let open = Mutex::new(CLOSED.iter());
    let work = || {
        let next = || open.lock().map_err(|_| anyhow!("a search has failed")).map(|mut open| open.next());
        let mut found = Vec::new();
        while let Some(&(what, bounds)) = next()? {
            found.push(holds(what, Rules::ALL, bounds)?);
        }
        Ok::<_, anyhow::Error>(found)
    };
    let found: Vec<Vec<Found>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().map_err(|_| anyhow!("a search has failed"))?)
            .collect::<Result<_>>()
    })?;
    let states: usize = found.iter().flatten().map(|found| found.states).sum();
    println!("all rules: {states} states");
    ensure!(states >= STATES_MIN, "{states} states are too few to mean much");
    let happened = |step: &&&str| found.iter().flatten().any(|found| found.happened.contains(*step));
    let never: Vec<_> = STEPS.iter().filter(|step| !happened(step)).collect();
    ensure!(never.is_empty(), "in no configuration there was {never:?}");
    Ok(())
}

#[test]
fn r1_without_comparing_the_position_rows_are_doubled() -> Result<()> {
    let rules = Rules { compare_position: false, ..Rules::ALL };
    breaks("R1 off", rules, ZOMBIE, &Violation::Twice)
}

#[test]
fn r2_without_asserting_the_base_snapshot_rows_are_doubled() -> Result<()> {
    let rules = Rules { assert_base: false, ..Rules::ALL };
    breaks("R2 off", rules, ZOMBIE, &Violation::Twice)
}

#[test]
fn r3_with_the_position_in_the_summary_only_a_foreign_commit_doubles_rows() -> Result<()> {
    let rules = Rules { property: false, ..Rules::ALL };
    breaks("R3 off", rules, Bounds { foreign: 1, ..ZOMBIE }, &Violation::Twice)?;
    breaks("R3 off, compactor", rules, COMPACTED, &Violation::Twice)?;
    // Summaries suffice where the catalog shows the history, or where every commit is ours and carries the position on.
    let history = Bounds { one_snapshot: false, foreign: 1, faults: 1, ..COMPACTED };
    holds("R3 off, a catalog with history", rules, history)?;
    let carried = Rules { carried: Carried::OfBase, ..rules };
    holds("R3 off, every commit ours, the base's position carried", carried, Bounds { faults: 1, ..COMPACTED })?;
    Ok(())
}

#[test]
fn r3_a_compaction_that_writes_the_position_of_its_plan_doubles_rows() -> Result<()> {
    let rules = Rules { carried: Carried::OfPlan, ..Rules::ALL };
    breaks("R3 off, the plan's position carried", rules, COMPACTED, &Violation::Twice)?;
    breaks(
        "R3 off, the plan's position and no property",
        Rules { property: false, ..rules },
        COMPACTED,
        &Violation::Twice,
    )
}

#[test]
fn r4_a_request_that_the_transport_repeats_does_no_harm_while_the_others_hold() -> Result<()> {
    let rules = Rules { one_post: false, ..Rules::ALL };
    for (what, bounds) in [("writers", NESSIE), ("compactor", Bounds { faults: 1, crashes: 1, ..COMPACTED })] {
        let once = holds(&format!("R4 off, {what}: all rules"), Rules::ALL, bounds)?;
        let again = holds(&format!("R4 off, {what}"), rules, bounds)?;
        ensure!(again.states == once.states, "{what}: a repeated request leads where a doubled one does not");
    }
    Ok(())
}

#[test]
fn r5_an_unknown_outcome_taken_for_a_failure_doubles_rows() -> Result<()> {
    let rules = Rules { on_unknown: OnUnknown::SendAgain, ..Rules::ALL };
    breaks("R5 off", rules, Bounds { writers: 1, faults: 1, ..ZOMBIE }, &Violation::Twice)
}

#[test]
fn r6_an_unknown_outcome_looked_up_in_the_current_snapshot_doubles_rows() -> Result<()> {
    let rules = Rules { on_unknown: OnUnknown::LookForOwnSnapshot, ..Rules::ALL };
    breaks("R6 off, foreign commit", rules, Bounds { writers: 1, faults: 1, foreign: 1, ..ZOMBIE }, &Violation::Twice)?;
    breaks("R6 off, compactor", rules, Bounds { writers: 1, faults: 1, ..COMPACTED }, &Violation::Twice)
}

#[test]
fn r7_staged_files_deleted_after_an_unknown_outcome_are_missed() -> Result<()> {
    let rules = Rules { keep_staged: false, ..Rules::ALL };
    breaks("R7 off", rules, Bounds { writers: 1, faults: 1, ..ZOMBIE }, &Violation::Dangling)
}

#[test]
fn r8_a_compaction_that_does_not_look_at_its_inputs_again_doubles_rows() -> Result<()> {
    let rules = Rules { check_inputs: false, ..Rules::ALL };
    breaks("R8 off, 2 compactors", rules, Bounds { compactors: 2, compactions: 2, ..COMPACTED }, &Violation::Twice)?;
    breaks("R8 off, fault", rules, Bounds { faults: 1, ..COMPACTED }, &Violation::Twice)
}

#[test]
fn r9_a_sweep_without_its_fence_deletes_what_is_about_to_be_committed() -> Result<()> {
    let off = |rules, what| breaks(&format!("R9 off, {what}"), rules, SWEPT, &Violation::Dangling);
    off(Rules { fence: Fence::None, ..Rules::ALL }, "no fence")?;
    off(Rules { check_epoch: false, ..Rules::ALL }, "batches of any epoch")?;
    off(Rules { fence: Fence::PropertyOnly, ..Rules::ALL }, "a fence without a snapshot")?;
    let compacted = Bounds { compactors: 1, compactions: 1, ..SWEPT };
    let rules = Rules { compaction_checks_epoch: false, ..Rules::ALL };
    breaks("R9 off, compactions of any epoch", rules, compacted, &Violation::Dangling)
}

#[test]
fn r10_who_does_not_halt_skips_records_or_mixes_topics() -> Result<()> {
    let gap = Rules { halt_at_gap: false, ..Rules::ALL };
    breaks("R10 off, gap", gap, Bounds { records: 3, writers: 1, trims: 1, ..ZOMBIE }, &Violation::RowsDiffer)?;
    for (what, identity) in [("never", Identity::Never), ("once", Identity::Before)] {
        let rules = Rules { identity, ..Rules::ALL };
        let bounds = Bounds { writers: 1, remade: 1, ..ZOMBIE };
        breaks(&format!("R10 off, topic identified {what}"), rules, bounds, &Violation::RowsDiffer)?;
    }
    Ok(())
}

#[test]
fn r11_who_begins_at_the_groups_offset_misses_records() -> Result<()> {
    let rules = Rules { begin_at_table: false, ..Rules::ALL };
    breaks("R11 off", rules, Bounds { writers: 1, crashes: 1, ..ZOMBIE }, &Violation::Missing)
}

#[test]
fn r12_aborted_records_are_no_rows_and_holes_belong_to_the_range() -> Result<()> {
    let bounds = Bounds { records: 3, aborted: 0b010, writers: 1, ..ZOMBIE };
    breaks(
        "R12 off, aborted records read",
        Rules { read_committed: false, ..Rules::ALL },
        bounds,
        &Violation::RowsDiffer,
    )?;
    let rules = Rules { range_of: RangeOf::Records, ..Rules::ALL };
    breaks("R12 off, ranges from record to record", rules, bounds, &Violation::Stuck)
}

#[test]
fn r13_a_file_named_by_its_range_is_written_over() -> Result<()> {
    let rules = Rules { unique_names: false, ..Rules::ALL };
    breaks("R13 off", rules, Bounds { writers: 1, faults: 1, crashes: 1, ..ZOMBIE }, &Violation::Overwritten)
}
