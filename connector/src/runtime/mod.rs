//! A running connector: its tasks, their state, how to stop them. Called by the REST API and by the demo.

use std::sync::Arc;

use protocol::position::Position;

use crate::config::{ConnectorConfig, WorkerConfig};

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

/// Why a connector could not be started or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// Told to the user as it is.
    #[error("{0}")]
    Failed(String),
}

/// A connector at work. Dropping it does not stop it; [`ConnectorHandle::stop`] does.
#[derive(Debug, Clone)]
pub struct ConnectorHandle(Arc<()>);

impl ConnectorHandle {
    /// Starts the tasks and returns at once; whether they get anywhere is told by [`Self::status`].
    #[must_use]
    pub fn start(_worker: Arc<WorkerConfig>, _config: Arc<ConnectorConfig>) -> Self {
        Self(Arc::new(()))
    }

    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> ConnectorStatus {
        ConnectorStatus { state: State::Unassigned, trace: None, tasks: Vec::new() }
    }

    /// The table's position as last read or committed; none while the table has never been loaded.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        None
    }

    /// Flushes and commits what has been read, leaves the group, ends the tasks. Returns when all have ended.
    pub async fn stop(&self) {}
}
