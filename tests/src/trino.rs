//! A small client of Trino's statement API: one query, all its rows.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use reqwest::StatusCode;
use serde_json::Value;

/// A Trino server, with catalog `lakehouse` and schema `analytics` as defaults.
#[derive(Debug, Clone)]
pub struct Trino {
    http: reqwest::Client,
    server: String,
}

/// A query that Trino refused or gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    /// Stable name, such as `ICEBERG_COMMIT_ERROR`.
    pub name: String,
    /// For people.
    pub message: String,
    /// Where in Trino it happened.
    pub place: String,
}

impl std::fmt::Display for QueryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "trino: {}: {} (at {})", self.name, self.message, self.place)
    }
}

impl std::error::Error for QueryError {}

/// A row as it came, one JSON value a column.
pub type Row = Vec<Value>;

/// What a query has cost, by Trino's own account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// From the statement to its last row.
    pub elapsed: Duration,
    /// CPU time of all its threads.
    pub cpu: Duration,
    /// Bytes that were read from files.
    pub bytes: u64,
}

impl Trino {
    /// A client; nothing is asked yet.
    #[must_use]
    pub fn new(server: &str) -> Self {
        Self { http: reqwest::Client::new(), server: server.to_owned() }
    }

    /// Runs a statement to its end.
    ///
    /// # Errors
    /// [`QueryError`] when Trino refuses the statement; else that the server cannot be spoken to.
    pub async fn query(&self, sql: &str) -> Result<Vec<Row>> {
        self.costed(sql).await.map(|(rows, _)| rows)
    }

    /// As [`Self::query`], and what it has cost.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn costed(&self, sql: &str) -> Result<(Vec<Row>, Cost)> {
        let started = self.http.post(format!("{}/v1/statement", self.server)).body(sql.to_owned());
        let mut page = self.page(started).await.with_context(|| format!("query {sql}"))?;
        let mut rows = Vec::new();
        loop {
            if let Some(error) = page.get("error") {
                let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
                let frame = error["failureInfo"]["stack"][0].as_str().unwrap_or_default().to_owned();
                let error = QueryError { name: text("errorName"), message: text("message"), place: frame };
                return Err(anyhow!(error).context(format!("query {sql}")));
            }
            for row in page["data"].as_array().into_iter().flatten() {
                rows.push(row.as_array().cloned().unwrap_or_default());
            }
            let Some(next) = page["nextUri"].as_str() else { return Ok((rows, Cost::of(&page["stats"])?)) };
            page = self.page(self.http.get(next)).await.with_context(|| format!("query {sql}"))?;
        }
    }

    /// One page of an answer. A busy server says 502 to 504 and is asked again, as Trino's protocol has it.
    async fn page(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let request = request
            .header("X-Trino-User", "it")
            .header("X-Trino-Catalog", "lakehouse")
            .header("X-Trino-Schema", "analytics")
            .timeout(Duration::from_secs(120));
        for _ in 0..100 {
            let answer = request.try_clone().context("a statement has a body that can be sent again")?.send().await?;
            match answer.status() {
                StatusCode::OK => return Ok(answer.json().await?),
                StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                status => bail!("trino answered {status}: {}", answer.text().await.unwrap_or_default()),
            }
        }
        bail!("trino is too busy to answer");
    }

    /// The one number that a query yields; none for NULL.
    ///
    /// # Errors
    /// As [`Self::query`], or the answer is no single number.
    pub async fn number(&self, sql: &str) -> Result<Option<u64>> {
        let rows = self.query(sql).await?;
        match rows.first().and_then(|row| row.first()) {
            Some(Value::Null) => Ok(None),
            Some(value) => Ok(Some(value.as_u64().with_context(|| format!("{sql} yielded {value}, not a number"))?)),
            None => bail!("{sql} yielded no row"),
        }
    }
}

impl Cost {
    /// Of the statistics that come with the last page.
    fn of(stats: &Value) -> Result<Self> {
        let number = |key: &str| stats[key].as_u64().with_context(|| format!("trino's statistics have no {key}"));
        Ok(Self {
            elapsed: Duration::from_millis(number("elapsedTimeMillis")?),
            cpu: Duration::from_millis(number("cpuTimeMillis")?),
            bytes: number("physicalInputBytes")?,
        })
    }
}

/// The name of the error if Trino itself refused the query.
#[must_use]
pub fn query_error(error: &anyhow::Error) -> Option<&QueryError> {
    error.downcast_ref::<QueryError>()
}
