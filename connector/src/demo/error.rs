//! Why the demo has no good end; each says what to do where something can be done.

use catalog_sync::catalog::CatalogError;
use catalog_sync::query::QueryError;
use catalog_sync::storage::StorageError;
use rdkafka::error::KafkaError;

use super::{Report, STALL_TIMEOUT};
use crate::rest::RestError;

/// Why the demo ended early, or its numbers do not add up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The directory cannot be made or found.
    #[error("cannot use directory {path}: {source}; choose another one with --dir")]
    Directory {
        /// Which.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The embedded broker, or the producer.
    #[error("embedded broker: {0}")]
    Broker(#[from] KafkaError),
    /// The embedded catalog did not start.
    #[error("embedded catalog: {0}")]
    Catalog(String),
    /// The REST API did not start.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// The REST API did not answer.
    #[error("cannot {what}: {source}")]
    Http {
        /// What was asked of it.
        what: String,
        /// Why not.
        source: reqwest::Error,
    },
    /// The REST API said no.
    #[error("cannot {what}: status {status}: {body}")]
    Refused {
        /// What was asked of it.
        what: String,
        /// HTTP status.
        status: u16,
        /// Its answer.
        body: String,
    },
    /// The connector failed.
    #[error("the connector failed: {0}")]
    Failed(String),
    /// The connector gets nowhere.
    #[error("{waiting} records are not in the table, and none came within {} s", STALL_TIMEOUT.as_secs())]
    Stalled {
        /// Records that are missing.
        waiting: u64,
    },
    /// The table cannot be loaded.
    #[error(transparent)]
    Table(#[from] CatalogError),
    /// The table's position says stop.
    #[error(transparent)]
    Halt(#[from] protocol::Halt),
    /// The table does not go on with this run's topic.
    #[error(transparent)]
    Overrule(#[from] catalog_sync::overrule::Error),
    /// The table's files cannot be reached.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The table's metadata does not hold together.
    #[error("the table cannot be read: {0}")]
    Iceberg(Box<iceberg::Error>),
    /// A query has no answer.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The results cannot be printed.
    #[error("cannot print: {0}")]
    Print(String),
    /// Stopped by a signal before the first records were in the table.
    #[error("interrupted; start again with the same --dir to go on")]
    Interrupted,
    /// The table is not what it must be.
    #[error("the numbers do not add up: {}", .0.contradictions().join("; "))]
    Contradiction(Box<Report>),
}

impl From<iceberg::Error> for DemoError {
    fn from(error: iceberg::Error) -> Self {
        Self::Iceberg(Box::new(error))
    }
}
