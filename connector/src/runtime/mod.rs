//! A running connector: its tasks, their state, how to stop them. Called by the REST API and by the demo.
//!
//! ```text
//!   connector.rs   reaches catalog and store, makes the table, starts the tasks, starts them again after errors
//!   task.rs        one consumer on one thread; does what the machine of protocol::task says
//!   intake.rs      the open batch: decode -> route -> encode
//!   assignment.rs  what table and Kafka say, before reading and before sealing
//!   flight.rs      a sealed batch on its way: finish files, flush dead letters, upload, commit
//!   committer.rs   one committer for all tasks: what waits at the same time goes into one snapshot
//!   status.rs      what the tasks say about themselves
//!   lookout.rs     looks whether the table went back while nothing is committed
//! ```
//!
//! A task holds no state that matters: whatever happens to it, the next one begins from the table's position.

mod assignment;
mod committer;
mod connector;
mod flight;
mod intake;
mod lookout;
mod status;
mod task;

use std::sync::Arc;

use protocol::Position;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::status::Board;
pub use self::status::{ConnectorStatus, State, TaskStatus};
use crate::config::{ConnectorConfig, WorkerConfig};

/// A connector at work. [`ConnectorHandle::stop`] stops it and waits; when the last clone is dropped it stops by itself.
#[derive(Debug, Clone)]
pub struct ConnectorHandle {
    board: Arc<Board>,
    stop: watch::Sender<bool>,
    main: Arc<tokio::sync::Mutex<Option<JoinHandle<()>>>>,
}

impl ConnectorHandle {
    /// Starts the tasks and returns at once; whether they get anywhere is told by [`Self::status`]. `resumed_after` is the
    /// halt of the run before, which the first snapshot tells. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(worker: Arc<WorkerConfig>, config: Arc<ConnectorConfig>, resumed_after: Option<String>) -> Self {
        let board = Arc::new(Board::default());
        let (stop, stopped) = watch::channel(false);
        let main = tokio::spawn(connector::run(worker, config, resumed_after, Arc::clone(&board), stopped));
        Self { board, stop, main: Arc::new(tokio::sync::Mutex::new(Some(main))) }
    }

    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> ConnectorStatus {
        self.board.status()
    }

    /// The halt that it waits for an operator with; none while it does not.
    #[must_use]
    pub fn halted(&self) -> Option<String> {
        self.board.halted()
    }

    /// The table's position as last read or committed; none while the table has never been loaded.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.board.last_position()
    }

    /// Flushes and commits what has been read, leaves the group, ends the tasks. Returns when all have ended, to every
    /// caller. Cancellation-safe: whoever calls again goes on waiting.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let mut main = self.main.lock().await;
        if let Some(running) = main.as_mut() {
            if let Err(error) = running.await {
                tracing::error!(%error, "the connector's main task ended in a panic");
            }
            *main = None;
        }
    }
}
