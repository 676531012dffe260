//! Kafka Connect's REST API for one worker.
//!
//! Tools that know Kafka Connect can register, watch and remove connectors here without knowing the difference; what is
//! not offered answers 404 or 405 in Connect's form. The order of a request: connection cap and header time-out (here) →
//! host, origin, time (`guard`) → route → JSON and size (`guard`) → handler → `registry`, which owns the running
//! connectors and their files. `validate` and `create` judge a configuration by itself; the catalog and the brokers are
//! the tasks' business and show in the status. Called by `connector run` and by the demo.

mod connectors;
mod error;
mod guard;
mod plugins;
mod registry;
mod store;
mod submission;
#[cfg(test)]
mod tests;
mod worker;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use self::error::ApiError;
use self::guard::Hosts;
use self::registry::Registry;
pub use self::registry::RegistryError;
pub use self::store::StoreError;
pub use self::submission::Submission;
use crate::config::WorkerConfig;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// Longest wait for the head of a request, also between two requests of a connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest head of a request.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Where to listen and whom to answer.
#[derive(Debug, Clone)]
pub struct RestOptions {
    /// Address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Names besides loopback's that a request's `Host` may bear; `*` admits every one.
    pub allowed_hosts: Vec<String>,
    /// Where registrations are kept; none = they end with the process.
    pub connectors_dir: Option<PathBuf>,
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestError {
    /// The address is taken, or not ours.
    #[error("cannot listen on {addr}: {source}; choose another address with --listen")]
    Listen {
        /// What was asked for.
        addr: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The API has no log-in: who can reach it can read and write what the worker can.
    #[error(
        "{0} can be reached from other machines and the API has no log-in; listen on 127.0.0.1, or say with \
         --allowed-host which host names are served (`*` for all) and guard the port yourself"
    )]
    Exposed(SocketAddr),
    /// The registrations could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A running server with its connectors.
#[derive(Debug)]
pub struct RestServer {
    addr: SocketAddr,
    registry: Arc<Registry>,
    closing: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl RestServer {
    /// Binds the address, starts what is registered in the directory, and serves. With port 0 the worker's id becomes
    /// the address that was found.
    ///
    /// # Errors
    /// See [`RestError`]; nothing is left running.
    pub async fn start(worker: Arc<WorkerConfig>, options: RestOptions) -> Result<Self, RestError> {
        let wanted = options.listen;
        if !wanted.ip().is_loopback() && options.allowed_hosts.is_empty() {
            return Err(RestError::Exposed(wanted));
        }
        let told = |source| RestError::Listen { addr: wanted, source };
        let listener = TcpListener::bind(wanted).await.map_err(told)?;
        let addr = listener.local_addr().map_err(told)?;
        let worker = if wanted.port() == 0 {
            Arc::new(WorkerConfig { worker_id: addr.to_string(), ..WorkerConfig::clone(&worker) })
        } else {
            worker
        };
        let registry = Arc::new(Registry::open(worker, options.connectors_dir.as_deref()).await?);
        let app = router(Arc::clone(&registry), Hosts::new(addr, &options.allowed_hosts));
        let (closing, closed) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, app, closed));
        tracing::info!(%addr, "the REST API is up");
        Ok(Self { addr, registry, closing, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Registers a connector from a file given at start, in place of one of the same name; not kept on disk.
    ///
    /// # Errors
    /// The configuration is wrong, or too many are registered.
    pub async fn register(&self, submission: Submission) -> Result<(), RegistryError> {
        self.registry.replace(submission, false).await.map(|_| ())
    }

    /// Takes no more requests, then stops every connector (flush and commit), each within the worker's
    /// `graceful_shutdown_timeout`. Registrations stay on disk.
    pub async fn stop(self) {
        self.closing.send_replace(true);
        self.registry.stop_all().await;
        self.accepting.abort();
    }
}

/// Serves until `shutdown` is ready, then stops as [`RestServer::stop`] does.
///
/// # Errors
/// See [`RestError`].
pub async fn serve(
    worker: Arc<WorkerConfig>,
    options: RestOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RestError> {
    let server = RestServer::start(worker, options).await?;
    shutdown.await;
    server.stop().await;
    Ok(())
}

fn router(registry: Arc<Registry>, hosts: Hosts) -> Router {
    let cluster = Arc::new(worker::Cluster::default());
    Router::new()
        .route("/connectors", get(connectors::list).post(connectors::create))
        .route("/connectors/{name}", get(connectors::get).delete(connectors::delete))
        .route("/connectors/{name}/config", get(connectors::get_config).put(connectors::put_config))
        .route("/connectors/{name}/status", get(connectors::get_status))
        .route("/connectors/{name}/restart", post(connectors::restart))
        .route("/connectors/{name}/tasks", get(connectors::tasks))
        .route("/connectors/{name}/tasks/{task}/status", get(connectors::task_status))
        .route("/connectors/{name}/topics", get(connectors::topics))
        .route("/connectors/{name}/offsets", get(connectors::offsets))
        .with_state(Arc::clone(&registry))
        .route("/connector-plugins", get(plugins::list))
        .route("/connector-plugins/{plugin}/config", get(plugins::config))
        .route("/connector-plugins/{plugin}/config/validate", put(plugins::validate))
        .route("/health", get(worker::health))
        .route("/", get(worker::root).with_state((registry, cluster)))
        .fallback(|| async { ApiError::plain(StatusCode::NOT_FOUND) })
        .method_not_allowed_fallback(|| async { ApiError::plain(StatusCode::METHOD_NOT_ALLOWED) })
        .layer(from_fn_with_state(Arc::new(hosts), guard::guard))
}

/// Accepts until the server closes. axum's own loop sets no time-out for heads, so that idle clients could take every
/// connection.
async fn accept(listener: TcpListener, app: Router, mut closed: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = until(&mut closed) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (app, closed) = (app.clone(), closed.clone());
                tokio::spawn(async move {
                    let _place = place;
                    connection(stream, app, closed).await;
                });
            }
            Err(error) => {
                // Out of file handles, most likely: give the others time to end.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, app: Router, mut closed: watch::Receiver<bool>) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEADER_BYTES_MAX);
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => {},
        () = until(&mut closed) => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        },
    }
}

/// Ready when the server closes, or is gone.
async fn until(closed: &mut watch::Receiver<bool>) {
    let _ = closed.wait_for(|closed| *closed).await;
}
