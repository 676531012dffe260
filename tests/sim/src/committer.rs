//! The committer of a worker: gathers the batches that wait at the same time and runs the protocol's round over them, as
//! the connector's `runtime::committer` and `catalog_sync::commit` do.

use std::rc::Rc;

use protocol::decide::TableFacts;
use protocol::outcome::Outcome;
use protocol::round::{LoadFailure, Round, RoundEffect, RoundEvent};
use protocol::{Decision, Landed, Offset, PartitionPosition, Position, Proposal, TopicPosition, decide};

use crate::catalog::{Commit, Kind, Table};
use crate::kafka::Uid;
use crate::network::{Ask, Reply};
use crate::rule::Rule;
use crate::store::File;
use crate::tally::{Fault, Pending};
use crate::world::{Address, Event, TaskAddress, TaskWhat, Time, Who, World};

/// How long a round is tried.
const GIVE_UP_MS: Time = 25_000;

/// A batch that waits for its commit.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) task: TaskAddress,
    pub(crate) number: u64,
    pub(crate) proposal: Proposal,
    pub(crate) rows: Rc<[Uid]>,
    pub(crate) file: Option<File>,
}

/// What happens to a committer, beside the catalog's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitterEvent {
    Gathered,
    Built(u64),
    Waited(u64),
}

#[derive(Debug)]
struct Running {
    round: Round,
    batches: Vec<Batch>,
    began: Time,
    /// The last thing that was asked for, and its number.
    pending: Pending,
    number: u64,
    built: Option<Rc<Commit>>,
    /// Without R6: what the first look showed.
    first: Option<TableFacts>,
}

/// A committer.
#[derive(Debug, Default)]
pub(crate) struct Committer {
    pub(crate) waiting: Vec<Batch>,
    pub(crate) gathering: bool,
    running: Option<Running>,
    /// Flights that write dead letters, and files.
    pub(crate) letters: u32,
    pub(crate) puts: u32,
    numbers: u64,
}

impl Committer {
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_none() && !self.gathering
    }

    pub(crate) fn pending(&self) -> u16 {
        let round = self.running.as_ref().map_or(0, |running| running.pending.bit());
        let letters = if self.letters > 0 { Pending::Letters.bit() } else { 0 };
        let puts = if self.puts > 0 { Pending::Put.bit() } else { 0 };
        round | letters | puts
    }
}

impl World {
    pub(crate) fn committer_event(&mut self, at: Address, what: CommitterEvent) {
        let committer = &mut self.workers[at.worker].committer;
        let (number, fails) = (committer.numbers, !self.calm && self.rng.per_mille(self.profile.storage));
        match what {
            CommitterEvent::Gathered => self.begin_round(at),
            CommitterEvent::Built(built) if built == number => {
                let result = if fails { Err("no manifest".to_owned()) } else { Ok(()) };
                if fails {
                    self.tally.fault(Fault::BuildFails, Pending::Build.bit());
                }
                self.round_event(at, RoundEvent::Built(result));
            }
            CommitterEvent::Waited(waited) if waited == number => self.round_event(at, RoundEvent::Waited),
            CommitterEvent::Built(_) | CommitterEvent::Waited(_) => {}
        }
    }

    fn begin_round(&mut self, at: Address) {
        let now = self.now;
        let worker = &mut self.workers[at.worker];
        worker.committer.gathering = false;
        let batches = std::mem::take(&mut worker.committer.waiting);
        let proposals = batches.iter().map(|batch| batch.proposal.clone()).collect();
        let (round, effect) = Round::begin(worker.uuid.clone(), proposals);
        worker.committer.running =
            Some(Running { round, batches, began: now, pending: Pending::Load, number: 0, built: None, first: None });
        self.round_effect(at, effect);
    }

    fn round_event(&mut self, at: Address, event: RoundEvent) {
        let Some(mut running) = self.workers[at.worker].committer.running.take() else { return };
        let (round, effect) = running.round.step(event);
        running.round = round;
        self.workers[at.worker].committer.running = Some(running);
        if let Some(effect) = effect {
            self.round_effect(at, effect);
        }
    }

    fn round_effect(&mut self, at: Address, effect: RoundEffect) {
        let now = self.now;
        let committer = &mut self.workers[at.worker].committer;
        committer.numbers += 1;
        let number = committer.numbers;
        let Some(running) = &mut committer.running else { return };
        running.number = number;
        match effect {
            RoundEffect::Load => {
                running.pending = Pending::Load;
                self.send(Who::Round(at, number), &Ask::Load, Pending::Load);
            }
            RoundEffect::Build { plan, batches } => {
                running.pending = Pending::Build;
                let files = batches.iter().filter_map(|&place| running.batches[place].file.clone()).collect();
                running.built = Some(Rc::new(Commit::planned(&plan, Kind::Ingest, files)));
                let delay = self.rng.between(1, 300);
                self.at(delay, Event::Committer { at, what: CommitterEvent::Built(number) });
            }
            RoundEffect::Post => {
                running.pending = Pending::Post;
                let Some(commit) = running.built.clone() else { return };
                self.trace(|| format!("w{} Post base {:?} seq {}", at.worker, commit.base, commit.seq));
                self.send(Who::Round(at, number), &Ask::Post(commit), Pending::Post);
            }
            RoundEffect::Wait { attempts, .. } => {
                running.pending = Pending::Wait;
                if now - running.began >= GIVE_UP_MS {
                    return self.round_event(at, RoundEvent::TimeUp);
                }
                let most = (100 << attempts.min(6)).min(5_000);
                let delay = self.rng.between(most / 2, most);
                self.at(delay, Event::Committer { at, what: CommitterEvent::Waited(number) });
            }
            RoundEffect::Done(landed) => self.round_done(at, landed),
        }
    }

    fn round_done(&mut self, at: Address, landed: Vec<Landed>) {
        let committer = &mut self.workers[at.worker].committer;
        let Some(running) = committer.running.take() else { return };
        if !committer.waiting.is_empty() {
            committer.gathering = true;
            self.at(1, Event::Committer { at, what: CommitterEvent::Gathered });
        }
        if landed.len() != running.batches.len() {
            self.break_promise(format!("{} batches, {} verdicts", running.batches.len(), landed.len()));
        }
        for (batch, landed) in running.batches.into_iter().zip(landed) {
            self.trace(|| {
                format!("w{} verdict on {} of task {}: {}", at.worker, batch.number, batch.task.slot, short(&landed))
            });
            match &landed {
                Landed::Committed(_) => self.check_verdict(&self.workers[at.worker].uuid.clone(), &batch),
                Landed::Fenced(_) => self.tally.fenced += 1,
                Landed::Halt(_) | Landed::Failed(_) => {}
            }
            let delay = self.rng.between(0, 50);
            self.at(delay, Event::Task { to: batch.task, what: TaskWhat::Verdict(batch.number, landed) });
        }
    }

    /// An answer to the round's load or POST.
    pub(crate) fn round_answered(&mut self, at: Address, number: u64, reply: Reply) {
        let without = self.without;
        let Some(running) = &self.workers[at.worker].committer.running else { return };
        if running.number != number {
            return;
        }
        let event = match (running.pending, reply) {
            (Pending::Load, Reply::Table(Some(table))) => match table.position(without) {
                Ok(position) => RoundEvent::Loaded(Ok(self.facts_for(at, &table, position))),
                Err(halt) => RoundEvent::Loaded(Err(LoadFailure::Halt(halt))),
            },
            (Pending::Load, Reply::Table(None)) => RoundEvent::Loaded(Err(LoadFailure::Gone)),
            (Pending::Load, _) => RoundEvent::Loaded(Err(LoadFailure::Passing("no answer".to_owned()))),
            (Pending::Post, Reply::Outcome(outcome)) => RoundEvent::Answered(self.outcome_for(at, outcome)),
            _ => return,
        };
        self.round_event(at, event);
    }

    /// What became of the POST; without R5 or R7, what is made of it.
    fn outcome_for(&mut self, at: Address, outcome: Outcome) -> Outcome {
        let Outcome::Unknown(said) = &outcome else { return outcome };
        self.trace(|| format!("w{} outcome unknown: {said}", at.worker));
        match self.without {
            Some(Rule::R5) => Outcome::Committed,
            Some(Rule::R7) => {
                let running = self.workers[at.worker].committer.running.as_ref();
                let names: Vec<u64> = running
                    .into_iter()
                    .flat_map(|running| running.built.iter())
                    .flat_map(|commit| commit.add.iter().map(|file| file.name))
                    .collect();
                for name in names {
                    self.delete(name);
                }
                outcome
            }
            _ => outcome,
        }
    }

    /// What a load tells the round; with a rule off, what it is made to believe.
    fn facts_for(&mut self, at: Address, table: &Table, position: Position) -> TableFacts {
        let mut facts = table.facts_with(position);
        let Some(running) = &mut self.workers[at.worker].committer.running else { return facts };
        let open: Vec<&Proposal> = running.round.open().map(|place| &running.batches[place].proposal).collect();
        match self.without {
            Some(Rule::R1) => make_fit(&mut facts, &open),
            Some(Rule::R6) => {
                let first = running.first.get_or_insert_with(|| facts.clone());
                if running.built.is_some() {
                    facts = TableFacts {
                        snapshot_id: facts.snapshot_id,
                        sequence_number: facts.sequence_number,
                        ..first.clone()
                    };
                }
            }
            Some(Rule::R9) => {
                if let Some(other) = open.iter().find(|batch| batch.sweep_epoch != facts.sweep_epoch) {
                    facts.sweep_epoch.clone_from(&other.sweep_epoch);
                }
            }
            _ => {}
        }
        facts
    }
}

/// Without R1: where a batch would be fenced, the position stands where the batch begins.
fn make_fit(facts: &mut TableFacts, open: &[&Proposal]) {
    for batch in open {
        let (decisions, _) = decide(facts, &facts.uuid.clone(), &[batch]);
        if !matches!(decisions[..], [Decision::Fenced(_)]) {
            continue;
        }
        for (name, ranges) in batch.ranges.topics() {
            let topic = facts.position.topics.entry(name.clone()).or_insert_with(|| TopicPosition {
                id: ranges.id.clone(),
                epoch: ranges.epoch,
                ended: protocol::Counts::default(),
                partitions: std::collections::BTreeMap::new(),
            });
            (topic.id, topic.epoch) = (ranges.id.clone(), ranges.epoch);
            for (&partition, part) in &ranges.partitions {
                if part.is_first() {
                    topic.partitions.remove(&partition);
                } else {
                    let next = part.range().start();
                    let at = topic.partitions.entry(partition).or_insert(PartitionPosition {
                        first: Offset::ZERO,
                        next,
                        counts: protocol::Counts::default(),
                    });
                    at.next = next;
                }
            }
        }
    }
}

fn short(landed: &Landed) -> String {
    match landed {
        Landed::Committed(_) => "committed".to_owned(),
        other => format!("{other:?}"),
    }
}
