//! A connector's configuration for the tests that talk to a broker.
#![allow(clippy::unwrap_used)]

use crate::config::{ConnectorConfig, parse};

/// A connector that reads `clicks` in a group of its own name.
pub(crate) fn connector_config(name: &str) -> ConnectorConfig {
    let config = [
        ("connector.class", "org.clickstream.IcebergSinkConnector"),
        ("topics", "clicks"),
        ("iceberg.tables", "analytics.clickstream"),
        ("iceberg.catalog.uri", "http://127.0.0.1:1/"),
        ("errors.tolerance", "all"),
    ];
    parse(name, &config.map(|(key, value)| (key.to_owned(), value.to_owned())).into()).unwrap()
}
