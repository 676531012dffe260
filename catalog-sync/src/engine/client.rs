//! A client of Trino's statement API: one statement, run to its end.
//!
//! `POST /v1/statement`, then `nextUri` until there is none. A busy server's 502, 503 and 504 are asked again, as the protocol has it.
//! A password goes over HTTPS only, and `nextUri` is followed on the same server only, so that nobody else ever sees it.
//! Called by [`super::trino`].

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use tokio::time::Instant;

use crate::catalog::backoff;
use crate::secret::Secret;

/// Longest wait for one answer; the server gives an empty page long before.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// Times that one page is asked for.
const TRIES: u32 = 20;

/// Where Trino is, and who asks.
#[derive(Debug, Clone)]
pub struct Server {
    /// Address, `http://host:port` or `https://…`.
    pub uri: String,
    /// The user.
    pub user: String,
    /// Their password; HTTPS only.
    pub password: Option<Secret>,
    /// Longest time for one statement.
    pub statement_timeout: Duration,
}

/// A statement did not run to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrinoError {
    /// The address or the password cannot be used.
    #[error("{0}")]
    Config(String),
    /// Trino cannot be spoken to, or answers what is no answer of its own. What became of the statement is not known.
    #[error("trino at {server}: {detail}")]
    Unavailable {
        /// Address.
        server: String,
        /// What happened.
        detail: String,
    },
    /// Trino refused the statement or gave it up.
    #[error("trino: {name}: {message}")]
    Failed {
        /// Stable name, such as `ICEBERG_COMMIT_ERROR`.
        name: String,
        /// For people.
        message: String,
    },
    /// It took too long and was told to end.
    #[error("trino at {server}: the statement took longer than {} s, and was cancelled", limit.as_secs())]
    TooLong {
        /// Address.
        server: String,
        /// What it may take.
        limit: Duration,
    },
}

impl TrinoError {
    /// Whether the statement lost a race against another commit, so that it may be tried again. On a catalog that shows one snapshot
    /// only (Nessie), Trino notices that by not finding the snapshot that it began with, and has no better name for it than an
    /// internal error.
    #[must_use]
    pub fn is_lost_race(&self) -> bool {
        let Self::Failed { name, message } = self else { return false };
        let is_snapshot_gone = name == "GENERIC_INTERNAL_ERROR" && message.contains("iceberg.Snapshot");
        is_snapshot_gone || ["ICEBERG_COMMIT_ERROR", "TRANSACTION_CONFLICT"].contains(&name.as_str())
    }
}

/// A connection to one server.
#[derive(Debug)]
pub struct Trino {
    http: Client,
    server: Server,
    url: Url,
    session: Vec<(String, String)>,
}

/// One page of an answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    next_uri: Option<String>,
    error: Option<Failure>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    #[serde(default)]
    error_name: String,
    #[serde(default)]
    message: String,
}

impl Trino {
    /// A client whose statements run with these session properties; nothing is asked yet.
    ///
    /// # Errors
    /// [`TrinoError::Config`].
    pub fn new(server: Server, session: Vec<(String, String)>) -> Result<Self, TrinoError> {
        let wrong = |why: &str| TrinoError::Config(format!("trino address {:?} {why}", server.uri));
        let url = Url::parse(&server.uri).map_err(|error| wrong(&format!("is none: {error}")))?;
        match url.scheme() {
            "https" => {}
            "http" if server.password.is_none() => {}
            "http" => return Err(wrong("is not https://, and a password is sent over HTTPS only")),
            _ => return Err(wrong("begins with neither http:// nor https://")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            // Not repeated: there may be a password in it.
            let why = "the trino address has a user in it; use --trino-user and TRINO_PASSWORD";
            return Err(TrinoError::Config(why.to_owned()));
        }
        let http = Client::builder()
            .timeout(ANSWER_MAX)
            .connect_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| TrinoError::Config(format!("cannot make an HTTP client: {error}")))?;
        Ok(Self { http, server, url, session })
    }

    /// Runs a statement to its end; its rows are not looked at. Dropped in the middle, the server gives it up after some
    /// minutes, or has done it.
    ///
    /// # Errors
    /// [`TrinoError`].
    pub async fn execute(&self, sql: &str) -> Result<(), TrinoError> {
        let statement = self.url.join("/v1/statement").map_err(|error| self.unavailable(&error))?;
        let until = Instant::now() + self.server.statement_timeout;
        let mut page = self.page(self.request(Method::POST, statement).body(sql.to_owned()), false).await?;
        loop {
            if let Some(Failure { error_name, message }) = page.error {
                return Err(TrinoError::Failed { name: error_name, message });
            }
            let Some(next) = page.next_uri else { return Ok(()) };
            let next = self.on_this_server(&next)?;
            if Instant::now() >= until {
                // If that fails, Trino ends it by itself, since nobody asks for it any more.
                let _ = self.request(Method::DELETE, next).send().await;
                let (server, limit) = (self.server.uri.clone(), self.server.statement_timeout);
                return Err(TrinoError::TooLong { server, limit });
            }
            page = self.page(self.request(Method::GET, next), true).await?;
        }
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let mut request = self.http.request(method, url).header("X-Trino-User", &self.server.user);
        request = request.header("X-Trino-Source", "catalog-sync");
        if !self.session.is_empty() {
            let pairs: Vec<String> = self.session.iter().map(|(key, value)| format!("{key}={value}")).collect();
            request = request.header("X-Trino-Session", pairs.join(","));
        }
        match &self.server.password {
            Some(password) => request.basic_auth(&self.server.user, Some(password.expose())),
            None => request,
        }
    }

    /// One page; `is_page` if it is not the statement itself that is sent.
    async fn page(&self, request: RequestBuilder, is_page: bool) -> Result<Page, TrinoError> {
        let mut last = String::new();
        for attempt in 0..TRIES {
            let Some(request) = request.try_clone() else { break };
            let answer = match request.send().await {
                Ok(answer) => answer,
                // A page is kept for another try; a statement that was sent may have arrived.
                Err(error) if is_page => {
                    last = error.without_url().to_string();
                    tokio::time::sleep(backoff(attempt)).await;
                    continue;
                }
                Err(error) => return Err(self.unavailable(&error.without_url())),
            };
            match answer.status() {
                StatusCode::OK => return answer.json().await.map_err(|error| self.unavailable(&error.without_url())),
                StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS => {
                    last = format!("status {}", answer.status());
                    tokio::time::sleep(backoff(attempt)).await;
                }
                status => {
                    let text: String = answer.text().await.unwrap_or_default().chars().take(300).collect();
                    return Err(self.unavailable(&format!("status {status}: {}", text.trim())));
                }
            }
        }
        Err(self.unavailable(&format!("{last}, {TRIES} times")))
    }

    fn on_this_server(&self, next: &str) -> Result<Url, TrinoError> {
        let of = |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default());
        let url = Url::parse(next).map_err(|error| self.unavailable(&error))?;
        if of(&url) != of(&self.url) {
            let why = "its next page is on another server; behind a proxy, let it send X-Forwarded-* and set \
                       http-server.process-forwarded=true";
            return Err(self.unavailable(&why));
        }
        Ok(url)
    }

    fn unavailable(&self, detail: &impl ToString) -> TrinoError {
        TrinoError::Unavailable { server: self.server.uri.clone(), detail: detail.to_string() }
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
