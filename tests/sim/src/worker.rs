//! A worker: a process with several tasks and one committer. It starts, crashes, freezes, thaws, is told to stop, and
//! starts again; what was in memory is gone then, what is on the wire is not.

use protocol::Halt;
use protocol::task::{End, Event as Input};

use crate::committer::Committer;
use crate::network::{Ask, Reply};
use crate::rule::Rule;
use crate::shell::{Shell, State};
use crate::tally::{Fault, Pending};
use crate::world::{Address, Event, TaskAddress, TaskWhat, Time, Who, World};

/// How long a group waits for a heartbeat.
const SESSION_MS: Time = 8_000;
/// How long a worker has for draining when it is told to stop.
const GRACE_MS: Time = 9_000;
/// Lives of a task in quick succession before the whole worker is prepared anew.
const TASK_LIVES: u32 = 5;

/// A worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) group: usize,
    pub(crate) life: u32,
    tasks: usize,
    pub(crate) up: bool,
    frozen: bool,
    booting: bool,
    stopping: bool,
    /// What came for it while it was frozen.
    backlog: Vec<Event>,
    /// The table that it feeds, from its start on.
    pub(crate) uuid: String,
    pub(crate) shells: Vec<Shell>,
    pub(crate) committer: Committer,
    /// It could not start.
    pub(crate) halted: Option<(Halt, Time)>,
}

impl Worker {
    pub(crate) fn new(group: usize, tasks: usize) -> Self {
        Self {
            group,
            life: 0,
            tasks,
            up: false,
            frozen: false,
            booting: false,
            stopping: false,
            backlog: Vec::new(),
            uuid: String::new(),
            shells: Vec::new(),
            committer: Committer::default(),
            halted: None,
        }
    }

    /// What it waits for.
    pub(crate) fn pending(&self) -> u16 {
        let boot = if self.booting { Pending::Boot.bit() } else { 0 };
        let tasks = self.shells.iter().fold(0, |set, shell| set | shell.pending());
        boot | tasks | self.committer.pending()
    }
}

impl World {
    /// Keeps back what is for a process that is gone or does not move.
    pub(crate) fn held_back(&mut self, event: Event) -> Option<Event> {
        let at = match &event {
            Event::Task { to, .. } | Event::Answer { who: Who::Locate(to, _), .. } => to.at(),
            Event::Flight { at, .. }
            | Event::Committer { at, .. }
            | Event::GraceOver { at }
            | Event::Answer { who: Who::Boot(at) | Who::Round(at, _), .. } => *at,
            _ => return Some(event),
        };
        let worker = &mut self.workers[at.worker];
        if !worker.up || worker.life != at.life {
            return None;
        }
        if worker.frozen {
            worker.backlog.push(event);
            return None;
        }
        let (Event::Task {
            to,
            what:
                TaskWhat::Turn
                | TaskWhat::Group(..)
                | TaskWhat::Kafka(_)
                | TaskWhat::Waited
                | TaskWhat::DrainOver(_)
                | TaskWhat::Verdict(..),
        }
        | Event::Answer { who: Who::Locate(to, _), .. }) = &event
        else {
            return Some(event);
        };
        match worker.shells.get_mut(to.slot) {
            Some(shell) if shell.life == to.task_life && shell.stalled => {
                shell.backlog.push(event);
                None
            }
            Some(shell) if shell.life == to.task_life => Some(event),
            _ => None,
        }
    }

    pub(crate) fn address(&self, worker: usize) -> Address {
        Address { worker, life: self.workers[worker].life }
    }

    /// A process starts: before anything else it looks for its table.
    pub(crate) fn start(&mut self, worker: usize) {
        let group = self.workers[worker].group;
        let (life, tasks) = (self.workers[worker].life + 1, self.workers[worker].tasks);
        if self.workers[worker].up {
            return;
        }
        self.workers[worker] = Worker { life, up: true, booting: true, ..Worker::new(group, tasks) };
        self.trace(|| format!("w{worker} start"));
        self.send(Who::Boot(Address { worker, life }), &Ask::Load, Pending::Boot);
    }

    /// The table is there, or not.
    pub(crate) fn booted(&mut self, at: Address, reply: &Reply) {
        if !self.workers[at.worker].booting {
            return;
        }
        let Reply::Table(Some(table)) = reply else {
            return self.send(Who::Boot(at), &Ask::Load, Pending::Boot);
        };
        let without = self.without;
        let worker = &mut self.workers[at.worker];
        worker.booting = false;
        if let Err(halt) = table.position(without) {
            worker.halted = Some((halt, self.now));
            self.tally.halts += 1;
            return;
        }
        worker.uuid.clone_from(&table.uuid);
        worker.shells = (0..worker.tasks).map(|_| Shell::in_life(1, 0, self.profile.limits)).collect();
        for slot in 0..self.workers[at.worker].tasks {
            self.begin_task(TaskAddress { worker: at.worker, life: at.life, slot, task_life: 1 });
        }
    }

    fn begin_task(&mut self, task: TaskAddress) {
        let member = self.join(self.workers[task.worker].group, task);
        self.workers[task.worker].shells[task.slot].member = Some(member);
        let delay = self.rng.between(1, self.profile.turn_ms);
        self.at(delay, Event::Task { to: task, what: TaskWhat::Turn });
    }

    /// A task begins another life.
    pub(crate) fn task_again(&mut self, to: TaskAddress) {
        let limits = self.profile.limits;
        let old = &mut self.workers[to.worker].shells[to.slot];
        if old.life != to.task_life || old.state == State::Running {
            return;
        }
        let life = old.life + 1;
        *old = Shell::in_life(life, old.lives, limits);
        self.begin_task(TaskAddress { task_life: life, ..to });
    }

    /// A task has ended.
    pub(crate) fn task_ended(&mut self, task: TaskAddress, end: &End) {
        let worker = &mut self.workers[task.worker];
        let (group, shell) = (worker.group, &mut worker.shells[task.slot]);
        shell.ended = self.now;
        let member = shell.member.take();
        let lives = shell.lives + 1;
        (shell.lives, shell.state) = (lives, State::Ended(end.clone()));
        self.trace(|| format!("w{}.{} end {end:?}", task.worker, task.slot));
        if let Some(member) = member {
            self.leave(group, member);
        }
        match end {
            End::Retry(_) if lives >= TASK_LIVES && !self.workers[task.worker].stopping => self.stop(task.worker),
            End::Retry(_) => {
                let delay = self.rng.between(500, 4_000);
                self.at(delay, Event::Task { to: task, what: TaskWhat::Again });
            }
            End::Stopped => {}
            End::Halted(_) | End::Failed(_) => {
                self.tally.halts += 1;
                self.check_halt(end);
                if self.without == Some(Rule::R10) {
                    self.pass_over(task);
                }
            }
        }
        self.exit_if_stopped(task.worker);
    }

    fn exit_if_stopped(&mut self, worker: usize) {
        let ended = |shell: &Shell| shell.state != State::Running;
        if self.workers[worker].stopping && self.workers[worker].shells.iter().all(ended) {
            self.down(worker);
        }
    }

    /// SIGTERM.
    pub(crate) fn stop(&mut self, worker: usize) {
        if !self.workers[worker].up || self.workers[worker].stopping {
            return;
        }
        self.trace(|| format!("w{worker} stop"));
        self.workers[worker].stopping = true;
        let at = self.address(worker);
        self.at(GRACE_MS, Event::GraceOver { at });
        for slot in 0..self.workers[worker].shells.len() {
            // The last task to end takes the worker with it.
            if self.workers[worker].shells.get(slot).is_some_and(|shell| shell.state == State::Running) {
                self.feed(self.task_address(worker, slot), Input::Stop);
            }
        }
        self.exit_if_stopped(worker);
    }

    pub(crate) fn task_address(&self, worker: usize, slot: usize) -> TaskAddress {
        let of = &self.workers[worker];
        TaskAddress { worker, life: of.life, slot, task_life: of.shells[slot].life }
    }

    pub(crate) fn grace_over(&mut self, at: Address) {
        if self.workers[at.worker].stopping {
            self.down(at.worker);
        }
    }

    /// The process is gone, with all that it had in memory; it is started again.
    pub(crate) fn down(&mut self, worker: usize) {
        let of = &mut self.workers[worker];
        if !of.up {
            return;
        }
        of.up = false;
        of.frozen = false;
        of.backlog.clear();
        of.shells.clear();
        of.committer = Committer::default();
        self.trace(|| format!("w{worker} down"));
        self.miss_heartbeats(worker);
        let delay = self.rng.between(200, 12_000);
        self.at(delay, Event::Start { worker });
    }

    /// The process does not move; to the world it looks gone.
    pub(crate) fn freeze(&mut self, worker: usize) {
        if self.workers[worker].up && !self.workers[worker].frozen {
            self.fault(Fault::Freeze);
            self.workers[worker].frozen = true;
            self.miss_heartbeats(worker);
            let (delay, at) = (self.rng.between(500, 40_000), self.address(worker));
            self.at(delay, Event::Thaw { at });
        }
    }

    /// It moves again, and finds everything that came meanwhile.
    pub(crate) fn thaw(&mut self, at: Address) {
        let worker = &mut self.workers[at.worker];
        if worker.life != at.life || !worker.frozen {
            return;
        }
        worker.frozen = false;
        self.trace(|| format!("w{} thaw", at.worker));
        for event in std::mem::take(&mut self.workers[at.worker].backlog) {
            self.at(0, event);
        }
    }

    fn miss_heartbeats(&mut self, worker: usize) {
        let (group, at) = (self.workers[worker].group, self.address(worker));
        for member in self.members_of(group, worker) {
            self.at(SESSION_MS, Event::SessionOver { group, member, at });
        }
    }

    /// No heartbeat came for too long, if none came.
    pub(crate) fn session_over(&mut self, group: usize, member: u64, at: Address) {
        let worker = &self.workers[at.worker];
        if worker.life != at.life || !worker.up || worker.frozen {
            self.kick(group, member);
        }
    }

    /// Nothing is held up any more.
    pub(crate) fn everybody_up(&mut self) {
        for worker in 0..self.workers.len() {
            self.thaw(self.address(worker));
            for slot in 0..self.workers[worker].shells.len() {
                self.awake(self.task_address(worker, slot));
            }
        }
    }
}
