//! The catalog over real HTTP, as a client sees it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::{EmbeddedCatalog, EmbeddedOptions};
use crate::catalog::StorageConfig;

struct Server {
    catalog: EmbeddedCatalog,
    client: Client,
}

impl Server {
    async fn start(dir: &Path) -> Self {
        let options = EmbeddedOptions {
            dir: dir.to_owned(),
            warehouse: None,
            storage: StorageConfig::default(),
            listen: "127.0.0.1:0".parse().unwrap(),
        };
        Self { catalog: EmbeddedCatalog::start(options).await.unwrap(), client: Client::new() }
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

#[tokio::test]
async fn config_lists_the_endpoints_and_no_credential() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (status, config) = server.get("/v1/config?warehouse=any").await;
    assert_eq!(status, 200);
    assert_eq!(config["overrides"], json!({}));
    let endpoints = config["endpoints"].as_array().unwrap();
    assert!(endpoints.contains(&json!("POST /v1/{prefix}/namespaces/{namespace}/tables/{table}")));
}

#[tokio::test]
async fn namespaces_are_made_nested_changed_and_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let request = json!({"namespace": ["a", "b"], "properties": {"owner": "x"}});
    let (status, created) = server.post("/v1/namespaces", request.clone()).await;
    assert_eq!((status, &created), (200, &request));
    assert_refused(&server.post("/v1/namespaces", request.clone()).await, 409, "AlreadyExistsException");
    assert_eq!(server.get("/v1/namespaces").await.1["namespaces"], json!([["a"]]));
    assert_eq!(server.get("/v1/namespaces?parent=a").await.1["namespaces"], json!([["a", "b"]]));
    assert_eq!(server.get("/v1/namespaces/a%1Fb").await.1, request);

    let update = json!({"removals": ["owner", "none"], "updates": {"k": "v"}});
    let (_, done) = server.post("/v1/namespaces/a%1Fb/properties", update).await;
    assert_eq!(done, json!({"updated": ["k"], "removed": ["owner"], "missing": ["none"]}));
    let both = json!({"removals": ["k"], "updates": {"k": "v"}});
    assert_refused(&server.post("/v1/namespaces/a%1Fb/properties", both).await, 422, "UnprocessableEntityException");

    assert_refused(&server.delete("/v1/namespaces/a").await, 409, "NamespaceNotEmptyException");
    assert_eq!(server.delete("/v1/namespaces/a%1Fb").await.0, 204);
    assert_refused(&server.get("/v1/namespaces/a%1Fb").await, 404, "NoSuchNamespaceException");
    assert_eq!(server.send(Method::HEAD, "/v1/namespaces/a%1Fb", None).await.0, 404);
    assert_eq!(server.send(Method::HEAD, "/v1/namespaces/a", None).await.0, 204);
    for bad in [json!([]), json!([".."]), json!(["a/b"]), json!(["a\u{1f}b"]), json!([""])] {
        assert_refused(&server.post("/v1/namespaces", json!({"namespace": bad})).await, 400, "BadRequestException");
    }
}

#[tokio::test]
async fn a_table_is_made_loaded_listed_and_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (server, created) = Server::with_table(dir.path()).await;
    let (status, loaded) = server.get("/v1/namespaces/ns/tables/t").await;
    assert_eq!(status, 200);
    assert_eq!(loaded, created);
    assert_eq!(loaded["metadata"]["properties"], json!({"a": "b"}));
    let location = loaded["metadata"]["location"].as_str().unwrap();
    assert!(location.starts_with("file:///") && location.ends_with("/warehouse/ns/t"), "{location}");
    let again = server.post("/v1/namespaces/ns/tables", table_request("t", false)).await;
    assert_refused(&again, 409, "AlreadyExistsException");
    let (_, listed) = server.get("/v1/namespaces/ns/tables").await;
    assert_eq!(listed["identifiers"], json!([{"namespace": ["ns"], "name": "t"}]));
    assert_refused(&server.delete("/v1/namespaces/ns").await, 409, "NamespaceNotEmptyException");

    assert_eq!(server.delete("/v1/namespaces/ns/tables/t?purgeRequested=true").await.0, 204);
    assert_refused(&server.delete("/v1/namespaces/ns/tables/t").await, 404, "NoSuchTableException");
    assert_refused(&server.get("/v1/namespaces/ns/tables/t").await, 404, "NoSuchTableException");
    assert_refused(&server.get("/v1/namespaces/no/tables/t").await, 404, "NoSuchNamespaceException");
    assert_refused(&server.commit(json!([]), json!([])).await, 404, "NoSuchTableException");

    let (_, second) = server.post("/v1/namespaces/ns/tables", table_request("t", false)).await;
    assert_ne!(second["metadata"]["location"], created["metadata"]["location"], "two tables share a folder");
}

#[tokio::test]
async fn a_commit_is_applied_when_its_requirements_hold_and_only_then() {
    let dir = tempfile::tempdir().unwrap();
    let (server, created) = Server::with_table(dir.path()).await;
    let uuid = json!([{"type": "assert-table-uuid", "uuid": created["metadata"]["table-uuid"]}]);
    let set = json!([{"action": "set-properties", "updates": {"k": "v"}}]);
    let (status, committed) = server.commit(uuid, set.clone()).await;
    assert_eq!(status, 200, "{committed}");
    assert_eq!(committed["metadata"]["properties"]["k"], json!("v"));
    assert_eq!(committed["metadata"]["metadata-log"][0]["metadata-file"], created["metadata-location"]);

    let wrong = json!([{"type": "assert-table-uuid", "uuid": "00000000-0000-4000-8000-000000000000"}]);
    assert_refused(&server.commit(wrong, set).await, 409, "CommitFailedException");

    assert_eq!(server.commit(main_is(None), append(11, None, 1)).await.0, 200);
    let null_again = server.commit(main_is(None), append(12, Some(11), 2)).await;
    assert_refused(&null_again, 409, "CommitFailedException");
    assert_eq!(server.commit(main_is(Some(11)), append(12, Some(11), 2)).await.0, 200);
    let stale = server.commit(main_is(Some(11)), append(13, Some(11), 3)).await;
    assert_refused(&stale, 409, "CommitFailedException");
    let invalid = server.commit(json!([]), append(13, Some(12), 2)).await;
    assert_refused(&invalid, 400, "ValidationException");

    let (_, all) = server.get("/v1/namespaces/ns/tables/t?snapshots=all").await;
    assert_eq!(all["metadata"]["snapshots"].as_array().unwrap().len(), 2);
    let (_, refs) = server.get("/v1/namespaces/ns/tables/t?snapshots=refs").await;
    assert_eq!(refs["metadata"]["snapshots"].as_array().unwrap().len(), 1);
    assert_eq!(refs["metadata"]["current-snapshot-id"], json!(12));
    let unknown = server.get("/v1/namespaces/ns/tables/t?snapshots=some").await;
    assert_refused(&unknown, 400, "BadRequestException");
    assert_eq!(metadata_files(&all), 4, "one file a commit, none of a refused one");
}

#[tokio::test]
async fn a_staged_table_comes_into_being_by_its_first_commit_and_only_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.post("/v1/namespaces", json!({"namespace": ["ns"]})).await;
    let (status, staged) = server.post("/v1/namespaces/ns/tables", table_request("t", true)).await;
    assert_eq!((status, &staged["metadata-location"]), (200, &Value::Null));
    assert_eq!(server.send(Method::HEAD, "/v1/namespaces/ns/tables/t", None).await.0, 404);

    let mut updates = creation(&staged);
    updates.as_array_mut().unwrap().extend(append(21, None, 1).as_array().unwrap().clone());
    let create = json!([{"type": "assert-create"}]);
    let (status, committed) = server.commit(create.clone(), updates.clone()).await;
    assert_eq!(status, 200, "{committed}");
    let (was, is) = (&staged["metadata"], &committed["metadata"]);
    for key in ["table-uuid", "location", "schemas", "partition-specs", "sort-orders", "properties", "last-column-id"] {
        assert_eq!(was[key], is[key], "{key}");
    }
    for key in ["default-spec-id", "last-partition-id", "default-sort-order-id", "current-schema-id"] {
        assert_eq!(was[key], is[key], "{key}");
    }
    assert_eq!(is["current-snapshot-id"], json!(21));
    assert_refused(&server.commit(create, updates).await, 409, "CommitFailedException");
}

#[tokio::test]
async fn a_creating_commit_keeps_the_field_ids_that_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.post("/v1/namespaces", json!({"namespace": ["ns"]})).await;
    let location = format!("file://{}/warehouse/ns/own", dir.path().canonicalize().unwrap().display());
    let schema = json!({"type": "struct", "schema-id": 0, "fields": [
        {"id": 17, "name": "at", "type": "timestamptz", "required": true}]});
    let order = json!({"order-id": 1, "fields": [
        {"source-id": 17, "transform": "identity", "direction": "asc", "null-order": "nulls-first"}]});
    let updates = json!([{"action": "add-schema", "schema": schema}, {"action": "set-current-schema", "schema-id": -1},
        {"action": "add-spec", "spec": {"fields": [{"source-id": 17, "name": "d", "transform": "day"}]}},
        {"action": "set-default-spec", "spec-id": -1}, {"action": "add-sort-order", "sort-order": order},
        {"action": "set-default-sort-order", "sort-order-id": -1}, {"action": "set-location", "location": location}]);
    let (status, committed) = server.commit(json!([{"type": "assert-create"}]), updates).await;
    assert_eq!(status, 200, "{committed}");
    let metadata = &committed["metadata"];
    assert_eq!(metadata["schemas"][0]["fields"][0]["id"], json!(17));
    assert_eq!(metadata["partition-specs"].as_array().unwrap().len(), 1);
    assert_eq!(metadata["partition-specs"][0]["fields"][0]["field-id"], json!(1000));
    assert_eq!(metadata["sort-orders"].as_array().unwrap().len(), 1);
    assert_eq!((&metadata["last-column-id"], &metadata["last-partition-id"]), (&json!(17), &json!(1000)));
}

#[tokio::test]
async fn of_eight_commits_with_the_same_base_exactly_one_wins_whichever_process_it_asks() {
    let dir = tempfile::tempdir().unwrap();
    let (one, table) = Server::with_table(dir.path()).await;
    let two = Server::start(dir.path()).await;
    let commits = (0..8_i64).map(|i| {
        let server = if i % 2 == 0 { &one } else { &two };
        server.commit(main_is(None), append(100 + i, None, 1))
    });
    let answers = futures::future::join_all(commits).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 1);
    for refused in answers.iter().filter(|(status, _)| *status != 200) {
        assert_refused(refused, 409, "CommitFailedException");
    }
    assert_eq!(metadata_files(&table), 2, "a lost commit left its metadata file");
    let winner = answers.iter().find(|(status, _)| *status == 200).unwrap();
    for server in [&one, &two] {
        let (_, loaded) = server.get("/v1/namespaces/ns/tables/t").await;
        assert_eq!(loaded["metadata-location"], winner.1["metadata-location"]);
    }
}

#[tokio::test]
async fn a_restart_shows_the_same_table() {
    let dir = tempfile::tempdir().unwrap();
    let (server, _) = Server::with_table(dir.path()).await;
    assert_eq!(server.commit(main_is(None), append(1, None, 1)).await.0, 200);
    let before = server.get("/v1/namespaces/ns/tables/t").await;
    server.catalog.stop().await;
    let server = Server::start(dir.path()).await;
    assert_eq!(server.get("/v1/namespaces/ns/tables/t").await, before);
}

#[tokio::test]
async fn a_table_is_renamed_registered_and_its_metrics_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (server, created) = Server::with_table(dir.path()).await;
    server.post("/v1/namespaces", json!({"namespace": ["other"]})).await;
    let rename = json!({"source": {"namespace": ["ns"], "name": "t"},
                        "destination": {"namespace": ["other"], "name": "u"}});
    assert_eq!(server.post("/v1/tables/rename", rename.clone()).await.0, 204);
    assert_refused(&server.post("/v1/tables/rename", rename).await, 404, "NoSuchTableException");
    let (_, renamed) = server.get("/v1/namespaces/other/tables/u").await;
    assert_eq!(renamed["metadata-location"], created["metadata-location"]);

    let register = json!({"name": "v", "metadata-location": created["metadata-location"]});
    let (status, registered) = server.post("/v1/namespaces/ns/register", register.clone()).await;
    assert_eq!((status, &registered["metadata"]), (200, &created["metadata"]));
    let again = server.post("/v1/namespaces/ns/register", register).await;
    assert_refused(&again, 409, "AlreadyExistsException");
    let outside = json!({"name": "w", "metadata-location": "file:///etc/passwd"});
    assert_refused(&server.post("/v1/namespaces/ns/register", outside).await, 400, "BadRequestException");
    assert_eq!(server.post("/v1/namespaces/other/tables/u/metrics", json!({"report-type": "scan"})).await.0, 204);
}

#[tokio::test]
async fn old_metadata_files_are_deleted_when_the_table_asks_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (server, created) = Server::with_table(dir.path()).await;
    let set = |pairs: Value| json!([{"action": "set-properties", "updates": pairs}]);
    let ask = json!({"write.metadata.delete-after-commit.enabled": "true",
                     "write.metadata.previous-versions-max": "2"});
    assert_eq!(server.commit(json!([]), set(ask)).await.0, 200);
    for value in 0..5 {
        assert_eq!(server.commit(json!([]), set(json!({"n": value.to_string()}))).await.0, 200);
    }
    assert_eq!(metadata_files(&created), 3, "the current file and two before it");
    assert_eq!(server.get("/v1/namespaces/ns/tables/t").await.1["metadata"]["properties"]["n"], json!("4"));
}

#[tokio::test]
async fn what_is_not_understood_is_answered_in_the_specifications_form() {
    let dir = tempfile::tempdir().unwrap();
    let (server, _) = Server::with_table(dir.path()).await;
    assert_refused(&server.get("/v1/namespaces/ns/views").await, 406, "UnsupportedOperationException");
    assert_refused(&server.delete("/v1/namespaces").await, 406, "UnsupportedOperationException");
    assert_refused(&server.post("/v1/namespaces", json!("no object")).await, 400, "BadRequestException");
    let unknown = json!([{"action": "become-a-teapot"}]);
    assert_refused(&server.commit(json!([]), unknown).await, 400, "BadRequestException");
    let mut outside = table_request("o", false);
    outside["location"] = json!("file:///tmp/outside");
    assert_refused(&server.post("/v1/namespaces/ns/tables", outside).await, 400, "BadRequestException");
    let large = json!({"namespace": ["x".repeat(17 << 20)]});
    assert_refused(&server.post("/v1/namespaces", large).await, 413, "BadRequestException");

    let from_a_page = server.client.get(format!("{}/v1/config", server.catalog.uri())).header("Origin", "http://x");
    assert_eq!(from_a_page.send().await.unwrap().status(), 403);
}
