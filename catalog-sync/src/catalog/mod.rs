//! The Iceberg REST catalog: how to reach it, what it answers, and a table as one load shows it.
//!
//! One code path for Nessie, for the embedded catalog and for any other that speaks the specification. Nothing here
//! decides: [`crate::commit`] does, with the `protocol` crate.

mod ancestors;
mod client;
mod config;
mod error;
mod nessie;
mod references;
mod table;
mod tables;

pub use client::CatalogClient;
pub use config::{CatalogConfig, StorageConfig};
pub use error::{CatalogError, backoff};
pub use nessie::{NessieHistory, TableCommit};
pub use references::{Commit, Commits, Content, Reference};
pub use table::{LoadedTable, parse_table};
