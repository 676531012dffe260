//! The catalog over real HTTP, as a client sees it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod commits;
mod resources;

use std::path::Path;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::{EmbeddedCatalog, EmbeddedOptions};

struct Server {
    catalog: EmbeddedCatalog,
    client: Client,
}

impl Server {
    async fn start(dir: &Path) -> Self {
        Self { catalog: EmbeddedCatalog::start(EmbeddedOptions::below(dir)).await.unwrap(), client: Client::new() }
    }

    /// With a namespace `ns` and a table `t` in it.
    async fn with_table(dir: &Path) -> (Self, Value) {
        let server = Self::start(dir).await;
        let (status, _) = server.post("/v1/namespaces", json!({"namespace": ["ns"]})).await;
        assert_eq!(status, 200);
        let (status, created) = server.post("/v1/namespaces/ns/tables", table_request("t", false)).await;
        assert_eq!(status, 200, "{created}");
        (server, created)
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.catalog.uri()));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::POST, path, Some(body)).await
    }

    async fn delete(&self, path: &str) -> (u16, Value) {
        self.send(Method::DELETE, path, None).await
    }

    async fn commit(&self, requirements: Value, updates: Value) -> (u16, Value) {
        let body = json!({"requirements": requirements, "updates": updates});
        self.post("/v1/namespaces/ns/tables/t", body).await
    }
}

fn schema() -> Value {
    json!({"type": "struct", "schema-id": 0, "fields": [
        {"id": 1, "name": "id", "type": "long", "required": false},
        {"id": 2, "name": "at", "type": "timestamptz", "required": false}]})
}

fn spec() -> Value {
    json!({"fields": [{"source-id": 2, "field-id": 1000, "name": "at_day", "transform": "day"}]})
}

fn table_request(name: &str, staged: bool) -> Value {
    json!({"name": name, "schema": schema(), "partition-spec": spec(), "stage-create": staged,
           "properties": {"format-version": "2", "a": "b"}})
}

/// A snapshot on top of `parent`, made the branch `main`.
fn append(id: i64, parent: Option<i64>, sequence_number: i64) -> Value {
    let mut snapshot = json!({"snapshot-id": id, "sequence-number": sequence_number,
        "timestamp-ms": chrono::Utc::now().timestamp_millis(), "schema-id": 0,
        "manifest-list": format!("file:///nowhere/{id}.avro"), "summary": {"operation": "append"}});
    if let Some(parent) = parent {
        snapshot["parent-snapshot-id"] = json!(parent);
    }
    json!([{"action": "add-snapshot", "snapshot": snapshot},
           {"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": id}])
}

fn main_is(snapshot_id: Option<i64>) -> Value {
    json!([{"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": snapshot_id}])
}

/// The updates of a creating commit, as clients derive them from a staged table.
fn creation(staged: &Value) -> Value {
    let metadata = &staged["metadata"];
    json!([{"action": "assign-uuid", "uuid": metadata["table-uuid"]},
           {"action": "upgrade-format-version", "format-version": 2},
           {"action": "add-schema", "schema": metadata["schemas"][0]},
           {"action": "set-current-schema", "schema-id": -1},
           {"action": "add-spec", "spec": metadata["partition-specs"][0]},
           {"action": "set-default-spec", "spec-id": -1},
           {"action": "add-sort-order", "sort-order": metadata["sort-orders"][0]},
           {"action": "set-default-sort-order", "sort-order-id": -1},
           {"action": "set-location", "location": metadata["location"]},
           {"action": "set-properties", "updates": metadata["properties"]}])
}

fn assert_refused((status, answer): &(u16, Value), expected: u16, kind: &str) {
    assert_eq!((*status, &answer["error"]["type"]), (expected, &json!(kind)), "{answer}");
    assert_eq!(answer["error"]["code"], json!(expected));
    assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
}

fn metadata_files(table: &Value) -> usize {
    let location = table["metadata"]["location"].as_str().unwrap().strip_prefix("file://").unwrap().to_owned();
    std::fs::read_dir(format!("{location}/metadata")).unwrap().count()
}
