//! The connector's own course: reach catalog and store, make or check the table, start the tasks, start each again after
//! an error that passes, and end all when told to.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use catalog_sync::catalog::{CatalogClient, CatalogError, LoadedTable, backoff};
use catalog_sync::commit::{Committer, Untold};
use catalog_sync::create::{CreateError, load_or_create};
use iceberg::{NamespaceIdent, TableIdent};
use protocol::Halt;
use protocol::task::End;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::committer;
use super::flight::Airport;
use super::lookout::gone_back;
use super::status::{Board, State};
use super::task::{Parts, Task};
use crate::config::{ConnectorConfig, Tolerance, WorkerConfig};
use crate::dead_letter::DeadLetters;
use crate::kafka::consumer::{TaskConsumer, consumer_config};
use catalog_sync::datafile::layout::TableLayout;
use catalog_sync::datafile::settings::WriterSettings;

/// How long a commit is tried before its task begins again from the table's position.
const COMMIT_GIVE_UP: Duration = Duration::from_secs(120);

/// How often a task starts again in quick succession before everything that tasks share is prepared anew.
const TASK_LIVES: u32 = 5;

/// Why the connector cannot start, or why a task ended.
enum Obstacle {
    /// It may go away by itself.
    Passing(String),
    /// Somebody has to act.
    Lasting(String),
}

/// Everything the tasks share.
#[derive(Clone)]
struct Shared {
    worker: Arc<WorkerConfig>,
    config: Arc<ConnectorConfig>,
    board: Arc<Board>,
    stop: watch::Receiver<bool>,
    client: CatalogClient,
    ident: TableIdent,
    uuid: String,
    settings: WriterSettings,
    airport: Airport,
    ticks_from: Instant,
}

/// How a task's keeper ended.
enum KeeperEnd {
    /// It was told to stop.
    Stopped,
    /// Starting the task again does not help; what all tasks share (credentials, table, committer) may be stale.
    PrepareAgain,
}

/// What outlasts a preparation.
struct Known {
    /// The halt of the run before.
    resumed_after: Untold,
    /// Identity of the table that this run began with; another one is not taken for it.
    uuid: Option<String>,
}

/// Runs a connector until it is told to stop.
pub(crate) async fn run(
    worker: Arc<WorkerConfig>,
    config: Arc<ConnectorConfig>,
    resumed_after: Option<String>,
    board: Arc<Board>,
    mut stop: watch::Receiver<bool>,
) {
    let mut attempts = 0;
    let mut known = Known { resumed_after: Arc::new(Mutex::new(resumed_after)), uuid: None };
    // A handle that is gone can no longer stop it: that is a stop, too.
    while !*stop.borrow() && stop.has_changed().is_ok() {
        let (stop_tasks, tasks_stopped) = watch::channel(false);
        match prepare(&worker, &config, &known, &board, &tasks_stopped).await {
            Ok((shared, committer)) => {
                known.uuid = Some(shared.uuid.clone());
                attempts = 0;
                board.connector(State::Running, None);
                run_tasks(shared, committer, &stop_tasks, stop.clone()).await;
            }
            Err(Obstacle::Lasting(why)) => {
                tracing::error!(connector = config.name, why, "the connector cannot start");
                board.connector(State::Failed, Some(why));
                let _ = stop.wait_for(|stop| *stop).await;
                return;
            }
            Err(Obstacle::Passing(why)) => {
                attempts += 1;
                tracing::warn!(connector = config.name, attempts, why, "the connector cannot start yet, trying again");
                board.connector(State::Restarting, Some(why));
                tokio::select! {
                    () = tokio::time::sleep(backoff(attempts)) => {}
                    _ = stop.wait_for(|stop| *stop) => {}
                }
            }
        }
    }
    board.connector(State::Unassigned, None);
}

/// Runs all tasks until they are stopped, or until one finds that everything has to be prepared again.
async fn run_tasks(
    shared: Shared,
    committer: tokio::task::JoinHandle<()>,
    stop_tasks: &watch::Sender<bool>,
    mut stop: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    for id in 0..shared.config.tasks_max {
        tasks.spawn(keep_running(shared.clone(), id));
    }
    let (client, board, stopped) = (shared.client.clone(), Arc::clone(&shared.board), shared.stop.clone());
    let lookout = gone_back(client, shared.ident.clone(), shared.uuid.clone(), board, stopped);
    tasks.spawn(async { if lookout.await { KeeperEnd::PrepareAgain } else { KeeperEnd::Stopped } });
    drop(shared);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop), if !*stop_tasks.borrow() => { stop_tasks.send_replace(true); }
            ended = tasks.join_next() => match ended {
                None => break,
                Some(Ok(KeeperEnd::Stopped)) => {}
                Some(Ok(KeeperEnd::PrepareAgain)) => { stop_tasks.send_replace(true); }
                Some(Err(error)) => {
                    tracing::error!(%error, "a task's keeper ended in a panic");
                    stop_tasks.send_replace(true);
                }
            }
        }
    }
    // All senders are gone now, so the committer ends after its last verdict.
    if let Err(error) = committer.await {
        tracing::error!(%error, "the committer ended in a panic");
    }
}

async fn prepare(
    worker: &Arc<WorkerConfig>,
    config: &Arc<ConnectorConfig>,
    known: &Known,
    board: &Arc<Board>,
    stop: &watch::Receiver<bool>,
) -> Result<(Shared, tokio::task::JoinHandle<()>), Obstacle> {
    let client = CatalogClient::connect(config.catalog.clone()).await.map_err(|error| catalog_obstacle(&error))?;
    let table = open_table(&client, config, known, board).await?;
    let uuid = table.metadata().uuid().to_string();
    let layout = TableLayout::for_events(table.metadata(), &config.decode.required)
        .map_err(|halt| halt_obstacle(board, &config.table_name(), &halt))?;
    let settings = WriterSettings::new(table.metadata().properties(), &config.write_props)
        .map_err(|error| Obstacle::Lasting(error.to_string()))?;
    let store = table.store(&config.catalog.storage).map_err(|error| Obstacle::Lasting(error.to_string()))?;
    let facts = table.facts().map_err(|halt| halt_obstacle(board, &config.table_name(), &halt))?;
    board.position(facts.position);
    let committing = Committer::new(client.clone(), &table, store.clone(), config.name.clone(), COMMIT_GIVE_UP)
        .resumed_after(Arc::clone(&known.resumed_after));
    let tasks = usize::try_from(config.tasks_max).unwrap_or(1);
    let (requests, waiting) = mpsc::channel(tasks);
    let committer = tokio::spawn(committer::run(committing, tasks, waiting));
    let shared = Shared {
        worker: Arc::clone(worker),
        config: Arc::clone(config),
        board: Arc::clone(board),
        stop: stop.clone(),
        client,
        ident: table.ident().clone(),
        uuid,
        settings,
        airport: Airport { store, layout: Arc::new(layout), committer: requests },
        ticks_from: Instant::now(),
    };
    Ok((shared, committer))
}

/// Loads the table, or makes it. Within one run it must stay the one that the run began with.
async fn open_table(
    client: &CatalogClient,
    config: &ConnectorConfig,
    known: &Known,
    board: &Board,
) -> Result<LoadedTable, Obstacle> {
    let namespace =
        NamespaceIdent::from_vec(config.namespace.clone()).map_err(|error| Obstacle::Lasting(error.to_string()))?;
    let ident = TableIdent::new(namespace, config.table.clone());
    if let Some(uuid) = &known.uuid {
        let replaced = |found: String| {
            halt_obstacle(board, &config.table_name(), &Halt::TableReplaced { expected: uuid.clone(), found })
        };
        return match client.load_table(&ident).await {
            Ok(table) if table.metadata().uuid().to_string() == *uuid => Ok(table),
            Ok(table) => Err(replaced(table.metadata().uuid().to_string())),
            Err(CatalogError::NotFound { .. }) => Err(replaced("none".to_owned())),
            Err(error) => Err(catalog_obstacle(&error)),
        };
    }
    if config.auto_create {
        return load_or_create(client, &ident, &config.create_props).await.map_err(|error| create_obstacle(&error));
    }
    client.load_table(&ident).await.map_err(|error| match error {
        CatalogError::NotFound { .. } => Obstacle::Lasting(format!(
            "{error}; create the table, or set iceberg.tables.auto-create-enabled=true to have it created"
        )),
        error => catalog_obstacle(&error),
    })
}

fn catalog_obstacle(error: &CatalogError) -> Obstacle {
    if error.is_transient() {
        Obstacle::Passing(format!("{error}; is iceberg.catalog.uri right, and is the catalog up?"))
    } else {
        Obstacle::Lasting(error.to_string())
    }
}

/// Says what a halt means and what ends it.
fn halt_obstacle(board: &Board, table: &str, halt: &Halt) -> Obstacle {
    board.halt(halt);
    let code = halt.code();
    let position = if matches!(halt, Halt::PositionUnreadable(_)) { " --position FILE" } else { "" };
    let command = |token| format!("; to overrule: catalog-sync override '{token}' {table} --reason 'WHY'{position}");
    let overrule = halt.token().map(command).unwrap_or_default();
    Obstacle::Lasting(format!("halted: {code}: {halt}; what to do: connector/docs/RUNBOOK.md#{code}{overrule}"))
}

fn create_obstacle(error: &CreateError) -> Obstacle {
    if error.is_transient() { Obstacle::Passing(error.to_string()) } else { Obstacle::Lasting(error.to_string()) }
}

/// Runs a task, again and again while its errors are such that pass.
async fn keep_running(mut shared: Shared, id: u32) -> KeeperEnd {
    let mut attempts = 0;
    loop {
        shared.board.task(id, State::Running, None);
        let began = Instant::now();
        let obstacle = match run_once(&shared, id).await {
            End::Stopped => {
                shared.board.task(id, State::Unassigned, None);
                return KeeperEnd::Stopped;
            }
            End::Halted(halt) => halt_obstacle(&shared.board, &shared.config.table_name(), &halt),
            End::Failed(why) => Obstacle::Lasting(why),
            End::Retry(why) => Obstacle::Passing(why),
        };
        match obstacle {
            Obstacle::Lasting(why) => {
                tracing::error!(connector = shared.config.name, task = id, why, "the task stopped");
                shared.board.task(id, State::Failed, Some(why));
                // A failed task must not keep the committer waiting for batches that never come.
                drop(shared.airport);
                let _ = shared.stop.wait_for(|stop| *stop).await;
                return KeeperEnd::Stopped;
            }
            Obstacle::Passing(why) => {
                attempts = if began.elapsed() > Duration::from_secs(60) { 1 } else { attempts + 1 };
                tracing::warn!(connector = shared.config.name, task = id, attempts, why, "the task starts again");
                shared.board.task(id, State::Restarting, Some(why));
                if attempts >= TASK_LIVES || shared.airport.committer.is_closed() {
                    return KeeperEnd::PrepareAgain;
                }
                tokio::select! {
                    () = tokio::time::sleep(backoff(attempts)) => {}
                    _ = shared.stop.wait_for(|stop| *stop) => {
                        shared.board.task(id, State::Unassigned, None);
                        return KeeperEnd::Stopped;
                    }
                }
            }
        }
    }
}

/// One life of a task, on a thread of its own: the Kafka client blocks.
async fn run_once(shared: &Shared, id: u32) -> End {
    let dead_letters = match open_dead_letters(shared).await {
        Ok(dead_letters) => dead_letters,
        Err(why) => return End::Retry(why),
    };
    let settings = consumer_config(&shared.worker.bootstrap_servers, &shared.config, id);
    let consumer = match TaskConsumer::subscribe(&settings, &shared.config.topics) {
        Ok(consumer) => consumer,
        Err(error) => return End::Failed(format!("kafka refuses the consumer's settings: {error}")),
    };
    let parts = Parts {
        id,
        config: Arc::clone(&shared.config),
        consumer,
        dead_letters,
        client: shared.client.clone(),
        ident: shared.ident.clone(),
        uuid: shared.uuid.clone(),
        settings: shared.settings.clone(),
        airport: shared.airport.clone(),
        board: Arc::clone(&shared.board),
        stop: shared.stop.clone(),
        runtime: Handle::current(),
        ticks_from: shared.ticks_from,
        drain_for: shared.worker.graceful_shutdown_timeout,
    };
    let (sender, ended) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name(format!("task-{id}")).spawn(move || {
        // The receiver is gone only when the runtime itself is shutting down.
        let _ = sender.send(Task::new(parts).run());
    });
    if let Err(error) = thread {
        return End::Retry(format!("cannot start a thread: {error}"));
    }
    ended.await.unwrap_or_else(|_| End::Retry("the task's thread ended in a panic".to_owned()))
}

/// The task's own producer of dead letters: an acknowledgement that fails must fail the batch of the task that sent it.
async fn open_dead_letters(shared: &Shared) -> Result<Option<Arc<DeadLetters>>, String> {
    if shared.config.errors.tolerance == Tolerance::None {
        return Ok(None);
    }
    let (bootstrap, config) = (shared.worker.bootstrap_servers.clone(), Arc::clone(&shared.config));
    let opened = tokio::task::spawn_blocking(move || DeadLetters::new(&bootstrap, &config)).await;
    let opened = opened.map_err(|error| format!("opening the dead letter topic ended early: {error}"))?;
    Ok(opened.map_err(|error| error.to_string())?.map(Arc::new))
}
