//! `GET /v1/config`: what a client has to know before it asks anything else.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::embedded::server::ENDPOINTS;
use crate::embedded::table::Catalog;

/// The warehouse that a client may name is not looked at: there is one.
pub(in crate::embedded) async fn config(State(catalog): State<Arc<Catalog>>) -> Json<Value> {
    Json(json!({"defaults": catalog.client_config, "overrides": {}, "endpoints": ENDPOINTS}))
}
