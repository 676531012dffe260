//! What there is in the small world.
//!
//! One Kafka partition, one table, writers that all believe the partition is theirs, compactors, a sweeper, and a network
//! that keeps what was sent. A data file is a number; who knows of files holds a set of numbers, so that a table refers
//! to what it refers to, and not to rows. A position is kept as the number of its text (`facts.rs`), so that what a commit
//! wrote is what a load reads, letter by letter.
//!
//! Invariant: states that differ in the numbers of files only, or in what nobody can ever see again, are one
//! (`canonical.rs`). Values are small and are packed (`packed.rs`), since millions of them are kept.

use crate::rules::Bounds;

/// Data files that somebody knows of, at most.
pub(crate) const FILES: usize = 12;
/// Requests on their way, at most.
pub(crate) const POSTS: usize = 7;
/// Offsets of a topic, at most.
pub(crate) const OFFSETS: u8 = 4;
/// No file.
pub(crate) const NONE: u8 = 15;

/// A set of files.
pub(crate) type Files = u16;
/// A set of records: offset o of topic t is bit `t * OFFSETS + o`.
pub(crate) type Rows = u8;

/// Offsets `[start, end)` of a topic.
pub(crate) fn rows(topic: u8, start: u8, end: u8) -> Rows {
    (start..end).fold(0, |rows, at| rows | 1 << (topic * OFFSETS + at))
}

/// A data file; without rows: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) rows: Rows,
    /// It was deleted.
    pub(crate) gone: bool,
    /// Its name is made of its range; kept only where names are not unique.
    pub(crate) named: bool,
}

/// The table as the catalog has it. A snapshot's id is its sequence number: a table has one line of snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Table {
    /// Changes when the table is dropped and made again.
    pub(crate) uuid: u8,
    /// Last sequence number; 0 without a snapshot.
    pub(crate) seq: u8,
    /// Files of the current snapshot.
    pub(crate) live: Files,
    /// Position in the newest summary that the catalog shows and that has one; 0 for none.
    pub(crate) summary: u16,
    /// Position in the table property; 0 for none.
    pub(crate) property: u16,
    /// Sweep epoch; 0 before the first sweep.
    pub(crate) sweep: u8,
    /// File that the current snapshot added; kept only where somebody looks for it.
    pub(crate) newest: u8,
}

/// Offsets `[start, end)`, read for the table `uuid`. In a writer that reads, `end` is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Batch {
    pub(crate) uuid: u8,
    /// The topic that it believes to read.
    pub(crate) topic: u8,
    /// The topic's epoch in the table's position.
    pub(crate) epoch: u8,
    pub(crate) start: u8,
    pub(crate) end: u8,
    /// The table had no position when it was begun.
    pub(crate) first: bool,
    /// The table's sweep epoch when it was begun.
    pub(crate) sweep: u8,
}

/// Where a writer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// There is no such writer.
    Absent,
    /// Just started, or fenced; knows nothing.
    Begin,
    /// Reads Kafka.
    Reading,
    /// File written; is about to load the table and to decide.
    Staged,
    /// Has sent its request.
    Waiting,
    /// Has stopped with a reason; an operator has to act.
    Halted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Writer {
    pub(crate) phase: Phase,
    pub(crate) batch: Batch,
    /// The staged file.
    pub(crate) file: u8,
    /// A request for the batch was sent, and no answer came; kept only where the rules look at it.
    pub(crate) unknown: bool,
}

/// Where a compactor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Idle,
    /// Has chosen its inputs.
    Planned,
    /// Output written.
    Written,
    /// Has sent its request.
    Waiting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compactor {
    pub(crate) work: Work,
    pub(crate) inputs: Files,
    pub(crate) output: u8,
    /// The table's sweep epoch when it was planned.
    pub(crate) sweep: u8,
    /// The position when it was planned; kept only where the rules carry it.
    pub(crate) position: u16,
}

/// Where the sweeper stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sweep {
    Idle,
    /// Has listed what no snapshot refers to.
    Listed,
    /// Has changed the epoch.
    Fenced,
    /// Has looked again.
    Looked,
}

/// A request on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Post {
    /// Writers are 0 and 1, compactors 2 and 3.
    pub(crate) sender: u8,
    /// The sender waits for its answer; otherwise it has moved on, or this is a copy.
    pub(crate) awaited: bool,
    /// The table it is for.
    pub(crate) uuid: u8,
    /// Base snapshot; 0 for none.
    pub(crate) base: u8,
    /// Position for the summary and, of a writer, for the property; 0 for none.
    pub(crate) position: u16,
    pub(crate) added: u8,
    pub(crate) removed: Files,
}

/// What may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) compactions: u8,
    pub(crate) sweeps: u8,
    pub(crate) faults: u8,
    pub(crate) crashes: u8,
    pub(crate) foreign: u8,
    pub(crate) replaced: u8,
    pub(crate) trims: u8,
    pub(crate) remade: u8,
}

/// Everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) table: Table,
    pub(crate) files: [File; FILES],
    pub(crate) writers: [Writer; 2],
    pub(crate) compactors: [Compactor; 2],
    pub(crate) sweep: Sweep,
    /// What the sweeper is after.
    pub(crate) candidates: Files,
    /// The first `sent` are requests.
    pub(crate) network: [Post; POSTS],
    pub(crate) sent: u8,
    /// The topic that Kafka has.
    pub(crate) topic: u8,
    /// Kafka's first offset.
    pub(crate) log_start: u8,
    /// Records that an operator gave up.
    pub(crate) lost: Rows,
    /// The group's offset; kept only where somebody begins there.
    pub(crate) group: u8,
    pub(crate) left: Budget,
    /// There were more files or requests than there is room for.
    pub(crate) overflow: bool,
}

impl Writer {
    pub(crate) const ABSENT: Self = Self { phase: Phase::Absent, ..Self::BEGIN };
    pub(crate) const BEGIN: Self = Self {
        phase: Phase::Begin,
        batch: Batch { uuid: 0, topic: 0, epoch: 0, start: 0, end: 0, first: false, sweep: 0 },
        file: NONE,
        unknown: false,
    };
    pub(crate) const HALTED: Self = Self { phase: Phase::Halted, ..Self::BEGIN };
}

impl Compactor {
    pub(crate) const IDLE: Self = Self { work: Work::Idle, inputs: 0, output: NONE, sweep: 0, position: 0 };
}

impl Table {
    /// An empty one.
    pub(crate) fn new(uuid: u8) -> Self {
        Self { uuid, seq: 0, live: 0, summary: 0, property: 0, sweep: 0, newest: NONE }
    }
}

impl State {
    /// An empty table, writers that begin, and all of the budget.
    pub(crate) fn initial(bounds: &Bounds) -> Self {
        let mut writers = [Writer::ABSENT; 2];
        writers.iter_mut().take(bounds.writers.into()).for_each(|writer| *writer = Writer::BEGIN);
        Self {
            table: Table::new(0),
            files: [File::default(); FILES],
            writers,
            compactors: [Compactor::IDLE; 2],
            sweep: Sweep::Idle,
            candidates: 0,
            network: [Post::default(); POSTS],
            sent: 0,
            topic: 0,
            log_start: 0,
            lost: 0,
            group: 0,
            left: Budget {
                compactions: bounds.compactions,
                sweeps: bounds.sweeps,
                faults: bounds.faults,
                crashes: bounds.crashes,
                foreign: bounds.foreign,
                replaced: bounds.replaced,
                trims: bounds.trims,
                remade: bounds.remade,
            },
            overflow: false,
        }
    }

    /// Requests on their way.
    pub(crate) fn posts(&self) -> &[Post] {
        &self.network[..usize::from(self.sent)]
    }

    /// Puts a request on its way.
    pub(crate) fn send(&mut self, post: Post) {
        match self.network.get_mut(usize::from(self.sent)) {
            Some(slot) => {
                *slot = post;
                self.sent += 1;
            }
            None => self.overflow = true,
        }
    }

    /// Takes a request off the network.
    pub(crate) fn take(&mut self, at: usize) {
        self.network.copy_within(at + 1.., at);
        self.network[POSTS - 1] = Post::default();
        self.sent -= 1;
    }

    /// Nobody waits for the answers to this sender's requests any more; they stay on their way.
    pub(crate) fn leave(&mut self, sender: u8) {
        self.network.iter_mut().filter(|post| post.sender == sender).for_each(|post| post.awaited = false);
    }

    /// Writes a file.
    pub(crate) fn write(&mut self, file: File) -> u8 {
        match self.files.iter().position(|file| file.rows == 0) {
            Some(slot) => {
                self.files[slot] = file;
                u8::try_from(slot).unwrap_or(NONE)
            }
            None => {
                self.overflow = true;
                NONE
            }
        }
    }

    /// The files of a set, with their numbers.
    pub(crate) fn files_in(&self, set: Files) -> impl Iterator<Item = &File> {
        (0..FILES).filter(move |slot| set >> slot & 1 == 1).map(|slot| &self.files[slot])
    }

    /// The rows of a set of files.
    pub(crate) fn rows_in(&self, set: Files) -> Rows {
        self.files_in(set).fold(0, |rows, file| rows | file.rows)
    }

    /// Files that exist.
    pub(crate) fn existing(&self) -> Files {
        (0..FILES)
            .filter(|&slot| self.files[slot].rows != 0 && !self.files[slot].gone)
            .fold(0, |set, slot| set | 1 << slot)
    }
}

/// The set of one file, or of none.
pub(crate) fn only(file: u8) -> Files {
    if file == NONE { 0 } else { 1 << file }
}
