//! The protocol's machines under every fault at once: 40,000 worlds, each from its own seed, and all must end well.
//!
//! Promises: the oracles of the crate `sim` (ledger, tree, position, accounts, verdict, halt, liveness) hold in every world;
//! every fault happened and met every effect that it can meet; each rule of the protocol, switched off, breaks a promise,
//! so the oracles can find what they look for; and a seed is a run, bit for bit. A failure prints the line that replays it.

use anyhow::{Result, ensure};
use sim::{Rule, Run, Tally, kept, run, run_many};

const SCHEDULES: u64 = 40_000;
/// So many seeds at most until a rule that is off breaks something.
const SEEDS_WITHOUT_A_RULE: u64 = 200;

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

fn replay(run: &Run) -> String {
    let broken = run.broken.as_deref().unwrap_or("nothing");
    format!("{broken}\ncargo run --release -p sim -- --seed {} --trace", run.seed)
}

#[test]
fn with_all_rules_every_world_ends_well() -> Result<()> {
    for seed in kept() {
        let run = run(seed, None, false);
        ensure!(run.broken.is_none(), "a seed that is kept: {}", replay(&run));
    }
    let (tally, broken) = run_many(0..SCHEDULES, None, threads());
    println!("{tally}");
    if let Some(run) = broken {
        anyhow::bail!("{}", replay(&run));
    }
    ensure!(tally.schedules == SCHEDULES && tally.events >= 300 * SCHEDULES, "{} events", tally.events);
    ensure!(tally.unseen().is_empty(), "never happened: {:?}", tally.unseen());
    let (met, all) = tally.pairs();
    ensure!(met * 100 >= all * 95, "only {met} of {all} pairs of effect and fault met");
    Ok(())
}

#[test]
fn without_a_rule_some_world_breaks_a_promise() -> Result<()> {
    for rule in Rule::ALL {
        let (tally, broken) = run_many(0..SEEDS_WITHOUT_A_RULE, Some(rule), 1);
        let Some(run) = broken else { anyhow::bail!("without {rule}, {} worlds ended well", tally.schedules) };
        println!("without {rule}, seed {}: {}", run.seed, run.broken.unwrap_or_default());
    }
    Ok(())
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..50 {
        let (once, again) = (run(seed, None, true), run(seed, None, true));
        assert_eq!(once, again);
        assert!(once.lines.len() > 50, "seed {seed} has only {} lines", once.lines.len());
        let Tally { events, .. } = run(seed, None, false).tally;
        assert_eq!(events, once.tally.events, "the trace changes nothing");
    }
}
