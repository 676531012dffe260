//! What a schedule is like: how large its world is, and which faults it has, how often. Every seed has only some of the faults
//! ("swarm testing"): what never rests never shows what happens after a single one.

use protocol::flush::FlushLimits;

use crate::rng::Rng;
use crate::tally::Fault;

/// Faults that come out of the blue. Others happen to a call, and are drawn where it is made.
const SUDDEN: [(Fault, u64); 21] = [
    (Fault::Crash, 4),
    (Fault::Freeze, 4),
    (Fault::Sigterm, 3),
    (Fault::Rebalance, 5),
    (Fault::TaskStall, 4),
    (Fault::Retention, 3),
    (Fault::TopicRecreated, 1),
    (Fault::LogTruncated, 1),
    (Fault::PartitionsAdded, 1),
    (Fault::GroupOffsetsGone, 2),
    (Fault::ForeignAppend, 4),
    (Fault::ForeignOptimize, 4),
    (Fault::Compaction, 5),
    (Fault::Sweep, 5),
    (Fault::TableRecreated, 1),
    (Fault::Restored, 1),
    (Fault::RolledBack, 1),
    (Fault::Expired, 3),
    (Fault::PropertyGarbled, 1),
    (Fault::Crash, 2),
    (Fault::Sweep, 2),
];

/// What a schedule is like.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) topics: usize,
    pub(crate) workers: usize,
    /// Tasks of each worker.
    pub(crate) tasks: usize,
    /// Two when a second connector reads the same by mistake.
    pub(crate) groups: usize,
    pub(crate) one_snapshot: bool,
    pub(crate) limits: FlushLimits,
    /// Events until the calm.
    pub(crate) events: u64,
    /// Longest time between two sudden faults, in milliseconds.
    pub(crate) pause_ms: u64,
    /// Each fault as often as its weight.
    pub(crate) sudden: Vec<Fault>,
    /// Per mille of the calls that fail: to the catalog, to the store and to Kafka.
    pub(crate) network: u64,
    pub(crate) storage: u64,
    /// Longest time between two turns of a task.
    pub(crate) turn_ms: u64,
}

impl Profile {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let mut sudden = Vec::new();
        for (fault, weight) in SUDDEN {
            if rng.per_mille(450) {
                sudden.extend((0..weight).map(|_| fault));
            }
        }
        Self {
            topics: rng.between(1, 2) as usize,
            workers: rng.between(1, 3) as usize,
            tasks: rng.between(1, 2) as usize,
            groups: if rng.per_mille(250) { 2 } else { 1 },
            one_snapshot: rng.per_mille(500),
            limits: FlushLimits {
                age_ms_max: rng.between(500, 4_000),
                records_max: rng.between(2, 10),
                bytes_max: rng.between(30, 200),
            },
            events: 300 + rng.below(1_200),
            pause_ms: rng.between(500, 6_000),
            sudden,
            network: rng.pick(&[0, 40, 150, 400]).unwrap_or(0),
            storage: rng.pick(&[0, 20, 100]).unwrap_or(0),
            turn_ms: rng.between(200, 1_500),
        }
    }
}
