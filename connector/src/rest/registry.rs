//! Which connectors there are, and what runs for each.
//!
//! Invariants: changes happen one after another; reads never wait for them. With a directory, a registration is on disk
//! before its connector starts and gone from it before its connector is stopped, so that a worker killed at any moment
//! comes back with what its clients were told. A registration that no longer parses stays, shown as failed: it must not
//! vanish in silence. Called by the handlers, by `--connector FILE` and at shutdown.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use futures::future::join_all;
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use super::store::{Store, StoreError};
use super::submission::Submission;
use crate::config::{ConfigErrors, ConnectorConfig, WorkerConfig, parse};
use crate::runtime::{ConnectorHandle, ConnectorStatus, State};

/// Connectors of one worker at most; each has threads and buffers of its own.
const CONNECTORS_MAX: usize = 256;

/// Why the registry did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The configuration is wrong.
    #[error("{0}")]
    Invalid(ConfigErrors),
    /// The name is taken.
    #[error("connector {0} already exists")]
    Exists(String),
    /// Nothing has this name.
    #[error("connector {0} not found")]
    Missing(String),
    /// No more changes.
    #[error("the worker is shutting down")]
    Stopping,
    /// Too many.
    #[error("{0} connectors are registered, which is the most")]
    Full(usize),
    /// The disk said no; nothing was changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One registered connector.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) submission: Submission,
    running: Result<ConnectorHandle, String>,
}

impl Entry {
    /// State of the connector and its tasks.
    pub(super) fn status(&self) -> ConnectorStatus {
        match &self.running {
            Ok(handle) => handle.status(),
            Err(trace) => ConnectorStatus { state: State::Failed, trace: Some(trace.clone()), tasks: Vec::new() },
        }
    }

    /// The halt that it waits with.
    fn halted(&self) -> Option<String> {
        self.handle().and_then(ConnectorHandle::halted)
    }

    /// The running part; none when the registration does not parse.
    pub(super) fn handle(&self) -> Option<&ConnectorHandle> {
        self.running.as_ref().ok()
    }
}

/// All connectors of a worker.
#[derive(Debug)]
pub(super) struct Registry {
    worker: Arc<WorkerConfig>,
    store: Option<Arc<Store>>,
    entries: RwLock<BTreeMap<String, Entry>>,
    /// Held while something changes; true once the worker is shutting down.
    changes: Mutex<bool>,
}

impl Registry {
    /// Opens the directory, if there is one, and starts what is registered there.
    pub(super) async fn open(worker: Arc<WorkerConfig>, dir: Option<&Path>) -> Result<Self, StoreError> {
        let mut registry =
            Self { worker, store: None, entries: RwLock::new(BTreeMap::new()), changes: Mutex::new(false) };
        let Some(dir) = dir.map(Path::to_owned) else { return Ok(registry) };
        let (store, found) = blocking(move || {
            let store = Store::open(&dir)?;
            let found = store.load()?;
            Ok((store, found))
        })
        .await?;
        registry.store = Some(Arc::new(store));
        for submission in found.into_values() {
            let running = match parse(&submission.name, &submission.config) {
                Ok(config) => Ok(registry.start(config, None)),
                Err(errors) => {
                    error!(connector = submission.name, "the kept registration is not valid:\n{errors}");
                    Err(format!("the kept registration is not valid; put a new configuration:\n{errors}"))
                }
            };
            registry.put(Entry { submission, running });
        }
        Ok(registry)
    }

    pub(super) fn worker(&self) -> &WorkerConfig {
        &self.worker
    }

    /// Names, in order.
    pub(super) fn names(&self) -> Vec<String> {
        self.read().keys().cloned().collect()
    }

    /// Everything, by name.
    pub(super) fn all(&self) -> Vec<Entry> {
        self.read().values().cloned().collect()
    }

    /// One connector.
    pub(super) fn get(&self, name: &str) -> Result<Entry, RegistryError> {
        self.read().get(name).cloned().ok_or_else(|| RegistryError::Missing(name.to_owned()))
    }

    /// Registers and starts a new connector.
    pub(super) async fn create(&self, submission: Submission) -> Result<Entry, RegistryError> {
        let stopping = self.changes.lock().await;
        if *stopping {
            return Err(RegistryError::Stopping);
        }
        if self.read().contains_key(&submission.name) {
            return Err(RegistryError::Exists(submission.name));
        }
        let config = parse(&submission.name, &submission.config).map_err(RegistryError::Invalid)?;
        self.room()?;
        self.keep(&submission).await?;
        Ok(self.put(Entry { submission, running: Ok(self.start(config, None)) }))
    }

    /// Registers a connector, or stops the one of that name and starts it with the new configuration. True when new.
    pub(super) async fn replace(&self, submission: Submission, kept: bool) -> Result<(Entry, bool), RegistryError> {
        let stopping = self.changes.lock().await;
        if *stopping {
            return Err(RegistryError::Stopping);
        }
        let config = parse(&submission.name, &submission.config).map_err(RegistryError::Invalid)?;
        let before = self.get(&submission.name).ok();
        if before.is_none() {
            self.room()?;
        }
        if kept {
            self.keep(&submission).await?;
        }
        let (created, halted) = (before.is_none(), before.as_ref().and_then(Entry::halted));
        self.halt(before).await;
        Ok((self.put(Entry { submission, running: Ok(self.start(config, halted)) }), created))
    }

    /// Stops a connector and starts it again.
    pub(super) async fn restart(&self, name: &str) -> Result<Entry, RegistryError> {
        let stopping = self.changes.lock().await;
        if *stopping {
            return Err(RegistryError::Stopping);
        }
        let entry = self.get(name)?;
        let submission = entry.submission.clone();
        let config = parse(name, &submission.config).map_err(RegistryError::Invalid)?;
        let halted = entry.halted();
        self.halt(Some(entry)).await;
        Ok(self.put(Entry { submission, running: Ok(self.start(config, halted)) }))
    }

    /// Forgets a connector, then stops it. The table keeps its position, so that the same name or another may go on.
    pub(super) async fn delete(&self, name: &str) -> Result<(), RegistryError> {
        let stopping = self.changes.lock().await;
        if *stopping {
            return Err(RegistryError::Stopping);
        }
        let entry = self.get(name)?;
        if let Some(store) = self.store.clone() {
            let name = name.to_owned();
            blocking(move || store.remove(&name)).await?;
        }
        self.halt(Some(entry)).await;
        self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        info!(connector = name, "deleted");
        Ok(())
    }

    /// Ends all changes and stops every connector. Registrations stay.
    pub(super) async fn stop_all(&self) {
        *self.changes.lock().await = true;
        join_all(self.all().into_iter().map(|entry| self.halt(Some(entry)))).await;
    }

    /// Stops what runs for an entry; after the worker's patience the rest is left to the protocol, which loses nothing.
    async fn halt(&self, entry: Option<Entry>) {
        let Some(Entry { submission, running: Ok(handle) }) = entry else { return };
        let patience = self.worker.graceful_shutdown_timeout;
        if tokio::time::timeout(patience, handle.stop()).await.is_err() {
            let name = submission.name;
            warn!(connector = name, ?patience, "did not stop in time; what it had not committed will be read again");
        }
    }

    /// `resumed_after`: the halt that the run before waited with; to start it again is the operator's word.
    fn start(&self, config: ConnectorConfig, resumed_after: Option<String>) -> ConnectorHandle {
        for note in &config.notes {
            warn!(connector = config.name, "{note}");
        }
        info!(connector = config.name, tasks_max = config.tasks_max, topics = ?config.topics, "starting");
        ConnectorHandle::start(Arc::clone(&self.worker), Arc::new(config), resumed_after)
    }

    async fn keep(&self, submission: &Submission) -> Result<(), RegistryError> {
        if let Some(store) = self.store.clone() {
            let submission = submission.clone();
            blocking(move || store.save(&submission)).await?;
        }
        Ok(())
    }

    fn room(&self) -> Result<(), RegistryError> {
        if self.read().len() < CONNECTORS_MAX { Ok(()) } else { Err(RegistryError::Full(CONNECTORS_MAX)) }
    }

    fn put(&self, entry: Entry) -> Entry {
        let name = entry.submission.name.clone();
        self.entries.write().unwrap_or_else(PoisonError::into_inner).insert(name, entry.clone());
        entry
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Disk work away from the threads that serve; a thread that died counts as a failed write.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|died| {
        let source = std::io::Error::other(died);
        Err(StoreError::Io { what: "use", path: "the connectors directory".into(), source })
    })
}
