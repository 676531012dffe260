//! Faults that fall all the time: on more than half of all commits, and on a few of a hundred loads and uploads.

use std::time::Duration;

use it::proxy::http::HttpProxy;
use it::proxy::requests::{commits, loads, manifests, writes};
use it::proxy::rule::{Fault, Garbage, Rule, When};

use crate::tally::Tally;

/// Lets it drizzle on a worker's wires; returns the rules, to be lifted.
pub(crate) fn start(
    catalog: &HttpProxy,
    store: &HttpProxy,
    table: &str,
    seed: u64,
    tally: &Tally,
) -> (Vec<Rule>, Vec<Rule>) {
    let mut seed = seed.wrapping_mul(100);
    let mut share = |percent: u32| {
        seed += 1;
        When::Share { percent, seed }
    };
    let on_commit: [(&str, u32, Fault); 12] = [
        ("commit: answer lost", 20, Fault::DropAnswer),
        ("commit: 500 after it was applied", 6, Fault::StatusAfter(500)),
        ("commit: 502 after it was applied", 5, Fault::StatusAfter(502)),
        ("commit: 503 after it was applied", 5, Fault::StatusAfter(503)),
        ("commit: 504 after it was applied", 5, Fault::StatusAfter(504)),
        ("commit: 500 instead of it", 4, Fault::StatusBefore(500, None)),
        ("commit: 503 with Retry-After instead of it", 3, Fault::StatusBefore(503, Some(1))),
        ("commit: 429 instead of it", 2, Fault::StatusBefore(429, Some(1))),
        ("commit: connection refused", 4, Fault::Refuse),
        ("commit: doubled on the way", 8, Fault::Duplicate),
        ("commit: answer cut", 4, Fault::Garble(Garbage::Cut)),
        ("commit: answer of somebody else", 4, Fault::Garble(Garbage::Foreign)),
    ];
    let mut at_catalog = Vec::new();
    for (name, percent, fault) in on_commit {
        let rule = catalog.inject(commits(table), share(percent), fault);
        tally.rule(name, rule.clone());
        at_catalog.push(rule);
    }
    let rule = catalog.inject(loads(table), share(3), Fault::StatusBefore(503, None));
    tally.rule("load: 503", rule.clone());
    at_catalog.push(rule);

    let on_write: [(&str, u32, Fault); 4] = [
        ("object store: 503", 2, Fault::StatusBefore(503, None)),
        ("object store: answer lost", 2, Fault::DropAnswer),
        ("object store: slow", 2, Fault::Delay(Duration::from_secs(2))),
        ("object store: bit flipped", 1, Fault::Flip),
    ];
    let mut at_store = Vec::new();
    for (name, percent, fault) in on_write {
        let rule = store.inject(writes(), share(percent), fault);
        tally.rule(name, rule.clone());
        at_store.push(rule);
    }
    let rule = store.inject(manifests(), share(2), Fault::Refuse);
    tally.rule("object store: manifest refused", rule.clone());
    at_store.push(rule);
    (at_catalog, at_store)
}
