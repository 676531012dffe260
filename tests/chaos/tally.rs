//! How often each fault was injected, and whether that was enough to mean something.
//!
//! Written by everything that injects; counters of proxy rules are read at the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use it::proxy::rule::Rule;

/// Wanted for each five minutes: fault, or the beginning of its name, and how often. About a third of what two idle cores
/// come to, since a busy machine commits less often.
const WANTED: [(&str, u64); 6] =
    [("kill -9", 8), ("SIGSTOP", 3), ("commit: ", 20), ("leave and join", 2), ("kafka: ", 2), ("foreign: ", 2)];

/// The faults so far. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    counts: BTreeMap<String, u64>,
    rules: Vec<(String, Rule)>,
    recoveries: Vec<Duration>,
}

impl Tally {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One more.
    pub(crate) fn count(&self, fault: &str) {
        self.with(|inner| *inner.counts.entry(fault.to_owned()).or_default() += 1);
    }

    /// A rule whose hits count under this name.
    pub(crate) fn rule(&self, fault: &str, rule: Rule) {
        self.with(|inner| inner.rules.push((fault.to_owned(), rule)));
    }

    /// How long it took from the start of a killed worker to the next commit.
    pub(crate) fn recovery(&self, took: Duration) {
        self.with(|inner| inner.recoveries.push(took));
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        self.with(|inner| {
            let mut counts = inner.counts.clone();
            for (fault, rule) in &inner.rules {
                *counts.entry(fault.clone()).or_default() += rule.hits();
            }
            counts
        })
    }

    /// All faults.
    pub(crate) fn total(&self) -> u64 {
        self.counts().values().sum()
    }

    /// A line for each fault.
    pub(crate) fn table(&self) -> String {
        let mut lines = vec![format!("{:<44} {:>8}", "fault", "injected")];
        lines.extend(self.counts().iter().map(|(fault, count)| format!("{fault:<44} {count:>8}")));
        let mut recoveries = self.with(|inner| inner.recoveries.clone());
        recoveries.sort_unstable();
        if let (Some(half), Some(most)) = (recoveries.get(recoveries.len() / 2), recoveries.last()) {
            let (count, half, most) = (recoveries.len(), half.as_secs_f64(), most.as_secs_f64());
            lines.push(format!(
                "start of a killed worker to the next commit of the table: {count} times, median {half:.1} s, most {most:.1} s"
            ));
        }
        lines.join("\n")
    }

    /// Enough went wrong.
    pub(crate) fn enough(&self, minutes: f64) -> Result<()> {
        let counts = self.counts();
        for (fault, wanted) in WANTED {
            let found: u64 = counts.iter().filter(|(name, _)| name.starts_with(fault)).map(|(_, count)| count).sum();
            // A short run cannot have it all.
            let wanted = (wanted as f64 * minutes / 5.0).floor();
            ensure!(
                found as f64 >= wanted,
                "only {found} of {wanted} times {fault:?}: too little went wrong to mean much"
            );
        }
        Ok(())
    }
}
