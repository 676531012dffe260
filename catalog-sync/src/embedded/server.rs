//! The HTTP side: which route is whose, limits, and what all answers have in common.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::ORIGIN;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::error::ApiError;
use super::routes::{config, namespaces, tables};
use super::table::Catalog;

/// Largest request body.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest work on one request; a commit that takes longer goes on, its client is told that the outcome is unknown.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What this catalog can do, as the specification spells it. Clients do not try what is not in this list.
pub(super) const ENDPOINTS: [&str; 16] = [
    "GET /v1/{prefix}/namespaces",
    "POST /v1/{prefix}/namespaces",
    "GET /v1/{prefix}/namespaces/{namespace}",
    "HEAD /v1/{prefix}/namespaces/{namespace}",
    "DELETE /v1/{prefix}/namespaces/{namespace}",
    "POST /v1/{prefix}/namespaces/{namespace}/properties",
    "GET /v1/{prefix}/namespaces/{namespace}/tables",
    "POST /v1/{prefix}/namespaces/{namespace}/tables",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "DELETE /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "POST /v1/{prefix}/namespaces/{namespace}/register",
    "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}/metrics",
    "POST /v1/{prefix}/tables/rename",
    "GET /v1/config",
];

/// All routes over one catalog.
pub(super) fn router(catalog: Arc<Catalog>) -> Router {
    let namespace = get(namespaces::load).head(namespaces::exists).delete(namespaces::drop);
    let table = get(tables::load).head(tables::exists).post(tables::commit).delete(tables::drop);
    Router::new()
        .route("/v1/config", get(config::config))
        .route("/v1/namespaces", get(namespaces::list).post(namespaces::create))
        .route("/v1/namespaces/{namespace}", namespace)
        .route("/v1/namespaces/{namespace}/properties", post(namespaces::update))
        .route("/v1/namespaces/{namespace}/tables", get(tables::list).post(tables::create))
        .route("/v1/namespaces/{namespace}/tables/{table}", table)
        .route("/v1/namespaces/{namespace}/tables/{table}/metrics", post(tables::report_metrics))
        .route("/v1/namespaces/{namespace}/register", post(tables::register))
        .route("/v1/tables/rename", post(tables::rename))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(guard))
        .with_state(catalog)
}

async fn unknown(request: Request) -> ApiError {
    ApiError::unsupported(format!("this catalog has no {} {}", request.method(), request.uri().path()))
}

/// Around every request: a time limit, a log line, and no web pages.
async fn guard(request: Request, next: Next) -> Response {
    // There is no log-in. A catalog client never sends an origin; a page in the user's browser always does.
    if request.headers().contains_key(ORIGIN) {
        return ApiError::forbidden("the catalog does not answer web pages").into_response();
    }
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::timeout("no answer within the time limit; load the table to see").into_response(),
    };
    let status = response.status().as_u16();
    tracing::debug!(%method, path, status, took_ms = began.elapsed().as_millis(), "catalog request");
    response
}
