//! The protocol's machines in a simulated world, in one thread, by one seed.
//!
//! `protocol::task::Task` and `protocol::round::Round` are the real ones, with `decide`, `start`, `read_position` and
//! `overrule`; Kafka, consumer groups, workers, network, catalog, store, sweeper, compactor and operator are simulated.
//! Faults go on for some hundred events, then the world is calm, and everything must come into the table.
//!
//! | file | has |
//! |---|---|
//! | `world` | clock, queue, events |
//! | `profile` | what a schedule is like: size, faults, how often |
//! | `kafka`, `group` | logs, topics, rebalances |
//! | `worker`, `shell`, `bearings`, `flight`, `committer` | a process: the shells that do what the machines say |
//! | `network`, `catalog`, `store` | calls that go wrong, the table, the files |
//! | `chaos`, `jobs`, `operator` | faults, maintenance, people |
//! | `ledger`, `oracle` | what must hold |
//! | `rule` | rules that can be switched off |
//!
//! A seed is a run: no clock, no thread, no hash map. `seeds.txt` keeps those that once found something.

mod bearings;
mod catalog;
mod chaos;
mod committer;
mod flight;
mod group;
mod jobs;
mod kafka;
mod ledger;
mod network;
mod operator;
mod oracle;
mod profile;
mod rng;
mod rule;
mod shell;
mod store;
mod tally;
mod worker;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

pub use rule::Rule;
pub use tally::Tally;

use world::World;

/// Longest way to calm, in simulated milliseconds and in events.
const CALM_MS_MAX: u64 = 3 * 60_000;
const CALM_EVENTS_MAX: u64 = 40_000;

/// Seeds that once found something.
#[must_use]
pub fn kept() -> Vec<u64> {
    let first = |line: &str| line.split_whitespace().next().and_then(|word| word.parse().ok());
    include_str!("../seeds.txt").lines().filter_map(first).collect()
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// The promise that was broken.
    pub broken: Option<String>,
    /// What it went through.
    pub tally: Tally,
    /// A number that depends on every event.
    pub digest: u64,
    /// Every step, when asked for.
    pub lines: Vec<String>,
}

/// Runs one seed, with one rule switched off if one is given.
#[must_use]
pub fn run(seed: u64, without: Option<Rule>, traced: bool) -> Run {
    let mut world = World::new(seed, without, traced);
    let mut events = 0;
    while world.broken.is_none() && events < world.profile.events && world.next() {
        events += 1;
    }
    world.tally.events = events;
    world.begin_calm();
    let (mut calm, began) = (0, world.now);
    while world.broken.is_none() {
        if calm % 16 == 0 {
            match world.missing() {
                None => break,
                Some(what) if calm >= CALM_EVENTS_MAX || world.now - began > CALM_MS_MAX => {
                    world.break_promise(format!("liveness: still missing after {calm} calm events: {what}"));
                }
                Some(what) => world.trace(|| format!("missing {what}")),
            }
        }
        world.next();
        calm += 1;
    }
    world.tally.calm_events = calm;
    world.tally.calm_ms_max = world.now - began;
    world.tally.simulated_ms = world.now;
    world.tally.blind = world.blind();
    Run { seed, broken: world.broken, tally: world.tally, digest: world.digest, lines: world.lines.unwrap_or_default() }
}

/// Runs many seeds on several threads; ends early when one breaks a promise, and gives the lowest such that was found.
#[must_use]
pub fn run_many(seeds: std::ops::Range<u64>, without: Option<Rule>, threads: usize) -> (Tally, Option<Run>) {
    let (next, total) = (AtomicU64::new(seeds.start), Mutex::new((Tally::default(), None::<Run>)));
    let work = || {
        let mut tally = Tally::default();
        let mut broken = None;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let run = run(seed, without, false);
            tally.add(&run.tally);
            if run.broken.is_some() {
                next.fetch_max(seeds.end, Ordering::Relaxed);
                broken = Some(run);
                break;
            }
        }
        // A thread that panicked leaves what it had counted.
        let mut total = total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        total.0.add(&tally);
        if let Some(run) = broken
            && total.1.as_ref().is_none_or(|other| run.seed < other.seed)
        {
            total.1 = Some(run);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl World {
    /// Nothing goes wrong from now on.
    fn begin_calm(&mut self) {
        self.trace(|| "CALM".to_owned());
        self.calm = true;
        self.everybody_up();
        self.operate();
    }
}
