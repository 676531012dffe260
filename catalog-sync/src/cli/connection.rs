//! How a command finds its catalog: options, else environment, else the connector's own JSON.
//!
//! The names are the connector's keys: `iceberg.catalog.s3.endpoint` is `--s3-endpoint` and
//! `ICEBERG_CATALOG_S3_ENDPOINT`. Secrets are held as [`Secret`] from the first moment and never shown.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::CliError;
use crate::catalog::{CatalogConfig, StorageConfig};
use crate::run::config::Connection;
use crate::secret::Secret;

/// Where the catalog is and how to get at its object store.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Catalog")]
pub struct ConnectionArgs {
    /// Connector configuration to take the connection and the table from; options and environment win
    #[arg(long, value_name = "FILE.json", env = "ICEBERG_CATALOG_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    catalog: CatalogArgs,
}

/// Where the catalog is; what is left out is taken from a file, if there is one.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Catalog")]
pub(super) struct CatalogArgs {
    /// Address of the Iceberg REST catalog, without /v1
    #[arg(long, value_name = "URI", env = "ICEBERG_CATALOG_URI")]
    catalog_uri: Option<String>,
    /// Warehouse name or location; the catalog's default when left out
    #[arg(long, value_name = "NAME", env = "ICEBERG_CATALOG_WAREHOUSE")]
    warehouse: Option<String>,
    /// Bearer token for the catalog; better set in the environment
    #[arg(long, value_name = "TOKEN", env = "ICEBERG_CATALOG_TOKEN", hide_env_values = true, value_parser = secret)]
    token: Option<Secret>,
    /// Longest wait for one answer of the catalog, in milliseconds [default: 30000]
    #[arg(long, value_name = "MS", env = "ICEBERG_CATALOG_TIMEOUT_MS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout_ms: Option<u64>,
    #[command(flatten)]
    storage: StorageArgs,
}

/// How to get at the object store; what is left out is taken from the catalog.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Object store")]
pub(super) struct StorageArgs {
    /// Address of an S3 that is not Amazon's
    #[arg(long, value_name = "URL", env = "ICEBERG_CATALOG_S3_ENDPOINT")]
    s3_endpoint: Option<String>,
    /// Access key; better set in the environment
    #[arg(long, value_name = "KEY", env = "ICEBERG_CATALOG_S3_ACCESS_KEY_ID", hide_env_values = true, value_parser = secret)]
    s3_access_key_id: Option<Secret>,
    /// Secret key; better set in the environment
    #[arg(long, value_name = "KEY", env = "ICEBERG_CATALOG_S3_SECRET_ACCESS_KEY", hide_env_values = true, value_parser = secret)]
    s3_secret_access_key: Option<Secret>,
    /// Session token of temporary keys; better set in the environment
    #[arg(long, value_name = "TOKEN", env = "ICEBERG_CATALOG_S3_SESSION_TOKEN", hide_env_values = true, value_parser = secret)]
    s3_session_token: Option<Secret>,
    /// Bucket in the path instead of the host name: true or false
    #[arg(long, value_name = "BOOL", env = "ICEBERG_CATALOG_S3_PATH_STYLE_ACCESS", num_args = 0..=1, default_missing_value = "true")]
    s3_path_style_access: Option<bool>,
    /// Region of the bucket
    #[arg(long, value_name = "REGION", env = "ICEBERG_CATALOG_CLIENT_REGION")]
    region: Option<String>,
}

impl ConnectionArgs {
    /// The configuration of the client, and the table that the configuration file names.
    ///
    /// # Errors
    /// [`CliError::Usage`] when no catalog is named or the file cannot be used.
    pub(super) fn resolve(self) -> Result<(CatalogConfig, Option<String>), CliError> {
        let file = match &self.config {
            Some(path) => File::read(path)?,
            None => File::default(),
        };
        Ok((self.catalog.resolve(&file)?, file.text("iceberg.tables")))
    }
}

impl CatalogArgs {
    /// What options and environment say, and, where they say nothing, the `connection` of a file of that name.
    ///
    /// # Errors
    /// [`CliError::Usage`] when no catalog is named or a value cannot be used.
    pub(super) fn over(self, name: &Path, connection: &Connection) -> Result<CatalogConfig, CliError> {
        self.resolve(&File { name: name.display().to_string(), keys: connection.0.clone() })
    }

    fn resolve(self, file: &File) -> Result<CatalogConfig, CliError> {
        let missing = "no catalog is named: give --catalog-uri, or set ICEBERG_CATALOG_URI, or iceberg.catalog.uri in the \
                       file of --config";
        let uri = self.catalog_uri.or_else(|| file.text("iceberg.catalog.uri"));
        let mut config = CatalogConfig::new(uri.ok_or_else(|| CliError::Usage(missing.to_owned()))?);
        if !config.uri.starts_with("http://") && !config.uri.starts_with("https://") {
            let text = format!("catalog address {:?} begins with neither http:// nor https://", config.uri);
            return Err(CliError::Usage(text));
        }
        config.warehouse = self.warehouse.or_else(|| file.text("iceberg.catalog.warehouse"));
        config.token = self.token.or_else(|| file.secret("iceberg.catalog.token"));
        config.headers = file.headers();
        if let Some(ms) = self.timeout_ms.map_or_else(|| file.parse("commit.timeout.ms"), |ms| Ok(Some(ms)))? {
            config.timeout = Duration::from_millis(ms);
        }
        config.storage = self.storage.resolve(file)?;
        Ok(config)
    }
}

impl StorageArgs {
    /// What options and environment say.
    ///
    /// # Errors
    /// [`CliError::Usage`] for one key without the other.
    pub(super) fn alone(self) -> Result<StorageConfig, CliError> {
        self.resolve(&File::default())
    }

    fn resolve(self, file: &File) -> Result<StorageConfig, CliError> {
        let config = StorageConfig {
            endpoint: self.s3_endpoint.or_else(|| file.text("iceberg.catalog.s3.endpoint")),
            region: self.region.or_else(|| file.text("iceberg.catalog.client.region")),
            access_key_id: self.s3_access_key_id.or_else(|| file.secret("iceberg.catalog.s3.access-key-id")),
            secret_access_key: self
                .s3_secret_access_key
                .or_else(|| file.secret("iceberg.catalog.s3.secret-access-key")),
            session_token: self.s3_session_token.or_else(|| file.secret("iceberg.catalog.s3.session-token")),
            path_style_access: match self.s3_path_style_access {
                Some(path_style) => Some(path_style),
                None => file.parse("iceberg.catalog.s3.path-style-access")?,
            },
        };
        if config.access_key_id.is_some() != config.secret_access_key.is_some() {
            let text = "an access key and a secret key go together: set both or neither";
            return Err(CliError::Usage(text.to_owned()));
        }
        Ok(config)
    }
}

/// A secret out of an argument.
pub(super) fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

/// The connector's configuration: the flat map, or the one that is posted, with `name` and `config`.
#[derive(Default)]
struct File {
    name: String,
    keys: BTreeMap<String, Value>,
}

impl File {
    fn read(path: &Path) -> Result<Self, CliError> {
        let name = path.display().to_string();
        let unusable = |why: String| CliError::Usage(format!("configuration {name}: {why}"));
        let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
        // Only where the text stops being JSON is told, never the text: there are secrets in it.
        let place = |error: serde_json::Error| {
            unusable(format!("it is no JSON object: line {}, column {}", error.line(), error.column()))
        };
        let mut keys: BTreeMap<String, Value> = serde_json::from_str(&text).map_err(place)?;
        if let Some(Value::Object(inner)) = keys.remove("config") {
            keys = inner.into_iter().collect();
        }
        Ok(Self { name, keys })
    }

    fn text(&self, key: &str) -> Option<String> {
        match self.keys.get(key)? {
            Value::Null => None,
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            other => Some(other.to_string()),
        }
    }

    fn secret(&self, key: &str) -> Option<Secret> {
        self.text(key).map(Secret::new)
    }

    fn parse<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, CliError> {
        let Some(text) = self.text(key) else { return Ok(None) };
        let wrong =
            |_| CliError::Usage(format!("configuration {}: {key} is {text:?}, which cannot be read", self.name));
        text.parse().map(Some).map_err(wrong)
    }

    fn headers(&self) -> BTreeMap<String, Secret> {
        let below = |key: &String| {
            let name = key.strip_prefix("iceberg.catalog.header.")?;
            Some((name.to_owned(), self.secret(key)?))
        };
        self.keys.keys().filter_map(below).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("connector.json");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn the_connectors_own_file_is_enough() {
        let (_dir, path) = file(
            r#"{"name": "clicks", "config": {"iceberg.catalog.uri": "http://c/iceberg/", "iceberg.tables": "a.t",
                "iceberg.catalog.s3.access-key-id": "id", "iceberg.catalog.s3.secret-access-key": "s",
                "iceberg.catalog.s3.path-style-access": "true", "commit.timeout.ms": 1500,
                "iceberg.catalog.header.X-Tenant": "blue"}}"#,
        );
        let storage = StorageArgs { region: Some("mars".into()), ..StorageArgs::default() };
        let catalog = CatalogArgs { storage, ..CatalogArgs::default() };
        let args = ConnectionArgs { config: Some(path), catalog };
        let (config, table) = args.resolve().unwrap();
        assert_eq!((config.uri.as_str(), table.as_deref()), ("http://c/iceberg/", Some("a.t")));
        assert_eq!(config.timeout, Duration::from_millis(1500));
        assert_eq!(config.storage.path_style_access, Some(true));
        assert_eq!(config.storage.region.as_deref(), Some("mars"));
        assert_eq!(config.headers["X-Tenant"].expose(), "blue");
    }

    #[test]
    fn options_win_over_the_file() {
        let (_dir, path) = file(r#"{"iceberg.catalog.uri": "http://file/", "iceberg.catalog.warehouse": "w"}"#);
        let catalog = CatalogArgs { catalog_uri: Some("http://option/".to_owned()), ..CatalogArgs::default() };
        let args = ConnectionArgs { config: Some(path), catalog };
        let (config, _) = args.resolve().unwrap();
        assert_eq!((config.uri.as_str(), config.warehouse.as_deref()), ("http://option/", Some("w")));
    }

    #[test]
    fn wrong_usage_is_told_without_the_contents_of_the_file() {
        let usage = |args: ConnectionArgs| match args.resolve() {
            Err(CliError::Usage(text)) => text,
            other => format!("unexpected: {other:?}"),
        };
        assert!(usage(ConnectionArgs::default()).contains("--catalog-uri"));
        let (_dir, path) = file(r#"{"iceberg.catalog.token": "hunter2" oops}"#);
        let text = usage(ConnectionArgs { config: Some(path), ..ConnectionArgs::default() });
        assert!(text.contains("line 1, column") && !text.contains("hunter2"), "{text}");
        let half = CatalogArgs {
            catalog_uri: Some("http://c/".into()),
            storage: StorageArgs { s3_access_key_id: Some(Secret::new("id")), ..StorageArgs::default() },
            ..CatalogArgs::default()
        };
        assert!(usage(ConnectionArgs { config: None, catalog: half }).contains("go together"));
    }

    #[test]
    fn the_connection_of_a_maintenance_file_is_read_key_by_key() {
        let connection = crate::run::config::Maintenance::parse(
            r#"{"connection": {"iceberg.catalog.uri": "http://c/", "iceberg.catalog.warehouse": "w",
                "iceberg.catalog.token": "t", "iceberg.catalog.header.X-Tenant": "blue", "commit.timeout.ms": "7",
                "iceberg.catalog.client.region": "mars", "iceberg.catalog.s3.endpoint": "http://s/",
                "iceberg.catalog.s3.path-style-access": true, "iceberg.catalog.s3.access-key-id": "id",
                "iceberg.catalog.s3.secret-access-key": "s", "iceberg.catalog.s3.session-token": "st"}}"#,
        );
        let config = CatalogArgs::default().over(Path::new("m.json"), &connection.unwrap().connection).unwrap();
        assert_eq!((config.uri.as_str(), config.warehouse.as_deref()), ("http://c/", Some("w")));
        assert_eq!((config.timeout, config.headers.len()), (Duration::from_millis(7), 1));
        let StorageConfig { endpoint, region, path_style_access, .. } = &config.storage;
        assert_eq!(
            (endpoint.as_deref(), region.as_deref(), *path_style_access),
            (Some("http://s/"), Some("mars"), Some(true))
        );
        let secrets = [&config.token, &config.storage.access_key_id, &config.storage.secret_access_key];
        assert_eq!(secrets.map(|secret| secret.as_ref().map(|it| it.expose().len())), [Some(1), Some(2), Some(1)]);
        assert!(config.storage.session_token.is_some());
    }
}
