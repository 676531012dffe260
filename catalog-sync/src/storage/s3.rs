//! Building an S3 client from the operator's settings and the catalog's.
//!
//! The operator's values win; what is left out is taken from what the catalog sent with the table, and credentials
//! missing in both come from the environment or the machine's role. Credentials are taken as a set from one source, so
//! that a vended session token is never joined to the operator's key.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use crate::catalog::StorageConfig;
use crate::secret::Secret;

/// Longest wait for one request, sending of its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Retries of one request, and the time after which none is begun.
const RETRIES_MAX: usize = 8;
const RETRY_TIMEOUT: Duration = Duration::from_secs(120);

/// Everything needed to reach a bucket, merged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) path_style_access: Option<bool>,
    credentials: Option<Credentials>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Credentials {
    access_key_id: Secret,
    secret_access_key: Secret,
    session_token: Option<Secret>,
}

impl Settings {
    /// Merges the operator's settings over those that came with the table.
    pub(super) fn merge(config: &StorageConfig, table_config: &HashMap<String, String>) -> Self {
        let sent = |key: &str| table_config.get(key).filter(|value| !value.is_empty());
        Self {
            endpoint: config.endpoint.clone().or_else(|| sent("s3.endpoint").cloned()),
            region: config.region.clone().or_else(|| sent("client.region").or_else(|| sent("s3.region")).cloned()),
            path_style_access: config
                .path_style_access
                .or_else(|| sent("s3.path-style-access").and_then(|value| value.parse().ok())),
            credentials: Credentials::of_operator(config).or_else(|| Credentials::of_table(&sent)),
        }
    }

    /// The secrets that no error text may carry.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let Some(credentials) = &self.credentials else { return Vec::new() };
        let mut secrets = vec![credentials.access_key_id.clone(), credentials.secret_access_key.clone()];
        secrets.extend(credentials.session_token.clone());
        secrets
    }

    /// The client of one bucket.
    pub(super) fn connect(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
        let mut builder = match &self.credentials {
            None => AmazonS3Builder::from_env(),
            Some(credentials) => {
                let builder = AmazonS3Builder::new()
                    .with_access_key_id(credentials.access_key_id.expose())
                    .with_secret_access_key(credentials.secret_access_key.expose());
                match &credentials.session_token {
                    None => builder,
                    Some(token) => builder.with_token(token.expose()),
                }
            }
        };
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        let mut allow_http = false;
        if let Some(endpoint) = &self.endpoint {
            allow_http = endpoint.starts_with("http://");
            let path_style = self.path_style_access.unwrap_or(true);
            builder = builder
                .with_endpoint(if path_style { trimmed(endpoint) } else { with_bucket(endpoint, bucket) })
                .with_virtual_hosted_style_request(!path_style);
        } else if let Some(path_style) = self.path_style_access {
            builder = builder.with_virtual_hosted_style_request(!path_style);
        }
        let store = builder
            .with_bucket_name(bucket)
            .with_allow_http(allow_http)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_client_options(
                ClientOptions::new()
                    .with_allow_http(allow_http)
                    .with_timeout(REQUEST_TIMEOUT)
                    .with_connect_timeout(CONNECT_TIMEOUT),
            )
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: RETRIES_MAX,
                retry_timeout: RETRY_TIMEOUT,
            })
            .build()?;
        Ok(Arc::new(store))
    }
}

impl Credentials {
    fn of_operator(config: &StorageConfig) -> Option<Self> {
        Some(Self {
            access_key_id: config.access_key_id.clone()?,
            secret_access_key: config.secret_access_key.clone()?,
            session_token: config.session_token.clone(),
        })
    }

    fn of_table<'a>(sent: &impl Fn(&str) -> Option<&'a String>) -> Option<Self> {
        Some(Self {
            access_key_id: Secret::new(sent("s3.access-key-id")?),
            secret_access_key: Secret::new(sent("s3.secret-access-key")?),
            session_token: sent("s3.session-token").map(Secret::new),
        })
    }
}

fn trimmed(endpoint: &str) -> String {
    endpoint.trim_end_matches('/').to_owned()
}

/// The endpoint with the bucket in its host name, as virtual-hosted access wants it.
fn with_bucket(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) => format!("{scheme}://{bucket}.{}", trimmed(host)),
        None => trimmed(endpoint),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn table_config(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_operators_values_win_and_the_tables_fill_the_rest() {
        let config = StorageConfig { endpoint: Some("http://mine:9000".into()), ..StorageConfig::default() };
        let sent = table_config(&[
            ("s3.endpoint", "http://theirs:9000"),
            ("client.region", "eu-west-1"),
            ("s3.path-style-access", "false"),
        ]);
        let settings = Settings::merge(&config, &sent);
        assert_eq!(settings.endpoint.as_deref(), Some("http://mine:9000"));
        assert_eq!(settings.region.as_deref(), Some("eu-west-1"));
        assert_eq!(settings.path_style_access, Some(false));
    }

    #[test]
    fn a_vended_session_token_is_not_joined_to_the_operators_key() {
        let config = StorageConfig {
            access_key_id: Some(Secret::new("mine")),
            secret_access_key: Some(Secret::new("my secret")),
            ..StorageConfig::default()
        };
        let sent = table_config(&[
            ("s3.access-key-id", "theirs"),
            ("s3.secret-access-key", "their secret"),
            ("s3.session-token", "their token"),
        ]);
        let mine = Settings::merge(&config, &sent).credentials.unwrap();
        assert_eq!(mine.access_key_id.expose(), "mine");
        assert_eq!(mine.session_token, None);
        let vended = Settings::merge(&StorageConfig::default(), &sent);
        assert_eq!(vended.secrets().len(), 3);
    }

    #[test]
    fn virtual_hosted_access_puts_the_bucket_into_the_host() {
        assert_eq!(with_bucket("https://s3.example.org/", "b"), "https://b.s3.example.org");
    }
}
