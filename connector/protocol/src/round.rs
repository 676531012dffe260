//! One round of the committer: from batches whose files are written to a verdict for each.
//!
//! ```text
//!          ┌──────────────── Waited ────────────────┐
//!          v                                        │
//!   begin ──> Load ──Loaded──> decide ──> Build ──Built──> Post ──Answered──> Done
//!                                 │ nothing left to commit     │ Conflict, Unknown
//!                                 └──> Done                    └──> Wait ──> Load …
//! ```
//!
//! A state machine without I/O: [`Round::step`] takes an event and says what to do next; `catalog_sync::commit` does it, on
//! the real catalog, and `tests/sim` on a simulated one. Rules held here: one POST per decision and none without one (R1,
//! R2, R4); conflict and unknown are both resolved by a fresh load (R5, R6); no effect deletes a file (R7).

use crate::decide::{CommitPlan, Decision, Proposal, TableFacts, decide};
use crate::halt::Halt;
use crate::outcome::{Landed, Outcome};

/// Why a table could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadFailure {
    /// Later it may.
    Passing(String),
    /// There is no such table.
    Gone,
    /// It is there, and nothing may be committed to it.
    Halt(Halt),
    /// The catalog says no, and will say so again.
    Refused(String),
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoundEvent {
    /// Answer to [`RoundEffect::Load`].
    Loaded(Result<TableFacts, LoadFailure>),
    /// Answer to [`RoundEffect::Build`]: manifest and manifest list are written, or were not.
    Built(Result<(), String>),
    /// Answer to [`RoundEffect::Post`].
    Answered(Outcome),
    /// Answer to [`RoundEffect::Wait`]: the time has passed.
    Waited,
    /// Answer to [`RoundEffect::Wait`]: there is no time left.
    TimeUp,
}

/// What is to be done; one thing at a time, to be answered by one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoundEffect {
    /// Load the table afresh.
    Load,
    /// Write the files of a snapshot that holds these batches (by their place), on the plan's base.
    Build {
        /// Leave to commit.
        plan: CommitPlan,
        /// The batches that it covers.
        batches: Vec<usize>,
    },
    /// Send what was built, once.
    Post,
    /// Wait before the next look; the number of looks so far, and why the last one settled nothing.
    Wait {
        /// Looks so far.
        attempts: u32,
        /// Whether another writer was faster: then waiting long only lets more of them pass.
        contended: bool,
        /// What was in the way.
        last: String,
    },
    /// Every batch has its verdict, in their order.
    Done(Vec<Landed>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Loading,
    Building(CommitPlan),
    Posting(CommitPlan),
    Waiting(String),
    Over,
}

/// A round at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    uuid: String,
    batches: Vec<Proposal>,
    landed: Vec<Option<Landed>>,
    attempts: u32,
    phase: Phase,
}

impl Round {
    /// Begins with batches that were read for the table `uuid`.
    #[must_use]
    pub fn begin(uuid: String, batches: Vec<Proposal>) -> (Self, RoundEffect) {
        let landed = vec![None; batches.len()];
        (Self { uuid, batches, landed, attempts: 1, phase: Phase::Loading }, RoundEffect::Load)
    }

    /// Places of the batches that have no verdict yet.
    pub fn open(&self) -> impl Iterator<Item = usize> {
        self.landed.iter().enumerate().filter(|(_, landed)| landed.is_none()).map(|(place, _)| place)
    }

    /// The next effect. An event that answers another effect than the last one changes nothing: none.
    #[must_use]
    pub fn step(mut self, event: RoundEvent) -> (Self, Option<RoundEffect>) {
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        let effect = match (phase, event) {
            (Phase::Loading, RoundEvent::Loaded(Ok(facts))) => self.decide(&facts),
            (Phase::Loading, RoundEvent::Loaded(Err(failure))) => self.not_loaded(failure),
            (Phase::Building(plan), RoundEvent::Built(Ok(()))) => {
                self.phase = Phase::Posting(plan);
                RoundEffect::Post
            }
            (Phase::Building(_), RoundEvent::Built(Err(why))) => {
                self.wait(format!("cannot write the snapshot's files: {why}"), false)
            }
            (Phase::Posting(plan), RoundEvent::Answered(outcome)) => match outcome {
                Outcome::Committed => self.settle(&Landed::Committed(plan.position().clone())),
                Outcome::Conflict(said) => self.wait(said, true),
                Outcome::Unknown(said) => self.wait(said, false),
                Outcome::Refused(said) => {
                    self.settle(&Landed::Failed(format!("the catalog refuses the commit: {said}")))
                }
            },
            (Phase::Waiting(_), RoundEvent::Waited) => {
                self.attempts = self.attempts.saturating_add(1);
                self.phase = Phase::Loading;
                RoundEffect::Load
            }
            (Phase::Waiting(last), RoundEvent::TimeUp) => {
                let attempts = self.attempts;
                self.settle(&Landed::Failed(format!("gave up after {attempts} attempts: {last}")))
            }
            (phase, _) => {
                self.phase = phase;
                return (self, None);
            }
        };
        (self, Some(effect))
    }

    /// Verdicts for all that the table already decides, and leave to commit the rest.
    fn decide(&mut self, facts: &TableFacts) -> RoundEffect {
        let open: Vec<usize> = self.open().collect();
        let proposals: Vec<&Proposal> = open.iter().filter_map(|&place| self.batches.get(place)).collect();
        let (decisions, plan) = decide(facts, &self.uuid, &proposals);
        for (&place, decision) in open.iter().zip(decisions) {
            let verdict = match decision {
                Decision::Commit => None,
                Decision::AlreadyCommitted => Some(Landed::Committed(facts.position.clone())),
                Decision::Fenced(reason) => Some(Landed::Fenced(reason)),
                Decision::Halt(halt) => Some(Landed::Halt(halt)),
            };
            if let Some(slot) = self.landed.get_mut(place) {
                *slot = verdict;
            }
        }
        let Some(plan) = plan else { return self.done() };
        self.phase = Phase::Building(plan.clone());
        // What the decision left open is what the plan covers.
        RoundEffect::Build { plan, batches: self.open().collect() }
    }

    fn not_loaded(&mut self, failure: LoadFailure) -> RoundEffect {
        match failure {
            LoadFailure::Passing(why) => self.wait(why, false),
            LoadFailure::Gone => {
                let halt = Halt::TableReplaced { expected: self.uuid.clone(), found: "none".to_owned() };
                self.settle(&Landed::Halt(halt))
            }
            LoadFailure::Halt(halt) => self.settle(&Landed::Halt(halt)),
            LoadFailure::Refused(why) => self.settle(&Landed::Failed(why)),
        }
    }

    fn wait(&mut self, last: String, contended: bool) -> RoundEffect {
        self.phase = Phase::Waiting(last.clone());
        RoundEffect::Wait { attempts: self.attempts, contended, last }
    }

    fn settle(&mut self, verdict: &Landed) -> RoundEffect {
        self.landed.iter_mut().filter(|slot| slot.is_none()).for_each(|slot| *slot = Some(verdict.clone()));
        self.done()
    }

    fn done(&mut self) -> RoundEffect {
        self.phase = Phase::Over;
        RoundEffect::Done(std::mem::take(&mut self.landed).into_iter().flatten().collect())
    }
}

#[cfg(test)]
#[path = "round_tests.rs"]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
