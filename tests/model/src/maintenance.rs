//! Compactors and the orphan sweep.
//!
//! A compactor: loads the table and chooses its inputs; writes their rows into one file; loads the table again, sees
//! whether its inputs are live and the sweep epoch is the one that it began in, and sends a request for a snapshot that
//! puts the one file in their place. The sweeper: lists the files that no snapshot refers to; commits an empty snapshot
//! that changes the epoch; looks again; deletes.

use crate::moves::{Broken, Commit, Moves, Next};
use crate::rules::{Carried, Fence};
use crate::violation::{Step, Violation};
use crate::world::{Compactor, File, NONE, Post, State, Sweep, Work};
use crate::writer::name;

impl Moves {
    pub(crate) fn compactor(&mut self, state: &State, compactor: u8, after: &mut Next) -> Result<(), Broken> {
        let at = usize::from(compactor);
        let now = state.compactors[at];
        let sender = compactor + 2;
        let mut then = *state;
        let what = match now.work {
            Work::Idle if state.left.compactions > 0 && state.table.live != 0 => {
                then.left.compactions -= 1;
                let inputs = state.table.live;
                let position = match self.rules.carried {
                    Carried::OfPlan => {
                        self.facts.carried(&state.table).map_err(|e| (Step(name(sender), "plan", 0), e))?
                    }
                    Carried::Nothing | Carried::OfBase => 0,
                };
                then.compactors[at] =
                    Compactor { work: Work::Planned, inputs, output: NONE, sweep: state.table.sweep, position };
                "plan"
            }
            // Inputs that were swept meanwhile cannot be read.
            Work::Planned if state.files_in(now.inputs).any(|file| file.gone) => {
                then.compactors[at] = Compactor::IDLE;
                "give-up"
            }
            Work::Planned => {
                let output = then.write(File { rows: state.rows_in(now.inputs), gone: false, named: false });
                then.compactors[at] = Compactor { work: Work::Written, output, ..now };
                "write"
            }
            Work::Written => {
                self.replace(&mut then, sender).map_err(|broken| (Step(name(sender), "look", 0), broken))?;
                "look"
            }
            Work::Idle | Work::Waiting => return self.crash(state, compactor, after),
        };
        after.push((Step(name(sender), what, 0), then));
        self.crash(state, compactor, after)
    }

    fn crash(&mut self, state: &State, compactor: u8, after: &mut Next) -> Result<(), Broken> {
        if state.left.crashes > 0 && state.compactors[usize::from(compactor)].work != Work::Idle {
            let mut crashed = *state;
            crashed.left.crashes -= 1;
            crashed.compactors[usize::from(compactor)] = Compactor::IDLE;
            crashed.leave(compactor + 2);
            after.push((Step(name(compactor + 2), "crash", 0), crashed));
        }
        Ok(())
    }

    /// A fresh load, the check, and the request.
    fn replace(&mut self, state: &mut State, sender: u8) -> Result<(), Violation> {
        let table = state.table;
        let compactor = &mut state.compactors[usize::from(sender - 2)];
        let gone = self.rules.check_inputs && compactor.inputs & !table.live != 0;
        let swept = self.rules.compaction_checks_epoch && compactor.sweep != table.sweep;
        if gone || swept {
            *compactor = Compactor::IDLE;
            return Ok(());
        }
        let position = match self.rules.carried {
            Carried::Nothing => 0,
            Carried::OfPlan => compactor.position,
            Carried::OfBase => self.facts.carried(&table)?,
        };
        compactor.work = Work::Waiting;
        let (added, removed) = (compactor.output, compactor.inputs);
        state.send(Post { sender, awaited: true, uuid: table.uuid, base: table.seq, position, added, removed });
        Ok(())
    }

    pub(crate) fn sweeper(&mut self, state: &State, after: &mut Next) -> Result<(), Broken> {
        let mut then = *state;
        let what = match state.sweep {
            Sweep::Idle => {
                then.candidates = state.existing() & !state.table.live;
                if state.left.sweeps == 0 || then.candidates == 0 {
                    return Ok(());
                }
                then.left.sweeps -= 1;
                then.sweep = Sweep::Listed;
                "list"
            }
            Sweep::Listed if self.rules.fence == Fence::None => {
                look_again(&mut then);
                "look"
            }
            Sweep::Listed => {
                then.sweep = Sweep::Fenced;
                then.table.sweep += 1;
                if self.rules.fence == Fence::Snapshot {
                    self.commit(&mut then, Commit::EMPTY).map_err(|broken| (Step('S', "fence", 0), broken))?;
                }
                "fence"
            }
            Sweep::Fenced => {
                look_again(&mut then);
                "look"
            }
            Sweep::Looked => {
                let files = then.files.iter_mut().enumerate();
                files.filter(|(slot, _)| state.candidates >> slot & 1 == 1).for_each(|(_, file)| file.gone = true);
                (then.sweep, then.candidates) = (Sweep::Idle, 0);
                let dangling = then.files_in(then.table.live).any(|file| file.gone);
                self.broken(dangling, Violation::Dangling).map_err(|broken| (Step('S', "delete", 0), broken))?;
                "delete"
            }
        };
        after.push((Step('S', what, 0), then));
        Ok(())
    }
}

fn look_again(state: &mut State) {
    state.sweep = Sweep::Looked;
    state.candidates &= !state.table.live;
}
