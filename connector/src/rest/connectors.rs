//! `/connectors` and below, with Kafka Connect's paths, statuses and JSON.
//!
//! Changes run in a task of their own: a client that hangs up does not leave one half done.

use std::future::Future;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::guard::JsonBytes;
use super::registry::{Entry, Registry, RegistryError};
use super::submission::{Config, Submission, json_error};
use crate::config::{shown, values};
use crate::runtime::{ConnectorHandle, State as RunState, TaskStatus};

type Shared = State<Arc<Registry>>;
type Answer = Result<Json<Value>, ApiError>;

/// Runs a change to its end, whoever still waits for it.
async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, RegistryError>> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::spawn(change).await {
        Ok(done) => Ok(done?),
        Err(died) => {
            tracing::error!(%died, "a change of a connector broke off");
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "the change broke off; see the worker's log"))
        }
    }
}

fn state_name(state: RunState) -> &'static str {
    match state {
        RunState::Unassigned => "UNASSIGNED",
        RunState::Running => "RUNNING",
        RunState::Failed => "FAILED",
        RunState::Restarting => "RESTARTING",
    }
}

fn task_ids(entry: &Entry) -> Vec<Value> {
    let name = &entry.submission.name;
    entry.status().tasks.iter().map(|task| json!({"connector": name, "task": task.id})).collect()
}

fn info(entry: &Entry) -> Value {
    json!({
        "name": entry.submission.name,
        "config": shown(&entry.submission.config),
        "tasks": task_ids(entry),
        "type": "sink",
    })
}

fn with_trace(mut state: Map<String, Value>, trace: Option<&String>) -> Value {
    if let Some(trace) = trace {
        state.insert("trace".into(), json!(trace));
    }
    Value::Object(state)
}

fn state_of(state: RunState, worker_id: &str) -> Map<String, Value> {
    Map::from_iter([("state".into(), json!(state_name(state))), ("worker_id".into(), json!(worker_id))])
}

fn status(entry: &Entry, worker_id: &str) -> Value {
    let status = entry.status();
    let task = |task: &TaskStatus| {
        let mut state = state_of(task.state, worker_id);
        state.insert("id".into(), json!(task.id));
        with_trace(state, task.trace.as_ref())
    };
    json!({
        "name": entry.submission.name,
        "connector": with_trace(state_of(status.state, worker_id), status.trace.as_ref()),
        "tasks": status.tasks.iter().map(task).collect::<Vec<_>>(),
        "type": "sink",
    })
}

/// `GET /connectors`: names, or with `?expand=info&expand=status` a map of what is asked for.
pub(super) async fn list(State(registry): Shared, RawQuery(query): RawQuery) -> Json<Value> {
    let query = query.unwrap_or_default();
    let parts: Vec<&str> = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("expand="))
        .flat_map(|value| value.split(',').flat_map(|part| part.split("%2C")))
        .collect();
    if parts.is_empty() {
        return Json(json!(registry.names()));
    }
    let mut all = Map::new();
    for entry in registry.all() {
        let mut one = Map::new();
        if parts.contains(&"info") {
            one.insert("info".into(), info(&entry));
        }
        if parts.contains(&"status") {
            one.insert("status".into(), status(&entry, &registry.worker().worker_id));
        }
        all.insert(entry.submission.name, Value::Object(one));
    }
    Json(Value::Object(all))
}

/// `POST /connectors`.
pub(super) async fn create(
    State(registry): Shared,
    JsonBytes(body): JsonBytes,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Value>), ApiError> {
    let submission = Submission::from_json(&body).map_err(ApiError::bad_request)?;
    let entry = to_the_end(async move { registry.create(submission).await }).await?;
    let place = format!("/connectors/{}", utf8_percent_encode(&entry.submission.name, NON_ALPHANUMERIC));
    Ok((StatusCode::CREATED, [(LOCATION, place)], Json(info(&entry))))
}

/// `GET /connectors/{name}`.
pub(super) async fn get(State(registry): Shared, Path(name): Path<String>) -> Answer {
    Ok(Json(info(&registry.get(&name)?)))
}

/// `DELETE /connectors/{name}`.
pub(super) async fn delete(State(registry): Shared, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    to_the_end(async move { registry.delete(&name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /connectors/{name}/config`.
pub(super) async fn get_config(State(registry): Shared, Path(name): Path<String>) -> Answer {
    Ok(Json(json!(shown(&registry.get(&name)?.submission.config))))
}

/// `PUT /connectors/{name}/config`: registers it, or stops it and starts it with the new configuration.
pub(super) async fn put_config(
    State(registry): Shared,
    Path(name): Path<String>,
    JsonBytes(body): JsonBytes,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let Config(config) = serde_json::from_slice(&body).map_err(|error| ApiError::bad_request(json_error(&error)))?;
    let submission = Submission::new(name, config);
    let (entry, created) = to_the_end(async move { registry.replace(submission, true).await }).await?;
    let code = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((code, Json(info(&entry))))
}

/// `GET /connectors/{name}/status`.
pub(super) async fn get_status(State(registry): Shared, Path(name): Path<String>) -> Answer {
    let Ok(entry) = registry.get(&name) else {
        let name = values::excerpt(&name);
        return Err(ApiError::new(StatusCode::NOT_FOUND, format!("No status found for connector {name}")));
    };
    Ok(Json(status(&entry, &registry.worker().worker_id)))
}

/// `POST /connectors/{name}/restart`: always the connector with all its tasks.
pub(super) async fn restart(State(registry): Shared, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    to_the_end(async move { registry.restart(&name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /connectors/{name}/tasks`.
pub(super) async fn tasks(State(registry): Shared, Path(name): Path<String>) -> Answer {
    let entry = registry.get(&name)?;
    let config = shown(&entry.submission.config);
    let tasks: Vec<Value> = task_ids(&entry).into_iter().map(|id| json!({"id": id, "config": config})).collect();
    Ok(Json(json!(tasks)))
}

/// `GET /connectors/{name}/tasks/{task}/status`.
pub(super) async fn task_status(State(registry): Shared, Path((name, task)): Path<(String, String)>) -> Answer {
    let entry = registry.get(&name)?;
    let status = status(&entry, &registry.worker().worker_id);
    let number: Option<u32> = task.parse().ok();
    let found = status["tasks"]
        .as_array()
        .and_then(|all| all.iter().find(|one| number.is_some() && one["id"] == json!(number)));
    let missing = || {
        let (name, task) = (values::excerpt(&name), values::excerpt(&task));
        ApiError::new(StatusCode::NOT_FOUND, format!("No status found for task {name}-{task}"))
    };
    Ok(Json(found.cloned().ok_or_else(missing)?))
}

/// `GET /connectors/{name}/topics`: the topics that it is configured to read.
pub(super) async fn topics(State(registry): Shared, Path(name): Path<String>) -> Answer {
    let entry = registry.get(&name)?;
    let topics = entry.submission.config.get("topics").map(String::as_str).unwrap_or_default();
    let topics: Vec<&str> = topics.split(',').map(str::trim).filter(|topic| !topic.is_empty()).collect();
    Ok(Json(json!({name: {"topics": topics}})))
}

/// `GET /connectors/{name}/offsets`: the table's position, which is the only truth there is.
pub(super) async fn offsets(State(registry): Shared, Path(name): Path<String>) -> Answer {
    let entry = registry.get(&name)?;
    let position = entry.handle().and_then(ConnectorHandle::position).unwrap_or_default();
    let mut offsets = Vec::new();
    for (topic, at) in &position.topics {
        for (partition, at) in &at.partitions {
            offsets.push(json!({
                "partition": {"kafka_topic": topic, "kafka_partition": partition},
                "offset": {"kafka_offset": at.next.get()},
            }));
        }
    }
    Ok(Json(json!({"offsets": offsets})))
}
