//! What can happen next, and the promises, checked wherever the table or a file changes or a writer is told something.
//!
//! A decision reads nothing but what was loaded before it, so it is joined to the load, and the request to the decision:
//! the network may keep it as long as it likes. Everything else can come in any order.

use crate::facts::{At, Facts};
use crate::rules::{Bounds, OnUnknown, Rules};
use crate::violation::{Step, Violation};
use crate::world::{Files, NONE, OFFSETS, Phase, Rows, State, Sweep, Work, only, rows};

/// The steps of one configuration.
pub(crate) struct Moves {
    pub(crate) rules: Rules,
    pub(crate) bounds: Bounds,
    pub(crate) facts: Facts,
    /// Records of the log, of both topics.
    pub(crate) records: Rows,
    /// The only promise to look at; none: all.
    wanted: Option<Violation>,
}

/// Steps and where they lead.
pub(crate) type Next = Vec<(Step, State)>;
/// The step that broke a promise.
pub(crate) type Broken = (Step, Violation);

/// What a commit changes.
#[derive(Clone, Copy)]
pub(crate) struct Commit {
    pub(crate) added: u8,
    pub(crate) removed: Files,
    /// Position for the summary; 0 for none.
    pub(crate) summary: u16,
    /// The position goes into the property too.
    pub(crate) property: bool,
}

impl Commit {
    /// A snapshot with nothing new in it.
    pub(crate) const EMPTY: Self = Self { added: NONE, removed: 0, summary: 0, property: false };
}

impl Moves {
    pub(crate) fn new(rules: Rules, bounds: Bounds, wanted: Option<Violation>) -> Self {
        let log = rows(0, 0, bounds.records) & !bounds.aborted;
        Self { rules, bounds, facts: Facts::new(&rules, &bounds), records: log | log << OFFSETS, wanted }
    }

    /// All that can happen in a state.
    pub(crate) fn of(&mut self, state: &State, after: &mut Next) -> Result<(), Broken> {
        for writer in 0..2 {
            self.writer(state, writer, after)?;
        }
        for at in 0..state.posts().len() {
            self.network(state, at, after)?;
        }
        for compactor in 0..self.bounds.compactors {
            self.compactor(state, compactor, after)?;
        }
        self.sweeper(state, after)?;
        self.others(state, after)
    }

    /// Whether this promise is looked at.
    pub(crate) fn watches(&self, violation: &Violation) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.is_like(violation))
    }

    /// A broken promise, if it is one that is looked at.
    pub(crate) fn broken(&self, broken: bool, violation: Violation) -> Result<(), Violation> {
        if broken && self.watches(&violation) { Err(violation) } else { Ok(()) }
    }

    /// Nothing is on its way, and nobody has anything left to do.
    pub(crate) fn is_end(&self, state: &State) -> bool {
        let at_rest = |phase: Phase| matches!(phase, Phase::Absent | Phase::Reading);
        state.posts().is_empty()
            && state.sweep == Sweep::Idle
            && state.compactors.iter().all(|compactor| compactor.work == Work::Idle)
            && state.writers.iter().all(|writer| {
                let batch = writer.batch;
                let read = self.records & rows(batch.topic, batch.start, self.bounds.records) == 0;
                let right = batch.uuid == state.table.uuid && batch.topic == state.topic;
                at_rest(writer.phase)
                    && (writer.phase == Phase::Absent || (read && right && batch.start >= state.log_start))
            })
    }

    /// At an end: a record that is neither a row nor given up.
    pub(crate) fn is_missing(&mut self, state: &State) -> Result<bool, Violation> {
        let at = self.facts.of(&state.table)?.at;
        // Where the table has nothing, it will begin with what Kafka still has.
        let first = at.and_then(|at| at.first).unwrap_or(state.log_start);
        let promised = rows(state.topic, first, self.bounds.records) & self.records;
        Ok(promised & !state.rows_in(state.table.live) & !state.lost != 0)
    }

    /// A new snapshot, and all that must hold of it.
    pub(crate) fn commit(&mut self, state: &mut State, commit: Commit) -> Result<(), Violation> {
        let before = self.facts.of(&state.table)?.at;
        let table = &mut state.table;
        table.seq += 1;
        if commit.summary > 0 || self.bounds.one_snapshot {
            table.summary = commit.summary;
        }
        if commit.property && self.rules.property {
            table.property = commit.summary;
        }
        if self.rules.on_unknown == OnUnknown::LookForOwnSnapshot {
            table.newest = commit.added;
        }
        let kept = table.live & !commit.removed;
        let again = kept & only(commit.added) != 0;
        table.live = kept | only(commit.added);
        self.check(state, before, again)
    }

    /// What must hold of a table. `again`: a file is in it twice.
    pub(crate) fn check(&mut self, state: &State, before: Option<At>, again: bool) -> Result<(), Violation> {
        let live = state.table.live;
        self.broken(state.files_in(live).any(|file| file.gone), Violation::Dangling)?;
        let (mut all, mut twice) = (0, again);
        for file in state.files_in(live) {
            twice |= all & file.rows != 0;
            all |= file.rows;
        }
        self.broken(twice, Violation::Twice)?;
        let known = self.facts.of(&state.table)?;
        let (at, counted) = (known.at, known.counted);
        let stands = |at: Option<At>| at.map(|at| (at.epoch, at.next));
        self.broken(stands(at) < stands(before), Violation::Backwards)?;
        let expected = at.map_or(0, |at| at.rows(self.records, state.lost));
        let differ = all != expected || counted.0 != u64::from(all.count_ones());
        self.broken(differ, Violation::RowsDiffer)
    }
}
