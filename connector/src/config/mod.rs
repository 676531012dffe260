//! Configuration of the worker and of a connector, as typed values.
//!
//! A connector's configuration is Kafka Connect's: one flat map of texts. [`parse`] turns it into a [`ConnectorConfig`] or
//! into the list of all its problems; nothing else reads the map. Which keys there are, what they mean and which values
//! they allow stands in one table, [`keys`]. A key that would have no effect is an error, never silence. The values of
//! secret keys live in [`Secret`] and appear in no message.
//!
//! ```text
//!   JSON -> map of texts -> keys (known? refused? nearest?) -> values (allowed?) -> parse (contradictions) -> ConnectorConfig
//! ```
//!
//! Pure but for the types. Called by the REST API, by `connector validate` and by `connector config-docs`.

pub mod clients;
mod contradictions;
pub mod docs;
pub mod keys;
pub mod memory;
mod parse;
#[cfg(test)]
mod parse_tests;
mod reader;
pub mod refused;
pub mod suggest;
pub mod values;

pub use parse::{ConfigErrors, ConfigProblem, HIDDEN, parse, problems, shown};

use std::collections::BTreeMap;
use std::time::Duration;

use catalog_sync::catalog::CatalogConfig;
use catalog_sync::secret::Secret;
use schemas::decode::DecodePolicy;

use self::memory::MemoryConfig;

/// What all connectors of a worker share.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Name of the worker in statuses: `host:port` of the REST API.
    pub worker_id: String,
    /// Kafka brokers, `host:port,…`.
    pub bootstrap_servers: String,
    /// Longest time that a stop waits for the last commit.
    pub graceful_shutdown_timeout: Duration,
}

/// One connector, parsed and checked.
#[derive(Debug, Clone)]
pub struct ConnectorConfig {
    /// Name it was registered under.
    pub name: String,
    /// Consumers at most.
    pub tasks_max: u32,
    /// Topics to read.
    pub topics: Vec<String>,
    /// Namespace levels of the table.
    pub namespace: Vec<String>,
    /// Table name.
    pub table: String,
    /// Create namespace and table when missing.
    pub auto_create: bool,
    /// Table properties on creation, `iceberg.tables.auto-create-props.*`.
    pub create_props: BTreeMap<String, String>,
    /// Writer properties that take precedence over the table's, `iceberg.tables.write-props.*`.
    pub write_props: BTreeMap<String, String>,
    /// The catalog and its store.
    pub catalog: CatalogConfig,
    /// When a batch is sealed.
    pub flush: FlushConfig,
    /// What a task may hold, of `memory.max.bytes`.
    pub memory: MemoryConfig,
    /// What becomes of records that cannot become rows.
    pub errors: ErrorsConfig,
    /// Consumer group.
    pub group_id: String,
    /// librdkafka keys for the consumer, from `consumer.override.*`.
    pub consumer_overrides: BTreeMap<String, Secret>,
    /// librdkafka keys for the dead-letter producer, from `producer.override.*`.
    pub producer_overrides: BTreeMap<String, Secret>,
    /// Identity of the topic that the broker itself cannot tell (the embedded broker), `position.topic.id`.
    pub topic_id: Option<String>,
    /// How records are judged.
    pub decode: DecodePolicy,
    /// Name of the catalog in log lines, `iceberg.catalog`.
    pub catalog_name: String,
    /// What was accepted without effect, one sentence each, to be logged when the connector starts.
    pub notes: Vec<String>,
}

impl ConnectorConfig {
    /// `namespace.table`.
    #[must_use]
    pub fn table_name(&self) -> String {
        format!("{}.{}", self.namespace.join("."), self.table)
    }
}

/// Limits of a batch; whichever is reached first seals it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlushConfig {
    /// `iceberg.control.commit.interval-ms` or `commit.interval.ms`.
    pub interval: Duration,
    /// `flush.records.max`.
    pub records_max: u64,
    /// `flush.bytes.max`, if it is set; the budget may seal a batch before.
    pub bytes_max: Option<u64>,
}

/// `errors.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorsConfig {
    /// `errors.tolerance`.
    pub tolerance: Tolerance,
    /// `errors.deadletterqueue.topic.name`.
    pub dead_letter_topic: Option<String>,
    /// `errors.deadletterqueue.context.headers.enable`.
    pub context_headers: bool,
    /// `errors.log.enable`.
    pub log: bool,
}

/// `errors.tolerance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tolerance {
    /// The first record that cannot become a row stops the task.
    None,
    /// Such records go to the dead letter topic if there is one, else they are counted and dropped.
    All,
}
