//! Work that takes several steps beside the workers: an operator's word against a halt, an orphan sweep, a compaction.
//! Between any two steps anything may happen.

use std::rc::Rc;

use protocol::Halt;
use protocol::outcome::Outcome;
use protocol::overrule::{Found, Overruled, overrule};

use crate::catalog::{Commit, Kind, Table};
use crate::network::{Ask, Reply};
use crate::rule::Rule;
use crate::store::File;
use crate::tally::{Fault, Pending};
use crate::world::{Event, TaskAddress, TaskWhat, Time, Who, World};

/// What is being done, and how far it is.
#[derive(Debug, Clone)]
enum Step {
    /// An operator has the token; whether it is one who speaks, and the task that waits.
    Overrule(Overruled, bool, Option<TaskAddress>),
    Overruled(Option<TaskAddress>),
    /// Files that no snapshot refers to, and the name of the sweep.
    Fence(Vec<u64>, String),
    Fenced(Vec<u64>, String),
    LookAgain(Vec<u64>, String),
    Delete(Vec<u64>),
    /// Which files are to be compacted.
    Choose,
    /// What was planned, and the file that was written.
    Rewrite(Rc<Table>, Vec<u64>, File),
    Recheck(Rc<Table>, Vec<u64>, File),
    Over,
}

/// A piece of work.
#[derive(Debug)]
pub(crate) struct Job {
    step: Step,
    number: u64,
    began: Time,
}

impl World {
    fn begin_job(&mut self, step: Step) -> usize {
        let began = self.now;
        self.jobs.push(Job { step, number: 0, began });
        self.jobs.len() - 1
    }

    fn ask(&mut self, job: usize, step: Step, ask: &Ask) {
        let of = &mut self.jobs[job];
        of.step = step;
        of.number += 1;
        let who = Who::Job(job, of.number);
        let pending = if matches!(ask, &Ask::Load) { Pending::Load } else { Pending::Post };
        self.send(who, ask, pending);
    }

    fn later(&mut self, job: usize, step: Step, most: u64) {
        let of = &mut self.jobs[job];
        of.step = step;
        of.number += 1;
        let number = of.number;
        let delay = self.rng.between(1, most);
        self.at(delay, Event::Job { job, number });
    }

    /// An operator overrules a halt.
    pub(crate) fn begin_overrule(&mut self, overruled: Overruled, spoken: bool, task: Option<TaskAddress>) {
        self.fault(Fault::Overruled);
        self.trace(|| format!("operator: {overruled:?}"));
        let job = self.begin_job(Step::Over);
        self.ask(job, Step::Overrule(overruled, spoken, task), &Ask::Load);
    }

    /// Without R10: a halt is passed over; what can be said to the table is said without an operator.
    pub(crate) fn pass_over(&mut self, task: TaskAddress) {
        use crate::shell::State;
        let shell = self.shell(task);
        let State::Ended(protocol::task::End::Halted(halt)) = &shell.state else { return };
        let passable = matches!(halt, Halt::Gap { .. } | Halt::TopicRecreated { .. });
        let token = halt.token().filter(|_| passable).and_then(|token| token.parse().ok());
        if let Some(overruled) = token {
            shell.attended = true;
            self.begin_overrule(overruled, false, Some(task));
        }
    }

    pub(crate) fn begin_sweep(&mut self) {
        let candidates: Vec<u64> = {
            let needed = self.catalog.needed();
            self.store.names().filter(|name| !needed.contains(name)).collect()
        };
        if candidates.is_empty() {
            return;
        }
        self.fault(Fault::Sweep);
        let name = format!("sweep{}", self.jobs.len());
        let job = self.begin_job(Step::Over);
        self.ask(job, Step::Fence(candidates, name), &Ask::Load);
    }

    pub(crate) fn begin_compaction(&mut self) {
        self.fault(Fault::Compaction);
        let job = self.begin_job(Step::Over);
        self.ask(job, Step::Choose, &Ask::Load);
    }

    /// The catalog's answer to a question of a job.
    pub(crate) fn job_answered(&mut self, job: usize, number: u64, reply: &Reply) {
        if self.jobs[job].number != number {
            return;
        }
        let step = std::mem::replace(&mut self.jobs[job].step, Step::Over);
        self.jobs[job].number += 1;
        match (step, reply) {
            (Step::Overrule(overruled, spoken, task), Reply::Table(Some(table)))
                if self.jobs[job].began > self.rewound =>
            {
                self.overrule(job, table, &overruled, spoken, task);
            }
            (Step::Overrule(_, _, task) | Step::Overruled(task), _) => self.go_on(task),
            // Where the position cannot be told, nothing is committed that would hide it.
            (Step::Fence(candidates, name), Reply::Table(Some(table))) if table.position(self.without).is_ok() => {
                let commit = Commit { epoch: Some(name.clone()), ..Commit::on(table, Kind::Sweep) };
                self.ask(job, Step::Fenced(candidates, name), &Ask::Post(Rc::new(commit)));
            }
            (Step::Fenced(candidates, name), Reply::Outcome(Outcome::Committed | Outcome::Unknown(_))) => {
                self.ask(job, Step::LookAgain(candidates, name), &Ask::Load);
            }
            (Step::LookAgain(candidates, name), Reply::Table(Some(table))) if table.epoch == name => {
                let free = candidates.into_iter().filter(|&file| !self.catalog.needs(file)).collect();
                self.later(job, Step::Delete(free), 3_000);
            }
            (Step::Choose, Reply::Table(Some(table))) => self.rewrite(job, table),
            (Step::Recheck(planned, inputs, output), Reply::Table(Some(table))) => {
                let there = |name: &u64| table.files().iter().any(|file| file.name == *name);
                let same = table.uuid == planned.uuid && table.epoch == planned.epoch;
                if same && inputs.iter().all(there) && table.position(self.without).is_ok() {
                    let commit = Commit { add: vec![output], remove: inputs, ..Commit::on(table, Kind::Compact) };
                    self.ask(job, Step::Over, &Ask::Post(Rc::new(commit)));
                }
            }
            _ => {}
        }
    }

    /// Time has passed.
    pub(crate) fn job_step(&mut self, job: usize, number: u64) {
        if self.jobs[job].number != number {
            return;
        }
        match std::mem::replace(&mut self.jobs[job].step, Step::Over) {
            Step::Delete(mut names) => {
                if let Some(name) = names.pop() {
                    self.trace(|| format!("sweep deletes {name}"));
                    self.delete(name);
                    self.later(job, Step::Delete(names), 200);
                }
            }
            Step::Rewrite(planned, inputs, output) if self.without == Some(Rule::R8) => {
                let on = Commit::on(&planned, Kind::Compact);
                let commit = Commit { base: None, add: vec![output], remove: inputs, ..on };
                self.ask(job, Step::Over, &Ask::Post(Rc::new(commit)));
            }
            Step::Rewrite(planned, inputs, output) => {
                self.ask(job, Step::Recheck(planned, inputs, output), &Ask::Load);
            }
            _ => {}
        }
    }

    fn rewrite(&mut self, job: usize, table: &Rc<Table>) {
        let skip = self.rng.place(table.files().len());
        let inputs: Vec<File> = table.files().iter().skip(skip).take(3).cloned().collect();
        if inputs.len() < 2 {
            return;
        }
        let rows = inputs.iter().flat_map(|file| file.rows.iter().copied()).collect();
        let foreign = inputs.iter().map(|file| file.foreign).sum();
        let name = self.store.fresh_name();
        let (output, _) = self.store.put(name, rows, foreign);
        let names = inputs.iter().map(|file| file.name).collect();
        self.later(job, Step::Rewrite(Rc::clone(table), names, output), 4_000);
    }

    fn overrule(
        &mut self,
        job: usize,
        table: &Rc<Table>,
        overruled: &Overruled,
        spoken: bool,
        task: Option<TaskAddress>,
    ) {
        let found = Found {
            position: table.position(self.without),
            property: table.property.as_deref(),
            facts: table.facts_with(protocol::Position::default()),
        };
        let unreadable = matches!(overruled, Overruled::PositionUnreadable);
        let replacement = unreadable.then(|| table.truth().as_ref().clone());
        match overrule(&found, overruled, replacement) {
            Ok(plan) => {
                let commit = Commit::planned(&plan, Kind::Overrule(overruled.clone(), spoken), Vec::new());
                self.ask(job, Step::Overruled(task), &Ask::Post(Rc::new(commit)));
            }
            Err(error) => {
                self.trace(|| format!("operator: {error}"));
                self.go_on(task);
            }
        }
    }

    /// The task that waited begins again.
    fn go_on(&mut self, task: Option<TaskAddress>) {
        if let Some(to) = task {
            self.at(1, Event::Task { to, what: TaskWhat::Again });
        }
    }
}
