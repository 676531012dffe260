//! `maintenance.json`: what is looked after, and when. `{}` is a good setup; every key has a default.
//!
//! The JSON Schema of these types is the only table of keys: [`super::check`] holds a file against it and names every
//! problem with its place, `catalog-sync run --print-schema` prints it, and a test holds `connector/docs/MAINTENANCE.md`
//! against it. Options of a job have the names that Iceberg has for them, times are milliseconds as in the connector's
//! keys. Pure. Called by `catalog-sync run`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use iceberg::TableIdent;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::check;
pub use super::retention::{Expire, Files, Sweep};
use crate::compact::options::Options;
use crate::verify::VerifyOptions;

/// Keys of `connection`: name, type, meaning. They are the connector's own.
const CONNECTION: [(&str, &str, &str); 11] = [
    ("iceberg.catalog.uri", "string", "Address of the Iceberg REST catalog, without /v1"),
    ("iceberg.catalog.warehouse", "string", "Warehouse name or location; the catalog's default when left out"),
    ("iceberg.catalog.token", "string", "Bearer token; better set in the environment, ICEBERG_CATALOG_TOKEN"),
    ("iceberg.catalog.header.*", "string", "Extra HTTP header for the catalog"),
    ("iceberg.catalog.client.region", "string", "Region of the bucket"),
    ("iceberg.catalog.s3.endpoint", "string", "Address of an S3 that is not Amazon's"),
    ("iceberg.catalog.s3.path-style-access", "boolean", "Bucket in the path instead of the host name"),
    ("iceberg.catalog.s3.access-key-id", "string", "Access key; better set in the environment"),
    ("iceberg.catalog.s3.secret-access-key", "string", "Secret key; better set in the environment"),
    ("iceberg.catalog.s3.session-token", "string", "Session token of temporary keys; better set in the environment"),
    ("commit.timeout.ms", "integer", "Longest wait for one answer of the catalog, in milliseconds"),
];

/// Maintenance of the tables of one catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Maintenance {
    /// The schema that this file follows, for editors; not looked at.
    #[serde(rename = "$schema", skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The catalog and its object store, by the connector's keys; options and environment win.
    #[serde(skip_serializing)]
    pub connection: Connection,
    /// Tables to look after, `namespace.table`. One that does not exist yet is waited for.
    #[schemars(extend("items" = {"type": "string", "format": "table"}))]
    pub tables: Vec<String>,
    /// Time between two looks at a table, in milliseconds; a look is one request to the catalog if nothing has changed.
    #[schemars(range(min = 100))]
    pub check_interval_ms: u64,
    /// Jobs that run at the same time, over all tables. Each may take the memory of a compaction.
    #[schemars(range(min = 1, max = 64))]
    pub max_concurrent_jobs: u32,
    /// Longest wait after errors, in milliseconds: waits double with each error in a row up to this.
    #[schemars(range(min = 1_000))]
    pub max_backoff_ms: u64,
    /// Time that a running job has to end after SIGTERM, in milliseconds; then it is dropped, which is safe.
    pub stop_timeout_ms: u64,
    /// Metrics for Prometheus.
    pub metrics: MetricsConfig,
    /// The jobs.
    pub jobs: Jobs,
}

/// Where metrics are served.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MetricsConfig {
    /// Address for `/metrics` and `/health`, `host:port`, with an IP address; a port alone is on the loopback interface.
    /// Off when left out.
    #[schemars(extend("format" = "listen"))]
    pub listen: Option<String>,
}

/// What is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Jobs {
    /// Small files become few, partition by partition, all the time.
    pub compact: Compact,
    /// Small manifests become few, all the time.
    pub rewrite_manifests: RewriteManifests,
    /// Snapshots that are no longer wanted go, by the clock.
    pub expire: Expire,
    /// Files that nobody needs go, by the clock.
    pub sweep: Sweep,
    /// The table is proven complete, by the clock.
    pub verify: Verify,
}

/// When a partition is compacted: when compacting it gains something, and one of the three conditions holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Compact {
    /// Whether this is done at all.
    pub enabled: bool,
    /// Commits that its small files came with.
    #[schemars(range(min = 1))]
    pub commit_count: u64,
    /// Small files that it has.
    #[schemars(range(min = 1))]
    pub small_file_count: u64,
    /// Age of its oldest small file, in milliseconds.
    pub max_small_file_age_ms: u64,
    /// Time between two compactions of a table, in milliseconds.
    pub min_interval_ms: u64,
    /// Bytes that a file should have; else the table property write.target-file-size-bytes.
    #[schemars(range(min = 1))]
    pub target_file_size_bytes: Option<u64>,
    /// Files below are small; else three quarters of the target.
    pub min_file_size_bytes: Option<u64>,
    /// Files above are cut; else 1.8 times the target.
    pub max_file_size_bytes: Option<u64>,
    /// Bytes of the files that are rewritten together, at most.
    #[schemars(range(min = 1))]
    pub max_file_group_size_bytes: u64,
    /// Small files of a partition that are rewritten although they do not fill a file.
    #[schemars(range(min = 1))]
    pub min_input_files: u32,
    /// Commits of one compaction at most.
    #[serde(rename = "partial-progress.max-commits")]
    #[schemars(range(min = 1))]
    pub max_commits: u32,
}

/// When manifests are rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RewriteManifests {
    /// Whether this is done at all.
    pub enabled: bool,
    /// Manifests that are not full; when there are more, they are rewritten.
    #[schemars(range(min = 1))]
    pub manifest_count: u64,
    /// Time between two rewrites of a table, in milliseconds.
    pub min_interval_ms: u64,
}

/// When and how a table is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Verify {
    /// Whether this is done at all.
    pub enabled: bool,
    /// When, as in crontab: minute, hour, day of the month, month, day of the week; in UTC.
    #[schemars(extend("format" = "cron"))]
    pub cron: String,
    /// Commits of the table to walk back at most; 0 leaves the history out.
    pub history: u32,
    /// Accept rows that others added or removed, if their commits account for them exactly.
    pub allow_foreign_changes: bool,
}

/// The connector's keys of a catalog and its object store. There may be secrets in them, so that they are never printed.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Connection(pub BTreeMap<String, Value>);

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl JsonSchema for Connection {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Connection".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let (mut properties, mut patterns) = (Map::new(), Map::new());
        for (name, kind, meaning) in CONNECTION {
            // The connector's values are all texts, and may be pasted as they are.
            let kinds = if kind == "string" { json!(kind) } else { json!([kind, "string"]) };
            let value = json!({"type": kinds, "description": meaning});
            match name.strip_suffix('*') {
                Some(family) => patterns.insert(format!("^{}", family.replace('.', "\\.")), value),
                None => properties.insert(name.to_owned(), value),
            };
        }
        json_schema!({
            "type": "object", "properties": properties, "patternProperties": patterns, "additionalProperties": false
        })
    }
}

impl Default for Maintenance {
    fn default() -> Self {
        Self {
            schema: None,
            connection: Connection::default(),
            tables: vec!["analytics.clickstream".to_owned()],
            check_interval_ms: 10_000,
            max_concurrent_jobs: 1,
            max_backoff_ms: 600_000,
            stop_timeout_ms: 10_000,
            metrics: MetricsConfig::default(),
            jobs: Jobs::default(),
        }
    }
}

impl Default for Compact {
    fn default() -> Self {
        let options = Options::default();
        Self {
            enabled: true,
            commit_count: 10,
            small_file_count: 100,
            max_small_file_age_ms: 600_000,
            min_interval_ms: 60_000,
            target_file_size_bytes: options.target_file_size_bytes,
            min_file_size_bytes: options.min_file_size_bytes,
            max_file_size_bytes: options.max_file_size_bytes,
            max_file_group_size_bytes: options.max_file_group_size_bytes,
            min_input_files: u32::try_from(options.min_input_files).unwrap_or(u32::MAX),
            max_commits: u32::try_from(options.max_commits).unwrap_or(u32::MAX),
        }
    }
}

impl Compact {
    /// The same, as a compaction takes it.
    #[must_use]
    pub fn options(&self) -> Options {
        Options {
            target_file_size_bytes: self.target_file_size_bytes,
            min_file_size_bytes: self.min_file_size_bytes,
            max_file_size_bytes: self.max_file_size_bytes,
            max_file_group_size_bytes: self.max_file_group_size_bytes,
            min_input_files: self.min_input_files as usize,
            max_commits: self.max_commits as usize,
            ..Options::default()
        }
    }
}

impl Default for RewriteManifests {
    fn default() -> Self {
        Self { enabled: true, manifest_count: 20, min_interval_ms: 60_000 }
    }
}

impl Default for Verify {
    fn default() -> Self {
        let VerifyOptions { history, allow_foreign_changes } = VerifyOptions::default();
        let history = u32::try_from(history).unwrap_or(u32::MAX);
        Self { enabled: false, cron: "0 4 * * *".to_owned(), history, allow_foreign_changes }
    }
}

impl Verify {
    /// The same, as a verification takes it.
    #[must_use]
    pub fn options(&self) -> VerifyOptions {
        VerifyOptions { history: self.history as usize, allow_foreign_changes: self.allow_foreign_changes }
    }
}

impl Maintenance {
    /// Reads a file.
    ///
    /// # Errors
    /// Every problem with its place, one a line; never a value of `connection`.
    pub fn parse(text: &str) -> Result<Self, String> {
        // Only where the text stops being JSON is told, never the text: there may be secrets in it.
        let place =
            |error: serde_json::Error| format!("it is no JSON: line {}, column {}", error.line(), error.column());
        let document: Value = serde_json::from_str(text).map_err(place)?;
        let problems = check::problems(&document, &json_schema());
        if !problems.is_empty() {
            return Err(problems.join("\n"));
        }
        let parsed: Self = serde_json::from_value(document).map_err(|error| error.to_string())?;
        for (job, files) in [("expire", &parsed.jobs.expire.files), ("sweep", &parsed.jobs.sweep.files)] {
            let checked = files.options(false).and_then(|options| options.check());
            checked.map_err(|why| format!("jobs.{job}.files: {why}"))?;
        }
        match parsed.tables.is_empty() {
            true => Err("tables: names no table".to_owned()),
            false => Ok(parsed),
        }
    }

    /// The tables by name.
    ///
    /// # Errors
    /// A name that is none, which [`Self::parse`] has refused.
    pub fn idents(&self) -> Result<Vec<TableIdent>, String> {
        let ident = |name: &String| crate::catalog::parse_table(name).map_err(|why| format!("tables: {name:?}: {why}"));
        self.tables.iter().map(ident).collect()
    }
}

impl MetricsConfig {
    /// The address, as [`Self::listen`] has it; none when metrics are off or the text is no address.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        listen_address(self.listen.as_deref()?)
    }
}

/// `host:port`, or a port on the loopback interface.
pub(super) fn listen_address(text: &str) -> Option<SocketAddr> {
    let on_loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    text.parse().ok().or_else(|| text.trim_start_matches(':').parse().ok().map(on_loopback))
}

/// The JSON Schema of a file.
#[must_use]
pub fn json_schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Maintenance>().to_value()
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
