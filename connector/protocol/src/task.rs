//! A task: which partitions it reads, where it stands in each, which batch is on its way, and what to do next.
//!
//! ```text
//!            Assigned            Located              Look: full or old       Surveyed
//!   idle ────────────> locating ─────────> reading ───────────────────> surveying ───> reading, one batch in flight
//!    ^                    ^                   │  Fenced: drop, locate again; offsets missing: drain, locate again
//!    │                    └───────────────────┘
//!    └── Release <── draining <── Revoked          End <── draining <── Stop          any phase ── halt ──> End
//! ```
//!
//! A state machine without I/O: [`Task::step`] takes an event and says what to do next; the connector's `runtime::task`
//! does it with a real consumer, `tests/sim` with a simulated one. Rows are the caller's: it keeps those of the open batch
//! and drops, seals or goes on filling as the effects say.
//!
//! Invariants:
//! * no record is booked before the table's position was loaded and Kafka's log and topic id were held against it;
//! * at most one batch is on its way, and the answer to one that was dropped is not listened to;
//! * a batch is sealed only after Kafka has said, after the last record was read, that the topics still are the same;
//! * partitions are released only after their batches have verdicts, or were dropped;
//! * batches are dropped whole: the open one together with the one on its way.

use std::collections::BTreeSet;

use crate::batch::{Accounts, BatchError, Became};
use crate::decide::Proposal;
pub use crate::events::{Bearings, Effect, End, Event, Obstacle, Survey, TopicPartition};
use crate::flush::{Fill, FlushLimits, Seal};
use crate::halt::Halt;
use crate::offset::Offset;
use crate::outcome::Landed;
use crate::position::Position;
use crate::start::start;

/// What comes after draining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    BeginAgain,
    Release,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Locating,
    Reading,
    Surveying,
    Draining(Then),
    DrainSurveying(Then),
    Ended,
}

/// A task at work.
#[derive(Debug, Clone)]
pub struct Task {
    limits: FlushLimits,
    phase: Phase,
    partitions: BTreeSet<TopicPartition>,
    accounts: Accounts,
    sweep_epoch: String,
    /// Number of the batch on its way.
    flight: Option<u64>,
    launched: u64,
    paused: bool,
    fences: u32,
}

impl Task {
    /// A task that waits for its first partitions.
    #[must_use]
    pub fn new(limits: FlushLimits) -> Self {
        Self {
            limits,
            phase: Phase::Idle,
            partitions: BTreeSet::new(),
            accounts: Accounts::default(),
            sweep_epoch: String::new(),
            flight: None,
            launched: 0,
            paused: false,
            fences: 0,
        }
    }

    /// The partitions of the last assignment.
    #[must_use]
    pub fn partitions(&self) -> &BTreeSet<TopicPartition> {
        &self.partitions
    }

    /// The topics of the last assignment.
    #[must_use]
    pub fn topics(&self) -> BTreeSet<&str> {
        self.partitions.iter().map(|(topic, _)| topic.as_str()).collect()
    }

    /// Whether it waits for verdicts, and reads nothing any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        matches!(self.phase, Phase::Draining(_) | Phase::DrainSurveying(_))
    }

    /// Records booked since the last seal.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.accounts.records()
    }

    /// Whether a record is to be taken: it is the next of an assigned partition, or later (holes are normal).
    #[must_use]
    pub fn expects(&self, topic: &str, partition: i32, offset: i64) -> bool {
        self.phase == Phase::Reading && self.accounts.expects(topic, partition, offset)
    }

    /// Books a record of the open batch. Call only for what [`Self::expects`]. Beside [`Self::step`], because it is called
    /// for every record.
    ///
    /// # Errors
    /// [`BatchError`] when the offset is none; the batch must be dropped then, by ending the task.
    pub fn book(&mut self, topic: &str, partition: i32, offset: i64, became: Became) -> Result<(), BatchError> {
        self.accounts.book(topic, partition, offset, became)
    }

    /// What to do after an event, in order. An event that answers nothing changes nothing.
    #[must_use]
    pub fn step(mut self, event: Event) -> (Self, Vec<Effect>) {
        let effects = match event {
            _ if self.phase == Phase::Ended => Vec::new(),
            Event::Assigned(partitions) => {
                self.partitions = partitions;
                self.begin()
            }
            Event::Revoked => self.drain(Then::Release),
            Event::Lost => self.release(),
            Event::Located(bearings) => self.located(bearings),
            Event::Look(fill) => self.look(fill),
            Event::Surveyed(survey) => self.surveyed(survey),
            Event::Landed(flight, landed) if self.flight == Some(flight) => {
                self.flight = None;
                self.landed(landed)
            }
            Event::Landed(..) => Vec::new(),
            // What was read before the hole may be the last copy there is: it goes its way first.
            Event::OffsetsMissing if matches!(self.phase, Phase::Reading | Phase::Surveying) => {
                self.drain(Then::BeginAgain)
            }
            Event::OffsetsMissing => Vec::new(),
            Event::DrainOver => match self.phase {
                Phase::Draining(then) | Phase::DrainSurveying(then) => self.drained(then),
                _ => Vec::new(),
            },
            Event::Stop => self.drain(Then::End),
        };
        (self, effects)
    }

    /// Drops what is held and finds out where to read from.
    fn begin(&mut self) -> Vec<Effect> {
        let mut effects = self.drop_batches();
        if self.partitions.is_empty() {
            self.phase = Phase::Idle;
            effects.push(Effect::Assign(Vec::new()));
        } else {
            self.phase = Phase::Locating;
            effects.push(Effect::Locate(self.partitions.clone()));
        }
        effects
    }

    /// Somebody else moves the table, or the log: wait, longer each time, and begin again.
    fn begin_again(&mut self) -> Vec<Effect> {
        self.fences = self.fences.saturating_add(1);
        let mut effects = vec![Effect::Backoff(self.fences)];
        effects.extend(self.begin());
        effects
    }

    fn located(&mut self, bearings: Result<Bearings, Obstacle>) -> Vec<Effect> {
        if self.phase != Phase::Locating {
            return Vec::new();
        }
        match bearings.and_then(|bearings| self.open(bearings)) {
            Ok((starts, position)) => {
                self.phase = Phase::Reading;
                // The owner before may have been revoked before its last acknowledgement counted.
                vec![Effect::Assign(starts), Effect::Acknowledge(position)]
            }
            Err(obstacle) => self.end(obstacle.into()),
        }
    }

    /// Opens the accounts of all partitions where the table stands.
    fn open(&mut self, bearings: Bearings) -> Result<(Vec<(TopicPartition, Offset)>, Position), Obstacle> {
        let (mut accounts, mut starts) = (Accounts::default(), Vec::new());
        for (topic, partition) in &self.partitions {
            let log = bearings.logs.get(&(topic.clone(), *partition));
            let (Some(id), Some(&log)) = (bearings.ids.get(topic), log) else {
                return Err(Obstacle::Passing(format!("kafka said nothing about {topic}-{partition}")));
            };
            let start = start(&bearings.position, topic, id, *partition, log).map_err(Obstacle::Halt)?;
            accounts.open(topic, id, *partition, &start);
            starts.push(((topic.clone(), *partition), start.offset));
        }
        (self.accounts, self.sweep_epoch) = (accounts, bearings.sweep_epoch);
        Ok((starts, bearings.position))
    }

    /// Seals when it is time; pauses when that is not possible yet and memory is full.
    fn look(&mut self, fill: Fill) -> Vec<Effect> {
        if self.phase != Phase::Reading {
            return Vec::new();
        }
        match (self.limits.seal(fill), self.flight) {
            (Some(_), None) => {
                self.phase = Phase::Surveying;
                vec![Effect::Survey]
            }
            (Some(Seal::Bytes | Seal::Records), Some(_)) if !self.paused => {
                self.paused = true;
                vec![Effect::Pause]
            }
            // A batch that is only old goes on filling until the one before it has landed.
            _ => Vec::new(),
        }
    }

    fn surveyed(&mut self, survey: Result<Survey, Obstacle>) -> Vec<Effect> {
        let then = match self.phase {
            Phase::Surveying => None,
            Phase::DrainSurveying(then) => Some(then),
            _ => return Vec::new(),
        };
        match (survey.and_then(|survey| self.seal(&survey, then.is_none())), then) {
            (Ok(proposal), _) => {
                self.phase = then.map_or(Phase::Reading, Phase::Draining);
                match (proposal, then) {
                    (Some(proposal), _) => {
                        self.launched += 1;
                        self.flight = Some(self.launched);
                        vec![Effect::Launch(self.launched, proposal)]
                    }
                    (None, Some(then)) => self.drained(then),
                    (None, None) => Vec::new(),
                }
            }
            // What is being given back is read again by the next owner.
            (Err(_), Some(then)) => self.drained(then),
            (Err(obstacle), None) => self.end(obstacle.into()),
        }
    }

    /// Closes the accounts of the open batch, if its topics still are those that it was read from. A topic that is deleted
    /// and made again between two fetches is read on at the old offset, without a word from the client.
    ///
    /// A consumer that was polled while the task drained stands behind records that were not booked: where it stands tells
    /// nothing then, and the batch ends with its last record.
    fn seal(&mut self, survey: &Survey, was_reading: bool) -> Result<Option<Proposal>, Obstacle> {
        for ((topic, partition), next) in survey.reached.iter().filter(|_| was_reading) {
            self.accounts.reach(topic, *partition, *next);
        }
        let sealed = self.accounts.seal().map_err(|error| Obstacle::Passing(error.to_string()))?;
        let Some(ranges) = sealed else { return Ok(None) };
        for (name, topic) in ranges.topics() {
            match survey.ids.get(name) {
                Some(id) if *id == topic.id => {}
                Some(id) => {
                    let (topic, expected, found) = (name.clone(), topic.id.clone(), id.clone());
                    return Err(Obstacle::Halt(Halt::TopicRecreated { topic, expected, found }));
                }
                None => return Err(Obstacle::Passing(format!("kafka said nothing about topic {name}"))),
            }
        }
        Ok(Some(Proposal { ranges, sweep_epoch: self.sweep_epoch.clone() }))
    }

    fn landed(&mut self, landed: Landed) -> Vec<Effect> {
        if let Phase::Draining(then) | Phase::DrainSurveying(then) = self.phase {
            let Landed::Committed(position) = landed else { return self.drained(then) };
            self.fences = 0;
            let mut effects = vec![Effect::Acknowledge(position)];
            effects.extend(self.drain_on(then));
            return effects;
        }
        match landed {
            Landed::Committed(position) => {
                self.fences = 0;
                let mut effects = vec![Effect::Acknowledge(position)];
                effects.extend(self.resume());
                effects
            }
            Landed::Fenced(_) => self.begin_again(),
            Landed::Halt(halt) => self.end(End::Halted(halt)),
            Landed::Failed(why) => self.end(End::Retry(why)),
        }
    }

    /// Lets the batch on its way land and sends the open one after it, then releases or ends. A stop outlasts a
    /// revocation.
    fn drain(&mut self, then: Then) -> Vec<Effect> {
        match self.phase {
            Phase::Reading | Phase::Surveying => self.drain_on(then),
            Phase::Draining(_) => {
                self.phase = Phase::Draining(then);
                Vec::new()
            }
            Phase::DrainSurveying(_) => {
                self.phase = Phase::DrainSurveying(then);
                Vec::new()
            }
            Phase::Idle | Phase::Locating | Phase::Ended => self.drained(then),
        }
    }

    fn drain_on(&mut self, then: Then) -> Vec<Effect> {
        if self.flight.is_some() {
            self.phase = Phase::Draining(then);
            Vec::new()
        } else if self.records() > 0 {
            self.phase = Phase::DrainSurveying(then);
            vec![Effect::Survey]
        } else {
            self.drained(then)
        }
    }

    fn drained(&mut self, then: Then) -> Vec<Effect> {
        match then {
            Then::BeginAgain => self.begin_again(),
            Then::Release => self.release(),
            Then::End => {
                let mut effects = self.drop_batches();
                effects.extend(self.end(End::Stopped));
                effects
            }
        }
    }

    fn release(&mut self) -> Vec<Effect> {
        let mut effects = self.drop_batches();
        self.partitions.clear();
        self.phase = Phase::Idle;
        effects.push(Effect::Release);
        effects
    }

    fn drop_batches(&mut self) -> Vec<Effect> {
        self.accounts = Accounts::default();
        self.flight = None;
        let mut effects = vec![Effect::Drop];
        effects.extend(self.resume());
        effects
    }

    fn resume(&mut self) -> Option<Effect> {
        std::mem::take(&mut self.paused).then_some(Effect::Resume)
    }

    fn end(&mut self, end: End) -> Vec<Effect> {
        self.phase = Phase::Ended;
        vec![Effect::End(end)]
    }
}

#[cfg(test)]
#[path = "task_tests.rs"]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
