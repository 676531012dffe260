//! The Iceberg REST catalog client.

mod config;

pub use config::{CatalogConfig, StorageConfig};
