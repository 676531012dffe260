//! The operator: sees that a task or a worker has halted, and overrules the halt or just starts it again.

use protocol::Halt;
use protocol::task::End;

use crate::shell::State;
use crate::world::{Event, TaskAddress, TaskWhat, Time, World};

/// Longest time from a look at the table to the halt that it leads to.
const LOOK_MS: Time = 10_000;

impl World {
    /// The operator looks at everything.
    pub(crate) fn operate(&mut self) {
        let delay = if self.calm { 2_000 } else { self.rng.between(1_000, 15_000) };
        self.at(delay, Event::Operate);
        if self.catalog.table.is_none() {
            self.catalog.create();
            self.new_table();
        }
        for worker in 0..self.workers.len() {
            if let Some((halt, since)) = self.workers[worker].halted.take() {
                self.attend(worker, &halt, since, None);
                self.down(worker);
            }
            for slot in 0..self.workers[worker].shells.len() {
                let shell = &mut self.workers[worker].shells[slot];
                let State::Ended(End::Halted(halt)) = shell.state.clone() else { continue };
                if !std::mem::replace(&mut shell.attended, true) {
                    let (since, task) = (shell.ended, self.task_address(worker, slot));
                    self.attend(worker, &halt, since, Some(task));
                }
                // The worker may have been started again.
                if self.workers[worker].shells.is_empty() {
                    break;
                }
            }
        }
    }

    fn attend(&mut self, worker: usize, halt: &Halt, since: Time, task: Option<TaskAddress>) {
        self.trace(|| format!("operator sees w{worker}: {halt}"));
        if matches!(halt, Halt::TableReplaced { .. }) {
            // It feeds a table that is not there; another start finds the one that is.
            return self.down(worker);
        }
        // After the table went back, what was said before, or was looked up before, does not count: it is heard again first.
        let token = halt.token().filter(|_| since > self.rewound + LOOK_MS);
        let overruled = token.and_then(|token| token.parse().ok());
        match overruled {
            Some(overruled) if self.calm || self.rng.per_mille(700) => self.begin_overrule(overruled, true, task),
            _ => {
                if let Some(to) = task {
                    self.at(1, Event::Task { to, what: TaskWhat::Again });
                }
            }
        }
    }
}
