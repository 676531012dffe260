//! How to reach a catalog and the object store behind it.
//!
//! Plain values, parsed by whoever owns the configuration keys: the connector (`iceberg.catalog.*`) and the
//! `catalog-sync` command line (the same names as options). No I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::secret::Secret;

/// An Iceberg REST catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogConfig {
    /// Base address, without `/v1`: `http://127.0.0.1:19120/iceberg/`.
    pub uri: String,
    /// Warehouse name or location, sent to `/v1/config`; none = the catalog's default.
    pub warehouse: Option<String>,
    /// Bearer token.
    pub token: Option<Secret>,
    /// Extra HTTP headers, `iceberg.catalog.header.*`.
    pub headers: BTreeMap<String, Secret>,
    /// Longest wait for one answer. A commit that takes longer has an unknown outcome and is resolved by a load.
    pub timeout: Duration,
    /// The object store.
    pub storage: StorageConfig,
}

impl CatalogConfig {
    /// A catalog at an address, all else by default.
    #[must_use]
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            warehouse: None,
            token: None,
            headers: BTreeMap::new(),
            timeout: Duration::from_secs(30),
            storage: StorageConfig::default(),
        }
    }
}

/// Where data files live. What is left out here is taken from the catalog's own configuration of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageConfig {
    /// `s3.endpoint`: address of an S3 that is not Amazon's.
    pub endpoint: Option<String>,
    /// `client.region`.
    pub region: Option<String>,
    /// `s3.access-key-id`.
    pub access_key_id: Option<Secret>,
    /// `s3.secret-access-key`.
    pub secret_access_key: Option<Secret>,
    /// `s3.session-token`.
    pub session_token: Option<Secret>,
    /// `s3.path-style-access`: bucket in the path, not in the host name.
    pub path_style_access: Option<bool>,
}
