//! Everybody else: Kafka, an operator, and whoever may write to the catalog.

use crate::facts::Given;
use crate::moves::{Broken, Commit, Moves, Next};
use crate::violation::{Step, Violation};
use crate::world::{OFFSETS, State, Table, Writer, rows};
use crate::writer::name;

impl Moves {
    pub(crate) fn others(&mut self, state: &State, after: &mut Next) -> Result<(), Broken> {
        if state.left.foreign > 0 && state.table.seq > 0 {
            let mut then = *state;
            then.left.foreign -= 1;
            self.commit(&mut then, Commit::EMPTY).map_err(|broken| (Step('F', "commit", 0), broken))?;
            after.push((Step('F', "commit", 0), then));
        }
        if state.left.replaced > 0 {
            let mut then = *state;
            then.left.replaced -= 1;
            (then.table, then.lost) = (Table::new(state.table.uuid + 1), 0);
            after.push((Step('F', "replace", 0), then));
        }
        if state.left.trims > 0 {
            // It keeps a record to be read: without one, a gap shows no sooner than at the next.
            let keeps = |start: &u8| rows(state.topic, *start, self.bounds.records) & self.records != 0;
            for start in (state.log_start + 1..self.bounds.records).filter(keeps) {
                let mut then = *state;
                then.left.trims -= 1;
                then.log_start = start;
                after.push((Step('K', "trim", start), then));
            }
        }
        // Of a topic that the table knows nothing of, nothing is promised.
        let known = self.facts.of(&state.table).map_err(|broken| (Step('K', "remake", 0), broken))?.at.is_some();
        if state.left.remade > 0 && known {
            let mut then = *state;
            then.left.remade -= 1;
            (then.topic, then.log_start) = (state.topic + 1, 0);
            after.push((Step('K', "remake", 0), then));
        }
        Ok(())
    }

    /// An operator looks after a writer that has stopped.
    pub(crate) fn halted(&mut self, state: &State, writer: u8, after: &mut Next) -> Result<(), Broken> {
        let mut then = *state;
        then.writers[usize::from(writer)] = Writer::BEGIN;
        let acted = self.act(&mut then).map_err(|broken| (Step('O', "overrule", 0), broken))?;
        after.push((if acted { Step('O', "overrule", 0) } else { Step(name(writer), "restart", 0) }, then));
        Ok(())
    }

    /// Overrules the halt that a start would lead to now, if there is one.
    fn act(&mut self, state: &mut State) -> Result<bool, Violation> {
        let Err(halt) = self.facts.begin(state, self.bounds.records, (false, false))? else { return Ok(false) };
        let at = self.facts.of(&state.table)?.at;
        let (summary, given) = self.facts.overrule(&state.table, &halt)?;
        state.lost |= match given {
            Given::Offsets(from, to) => rows(state.topic, from, to) & self.records,
            Given::Topics => {
                let before = at.map_or(0, |at| at.topic);
                rows(before, 0, OFFSETS) & self.records & !state.rows_in(state.table.live)
            }
        };
        self.commit(state, Commit { summary, property: true, ..Commit::EMPTY })?;
        Ok(true)
    }
}
