//! `/connector-plugins`: the one plugin, its keys, and `validate`, which never leaves the process.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::error::ApiError;
use super::guard::JsonBytes;
use super::submission::{Config, json_error};
use crate::config::keys::{Absent, CLASSES, KEYS, Key, find};
use crate::config::values::excerpt;
use crate::config::{ConfigProblem, problems, shown};

/// `GET /connector-plugins`.
pub(super) async fn list() -> Json<Value> {
    Json(json!([{"class": CLASSES[0], "type": "sink", "version": env!("CARGO_PKG_VERSION")}]))
}

fn known(plugin: &str) -> Result<(), ApiError> {
    if CLASSES.contains(&plugin) {
        return Ok(());
    }
    let text = format!("Unknown connector plugin {}; the one here is {}", excerpt(plugin), CLASSES[0]);
    Err(ApiError::new(StatusCode::NOT_FOUND, text))
}

fn definition(order: usize, key: &Key) -> Value {
    json!({
        "name": key.name,
        "type": key.kind.as_str(),
        "required": key.absent == Absent::Required,
        "default_value": key.default(),
        "importance": key.importance.as_str(),
        "documentation": key.doc,
        "group": key.group,
        "order": order,
        "width": "MEDIUM",
        "display_name": key.name,
        "dependents": [],
    })
}

/// `GET /connector-plugins/{plugin}/config`.
pub(super) async fn config(Path(plugin): Path<String>) -> Result<Json<Value>, ApiError> {
    known(&plugin)?;
    Ok(Json(KEYS.iter().enumerate().map(|(order, key)| definition(order, key)).collect()))
}

/// `PUT /connector-plugins/{plugin}/config/validate`.
pub(super) async fn validate(Path(plugin): Path<String>, JsonBytes(body): JsonBytes) -> Result<Json<Value>, ApiError> {
    known(&plugin)?;
    let Config(config) = serde_json::from_slice(&body).map_err(|error| ApiError::bad_request(json_error(&error)))?;
    Ok(Json(config_infos(&plugin, &config)))
}

/// Every key with its definition, value and errors; then every other key that was sent.
fn config_infos(plugin: &str, config: &BTreeMap<String, String>) -> Value {
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let name = config.get("name").map_or("", String::as_str);
    for ConfigProblem { key, message } in problems(name, config) {
        // Without a name there is one problem: that it is missing.
        let message =
            if key == "name" && name.is_empty() { "is missing and has no default; set it".into() } else { message };
        let line = format!("{key}: {message}");
        let lines = wrong.entry(key).or_default();
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let error_count = wrong.len();
    let shown = shown(config);
    let mut infos = Vec::new();
    for (order, key) in KEYS.iter().enumerate() {
        let value = shown.get(key.name).map(String::as_str).or(key.default());
        let errors = wrong.remove(key.name).unwrap_or_default();
        let choices = key.check.choices();
        infos.push(json!({
            "definition": definition(order, key),
            "value": {"name": key.name, "value": value, "recommended_values": choices, "errors": errors, "visible": true},
        }));
    }
    for (name, errors) in wrong {
        infos.push(json!({
            "definition": null,
            "value": {"name": name, "value": null, "recommended_values": [], "errors": errors, "visible": true},
        }));
    }
    for (name, value) in shown.iter().filter(|(name, _)| find(name).is_some_and(|key| key.family().is_some())) {
        infos.push(json!({
            "definition": null,
            "value": {"name": name, "value": value, "recommended_values": [], "errors": [], "visible": true},
        }));
    }
    let mut groups: Vec<&str> = KEYS.iter().map(|key| key.group).collect();
    groups.dedup();
    json!({"name": plugin, "error_count": error_count, "groups": groups, "configs": infos})
}
