//! What can be chosen about a small world: the rules in force, and how much there is and goes wrong in it.
//!
//! R1 to R13 are the rules of the commit protocol, by the numbers that the tests use. Read everywhere in this crate.

/// What a writer does about an answer that it did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// The project's rule: load again and decide again.
    Decide,
    /// Takes it for a failure and sends the batch again on the newest snapshot.
    SendAgain,
    /// Sends again unless the current snapshot is its own.
    LookForOwnSnapshot,
}

/// The position that a compaction writes into its summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// The project's rule: none; the property stays as it is.
    Nothing,
    /// That of the base it commits to.
    OfBase,
    /// That of the base it was planned on.
    OfPlan,
}

/// How an orphan sweep keeps away from files that somebody is about to commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// The project's rule: a snapshot that changes the epoch; staged files of another epoch are refused.
    Snapshot,
    /// The epoch is changed without a snapshot.
    PropertyOnly,
    /// Not at all.
    None,
}

/// How a writer makes sure that the topic is the one that the table was fed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The project's rule: when it begins, and again when the batch has been read.
    BeforeAndAfter,
    /// When it begins.
    Before,
    /// By its name.
    Never,
}

/// The offsets that a batch claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeOf {
    /// The project's rule: from where the consumer stood to where it stands.
    Consumer,
    /// From the first record to the last.
    Records,
}

/// Rules of the protocol; a rule that is off must do harm.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// R1: commit only if the table's position equals the batch's start.
    pub compare_position: bool,
    /// R2: assert the base snapshot in the request.
    pub assert_base: bool,
    /// R3: the position is in a table property too, not in the summary only.
    pub property: bool,
    /// R3, for compactions.
    pub carried: Carried,
    /// R4: a request is sent once; off: the transport sends it again when the answer is lost.
    pub one_post: bool,
    /// R5, R6.
    pub on_unknown: OnUnknown,
    /// R7: staged files are not deleted once a request was sent; off: they are when its outcome is unknown.
    pub keep_staged: bool,
    /// R8: a compaction looks whether its inputs are live in the base that it commits to.
    pub check_inputs: bool,
    /// R9: the sweep.
    pub fence: Fence,
    /// R9: a batch of another sweep epoch is refused.
    pub check_epoch: bool,
    /// R9: a compaction of another sweep epoch is given up.
    pub compaction_checks_epoch: bool,
    /// R10: a gap halts; off: the consumer goes on at the log's start.
    pub halt_at_gap: bool,
    /// R10: another topic of the same name halts.
    pub identity: Identity,
    /// R11: a writer begins at the table's position; off: at the group's offset, which the client commits as it reads.
    pub begin_at_table: bool,
    /// R12: only committed records become rows.
    pub read_committed: bool,
    /// R12: what a batch claims.
    pub range_of: RangeOf,
    /// R13: a file's name is unique to the attempt; off: it is made of the range.
    pub unique_names: bool,
}

impl Rules {
    /// As the project has them.
    pub const ALL: Self = Self {
        compare_position: true,
        assert_base: true,
        property: true,
        carried: Carried::Nothing,
        one_post: true,
        on_unknown: OnUnknown::Decide,
        keep_staged: true,
        check_inputs: true,
        fence: Fence::Snapshot,
        check_epoch: true,
        compaction_checks_epoch: true,
        halt_at_gap: true,
        identity: Identity::BeforeAndAfter,
        begin_at_table: true,
        read_committed: true,
        range_of: RangeOf::Consumer,
        unique_names: true,
    };
}

/// How large the world is and how much goes wrong in it. Numbers of events are budgets: so many of them, at any moment.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Offsets of the partition, at most 4.
    pub records: u8,
    /// Offsets that hold no committed record, as bits.
    pub aborted: u8,
    /// The catalog shows the current snapshot only, as Nessie does.
    pub one_snapshot: bool,
    /// Writers that believe the partition is theirs, at most 2.
    pub writers: u8,
    /// Compactors, at most 2.
    pub compactors: u8,
    /// Compactions that are begun.
    pub compactions: u8,
    /// Orphan sweeps.
    pub sweeps: u8,
    /// Requests or answers lost, late or doubled.
    pub faults: u8,
    /// Crashes of a writer or a compactor.
    pub crashes: u8,
    /// Commits of others, without a position.
    pub foreign: u8,
    /// Times that the table is dropped and made again; not together with `remade`.
    pub replaced: u8,
    /// Times that Kafka deletes the first records of its log.
    pub trims: u8,
    /// Times that the topic is deleted and made again, at most 1.
    pub remade: u8,
}

impl Bounds {
    /// Two writers of two records, and nothing goes wrong, but that they have one partition.
    pub const ZOMBIE: Self = Self {
        records: 2,
        aborted: 0,
        one_snapshot: true,
        writers: 2,
        compactors: 0,
        compactions: 0,
        sweeps: 0,
        faults: 0,
        crashes: 0,
        foreign: 0,
        replaced: 0,
        trims: 0,
        remade: 0,
    };
}
