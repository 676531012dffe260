//! The commit protocol, exhaustively: every order of steps of two writers, a bad network, crashes and foreign commits
//! in a small world, in which the real `decide`, `Position`, `start` and `read_position` decide.
//!
//! Promises: no offset is live twice; the rows are exactly those that the position says; the position never goes back;
//! who was told `Committed` finds its rows; an end can be reached from everywhere, and there nothing is missing. Each
//! rule of the protocol, switched off, must double a row: so the search can find what it looks for.
//!
//! `world.rs` has the states, `facts.rs` the way to the real code, `moves.rs` the steps, `search.rs` the search.

mod facts;
mod moves;
mod search;
mod world;

use anyhow::{Context, Result, ensure};

use search::search;
use world::{Bounds, OnUnknown, Rules, Step, Violation};

const NESSIE: Bounds = Bounds { records: 3, one_snapshot: true, faults: 2, crashes: 1, foreign: 1, replaced: 0 };
/// Nothing goes wrong, but that two writers have one partition.
const ZOMBIE: Bounds = Bounds { faults: 0, crashes: 0, foreign: 0, ..NESSIE };

fn shown(steps: &[Step]) -> String {
    steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Nothing breaks. Returns the number of states.
fn holds(what: &str, rules: Rules, bounds: Bounds) -> Result<usize> {
    let found = search(rules, bounds, false);
    println!("{what}: {} states, {} ends, {} steps deep, closed", found.states, found.ends, found.depth);
    if let Some((violation, steps)) = found.broken {
        anyhow::bail!("{what}: {violation:?} after {} steps: {}", steps.len(), shown(&steps));
    }
    ensure!(found.ends > 0, "{what}: no end was reached");
    Ok(found.states)
}

/// One rule off: a row comes twice.
fn breaks(what: &str, rules: Rules, bounds: Bounds) -> Result<()> {
    let found = search(rules, bounds, true);
    let (violation, steps) =
        found.broken.with_context(|| format!("{what}: {} states and no row twice", found.states))?;
    println!("{what}: twice after {} steps, {} states: {}", steps.len(), found.states, shown(&steps));
    ensure!(violation == Violation::Twice, "{what}: {violation:?} instead");
    Ok(())
}

#[test]
fn with_all_rules_nothing_is_lost_or_doubled_on_a_catalog_that_shows_one_snapshot() -> Result<()> {
    let states = holds("one snapshot", Rules::ALL, NESSIE)?;
    ensure!(states > 500_000, "{states} states are too few to mean much");
    Ok(())
}

#[test]
fn with_all_rules_nothing_is_lost_or_doubled_on_a_catalog_with_history() -> Result<()> {
    holds("history", Rules::ALL, Bounds { one_snapshot: false, ..NESSIE })?;
    Ok(())
}

#[test]
fn more_faults_more_foreign_commits_and_a_table_made_again_change_nothing() -> Result<()> {
    holds("more goes wrong", Rules::ALL, Bounds { records: 2, faults: 3, foreign: 2, ..NESSIE })?;
    holds("table made again", Rules::ALL, Bounds { records: 2, replaced: 1, ..NESSIE })?;
    Ok(())
}

#[test]
fn without_comparing_the_position_rows_are_doubled() -> Result<()> {
    let rules = Rules { compare_position: false, ..Rules::ALL };
    breaks("without R1", rules, NESSIE)?;
    breaks("without R1, two writers only", rules, ZOMBIE)
}

#[test]
fn without_asserting_the_base_snapshot_rows_are_doubled() -> Result<()> {
    let rules = Rules { assert_base: false, ..Rules::ALL };
    breaks("without R2", rules, NESSIE)?;
    breaks("without R2, two writers only", rules, ZOMBIE)
}

#[test]
fn with_the_position_in_the_summary_only_a_foreign_commit_doubles_rows() -> Result<()> {
    let rules = Rules { property: false, ..Rules::ALL };
    breaks("without R3", rules, Bounds { foreign: 1, ..ZOMBIE })?;
    // The control: where the catalog shows the history, the summaries suffice.
    holds("without R3, history", rules, Bounds { records: 2, one_snapshot: false, ..NESSIE })?;
    Ok(())
}

#[test]
fn an_unknown_outcome_taken_for_a_failure_doubles_rows() -> Result<()> {
    breaks("without R6, sent again", Rules { on_unknown: OnUnknown::SendAgain, ..Rules::ALL }, NESSIE)
}

#[test]
fn an_unknown_outcome_looked_up_in_the_current_snapshot_doubles_rows() -> Result<()> {
    let rules = Rules { on_unknown: OnUnknown::LookForOwnSnapshot, ..Rules::ALL };
    breaks("without R6, own snapshot looked for", rules, NESSIE)
}
