//! The shell of a task: does what the task's machine says, with the simulated consumer, catalog and clock, as
//! the connector's `runtime::task` does with real ones.
//!
//! Effects are performed in order; a back-off delays those behind it, events go on to arrive. The answer to a question that
//! was followed by another is not passed on. Nothing is polled while a survey is under way: the machine would not expect the
//! records, and the consumer would be past them.

use std::collections::{BTreeMap, VecDeque};

use protocol::Position;
use protocol::flush::{Fill, FlushLimits};
use protocol::task::{Effect, End, Event as Input, Survey, Task, TopicPartition};

use crate::bearings::Question;
use crate::group::Word;
use crate::kafka::Uid;
use crate::network::Ask;
use crate::tally::Pending;
use crate::world::{Event, TaskAddress, TaskWhat, Time, Who, World};

/// How long a task drains.
const DRAIN_MS: Time = 6_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Ended(End),
}

/// A task and what it holds.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) life: u32,
    /// Lives that ended.
    pub(crate) lives: u32,
    pub(crate) state: State,
    pub(crate) member: Option<u64>,
    task: Task,
    todo: VecDeque<Effect>,
    sleeping: bool,
    pub(crate) question: Option<Question>,
    pub(crate) questions: u64,
    /// Number of the draining whose end is timed.
    drain: Option<u64>,
    drains: u64,
    pub(crate) stalled: bool,
    pub(crate) ended: Time,
    /// An operator has seen that it halted.
    pub(crate) attended: bool,
    pub(crate) backlog: Vec<Event>,
    /// Where the consumer reads; empty when nothing is assigned.
    pub(crate) fetch: BTreeMap<TopicPartition, i64>,
    pub(crate) paused: bool,
    pub(crate) turn: usize,
    /// Rows and dead letters of the open batch.
    pub(crate) rows: Vec<Uid>,
    pub(crate) letters: Vec<Uid>,
    opened: Option<Time>,
    /// The batch on its way, as far as the machine has said.
    flying: Option<u64>,
    /// The table and Kafka were looked at since the last assignment.
    pub(crate) located: bool,
}

impl Shell {
    pub(crate) fn in_life(life: u32, lives: u32, limits: FlushLimits) -> Self {
        Self {
            life,
            lives,
            state: State::Running,
            member: None,
            task: Task::new(limits),
            todo: VecDeque::new(),
            sleeping: false,
            question: None,
            questions: 0,
            drain: None,
            drains: 0,
            stalled: false,
            ended: 0,
            attended: false,
            backlog: Vec::new(),
            fetch: BTreeMap::new(),
            paused: false,
            turn: 0,
            rows: Vec::new(),
            letters: Vec::new(),
            opened: None,
            flying: None,
            located: false,
        }
    }

    pub(crate) fn pending(&self) -> u16 {
        let question = match self.question {
            None => 0,
            Some(Question::Survey(_)) => Pending::Survey.bit(),
            Some(_) => Pending::Locate.bit(),
        };
        let sleeping = if self.sleeping { Pending::Backoff.bit() } else { 0 };
        let draining = if self.task.is_draining() { Pending::Drain.bit() } else { 0 };
        if self.state == State::Running { question | sleeping | draining } else { 0 }
    }

    pub(crate) fn is_surveying(&self) -> bool {
        matches!(self.question, Some(Question::Survey(_)))
    }

    /// Books a record if the machine expects it; true if it broke its promise not to before it has looked.
    pub(crate) fn book(
        &mut self,
        (topic, partition): &TopicPartition,
        offset: i64,
        row: Option<Uid>,
        letter: Option<Uid>,
        now: Time,
    ) -> bool {
        if !self.task.expects(topic, *partition, offset) {
            return false;
        }
        let became = if row.is_some() { protocol::Became::Row } else { protocol::Became::Reject };
        if self.task.book(topic, *partition, offset, became).is_err() {
            return true;
        }
        self.rows.extend(row);
        self.letters.extend(letter);
        self.opened.get_or_insert(now);
        !self.located
    }

    fn fill(&self, now: Time) -> Fill {
        let records = self.task.records();
        Fill { age_ms: self.opened.map_or(0, |opened| now - opened), records, bytes: records * 10 }
    }
}

impl World {
    pub(crate) fn shell(&mut self, task: TaskAddress) -> &mut Shell {
        &mut self.workers[task.worker].shells[task.slot]
    }

    pub(crate) fn task_event(&mut self, to: TaskAddress, what: TaskWhat) {
        match what {
            TaskWhat::Again => return self.task_again(to),
            TaskWhat::Awake => return self.awake(to),
            _ if self.shell(to).state != State::Running => return,
            TaskWhat::Turn => return self.turn(to),
            TaskWhat::Waited => self.shell(to).sleeping = false,
            TaskWhat::Group(member, word) if self.shell(to).member == Some(member) => {
                self.trace(|| format!("w{}.{} {word:?}", to.worker, to.slot));
                let input = match word {
                    Word::Assigned(partitions) => Input::Assigned(partitions),
                    Word::Revoked => Input::Revoked,
                    Word::Lost => Input::Lost,
                };
                return self.feed(to, input);
            }
            TaskWhat::Group(..) => {}
            TaskWhat::Kafka(number) => return self.kafka_answered(to, number),
            TaskWhat::DrainOver(number) if self.shell(to).drain == Some(number) => {
                return self.feed(to, Input::DrainOver);
            }
            TaskWhat::DrainOver(_) => {}
            TaskWhat::Verdict(flight, landed) => {
                self.shell(to).flying.take_if(|flying| *flying == flight);
                return self.feed(to, Input::Landed(flight, landed));
            }
        }
        self.work(to);
    }

    /// One turn of the loop: records, then a look at the open batch.
    fn turn(&mut self, to: TaskAddress) {
        let delay = self.rng.between(self.profile.turn_ms / 2, self.profile.turn_ms);
        self.at(delay, Event::Task { to, what: TaskWhat::Turn });
        if !self.shell(to).is_surveying() && !self.poll(to) {
            self.trace(|| format!("w{}.{} offsets missing", to.worker, to.slot));
            self.feed(to, Input::OffsetsMissing);
        }
        let now = self.now;
        let fill = self.shell(to).fill(now);
        self.feed(to, Input::Look(fill));
    }

    /// An event for the machine, and what it makes of it.
    pub(crate) fn feed(&mut self, to: TaskAddress, input: Input) {
        let limits = self.profile.limits;
        let shell = self.shell(to);
        let task = std::mem::replace(&mut shell.task, Task::new(limits));
        let (task, effects) = task.step(input);
        shell.task = task;
        shell.todo.extend(effects);
        if !shell.task.is_draining() {
            shell.drain = None;
        } else if shell.drain.is_none() {
            shell.drains += 1;
            let number = shell.drains;
            shell.drain = Some(number);
            self.at(DRAIN_MS, Event::Task { to, what: TaskWhat::DrainOver(number) });
        }
        self.work(to);
    }

    fn work(&mut self, to: TaskAddress) {
        loop {
            // The worker may have gone down with the last effect.
            let Some(shell) = self.workers[to.worker].shells.get_mut(to.slot) else { return };
            if shell.sleeping || shell.state != State::Running {
                return;
            }
            let Some(effect) = shell.todo.pop_front() else { return };
            self.trace(|| format!("w{}.{} {}", to.worker, to.slot, shown(&effect)));
            self.perform(to, effect);
        }
    }

    fn perform(&mut self, to: TaskAddress, effect: Effect) {
        let shell = self.shell(to);
        match effect {
            Effect::Locate(partitions) => {
                shell.located = false;
                shell.questions += 1;
                shell.question = Some(Question::Position(partitions));
                let number = shell.questions;
                self.send(Who::Locate(to, number), &Ask::Load, Pending::Locate);
            }
            Effect::Assign(starts) => {
                shell.fetch = starts.into_iter().map(|(partition, offset)| (partition, offset.get())).collect();
                shell.paused = false;
            }
            Effect::Release => {
                shell.located = false;
                shell.fetch.clear();
                let member = shell.member;
                let group = self.workers[to.worker].group;
                let known = member.is_some_and(|member| self.released(group, member));
                if !known {
                    let member = self.join(group, to);
                    self.shell(to).member = Some(member);
                }
            }
            Effect::Drop => {
                (shell.rows, shell.letters) = (Vec::new(), Vec::new());
                (shell.opened, shell.flying) = (None, None);
            }
            Effect::Survey => {
                // Only partitions that were read from have a place in the consumer.
                let reached = shell.fetch.clone();
                shell.questions += 1;
                let number = shell.questions;
                shell.question = Some(Question::Survey(Survey { reached, ids: BTreeMap::new() }));
                let delay = self.rng.between(1, 400);
                self.at(delay, Event::Task { to, what: TaskWhat::Kafka(number) });
            }
            Effect::Launch(number, proposal) => {
                shell.opened = None;
                let other = shell.flying.replace(number);
                let (rows, letters) = (std::mem::take(&mut shell.rows), std::mem::take(&mut shell.letters));
                self.launch(to, number, proposal, rows, letters);
                if let Some(other) = other {
                    self.break_promise(format!("batch {number} is on its way beside batch {other}"));
                }
            }
            Effect::Pause => shell.paused = true,
            Effect::Resume => shell.paused = false,
            Effect::Acknowledge(position) => {
                let group = self.workers[to.worker].group;
                let own = self.shell(to).fetch.keys().cloned().collect::<Vec<_>>();
                for (topic, partition) in own {
                    if let Some(next) = position.next(&topic, partition) {
                        self.groups[group].offsets.insert((topic, partition), next.get());
                    }
                }
            }
            Effect::Backoff(times) => {
                shell.sleeping = true;
                let most = (100 << times.min(7)).min(10_000);
                let delay = self.rng.between(most / 2, most);
                self.at(delay, Event::Task { to, what: TaskWhat::Waited });
            }
            Effect::End(end) => self.task_ended(to, &end),
        }
    }

    /// It had stalled; what came meanwhile comes now.
    pub(crate) fn awake(&mut self, to: TaskAddress) {
        let Some(shell) = self.workers[to.worker].shells.get_mut(to.slot) else { return };
        if shell.life != to.task_life || !shell.stalled {
            return;
        }
        shell.stalled = false;
        for event in std::mem::take(&mut shell.backlog) {
            self.at(0, event);
        }
    }
}

/// An effect in the trace.
fn shown(effect: &Effect) -> String {
    let at = |position: &Position| format!("{:?}", position.counts());
    match effect {
        Effect::Launch(number, proposal) => {
            format!("Launch {number} {}", protocol::Ranges::to_summary(&[&proposal.ranges]))
        }
        Effect::Assign(starts) => {
            let starts: Vec<_> = starts.iter().map(|((topic, p), offset)| format!("{topic}-{p}@{offset}")).collect();
            format!("Assign {}", starts.join(" "))
        }
        Effect::Locate(_) => "Locate".to_owned(),
        Effect::Acknowledge(position) => format!("Acknowledge {}", at(position)),
        other => format!("{other:?}"),
    }
}
