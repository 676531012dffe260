//! What can become of a request: done and answered, refused, lost, late, doubled.

use crate::moves::{Broken, Commit, Moves, Next};
use crate::violation::{Step, Violation};
use crate::world::{Compactor, Phase, State, Work};
use crate::writer::name;

impl Moves {
    pub(crate) fn network(&mut self, state: &State, at: usize, after: &mut Next) -> Result<(), Broken> {
        let post = state.network[at];
        let step = |what| Step(name(post.sender), what, 0);
        let mut gone = *state;
        gone.take(at);
        let uuid = post.uuid == state.table.uuid;
        let applies = uuid && (!self.rules.assert_base || post.base == state.table.seq);
        let mut applied = gone;
        if applies {
            let writes = post.sender < 2;
            let commit = Commit { added: post.added, removed: post.removed, summary: post.position, property: writes };
            let done = self.commit(&mut applied, commit);
            done.map_err(|broken| (step(if post.awaited { "ok" } else { "late" }), broken))?;
        }
        if !post.awaited {
            after.push((step(if applies { "late" } else { "refused" }), applied));
            if applies {
                after.push((step("gone"), gone));
            }
            return Ok(());
        }
        let mut answered = applied;
        if applies {
            self.succeeded(&mut answered, post.sender).map_err(|broken| (step("ok"), broken))?;
        } else {
            conflicted(&mut answered, post.sender);
        }
        after.push((step(if applies { "ok" } else { "conflict" }), answered));
        if state.left.faults == 0 {
            return Ok(());
        }
        for (what, mut then) in [("answer-lost", applied), ("request-lost", gone), ("time-out", *state)] {
            then.left.faults -= 1;
            self.unanswered(&mut then, post.sender).map_err(|broken| (step(what), broken))?;
            after.push((step(what), then));
        }
        let mut doubled = *state;
        doubled.left.faults -= 1;
        doubled.send(crate::world::Post { awaited: false, ..post });
        after.push((step("doubled"), doubled));
        if applies && !self.rules.one_post {
            // The transport sends it again, and the second attempt is refused because of the first.
            let mut again = applied;
            again.left.faults -= 1;
            conflicted(&mut again, post.sender);
            after.push((step("sent-again"), again));
        }
        Ok(())
    }

    fn succeeded(&mut self, state: &mut State, sender: u8) -> Result<(), Violation> {
        if sender < 2 {
            return self.told(state, sender);
        }
        state.compactors[usize::from(sender - 2)] = Compactor::IDLE;
        Ok(())
    }

    fn unanswered(&self, state: &mut State, sender: u8) -> Result<(), Violation> {
        if sender < 2 {
            return self.unknown(state, sender);
        }
        // A compactor looks again, too: its inputs tell.
        state.leave(sender);
        conflicted(state, sender);
        Ok(())
    }
}

/// The table has moved: look again.
fn conflicted(state: &mut State, sender: u8) {
    if sender < 2 {
        state.writers[usize::from(sender)].phase = Phase::Staged;
    } else {
        state.compactors[usize::from(sender - 2)].work = Work::Written;
    }
}
