//! The worker: reads Kafka, decodes, routes, encodes, commits; Kafka Connect's REST API; the demo.
//!
//! ```text
//!   cli           arguments of the command
//!   config/       a connector's keys, parsed once into types
//!   rest/         Kafka Connect's REST API and the registry of connectors
//!   runtime/      a connector at work: tasks, committer, status
//!   kafka/        consumer, group, topic ids
//!   pipeline/     rows -> Parquet files -> object store
//!   dead_letter   records that cannot become rows
//!   demo/         the whole pipeline in one process
//! ```

pub mod cli;
pub mod config;
pub mod dead_letter;
pub mod demo;
pub mod kafka;
pub mod pipeline;
pub mod rest;
pub mod runtime;
