//! A writer: finds out where to begin, reads, writes a file, lets the real committer decide, and goes on.

use crate::facts::Verdict;
use crate::moves::{Broken, Moves, Next};
use crate::rules::{Identity, OnUnknown, RangeOf};
use crate::violation::{Step, Violation};
use crate::world::{Batch, File, NONE, OFFSETS, Phase, Post, State, Writer, rows};

/// The letter of whoever sends requests.
pub(crate) fn name(sender: u8) -> char {
    ['A', 'B', 'C', 'D'].get(usize::from(sender)).copied().unwrap_or('?')
}

impl Moves {
    pub(crate) fn writer(&mut self, state: &State, writer: u8, after: &mut Next) -> Result<(), Broken> {
        let now = state.writers[usize::from(writer)];
        let step = |what| Step(name(writer), what, 0);
        let with = |then: Writer| {
            let mut state = *state;
            state.writers[usize::from(writer)] = then;
            state
        };
        match now.phase {
            Phase::Absent | Phase::Waiting => {}
            Phase::Begin => {
                let then = self.begin(state).map_err(|broken| (step("load"), broken))?;
                after.push((step("load"), with(then)));
            }
            Phase::Reading => self.read(state, writer, after)?,
            Phase::Staged => {
                let mut looked = *state;
                self.look(&mut looked, writer).map_err(|broken| (step("look"), broken))?;
                after.push((step("look"), looked));
            }
            Phase::Halted => self.halted(state, writer, after)?,
        }
        if state.left.crashes > 0 && !matches!(now.phase, Phase::Absent | Phase::Begin) {
            let mut crashed = with(Writer::BEGIN);
            crashed.left.crashes -= 1;
            crashed.leave(writer);
            after.push((step("crash"), crashed));
        }
        Ok(())
    }

    /// Read from where the table stands.
    fn begin(&mut self, state: &State) -> Result<Writer, Violation> {
        let blind = (!self.rules.halt_at_gap, self.rules.identity == Identity::Never);
        let begun = self.facts.begin(state, self.bounds.records, blind)?;
        let Ok(mut batch) = begun else { return Ok(Writer::HALTED) };
        if !self.rules.begin_at_table {
            batch.start = state.group.max(state.log_start);
        }
        Ok(Writer { phase: Phase::Reading, batch, ..Writer::BEGIN })
    }

    /// Read up to any offset, and write a file; or find that the log is not what it was.
    fn read(&mut self, state: &State, writer: u8, after: &mut Next) -> Result<(), Broken> {
        let batch = state.writers[usize::from(writer)].batch;
        let records = self.bounds.records;
        let mut to = |what, then: Writer| {
            let mut state = *state;
            state.writers[usize::from(writer)] = then;
            after.push((Step(name(writer), what, 0), state));
        };
        if batch.start >= records && (batch.uuid, batch.topic) != (state.table.uuid, state.topic) {
            // Nothing left to read: that table or topic is another one shows at the next start.
            to("restart", Writer::BEGIN);
            return Ok(());
        }
        if self.rules.identity == Identity::BeforeAndAfter && batch.topic != state.topic {
            // What was read cannot be used: the topic is asked for its identity after the last record.
            to("survey", Writer::HALTED);
            return Ok(());
        }
        if self.rules.halt_at_gap && batch.start < state.log_start {
            to("missing", Writer::BEGIN);
            return Ok(());
        }
        for end in batch.start + 1..=records {
            self.stage(state, writer, Batch { end, ..batch }, after)?;
        }
        Ok(())
    }

    fn stage(&mut self, state: &State, writer: u8, mut batch: Batch, after: &mut Next) -> Result<(), Broken> {
        let step = Step(name(writer), "stage", batch.end);
        let there = if self.rules.read_committed { self.records } else { !0 };
        let read = rows(state.topic, batch.start.max(state.log_start), batch.end) & there;
        if read == 0 {
            return Ok(());
        }
        let mut staged = *state;
        if !self.rules.begin_at_table {
            staged.group = batch.end;
        }
        if self.rules.range_of == RangeOf::Records {
            let (first, last) = (read.trailing_zeros(), 7 - read.leading_zeros());
            let offset = |bit: u32| u8::try_from(bit).unwrap_or(0) % OFFSETS;
            (batch.start, batch.end) = (offset(first), offset(last) + 1);
        }
        let file = File { rows: read, gone: false, named: !self.rules.unique_names };
        let over = file.named && state.files_in(state.table.live).any(|live| *live == file);
        self.broken(over, Violation::Overwritten).map_err(|broken| (step, broken))?;
        let file = staged.write(file);
        staged.writers[usize::from(writer)] = Writer { phase: Phase::Staged, batch, file, unknown: false };
        after.push((step, staged));
        Ok(())
    }

    /// A fresh load and the decision: before the first request, after a conflict, after an unknown outcome.
    fn look(&mut self, state: &mut State, writer: u8) -> Result<(), Violation> {
        let table = state.table;
        let Writer { batch, file, unknown, .. } = state.writers[usize::from(writer)];
        let read = state.files.get(usize::from(file)).map_or(0, |file| file.rows);
        let verdict = if unknown && self.rules.on_unknown == OnUnknown::LookForOwnSnapshot && table.newest == file {
            Verdict::Committed
        } else if unknown || !self.rules.compare_position {
            // What a library does that puts its files onto whatever is current.
            Verdict::Post(self.facts.without_comparing(&table, &batch, self.records)?)
        } else {
            self.facts.verdict(&table, &batch, read)?
        };
        match verdict {
            Verdict::Post(position) => {
                state.writers[usize::from(writer)].phase = Phase::Waiting;
                let (uuid, base) = (table.uuid, table.seq);
                state.send(Post { sender: writer, awaited: true, uuid, base, position, added: file, removed: 0 });
            }
            Verdict::Committed => self.told(state, writer)?,
            Verdict::Fenced => state.writers[usize::from(writer)] = Writer::BEGIN,
            Verdict::Halted => state.writers[usize::from(writer)] = Writer::HALTED,
        }
        Ok(())
    }

    /// A writer learns that its batch is in the table, and goes on behind it.
    pub(crate) fn told(&mut self, state: &mut State, writer: u8) -> Result<(), Violation> {
        let Writer { batch, file, .. } = state.writers[usize::from(writer)];
        let read = state.files.get(usize::from(file)).map_or(0, |file| file.rows);
        let there = read & !state.rows_in(state.table.live) == 0 && batch.uuid == state.table.uuid;
        self.broken(!there, Violation::NotThere)?;
        let batch = Batch { start: batch.end, end: 0, first: false, ..batch };
        state.writers[usize::from(writer)] = Writer { phase: Phase::Reading, batch, file: NONE, unknown: false };
        Ok(())
    }

    /// A writer does not know what became of its request.
    pub(crate) fn unknown(&self, state: &mut State, sender: u8) -> Result<(), Violation> {
        state.leave(sender);
        let writer = &mut state.writers[usize::from(sender)];
        if self.rules.keep_staged {
            writer.phase = Phase::Staged;
            writer.unknown = self.rules.on_unknown != OnUnknown::Decide;
            return Ok(());
        }
        let file = writer.file;
        *writer = Writer::BEGIN;
        if let Some(file) = state.files.get_mut(usize::from(file)) {
            file.gone = true;
        }
        self.broken(state.files_in(state.table.live).any(|file| file.gone), Violation::Dangling)
    }
}
