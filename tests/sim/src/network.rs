//! The way between everybody and the catalog: requests that are lost, doubled, applied after their sender has given up, and
//! answers that are lost, late or wrong.

use std::rc::Rc;

use protocol::outcome::Outcome;

use crate::catalog::{Commit, Table};
use crate::tally::{Fault, Pending};
use crate::world::{Event, Time, Who, World};

/// How long a client waits for an answer.
const TIME_OUT_MS: Time = 4_000;

/// What is asked of the catalog.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Load,
    Post(Rc<Commit>),
}

/// Its answer, or what the client makes of none.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// The table; none if there is no such table.
    Table(Option<Rc<Table>>),
    /// No table could be had.
    NoAnswer,
    Outcome(Outcome),
}

/// What the catalog's answer becomes on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Back {
    /// It arrives.
    Whole,
    /// It does not.
    Lost,
    /// A proxy says something else instead.
    Instead(Outcome),
}

impl World {
    /// Sends a request; the answer, or the time-out, comes as an event.
    pub(crate) fn send(&mut self, who: Who, ask: &Ask, pending: Pending) {
        let (there, back) = (self.rng.between(2, 60), self.rng.between(2, 60));
        let give_up = self.now + TIME_OUT_MS;
        let fault = self.draw_fault(ask);
        if let Some(fault) = fault {
            self.tally.fault(fault, pending.bit());
            self.trace(|| format!("net {fault:?} {pending:?}"));
        }
        let outcome = |said: &str| Back::Instead(Outcome::Unknown(said.to_owned()));
        let mut arrivals = vec![(there, Back::Whole)];
        match fault {
            None => {}
            Some(Fault::RequestLost) => arrivals.clear(),
            Some(Fault::AnswerLost) => arrivals[0].1 = Back::Lost,
            Some(Fault::AppliedLate) => {
                arrivals[0] = (TIME_OUT_MS + self.rng.between(0, 20_000), Back::Lost);
            }
            Some(Fault::Twice) => arrivals.push((there + self.rng.between(1, 9_000), Back::Lost)),
            Some(Fault::TwiceAnsweredLast) => {
                arrivals[0].1 = Back::Lost;
                arrivals.push((there + self.rng.between(1, 2_000), Back::Whole));
            }
            Some(Fault::ErrorAfter) => arrivals[0].1 = outcome("503 after"),
            Some(Fault::SlowAnswer) => {
                let reply = self.at_catalog(ask);
                let late = self.rng.between(500, 3_800);
                self.at(there + late, Event::Answer { who, reply });
                arrivals.clear();
            }
            Some(other) => {
                arrivals.clear();
                let reply = match (ask, other) {
                    (Ask::Load, _) => Reply::NoAnswer,
                    (_, Fault::SpuriousConflict) => Reply::Outcome(Outcome::Conflict("409, not by us".to_owned())),
                    (_, Fault::Refused) => Reply::Outcome(Outcome::Refused("400".to_owned())),
                    _ => Reply::Outcome(Outcome::Unknown("500 before".to_owned())),
                };
                self.at(there + back, Event::Answer { who, reply });
            }
        }
        for (delay, way) in arrivals {
            self.at(delay, Event::Arrive { who, ask: ask.clone(), back: way });
        }
        let reply = match ask {
            Ask::Load => Reply::NoAnswer,
            Ask::Post(_) => Reply::Outcome(Outcome::Unknown("time-out".to_owned())),
        };
        self.at(give_up - self.now, Event::Answer { who, reply });
    }

    /// A request has reached the catalog.
    pub(crate) fn arrive(&mut self, who: Who, ask: &Ask, back: Back) {
        let reply = self.at_catalog(ask);
        let reply = match back {
            Back::Lost => return,
            Back::Whole => reply,
            Back::Instead(outcome) => Reply::Outcome(outcome),
        };
        let delay = self.rng.between(2, 60);
        self.at(delay, Event::Answer { who, reply });
    }

    fn at_catalog(&mut self, ask: &Ask) -> Reply {
        match ask {
            Ask::Load => Reply::Table(self.catalog.table.clone()),
            Ask::Post(commit) => Reply::Outcome(match self.commit(commit) {
                Ok(()) => Outcome::Committed,
                Err(outcome) => outcome,
            }),
        }
    }

    fn draw_fault(&mut self, ask: &Ask) -> Option<Fault> {
        const LOAD: [Fault; 3] = [Fault::RequestLost, Fault::ErrorBefore, Fault::SlowAnswer];
        const POST: [Fault; 10] = [
            Fault::RequestLost,
            Fault::AnswerLost,
            Fault::AppliedLate,
            Fault::Twice,
            Fault::TwiceAnsweredLast,
            Fault::ErrorBefore,
            Fault::ErrorAfter,
            Fault::SpuriousConflict,
            Fault::SlowAnswer,
            Fault::Refused,
        ];
        let often = match ask {
            Ask::Load => self.profile.network / 4,
            Ask::Post(_) => self.profile.network,
        };
        if self.calm || !self.rng.per_mille(often) {
            return None;
        }
        match ask {
            Ask::Load => self.rng.pick(&LOAD),
            Ask::Post(_) => self.rng.pick(&POST),
        }
    }
}
