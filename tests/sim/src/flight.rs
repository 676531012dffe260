//! A sealed batch on its way: dead letters are acknowledged, files are written, then the committer has it. As the connector's
//! `runtime::flight`; dropping one is safe at any moment.

use std::rc::Rc;

use protocol::{Landed, Proposal};

use crate::committer::{Batch, CommitterEvent};
use crate::kafka::{Polled, Slot, Uid};
use crate::rule::Rule;
use crate::store::File;
use crate::tally::{Fault, Pending};
use crate::world::{Event, TaskAddress, TaskWhat, Time, World};

/// How long the first batch waits for those of the other tasks.
const GATHER_MS: Time = 100;

/// Where a flight is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leg {
    Letters,
    Put,
}

/// A sealed batch.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    task: TaskAddress,
    number: u64,
    proposal: Proposal,
    rows: Rc<[Uid]>,
    letters: Vec<Uid>,
    leg: Leg,
}

impl World {
    /// Takes records, as many as come in one turn; false when Kafka does not have what was asked for.
    pub(crate) fn poll(&mut self, to: TaskAddress) -> bool {
        let uncommitted = self.without == Some(Rule::R12);
        // In the calm the backlog is read at once, so that the way to calm tells of waiting, not of reading.
        let most = if self.calm { 200 } else { self.rng.between(1, 6) };
        let mut nothing = 0;
        for _ in 0..most {
            let now = self.now;
            let shell = &mut self.workers[to.worker].shells[to.slot];
            if shell.paused || shell.fetch.is_empty() {
                return true;
            }
            shell.turn += 1;
            let place = shell.turn % shell.fetch.len();
            let Some((partition, next)) = shell.fetch.iter_mut().nth(place) else { return true };
            match self.kafka.poll(&partition.0, partition.1, *next, uncommitted) {
                Polled::OutOfRange => return false,
                Polled::Nothing { next: at } => {
                    *next = at;
                    nothing += 1;
                    if nothing >= shell.fetch.len() {
                        return true;
                    }
                }
                Polled::Record { offset, slot } => {
                    (*next, nothing) = (offset + 1, 0);
                    let (row, letter) = match slot {
                        Slot::Row(uid) | Slot::Aborted(uid) => (Some(uid), None),
                        Slot::Poison(uid) => (None, Some(uid)),
                        Slot::Marker => (None, None),
                    };
                    let partition = partition.clone();
                    if shell.book(&partition, offset, row, letter, now) {
                        self.break_promise(format!("{partition:?}@{offset} was booked before the table was looked at"));
                    }
                }
            }
        }
        true
    }

    pub(crate) fn launch(
        &mut self,
        task: TaskAddress,
        number: u64,
        proposal: Proposal,
        rows: Vec<Uid>,
        letters: Vec<Uid>,
    ) {
        self.workers[task.worker].committer.letters += 1;
        let flight = Flight { task, number, proposal, rows: rows.into(), letters, leg: Leg::Letters };
        let delay = self.rng.between(1, 300);
        self.at(delay, Event::Flight { at: task.at(), flight: Box::new(flight) });
    }

    /// A leg is behind it, or went wrong.
    pub(crate) fn fly_on(&mut self, at: crate::world::Address, mut flight: Flight) {
        let often = if self.calm { 0 } else { self.profile.storage };
        let fails = self.rng.per_mille(often);
        let committer = &mut self.workers[at.worker].committer;
        match flight.leg {
            Leg::Letters => {
                committer.letters -= 1;
                if fails && !flight.letters.is_empty() {
                    // Some of them may have been written, or all.
                    let written = self.rng.place(flight.letters.len() + 1);
                    self.ledger.letters(&flight.letters[..written]);
                    self.tally.fault(Fault::LettersFail, Pending::Letters.bit());
                    return self.break_off(&flight, "dead letters");
                }
                committer.puts += 1;
                self.ledger.letters(&flight.letters);
                flight.leg = Leg::Put;
                let delay = self.rng.between(1, 900);
                self.at(delay, Event::Flight { at, flight: Box::new(flight) });
            }
            Leg::Put => {
                committer.puts -= 1;
                let file = self.write(&flight);
                if fails {
                    self.tally.fault(Fault::PutFails, Pending::Put.bit());
                    return self.break_off(&flight, "put");
                }
                let batch = Batch {
                    task: flight.task,
                    number: flight.number,
                    proposal: flight.proposal,
                    rows: flight.rows,
                    file,
                };
                let committer = &mut self.workers[at.worker].committer;
                committer.waiting.push(batch);
                if committer.is_idle() {
                    committer.gathering = true;
                    self.at(GATHER_MS, Event::Committer { at, what: CommitterEvent::Gathered });
                }
            }
        }
    }

    /// Writes the batch's file; none if it has no rows. A PUT that failed may have written it.
    fn write(&mut self, flight: &Flight) -> Option<File> {
        if flight.rows.is_empty() {
            return None;
        }
        let name = if self.without == Some(Rule::R13) { name_of(&flight.proposal) } else { self.store.fresh_name() };
        let needed = self.catalog.needs(name);
        let (file, overwritten) = self.store.put(name, Rc::clone(&flight.rows), 0);
        if overwritten && needed {
            self.break_promise(format!("file {name}, which the table refers to, was overwritten"));
        }
        Some(file)
    }

    fn break_off(&mut self, flight: &Flight, why: &str) {
        self.trace(|| {
            format!("w{}.{} flight {} breaks off: {why}", flight.task.worker, flight.task.slot, flight.number)
        });
        let what = TaskWhat::Verdict(flight.number, Landed::Failed(why.to_owned()));
        self.at(1, Event::Task { to: flight.task, what });
    }
}

/// Without R13: a name that follows from the offsets.
fn name_of(proposal: &Proposal) -> u64 {
    let mut name = 1 << 60;
    for (place, (topic, ranges)) in proposal.ranges.topics().iter().enumerate() {
        let id = topic.bytes().fold(place as u64, |sum, byte| sum * 7 + u64::from(byte));
        for (&partition, part) in &ranges.partitions {
            name ^= (id * 1_000_003 + partition as u64 * 10_007 + part.range().start().get() as u64)
                .wrapping_mul(0x9e37_79b9);
        }
    }
    name
}
