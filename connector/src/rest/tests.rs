//! The API over real HTTP on a free port. No broker is needed: tasks that reach none show it in their status.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{RestError, RestOptions, RestServer};
use crate::config::WorkerConfig;

const CANARY: &str = "canary-4711";

fn worker() -> Arc<WorkerConfig> {
    Arc::new(WorkerConfig {
        worker_id: "127.0.0.1:8083".into(),
        bootstrap_servers: "127.0.0.1:1".into(),
        graceful_shutdown_timeout: Duration::from_millis(500),
    })
}

fn options(dir: Option<&Path>) -> RestOptions {
    RestOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        allowed_hosts: vec!["connect.internal".into()],
        connectors_dir: dir.map(Path::to_owned),
    }
}

async fn start(dir: Option<&Path>) -> RestServer {
    RestServer::start(worker(), options(dir)).await.unwrap()
}

fn config() -> Value {
    json!({
        "connector.class": "org.clickstream.IcebergSinkConnector",
        "topics": "clickstream_events",
        "iceberg.tables": "analytics.clickstream",
        "iceberg.catalog.uri": "http://127.0.0.1:1/iceberg/",
        "iceberg.catalog.token": CANARY,
        "tasks.max": 2,
    })
}

fn named(name: &str) -> Value {
    json!({"name": name, "config": config()})
}

async fn call(server: &RestServer, method: Method, path: &str, body: Option<&Value>) -> Response {
    let request = Client::new().request(method, format!("http://{}{path}", server.addr()));
    let request = match body {
        Some(body) => request.json(body),
        None => request,
    };
    request.send().await.unwrap()
}

async fn get(server: &RestServer, path: &str) -> (StatusCode, Value) {
    answer(call(server, Method::GET, path, None).await).await
}

/// Status and JSON; no answer whatever may hold the secret.
async fn answer(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(!text.contains(CANARY), "{text}");
    (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
}

async fn post(server: &RestServer, body: &Value) -> (StatusCode, Value) {
    answer(call(server, Method::POST, "/connectors", Some(body)).await).await
}

#[tokio::test]
async fn a_connector_is_created_listed_shown_and_deleted() {
    let server = start(None).await;
    assert_eq!(get(&server, "/connectors").await, (StatusCode::OK, json!([])));

    let created = call(&server, Method::POST, "/connectors", Some(&named("clicks.v1"))).await;
    assert_eq!(created.headers()["location"], "/connectors/clicks%2Ev1");
    let (status, info) = answer(created).await;
    assert_eq!((status, &info["name"], &info["type"]), (StatusCode::CREATED, &json!("clicks.v1"), &json!("sink")));
    assert_eq!((&info["config"]["tasks.max"], &info["config"]["name"]), (&json!("2"), &json!("clicks.v1")));

    let (status, conflict) = post(&server, &named("clicks.v1")).await;
    assert_eq!((status, &conflict["error_code"]), (StatusCode::CONFLICT, &json!(409)));
    assert_eq!(conflict["message"], "Connector clicks.v1 already exists");

    assert_eq!(get(&server, "/connectors").await.1, json!(["clicks.v1"]));
    let (_, all) = get(&server, "/connectors?expand=info&expand=status").await;
    assert_eq!(all["clicks.v1"]["info"]["config"]["topics"], "clickstream_events");
    assert_eq!(all["clicks.v1"]["status"]["connector"]["worker_id"], server.addr().to_string());
    assert_eq!(get(&server, "/connectors?expand=status,info").await.1["clicks.v1"]["info"]["type"], "sink");

    let (_, config) = get(&server, "/connectors/clicks.v1/config").await;
    assert_eq!(config["iceberg.catalog.token"], "[hidden]");
    let (_, status) = get(&server, "/connectors/clicks.v1/status").await;
    let state = status["connector"]["state"].as_str().unwrap();
    assert!(["UNASSIGNED", "RUNNING", "FAILED", "RESTARTING"].contains(&state), "{status}");
    assert!(get(&server, "/connectors/clicks.v1/tasks").await.1.is_array());
    assert_eq!(get(&server, "/connectors/clicks.v1/offsets").await.1, json!({"offsets": []}));
    assert_eq!(get(&server, "/connectors/clicks.v1/tasks/99/status").await.0, StatusCode::NOT_FOUND);
    let topics = json!({"clicks.v1": {"topics": ["clickstream_events"]}});
    assert_eq!(get(&server, "/connectors/clicks.v1/topics").await.1, topics);

    let deleted = call(&server, Method::DELETE, "/connectors/clicks.v1", None).await;
    assert_eq!(answer(deleted).await, (StatusCode::NO_CONTENT, Value::Null));
    for path in ["", "/status", "/config", "/tasks", "/offsets"] {
        let (status, error) = get(&server, &format!("/connectors/clicks.v1{path}")).await;
        assert_eq!((status, &error["error_code"]), (StatusCode::NOT_FOUND, &json!(404)), "{path}");
    }
    assert_eq!(call(&server, Method::DELETE, "/connectors/clicks.v1", None).await.status(), StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test]
async fn put_config_creates_then_replaces_and_restart_keeps_it() {
    let server = start(None).await;
    let put = async |body: &Value| answer(call(&server, Method::PUT, "/connectors/a/config", Some(body)).await).await;
    assert_eq!(put(&config()).await.0, StatusCode::CREATED);
    let mut changed = config();
    changed["topics"] = json!("other");
    let (status, info) = put(&changed).await;
    assert_eq!((status, &info["config"]["topics"]), (StatusCode::OK, &json!("other")));
    changed["name"] = json!("b");
    assert_eq!(put(&changed).await.0, StatusCode::BAD_REQUEST);
    let (status, error) = put(&json!({"iceberg.catalog.token": "[hidden]"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(error["message"].as_str().unwrap().contains("send the value itself"), "{error}");
    assert_eq!(call(&server, Method::POST, "/connectors/a/restart", None).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(get(&server, "/connectors/a/config").await.1["topics"], "other");
    assert_eq!(call(&server, Method::POST, "/connectors/b/restart", None).await.status(), StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_configuration_is_answered_with_every_key_and_the_nearest_known_one() {
    let server = start(None).await;
    let mut body = named("clicks");
    body["config"]["task.max"] = json!("1");
    body["config"]["iceberg.tables"] = json!("clicks");
    let (status, error) = post(&server, &body).await;
    assert_eq!((status, &error["error_code"]), (StatusCode::BAD_REQUEST, &json!(400)));
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with("Connector configuration is invalid and contains the following 2 error(s):\n"),
        "{message}"
    );
    assert!(message.contains("task.max: is not a known key; did you mean tasks.max?"), "{message}");
    assert!(message.contains("iceberg.tables: `clicks` is no table"), "{message}");
    assert_eq!(get(&server, "/connectors").await.1, json!([]));
    for (body, words) in [
        (json!({"name": "a/b", "config": config()}), "is no name"),
        (json!({"name": "a"}), "missing field `config`"),
        (json!([1]), "has not the form"),
        (json!({"name": "a", "config": {"k": {"deep": CANARY}}}), "k: must be a text"),
        (json!({"name": "a", "config": config(), "initial_state": "PAUSED"}), "only RUNNING"),
    ] {
        let (status, error) = post(&server, &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
    }
    server.stop().await;
}

#[tokio::test]
async fn validate_answers_config_infos() {
    let server = start(None).await;
    let plugin = "/connector-plugins/org.clickstream.IcebergSinkConnector/config";
    assert_eq!(get(&server, "/connector-plugins").await.1[0]["type"], "sink");
    let (_, keys) = get(&server, plugin).await;
    assert!(keys.as_array().unwrap().iter().any(|key| key["name"] == "topics" && key["required"] == json!(true)));

    let validate = async |plugin: &str, body: &Value| {
        let path = format!("/connector-plugins/{plugin}/config/validate");
        answer(call(&server, Method::PUT, &path, Some(body)).await).await
    };
    let mut body = config();
    body["name"] = json!("clicks");
    let (status, infos) = validate("IcebergSinkConnector", &body).await;
    assert_eq!((status, &infos["error_count"]), (StatusCode::OK, &json!(0)), "{infos}");
    body["tasks.max"] = json!("many");
    body["iceberg.catalog.tokne"] = json!(CANARY);
    body.as_object_mut().unwrap().remove("name");
    let (_, infos) = validate("IcebergSinkConnector", &body).await;
    assert_eq!(infos["error_count"], 3, "{infos}");
    let info =
        |name: &str| infos["configs"].as_array().unwrap().iter().find(|info| info["value"]["name"] == name).unwrap();
    assert_eq!(info("name")["value"]["errors"], json!(["name: is missing and has no default; set it"]));
    assert_eq!(info("tasks.max")["value"]["value"], "many");
    assert_eq!(info("commit.interval.ms")["value"]["value"], "5000");
    assert_eq!(info("iceberg.catalog.token")["value"]["value"], "[hidden]");
    assert_eq!(info("iceberg.catalog.tokne")["definition"], Value::Null);
    assert_eq!(validate("io.other.Sink", &body).await.0, StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_offered_is_answered_in_the_same_form() {
    let server = start(None).await;
    let not_found = (StatusCode::NOT_FOUND, json!({"error_code": 404, "message": "HTTP 404 Not Found"}));
    assert_eq!(get(&server, "/connectors/a/b/c").await, not_found);
    let not_allowed = answer(call(&server, Method::PATCH, "/connectors", None).await).await;
    let wanted = json!({"error_code": 405, "message": "HTTP 405 Method Not Allowed"});
    assert_eq!(not_allowed, (StatusCode::METHOD_NOT_ALLOWED, wanted));
    assert_eq!(get(&server, "/health").await.1["status"], "healthy");
    let (status, root) = get(&server, "/").await;
    assert_eq!((status, &root["version"]), (StatusCode::OK, &json!(env!("CARGO_PKG_VERSION"))));
    assert!(root.get("commit").is_some() && root.get("kafka_cluster_id").is_some());
    server.stop().await;
}

#[tokio::test]
async fn foreign_hosts_origins_and_types_are_turned_away() {
    let server = start(None).await;
    let url = format!("http://{}/connectors", server.addr());
    let client = Client::new();
    for (header, value, wanted) in [
        ("host", "evil.example", StatusCode::FORBIDDEN),
        ("host", "connect.internal:8083", StatusCode::OK),
        ("host", "localhost", StatusCode::OK),
        ("origin", "https://evil.example", StatusCode::FORBIDDEN),
        ("origin", "null", StatusCode::FORBIDDEN),
        ("origin", "http://localhost:3000", StatusCode::OK),
    ] {
        let response = client.get(&url).header(header, value).send().await.unwrap();
        assert_eq!(response.status(), wanted, "{header}: {value}");
        assert!(response.headers().get("access-control-allow-origin").is_none());
    }
    for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        let request = client.post(&url).body(named("a").to_string());
        let request = match kind {
            Some(kind) => request.header("content-type", kind),
            None => request,
        };
        assert_eq!(request.send().await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind:?}");
    }
    let big = json!({"name": "a", "config": {"topics": "x".repeat(256 * 1024)}});
    assert_eq!(post(&server, &big).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_long_ends_the_connection() {
    let server = start(None).await;
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    let _ = stream.write_all(head.as_bytes()).await;
    let mut told = Vec::new();
    let _ = stream.read_to_end(&mut told).await;
    assert!(!told.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&told));
    server.stop().await;
}

#[tokio::test]
async fn registrations_survive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(Some(dir.path())).await;
    for name in ["kept", "dropped"] {
        assert_eq!(post(&server, &named(name)).await.0, StatusCode::CREATED);
    }
    assert_eq!(call(&server, Method::DELETE, "/connectors/dropped", None).await.status(), StatusCode::NO_CONTENT);
    let taken = RestServer::start(worker(), options(Some(dir.path()))).await;
    assert!(matches!(taken, Err(RestError::Store(_))), "{taken:?}");
    server.stop().await;

    std::fs::write(
        dir.path().join("old.json"),
        json!({"name": "old", "config": {"topics": "t", "gone.key": CANARY}}).to_string(),
    )
    .unwrap();
    let server = start_when_free(dir.path()).await;
    assert_eq!(get(&server, "/connectors").await.1, json!(["kept", "old"]));
    assert_eq!(get(&server, "/connectors/kept/config").await.1["topics"], "clickstream_events");
    let (_, status) = get(&server, "/connectors/old/status").await;
    assert_eq!(status["connector"]["state"], "FAILED");
    assert!(status["connector"]["trace"].as_str().unwrap().contains("gone.key: is not a known key"), "{status}");
    assert_eq!(get(&server, "/connectors/old/config").await.1["gone.key"], "[hidden]");
    server.stop().await;
}

/// The lock goes with the last connection that still holds the registry.
async fn start_when_free(dir: &Path) -> RestServer {
    loop {
        match RestServer::start(worker(), options(Some(dir))).await {
            Ok(server) => return server,
            Err(RestError::Store(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_taken_port_and_an_open_address_are_clear_errors() {
    let server = start(None).await;
    let taken = RestServer::start(worker(), RestOptions { listen: server.addr(), ..options(None) }).await.unwrap_err();
    assert!(taken.to_string().contains("cannot listen on 127.0.0.1") && taken.to_string().contains("--listen"));
    let open =
        RestOptions { listen: SocketAddr::from(([0, 0, 0, 0], 0)), allowed_hosts: Vec::new(), connectors_dir: None };
    assert!(matches!(RestServer::start(worker(), open).await, Err(RestError::Exposed(_))));
    server.stop().await;
}
