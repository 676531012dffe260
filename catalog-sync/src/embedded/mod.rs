//! An Iceberg REST catalog in the process.
//!
//! For the demo, for tests, and for an installation on one machine: any engine that speaks the Iceberg REST
//! specification attaches to it. The state is a folder: `catalog.db`, which says where each table's current metadata file
//! is, and the warehouse with the files themselves (or any other location, such as a bucket). Full snapshot history is
//! kept.
//!
//! ```text
//! server.rs   routes, limits                     routes/    parse, call, answer: a file each resource
//! apply.rs    metadata + commit -> metadata      table.rs   metadata file, then pointer
//! pointer/    SQLite, compare-and-swap           error.rs   the specification's errors
//! ```
//!
//! Invariants: a commit is applied whole or not at all, and only on the metadata that its requirements were checked
//! against; several processes may serve one folder; nothing is written outside the warehouse.
//!
//! There is no log-in: it is meant for the loopback interface, and answers no web page.

mod apply;
mod error;
mod pointer;
mod routes;
mod server;
mod table;

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use error::EmbeddedError;

use crate::catalog::StorageConfig;
use crate::storage::Store;

/// Longest wait for requests under way when the server is stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the catalog keeps its state and where it listens.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Folder of `catalog.db`, made when missing; also of `warehouse/` unless a warehouse is given.
    pub dir: PathBuf,
    /// Location that tables live below: `s3://bucket/path`, `file:///path`.
    pub warehouse: Option<String>,
    /// How the catalog reaches the warehouse. Clients are told the endpoint and the region, never a credential.
    pub storage: StorageConfig,
    /// Address to listen on; port 0 takes any free one.
    pub listen: SocketAddr,
}

impl EmbeddedOptions {
    /// Everything below this folder, on any free port of this machine.
    #[must_use]
    pub fn below(dir: impl Into<PathBuf>) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { dir: dir.into(), warehouse: None, storage: StorageConfig::default(), listen }
    }
}

/// A running catalog. Dropping it ends the server at once; [`Self::stop`] lets requests finish first.
#[derive(Debug)]
pub struct EmbeddedCatalog {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl EmbeddedCatalog {
    /// Opens the folder and serves it until stopped.
    ///
    /// # Errors
    /// See [`EmbeddedError`]; nothing is left running.
    pub async fn start(options: EmbeddedOptions) -> Result<Self, EmbeddedError> {
        let dir = prepare(&options.dir)?;
        let path = dir.join("catalog.db");
        let pointers = pointer::Pointers::open(&path)
            .map_err(|error| EmbeddedError::Database { path, reason: error.to_string() })?;
        let warehouse =
            options.warehouse.unwrap_or_else(|| format!("file://{}", dir.join("warehouse").to_string_lossy()));
        let store = Store::open(&options.storage, &HashMap::new(), &warehouse)?;
        let catalog = table::Catalog::new(pointers, store, &warehouse, client_config(&options.storage));

        let refused = |source| EmbeddedError::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "the catalog has no log-in and listens on more than the loopback interface");
        }
        let (stop, stopped) = oneshot::channel();
        let router = server::router(Arc::new(catalog));
        let server = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
                tracing::error!(%error, "the catalog's server ended");
            }
        });
        tracing::info!(%address, warehouse, "catalog is ready");
        Ok(Self { address, stop: Some(stop), server })
    }

    /// Address for clients, such as `http://127.0.0.1:8181`.
    #[must_use]
    pub fn uri(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        format!("http://{address}")
    }

    /// Takes no more requests, lets those under way finish, and returns when the server is gone.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            // The server may have ended by itself.
            let _ = stop.send(());
        }
        if tokio::time::timeout(STOP_TIMEOUT, &mut self.server).await.is_err() {
            tracing::warn!("requests under way were cut off");
        }
    }
}

impl Drop for EmbeddedCatalog {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Serves until `shutdown` completes: the body of the `serve` command.
///
/// # Errors
/// As [`EmbeddedCatalog::start`].
pub async fn serve(options: EmbeddedOptions, shutdown: impl Future<Output = ()>) -> Result<(), EmbeddedError> {
    let catalog = EmbeddedCatalog::start(options).await?;
    shutdown.await;
    catalog.stop().await;
    Ok(())
}

/// Makes the folder and names it absolutely, since table locations are made of it.
fn prepare(dir: &Path) -> Result<PathBuf, EmbeddedError> {
    let failed = |source| EmbeddedError::Folder { dir: dir.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(failed)?;
    dir.canonicalize().map_err(failed)
}

/// What clients need to know of the object store, without what they must not.
fn client_config(storage: &StorageConfig) -> HashMap<String, String> {
    let path_style = storage.path_style_access.or(storage.endpoint.as_ref().map(|_| true));
    let pairs = [
        ("s3.endpoint", storage.endpoint.clone()),
        ("client.region", storage.region.clone()),
        ("s3.path-style-access", path_style.map(|on| on.to_string())),
    ];
    pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests;
