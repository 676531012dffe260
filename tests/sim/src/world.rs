//! The world: a clock, a queue of events, and all that lives in it. Single-threaded, and everything that chance decides
//! comes from one seed, so that a seed is a run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::catalog::Catalog;
use crate::committer::CommitterEvent;
use crate::flight::Flight;
use crate::group::{Group, Word};
use crate::jobs::Job;
use crate::kafka::Kafka;
use crate::ledger::Ledger;
use crate::network::{Ask, Back, Reply};
use crate::profile::Profile;
use crate::rng::Rng;
use crate::rule::Rule;
use crate::store::Store;
use crate::tally::{Fault, Tally};
use crate::worker::Worker;

/// Milliseconds since the world began.
pub(crate) type Time = u64;

/// A worker in one of its lives, from start to crash or stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) worker: usize,
    pub(crate) life: u32,
}

/// A task in one of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskAddress {
    pub(crate) worker: usize,
    pub(crate) life: u32,
    pub(crate) slot: usize,
    pub(crate) task_life: u32,
}

impl TaskAddress {
    pub(crate) fn at(self) -> Address {
        Address { worker: self.worker, life: self.life }
    }
}

/// Who waits for an answer of the catalog, and the number of the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Boot(Address),
    Locate(TaskAddress, u64),
    Round(Address, u64),
    Job(usize, u64),
}

/// What happens to a task, beside the catalog's answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TaskWhat {
    /// A turn of its loop: poll, look.
    Turn,
    /// The group's word to the member.
    Group(u64, Word),
    /// Kafka's answer to the question with this number.
    Kafka(u64),
    /// It has waited.
    Waited,
    DrainOver(u64),
    Verdict(u64, protocol::Landed),
    /// It begins another life.
    Again,
    /// It had stalled.
    Awake,
}

/// Something that happens.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Produce,
    Chaos,
    Operate,
    Arrive { who: Who, ask: Ask, back: Back },
    Answer { who: Who, reply: Reply },
    RebalanceOver { group: usize, round: u64 },
    SessionOver { group: usize, member: u64, at: Address },
    Start { worker: usize },
    Thaw { at: Address },
    GraceOver { at: Address },
    Task { to: TaskAddress, what: TaskWhat },
    Flight { at: Address, flight: Box<Flight> },
    Committer { at: Address, what: CommitterEvent },
    Job { job: usize, number: u64 },
}

/// An event in its place: by time, and among those of one moment by the order in which they were made.
#[derive(Debug)]
struct Due {
    when: (Time, u64),
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.when == other.when
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.when.cmp(&other.when)
    }
}

/// Everything there is.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Time,
    queue: BinaryHeap<Reverse<Due>>,
    made: u64,
    pub(crate) rng: Rng,
    pub(crate) profile: Profile,
    pub(crate) without: Option<Rule>,
    pub(crate) kafka: Kafka,
    pub(crate) groups: Vec<Group>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) catalog: Catalog,
    pub(crate) store: Store,
    pub(crate) jobs: Vec<Job>,
    pub(crate) ledger: Ledger,
    pub(crate) tally: Tally,
    /// When the table last went back to an earlier state.
    pub(crate) rewound: Time,
    /// Nothing goes wrong any more.
    pub(crate) calm: bool,
    /// The promise that was broken.
    pub(crate) broken: Option<String>,
    pub(crate) lines: Option<Vec<String>>,
    /// A digest of the run, to compare two of one seed.
    pub(crate) digest: u64,
}

impl World {
    pub(crate) fn new(seed: u64, without: Option<Rule>, traced: bool) -> Self {
        let mut rng = Rng::new(seed);
        let profile = Profile::draw(&mut rng);
        let mut world = Self {
            now: 0,
            queue: BinaryHeap::new(),
            made: 0,
            without,
            kafka: Kafka::default(),
            groups: (0..profile.groups).map(|_| Group::default()).collect(),
            workers: (0..profile.workers).map(|place| Worker::new(place % profile.groups, profile.tasks)).collect(),
            catalog: Catalog::new(profile.one_snapshot, without),
            store: Store::default(),
            jobs: Vec::new(),
            ledger: Ledger::default(),
            tally: Tally::of_one(),
            rewound: 0,
            calm: false,
            broken: None,
            lines: traced.then(Vec::new),
            digest: 0,
            rng,
            profile,
        };
        for topic in 0..world.profile.topics {
            let partitions = world.rng.between(1, 3) as usize;
            world.kafka.create(&format!("t{topic}"), partitions);
        }
        world.at(0, Event::Produce);
        world.at(500, Event::Chaos);
        world.at(1_000, Event::Operate);
        for worker in 0..world.workers.len() {
            let delay = world.rng.between(0, 2_000);
            world.at(delay, Event::Start { worker });
        }
        world
    }

    /// Something will happen.
    pub(crate) fn at(&mut self, delay: Time, event: Event) {
        self.made += 1;
        self.queue.push(Reverse(Due { when: (self.now + delay, self.made), event }));
    }

    /// A line of the trace.
    pub(crate) fn trace(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>9}  {}", self.now, line()));
        }
    }

    /// A promise is broken; the first is told.
    pub(crate) fn break_promise(&mut self, what: String) {
        self.trace(|| format!("BROKEN {what}"));
        self.broken.get_or_insert(what);
    }

    /// A fault, while whatever it is that all workers wait for is not answered.
    pub(crate) fn fault(&mut self, fault: Fault) {
        let pending = self.workers.iter().fold(0, |set, worker| set | worker.pending());
        self.tally.fault(fault, pending);
        self.trace(|| format!("FAULT {fault:?}"));
    }

    /// The next event; false when nothing will ever happen again.
    pub(crate) fn next(&mut self) -> bool {
        let Some(Reverse(Due { when: (time, number), event })) = self.queue.pop() else { return false };
        self.now = time;
        self.digest = self.digest.rotate_left(5) ^ time.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number;
        if let Some(event) = self.held_back(event) {
            self.happen(event);
        }
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Produce => self.produce(),
            Event::Chaos => self.chaos(),
            Event::Operate => self.operate(),
            Event::Arrive { who, ask, back } => self.arrive(who, &ask, back),
            Event::Answer { who: Who::Boot(at), reply } => self.booted(at, &reply),
            Event::Answer { who: Who::Locate(task, number), reply } => self.position_loaded(task, number, &reply),
            Event::Answer { who: Who::Round(at, number), reply } => self.round_answered(at, number, reply),
            Event::Answer { who: Who::Job(job, number), reply } => self.job_answered(job, number, &reply),
            Event::RebalanceOver { group, round } => self.rebalance_over(group, round),
            Event::SessionOver { group, member, at } => self.session_over(group, member, at),
            Event::Start { worker } => self.start(worker),
            Event::Thaw { at } => self.thaw(at),
            Event::GraceOver { at } => self.grace_over(at),
            Event::Task { to, what } => self.task_event(to, what),
            Event::Flight { at, flight } => self.fly_on(at, *flight),
            Event::Committer { at, what } => self.committer_event(at, what),
            Event::Job { job, number } => self.job_step(job, number),
        }
    }
}
