//! The Iceberg REST client: one attempt per call, statuses turned into typed outcomes.
//!
//! The `iceberg-catalog-rest` crate's own client re-sends and folds "unknown" into a text, so it serves here for its
//! wire types only. The catalog's `overrides.uri` is followed only upwards on the same server (Nessie's branches), and redirects
//! are off: the server that the operator named is the only one that ever sees the token. Called by the committer, by table creation, and by the commands.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::TableIdent;
use iceberg_catalog_rest::LoadTableResult;
use protocol::Outcome;
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::ancestors::Ancestry;
use super::config::CatalogConfig;
use super::error::CatalogError;
use super::table::LoadedTable;

/// Separator of namespace levels inside one path segment, by the specification.
pub(super) const LEVELS: &str = "\u{1f}";
/// Times that a table is loaded in one go because its history had to be asked for.
const LOOKS_MAX: u32 = 4;

/// A connection to one catalog and warehouse.
#[derive(Debug, Clone)]
pub struct CatalogClient {
    http: reqwest::Client,
    pub(super) base: String,
    /// Begins with a slash, or is empty.
    pub(super) prefix: String,
    config: CatalogConfig,
    /// What the catalog says about itself and its storage, weaker than what it says about a table.
    pub(super) properties: HashMap<String, String>,
    /// Former states of a table, for the next load; see [`super::ancestors`].
    pub(super) ancestry: Arc<Mutex<Ancestry>>,
}

#[derive(Deserialize)]
struct ConfigAnswer {
    #[serde(default)]
    defaults: HashMap<String, String>,
    #[serde(default)]
    overrides: HashMap<String, String>,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    message: String,
}

impl CatalogClient {
    /// Asks the catalog for its configuration.
    ///
    /// # Errors
    /// [`CatalogError`]: not reachable, not an Iceberg catalog, or no such warehouse.
    pub async fn connect(config: CatalogConfig) -> Result<Self, CatalogError> {
        let http = reqwest::Client::builder()
            .timeout(config.timeout)
            .connect_timeout(config.timeout.min(std::time::Duration::from_secs(10)))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("clickstream-lakehouse/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| CatalogError::Config(format!("cannot make an HTTP client: {error}")))?;
        let base = config.uri.trim_end_matches('/').to_owned();
        let (properties, ancestry) = (HashMap::new(), Arc::default());
        let mut client = Self { http, base, prefix: String::new(), config, properties, ancestry };
        let mut url = format!("{}/v1/config", client.base);
        if let Some(warehouse) = &client.config.warehouse {
            url = format!("{url}?warehouse={}", encode(warehouse));
        }
        let answer: ConfigAnswer = client.json("read its configuration", Method::GET, &url, None).await?;
        client.properties = answer.defaults;
        client.properties.extend(answer.overrides);
        // Nessie takes a branch in the address of its configuration, and gives the address without it for everything else.
        let given = client.properties.get("uri").map(|uri| uri.trim_end_matches('/'));
        if let Some(root) = given.filter(|root| is_above(root, &client.base)) {
            client.base = root.to_owned();
        }
        // Nessie's prefix comes percent-encoded already and must be used as it is.
        if let Some(prefix) = client.properties.get("prefix") {
            client.prefix = format!("/{}", prefix.trim_matches('/'));
        }
        Ok(client)
    }

    /// The configuration this was made from.
    #[must_use]
    pub fn config(&self) -> &CatalogConfig {
        &self.config
    }

    /// Makes a namespace, and its parents, if missing.
    ///
    /// # Errors
    /// [`CatalogError`]; a namespace that exists is no error.
    pub async fn ensure_namespace(&self, levels: &[String]) -> Result<(), CatalogError> {
        let url = format!("{}/namespaces", self.root());
        for depth in 1..=levels.len() {
            let namespace = levels.get(..depth).unwrap_or_default();
            let what = format!("create namespace {}", namespace.join("."));
            let body = json!({"namespace": namespace, "properties": {}});
            match self.send(&what, Method::POST, &url, Some(&body)).await {
                Ok(_) | Err(CatalogError::AlreadyExists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Loads a table as it is now, with all the snapshots that the catalog shows.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] when there is no such table.
    pub async fn load_table(&self, ident: &TableIdent) -> Result<LoadedTable, CatalogError> {
        let mut looks = 1;
        loop {
            let loaded = self.fetch(ident).await?;
            let found = self.ancestors(ident, &loaded).await?;
            // A look into the past takes time, and what is loaded grows old; the next look asks for what is new only.
            if !found.asked || looks == LOOKS_MAX {
                return Ok(loaded.with_older(found.ancestors));
            }
            looks += 1;
        }
    }

    /// One load, as the catalog answers it.
    pub(super) async fn fetch(&self, ident: &TableIdent) -> Result<LoadedTable, CatalogError> {
        let what = format!("load table {ident}");
        let url = format!("{}?snapshots=all", self.table_url(ident));
        let loaded: LoadTableResult = self.json(&what, Method::GET, &url, None).await?;
        Ok(self.loaded(ident, loaded))
    }

    /// Begins the creation of a table: the catalog chooses location and uuid, and keeps nothing yet.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyExists`] when the table is there.
    pub async fn stage_table(&self, ident: &TableIdent, mut request: Value) -> Result<LoadedTable, CatalogError> {
        request["name"] = json!(ident.name());
        request["stage-create"] = json!(true);
        let what = format!("create table {ident}");
        let url = format!("{}/tables", self.namespace_url(ident));
        let loaded: LoadTableResult = self.json(&what, Method::POST, &url, Some(&request)).await?;
        Ok(self.loaded(ident, loaded))
    }

    /// Sends one commit, once. There is no retry on any layer: a lost answer stays lost and is resolved by a load.
    /// Not cancellation-safe: dropped after the first poll, the outcome is unknown.
    pub async fn commit_once<B: Serialize + Sync>(&self, ident: &TableIdent, commit: &B) -> Outcome {
        let body = match serde_json::to_value(commit) {
            Ok(body) => body,
            Err(error) => return Outcome::Refused(format!("the commit has no JSON form: {error}")),
        };
        let response = match self.request(Method::POST, &self.table_url(ident), Some(&body)).send().await {
            Ok(response) => response,
            Err(error) => return Outcome::Unknown(describe(&error)),
        };
        let status = response.status();
        let text = match response.text().await {
            Ok(text) => text,
            Err(error) => return Outcome::Unknown(format!("status {status}, then {}", describe(&error))),
        };
        classify_commit(status, &text)
    }

    /// Sends one commit that was made for the table as loaded. Without a snapshot to assert, old Nessie takes the commit
    /// whatever has happened since, so that the address names the loaded Nessie commit, and Nessie compares.
    /// Not cancellation-safe, see [`Self::commit_once`].
    pub async fn commit_on<B: Serialize + Sync>(&self, base: &LoadedTable, commit: &B) -> Outcome {
        let ident = base.ident();
        let Some((reference, hash)) = base.nessie_commit().filter(|_| base.metadata().current_snapshot().is_none())
        else {
            return self.commit_once(ident, commit).await;
        };
        match self.at_commit(reference, hash).commit_once(ident, commit).await {
            // The branch was moved and has no such commit any more: the table has to be loaded again.
            Outcome::Refused(said) if said.contains(hash) => Outcome::Conflict(said),
            outcome => outcome,
        }
    }

    fn loaded(&self, ident: &TableIdent, loaded: LoadTableResult) -> LoadedTable {
        let mut config = self.properties.clone();
        config.extend(loaded.config);
        LoadedTable::new(ident.clone(), loaded.metadata, loaded.metadata_location, config)
    }

    pub(super) fn root(&self) -> String {
        format!("{}/v1{}", self.base, self.prefix)
    }

    fn namespace_url(&self, ident: &TableIdent) -> String {
        let levels: Vec<&str> = ident.namespace().as_ref().iter().map(String::as_str).collect();
        format!("{}/namespaces/{}", self.root(), encode(&levels.join(LEVELS)))
    }

    fn table_url(&self, ident: &TableIdent) -> String {
        format!("{}/tables/{}", self.namespace_url(ident), encode(ident.name()))
    }

    fn request(&self, method: Method, url: &str, body: Option<&Value>) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.config.token {
            request = request.bearer_auth(token.expose());
        }
        for (name, value) in &self.config.headers {
            request = request.header(name, value.expose());
        }
        match body {
            Some(body) => request.json(body),
            None => request,
        }
    }

    async fn send(
        &self,
        what: &str,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> Result<Response, CatalogError> {
        let (uri, what) = (self.base.clone(), what.to_owned());
        let response = match self.request(method, url, body).send().await {
            Ok(response) => response,
            Err(error) => return Err(CatalogError::Unavailable { uri, what, detail: describe(&error) }),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let detail = message_of(&response.text().await.unwrap_or_default());
        Err(match status {
            StatusCode::NOT_FOUND => CatalogError::NotFound { uri, what, detail },
            StatusCode::CONFLICT => CatalogError::AlreadyExists { uri, what, detail },
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                CatalogError::Unavailable { uri, what, detail }
            }
            status if status.is_server_error() => {
                CatalogError::Unavailable { uri, what, detail: format!("status {status}: {detail}") }
            }
            status => CatalogError::Refused { uri, what, status: status.as_u16(), detail },
        })
    }

    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        what: &str,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> Result<T, CatalogError> {
        let response = self.send(what, method, url, body).await?;
        let (uri, what) = (self.base.clone(), what.to_owned());
        let bytes = match response.bytes().await {
            Ok(bytes) => bytes,
            Err(error) => return Err(CatalogError::Unavailable { uri, what, detail: describe(&error) }),
        };
        serde_json::from_slice(&bytes).map_err(|error| CatalogError::Malformed { uri, what, detail: error.to_string() })
    }
}

/// The table of PROTOCOL rule R5: what a status and a body mean for a commit.
fn classify_commit(status: StatusCode, body: &str) -> Outcome {
    let said = || format!("status {status}: {}", message_of(body));
    match status {
        StatusCode::OK | StatusCode::NO_CONTENT => match serde_json::from_str::<Value>(body) {
            Ok(Value::Object(answer)) if answer.contains_key("metadata") => Outcome::Committed,
            _ => Outcome::Unknown(format!("status {status} with a body that is no commit answer")),
        },
        StatusCode::CONFLICT => Outcome::Conflict(said()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Outcome::Unknown(said()),
        status if status.is_client_error() => Outcome::Refused(said()),
        _ => Outcome::Unknown(said()),
    }
}

/// The catalog's own words, shortened; whatever it is, one line.
fn message_of(body: &str) -> String {
    let text =
        serde_json::from_str::<ErrorAnswer>(body).map_or_else(|_| body.to_owned(), |answer| answer.error.message);
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(500).collect()
}

/// The whole chain of a transport error, without the address (which the caller names).
fn describe(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() { "no answer in time".to_owned() } else { "no answer".to_owned() };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Whether an address is that of a folder above another one, on the same server.
fn is_above(root: &str, base: &str) -> bool {
    root.split('/').count() > 3 && base.strip_prefix(root).is_some_and(|below| below.starts_with('/'))
}

/// Percent-encodes all but the unreserved characters.
pub(super) fn encode(segment: &str) -> String {
    const RESERVED: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    percent_encoding::utf8_percent_encode(segment, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_readable_yes_is_committed() {
        let of = |status: u16, body| classify_commit(StatusCode::from_u16(status).unwrap_or_default(), body);
        assert_eq!(of(200, r#"{"metadata-location":"x","metadata":{}}"#), Outcome::Committed);
        for (status, body) in [(200, ""), (200, "{}"), (200, r#"{"metad"#), (204, ""), (202, "")] {
            assert!(matches!(of(status, body), Outcome::Unknown(_)), "{status} {body}");
        }
        for status in [500, 502, 503, 504, 408, 429, 302, 599] {
            assert!(matches!(of(status, ""), Outcome::Unknown(_)), "{status}");
        }
        assert!(matches!(of(409, ""), Outcome::Conflict(_)));
        for status in [400, 401, 403, 404, 422] {
            assert!(matches!(of(status, ""), Outcome::Refused(_)), "{status}");
        }
    }

    #[test]
    fn a_commit_in_an_address_stands_between_branch_and_warehouse() {
        let client = |prefix: &str| CatalogClient {
            http: reqwest::Client::new(),
            base: "http://127.0.0.1:1/iceberg".to_owned(),
            prefix: prefix.to_owned(),
            config: CatalogConfig::new("http://127.0.0.1:1/iceberg"),
            properties: HashMap::new(),
            ancestry: Arc::default(),
        };
        assert_eq!(client("/main%7Cware%2Fhouse").at_commit("main", "1f").prefix, "/main@1f%7Cware%2Fhouse");
        assert_eq!(client("/main").at_commit("a/b", "1f").prefix, "/a%2Fb@1f");
        // Nessie 0.99.0 refuses every commit to an address with %40 in it, and the library must not write it so.
        let url = client("/main%7Cw").at_commit("main", "1f").root();
        assert_eq!(
            reqwest::Url::parse(&url).map(String::from),
            Ok("http://127.0.0.1:1/iceberg/v1/main@1f%7Cw".to_owned())
        );
    }

    #[test]
    fn another_address_is_taken_only_if_it_is_the_folder_above() {
        let base = "http://c:1/iceberg/branch";
        assert!(is_above("http://c:1/iceberg", base));
        for other in ["http://c:1/iceberg/br", "http://c:2/iceberg", "http://c:1", "http://d/iceberg", "http:", base] {
            assert!(!is_above(other, base), "{other}");
        }
    }

    #[test]
    fn error_messages_are_one_short_line() {
        let body = r#"{"error":{"message":"Table\n does not  exist","type":"NoSuchTableException","code":404}}"#;
        assert_eq!(message_of(body), "Table does not exist");
        assert_eq!(message_of(&"x".repeat(9_000)).len(), 500);
    }
}
