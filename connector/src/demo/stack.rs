//! The servers of the demo, each on loopback: broker, catalog, worker with its REST API.
//!
//! They are the production code, only smaller servers around it: the connector is registered with `POST /connectors` as on
//! any worker, and writes through the Iceberg REST catalog. Started in the order in which they need each other, stopped in
//! reverse.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use catalog_sync::embedded::{EmbeddedCatalog, EmbeddedOptions};
use catalog_sync::query::TABLE;
use serde_json::{Value, json};

use super::DemoError;
use super::broker::{Broker, Topic};
use super::lake::{Lake, NAMESPACE};
use super::produce::PARTITIONS;
use crate::config::WorkerConfig;
use crate::rest::{RestOptions, RestServer};

/// The topic that is read.
pub(super) const EVENTS: Topic = ("clickstream_events", PARTITIONS as i32);
/// The topic of what could not become rows.
pub(super) const REJECTS: Topic = ("clickstream_rejects", 1);
/// The connector's name.
pub(super) const CONNECTOR: &str = "clickstream";

/// Longest wait for an answer of the REST API; stopping waits for the last commit.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the servers listen; port 0 takes a free one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) rest: SocketAddr,
    pub(super) catalog: SocketAddr,
}

/// All servers, running.
pub(super) struct Stack {
    pub(super) broker: Broker,
    pub(super) lake: Lake,
    catalog: EmbeddedCatalog,
    rest: Option<RestServer>,
    rest_url: String,
    http: reqwest::Client,
    topic_id: String,
}

impl Stack {
    /// Starts everything over the table in `dir`; the connector is not registered yet.
    pub(super) async fn start(dir: &Path, addresses: Addresses) -> Result<Self, DemoError> {
        let http = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).no_proxy().build();
        let http = http.map_err(|source| DemoError::Http { what: "make a client".to_owned(), source })?;
        let broker = Broker::start(&[EVENTS, REJECTS])?;
        let options = EmbeddedOptions { listen: addresses.catalog, ..EmbeddedOptions::below(dir) };
        let catalog = EmbeddedCatalog::start(options).await.map_err(|error| DemoError::Catalog(error.to_string()))?;
        let lake = Lake::connect(&catalog.uri()).await?;
        let worker = WorkerConfig {
            worker_id: addresses.rest.to_string(),
            bootstrap_servers: broker.bootstrap_servers().to_owned(),
            graceful_shutdown_timeout: ANSWER_TIMEOUT,
        };
        let options = RestOptions { listen: addresses.rest, allowed_hosts: Vec::new(), connectors_dir: None };
        let rest = match RestServer::start(Arc::new(worker), options).await {
            Ok(rest) => rest,
            Err(error) => {
                catalog.stop().await;
                return Err(error.into());
            }
        };
        let topic_id = uuid::Uuid::new_v4().to_string();
        let rest_url = format!("http://{}", rest.addr());
        Ok(Self { broker, lake, catalog, rest: Some(rest), rest_url, http, topic_id })
    }

    /// Address of the worker's REST API.
    pub(super) fn rest_url(&self) -> &str {
        &self.rest_url
    }

    /// Address of the Iceberg REST catalog.
    pub(super) fn catalog_uri(&self) -> String {
        self.catalog.uri()
    }

    /// Identity of this run's topic.
    pub(super) fn topic_id(&self) -> &str {
        &self.topic_id
    }

    /// Registers the connector as any client would. The broker of the demo is a new one at each start, so that a table of an
    /// earlier run first has to be told that another topic takes the place of the one that it was fed from.
    pub(super) async fn register(&self) -> Result<(), DemoError> {
        self.lake.adopt(EVENTS.0, &self.topic_id).await?;
        let config = self.connector_config();
        let what = format!("register the connector at {}/connectors", self.rest_url);
        let request = self.http.post(format!("{}/connectors", self.rest_url)).json(&config);
        answer(what, request).await.map(|_| ())
    }

    /// The broker of the demo has no topic ids, so the topic is named here.
    fn connector_config(&self) -> Value {
        json!({"name": CONNECTOR, "config": {
            "connector.class": "org.apache.iceberg.connect.IcebergSinkConnector",
            "tasks.max": "1",
            "topics": EVENTS.0,
            "iceberg.catalog.type": "rest",
            "iceberg.catalog.uri": self.catalog_uri(),
            "iceberg.tables": format!("{NAMESPACE}.{TABLE}"),
            "iceberg.tables.auto-create-enabled": "true",
            "commit.interval.ms": "1000",
            "errors.tolerance": "all",
            "errors.deadletterqueue.topic.name": REJECTS.0,
            "errors.deadletterqueue.context.headers.enable": "true",
            "position.topic.id": self.topic_id,
        }})
    }

    /// Fails when the connector has: nothing more would come.
    pub(super) async fn check(&self) -> Result<(), DemoError> {
        let what = format!("read the status of connector {CONNECTOR}");
        let request = self.http.get(format!("{}/connectors/{CONNECTOR}/status", self.rest_url));
        let status = answer(what, request).await?;
        let parts = status["tasks"].as_array().into_iter().flatten().chain([&status["connector"]]);
        for part in parts {
            if part["state"] == "FAILED" {
                return Err(DemoError::Failed(part["trace"].as_str().unwrap_or("no trace was given").to_owned()));
            }
        }
        Ok(())
    }

    /// Stops the worker: the connector commits what it has read. The table can still be asked.
    pub(super) async fn stop_worker(&mut self) {
        if let Some(rest) = self.rest.take() {
            rest.stop().await;
        }
    }

    /// Stops what is still running.
    pub(super) async fn stop(mut self) {
        self.stop_worker().await;
        self.catalog.stop().await;
    }
}

/// Sends a request and reads the JSON answer, if it is a good one.
async fn answer(what: String, request: reqwest::RequestBuilder) -> Result<Value, DemoError> {
    let failed = |source| DemoError::Http { what: what.clone(), source };
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    let body = response.text().await.map_err(failed)?;
    if status.is_success() {
        return Ok(serde_json::from_str(&body).unwrap_or(Value::Null));
    }
    Err(DemoError::Refused { what, status: status.as_u16(), body })
}
