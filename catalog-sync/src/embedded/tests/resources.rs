//! Namespaces, tables and what is refused.

use reqwest::Method;
use serde_json::json;

use super::{Server, append, assert_refused, main_is, table_request};

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
