//! What a connector and its tasks are doing, in Kafka Connect's words. Written by the tasks, read by the REST API.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use protocol::{Halt, Position};

/// What Kafka Connect calls the state of a connector or a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not yet started.
    Unassigned,
    /// Working, or waiting for records.
    Running,
    /// Stopped by an error or a halt; it does nothing until somebody acts.
    Failed,
    /// Starting again after an error that passes.
    Restarting,
}

/// State of one task, for `GET /connectors/{name}/status`.
#[derive(Debug, Clone)]
pub struct TaskStatus {
    /// Number of the task, from 0.
    pub id: u32,
    /// What it does.
    pub state: State,
    /// Why it is not running, with the halt code and what to do.
    pub trace: Option<String>,
}

/// State of a connector, for `GET /connectors/{name}/status`.
#[derive(Debug, Clone)]
pub struct ConnectorStatus {
    /// What it does.
    pub state: State,
    /// Why it is not running.
    pub trace: Option<String>,
    /// Its tasks, by number.
    pub tasks: Vec<TaskStatus>,
}

#[derive(Debug, Default)]
struct Inner {
    connector: Option<(State, Option<String>)>,
    tasks: BTreeMap<u32, (State, Option<String>)>,
    position: Option<Position>,
    halted: Option<String>,
}

/// The board on which tasks write and from which others read.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Inner>);

impl Board {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The connector's own state.
    pub(crate) fn connector(&self, state: State, trace: Option<String>) {
        self.with(|inner| inner.connector = Some((state, trace)));
    }

    /// One task's state.
    pub(crate) fn task(&self, id: u32, state: State, trace: Option<String>) {
        self.with(|inner| inner.tasks.insert(id, (state, trace)));
    }

    /// A halt: its code and its message.
    pub(crate) fn halt(&self, halt: &Halt) {
        self.with(|inner| inner.halted = Some(format!("{}: {halt}", halt.code())));
    }

    /// The last halt, if there was one.
    pub(crate) fn halted(&self) -> Option<String> {
        self.with(|inner| inner.halted.clone())
    }

    /// The table's position as last seen.
    pub(crate) fn position(&self, position: Position) {
        self.with(|inner| inner.position = Some(position));
    }

    /// The table's position as last seen.
    pub(crate) fn last_position(&self) -> Option<Position> {
        self.with(|inner| inner.position.clone())
    }

    /// Everything, for an answer.
    pub(crate) fn status(&self) -> ConnectorStatus {
        self.with(|inner| {
            let (state, trace) = inner.connector.clone().unwrap_or((State::Unassigned, None));
            let task = |(&id, (state, trace)): (&u32, &(State, Option<String>))| TaskStatus {
                id,
                state: *state,
                trace: trace.clone(),
            };
            ConnectorStatus { state, trace, tasks: inner.tasks.iter().map(task).collect() }
        })
    }
}
