//! `/metrics` for Prometheus and `/health` for whoever watches the process, over HTTP. There is no log-in and nothing secret.
//!
//! Started by [`super::run`] when the file asks for it; ends when it is dropped.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use chrono::Utc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::RunError;
use super::metrics::Metrics;

/// A server that ends when it is dropped.
#[derive(Debug)]
pub(super) struct Endpoint(JoinHandle<()>);

impl Endpoint {
    /// Listens.
    ///
    /// # Errors
    /// [`RunError::Listen`].
    pub(super) async fn start(address: SocketAddr, metrics: Arc<Metrics>) -> Result<Self, RunError> {
        let refused = |source| RunError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        tracing::info!(%address, "metrics are served");
        let routes = Router::new().route("/metrics", get(page)).route("/health", get(|| async { "ok\n" }));
        let routes = routes.with_state(metrics);
        Ok(Self(tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the server of the metrics ended");
            }
        })))
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn page(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.text(Utc::now().timestamp_millis()))
}
