//! `GET /` and `GET /health`: what this worker is, and whether it lives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::registry::Registry;

/// Longest wait for the brokers; `GET /` is asked by tools that poll.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a failure is believed.
const CLUSTER_RETRY: Duration = Duration::from_secs(30);

/// The cluster's id, asked for once.
#[derive(Debug, Default)]
pub(super) struct Cluster(Mutex<(Option<String>, Option<Instant>)>);

impl Cluster {
    /// None while the brokers do not answer, or want a log-in, which only connectors have.
    async fn id(&self, bootstrap_servers: &str) -> Option<String> {
        let mut known = self.0.lock().await;
        if known.0.is_none() && known.1.is_none_or(|asked| asked.elapsed() > CLUSTER_RETRY) {
            let bootstrap_servers = bootstrap_servers.to_owned();
            let ask = move || {
                let consumer: Result<BaseConsumer, _> =
                    ClientConfig::new().set("bootstrap.servers", bootstrap_servers).set("log_level", "0").create();
                consumer.ok()?.client().fetch_cluster_id(CLUSTER_TIMEOUT)
            };
            known.0 = tokio::task::spawn_blocking(ask).await.ok().flatten();
            known.1 = Some(Instant::now());
        }
        known.0.clone()
    }
}

/// `GET /`.
pub(super) async fn root(State((registry, cluster)): State<(Arc<Registry>, Arc<Cluster>)>) -> Json<Value> {
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": option_env!("CONNECTOR_COMMIT").unwrap_or("unknown"),
        "kafka_cluster_id": cluster.id(&registry.worker().bootstrap_servers).await,
    }))
}

/// `GET /health`: the worker itself; how its connectors are is told by their statuses.
pub(super) async fn health() -> Json<Value> {
    Json(json!({
        "status": "healthy",
        "message": "Worker has completed startup and is ready to handle requests.",
    }))
}
