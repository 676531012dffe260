//! What there is in the small world, and the rules that can be switched off in it.
//!
//! One Kafka partition, one table, two writers that both believe the partition is theirs, and a network that keeps what
//! was sent. Values are small and hashable, since millions of them are kept. A position is kept as the number of its
//! text (`facts.rs`), so that what a commit wrote is what a load reads, letter by letter.

use std::fmt;

/// Records of the partition at most.
pub(crate) const RECORDS_MAX: usize = 4;
/// Snapshots of a table at most: no configuration makes more before it is stopped.
pub(crate) const SNAPSHOTS_MAX: usize = 10;

/// What a writer does about an answer that it did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnUnknown {
    /// The project's rule: load again and decide again.
    Decide,
    /// Takes it for a failure and sends the batch again on the newest snapshot.
    SendAgain,
    /// Sends again unless the current snapshot is its own.
    LookForOwnSnapshot,
}

/// Rules of the protocol; a rule that is off must do harm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// R1: commit only if the table's position equals the batch's start.
    pub(crate) compare_position: bool,
    /// R2: assert the base snapshot in the request.
    pub(crate) assert_base: bool,
    /// R3: the position is in a table property too, not in the summary only.
    pub(crate) property: bool,
    /// R6.
    pub(crate) on_unknown: OnUnknown,
}

impl Rules {
    /// As the project has them.
    pub(crate) const ALL: Self =
        Self { compare_position: true, assert_base: true, property: true, on_unknown: OnUnknown::Decide };
}

/// How large the world is and how much goes wrong in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Records in the partition.
    pub(crate) records: u8,
    /// The catalog shows the current snapshot only, as Nessie does.
    pub(crate) one_snapshot: bool,
    /// Requests or answers lost, late or doubled.
    pub(crate) faults: u8,
    /// Crashes of a writer.
    pub(crate) crashes: u8,
    /// Commits of others, without a position.
    pub(crate) foreign: u8,
    /// Times that the table is dropped and made again.
    pub(crate) replaced: u8,
}

/// The table as the catalog has it. A snapshot's id is its sequence number: a table has one line of snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Table {
    /// Changes when the table is dropped and made again.
    pub(crate) uuid: u8,
    /// Last sequence number; 0 without a snapshot.
    pub(crate) seq: u8,
    /// How often each offset is live.
    pub(crate) rows: [u8; RECORDS_MAX],
    /// Positions in the summaries, newest first, as far as the catalog shows them; 0 for none.
    pub(crate) summaries: [u8; SNAPSHOTS_MAX],
    /// Position in the table property; 0 for none.
    pub(crate) property: u8,
    /// Who made the current snapshot, of which batch; kept only where somebody looks for it.
    pub(crate) author: Option<(u8, Batch)>,
}

/// Staged rows: offsets `[start, end)`, read for the table `uuid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Batch {
    pub(crate) uuid: u8,
    pub(crate) start: u8,
    pub(crate) end: u8,
    /// The table had no position when it was begun.
    pub(crate) first: bool,
}

/// What a request asks for: requirements and the new position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Plan {
    pub(crate) uuid: u8,
    /// Base snapshot; 0 for none.
    pub(crate) base: u8,
    pub(crate) seq: u8,
    pub(crate) position: u8,
}

/// A request on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Post {
    pub(crate) writer: u8,
    pub(crate) batch: Batch,
    pub(crate) plan: Plan,
    /// The writer waits for its answer; otherwise it has moved on, or this is a copy.
    pub(crate) awaited: bool,
}

/// Where a writer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Writer {
    /// Just started; knows nothing.
    Begin,
    /// Reads Kafka from this offset.
    Reading { uuid: u8, start: u8, first: bool },
    /// Files written. `unknown`: a request for it was sent, and no answer came.
    Staged { batch: Batch, unknown: bool },
    /// Has leave to commit.
    Ready { batch: Batch, plan: Plan },
    /// Has sent its request.
    Waiting,
    /// Has stopped with a reason; an operator starts it again.
    Halted,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) table: Table,
    pub(crate) writers: [Writer; 2],
    /// Sorted.
    pub(crate) network: Vec<Post>,
    pub(crate) faults: u8,
    pub(crate) crashes: u8,
    pub(crate) foreign: u8,
    pub(crate) replaced: u8,
}

impl State {
    /// An empty table, writers that begin, and all of the budget.
    pub(crate) fn initial(bounds: &Bounds) -> Self {
        Self {
            table: Table::new(1),
            writers: [Writer::Begin; 2],
            network: Vec::new(),
            faults: bounds.faults,
            crashes: bounds.crashes,
            foreign: bounds.foreign,
            replaced: bounds.replaced,
        }
    }

    /// Nothing is on its way, and nobody has anything left to do.
    pub(crate) fn is_end(&self, records: u8) -> bool {
        let table = self.table.uuid;
        let at_rest = |writer: &Writer| match *writer {
            Writer::Reading { uuid, start, .. } => start == records && uuid == table,
            _ => false,
        };
        self.network.is_empty() && self.writers.iter().all(at_rest)
    }

    /// Puts a request on its way.
    pub(crate) fn send(&mut self, post: Post) {
        self.network.push(post);
        self.network.sort_unstable();
    }
}

impl Table {
    /// An empty one.
    pub(crate) fn new(uuid: u8) -> Self {
        let (rows, summaries) = ([0; RECORDS_MAX], [0; SNAPSHOTS_MAX]);
        Self { uuid, seq: 0, rows, summaries, property: 0, author: None }
    }
}

/// One step, for the trace: who, what, how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step(pub(crate) char, pub(crate) &'static str, pub(crate) u8);

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)?;
        if self.2 > 0 { write!(f, "({})", self.2) } else { Ok(()) }
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Violation {
    /// An offset is live twice.
    Twice,
    /// Rows and position do not fit together.
    RowsDiffer,
    /// The position went back.
    Backwards,
    /// A writer was told `Committed`, and its rows are not there.
    NotThere,
    /// Everybody is at rest, and a record is missing.
    Missing,
    /// The position could not be read.
    Unreadable(String),
    /// No end can be reached from here any more.
    Stuck,
}
