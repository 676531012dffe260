//! The client against a server that is none of Trino's, but speaks as it does.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::*;

/// Answers in turn, and what was asked.
#[derive(Default)]
struct Script {
    answers: Mutex<Vec<(u16, Value)>>,
    asked: Mutex<Vec<(String, Option<String>)>>,
}

async fn answer(State(script): State<Arc<Script>>, request: Request) -> (StatusCode, String) {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let asked = format!("{} {}", request.method(), request.uri().path());
    script.asked.lock().unwrap().push((asked, header("X-Trino-Session")));
    let (status, body) = script.answers.lock().unwrap().remove(0);
    (StatusCode::from_u16(status).unwrap(), body.to_string())
}

async fn scripted(answers: impl Fn(&str) -> Vec<(u16, Value)>) -> (Arc<Script>, Trino) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let script = Arc::new(Script { answers: Mutex::new(answers(&uri)), asked: Mutex::default() });
    let app = Router::new().fallback(answer).with_state(Arc::clone(&script));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let session = vec![("lakehouse.target_max_file_size".to_owned(), "7B".to_owned())];
    (script, Trino::new(server(&uri, None), session).unwrap())
}

fn server(uri: &str, password: Option<Secret>) -> Server {
    Server { uri: uri.to_owned(), user: "it".to_owned(), password, statement_timeout: Duration::from_secs(60) }
}

#[tokio::test]
async fn pages_are_followed_to_the_end_and_a_busy_server_is_asked_again() {
    let (script, trino) = scripted(|uri| {
        let next = |page: u32| json!({"nextUri": format!("{uri}/v1/statement/executing/{page}")});
        vec![(503, json!(null)), (200, next(1)), (502, json!(null)), (200, next(2)), (200, json!({"data": []}))]
    })
    .await;
    trino.execute("SELECT 1").await.unwrap();
    let asked: Vec<String> = script.asked.lock().unwrap().iter().map(|(asked, _)| asked.clone()).collect();
    let post = "POST /v1/statement";
    let (one, two) = ("GET /v1/statement/executing/1", "GET /v1/statement/executing/2");
    assert_eq!(asked, [post, post, one, one, two]);
    let session = script.asked.lock().unwrap()[0].1.clone();
    assert_eq!(session.as_deref(), Some("lakehouse.target_max_file_size=7B"));
}

#[tokio::test]
async fn a_refusal_has_its_name_and_another_server_is_not_followed() {
    let error = json!({"error": {"errorName": "ICEBERG_COMMIT_ERROR", "message": "stale"}});
    let (_, trino) = scripted(|_| vec![(200, error.clone())]).await;
    let failed = trino.execute("x").await.unwrap_err();
    assert!(failed.is_lost_race(), "{failed}");
    assert_eq!(failed.to_string(), "trino: ICEBERG_COMMIT_ERROR: stale");

    let (script, trino) = scripted(|_| vec![(200, json!({"nextUri": "http://127.0.0.1:1/elsewhere"}))]).await;
    assert!(trino.execute("x").await.unwrap_err().to_string().contains("another server"));
    assert_eq!(script.asked.lock().unwrap().len(), 1);

    let (_, trino) = scripted(|_| vec![(401, json!("who are you"))]).await;
    let failed = trino.execute("x").await.unwrap_err();
    assert!(failed.to_string().contains("status 401") && !failed.is_lost_race(), "{failed}");
}

#[tokio::test]
async fn what_takes_too_long_is_cancelled() {
    let (script, mut trino) =
        scripted(|uri| vec![(200, json!({"nextUri": format!("{uri}/v1/statement/executing/1")})), (204, json!(null))])
            .await;
    trino.server.statement_timeout = Duration::ZERO;
    assert!(matches!(trino.execute("x").await, Err(TrinoError::TooLong { .. })));
    assert_eq!(script.asked.lock().unwrap()[1].0, "DELETE /v1/statement/executing/1");
}

#[test]
fn a_password_is_sent_over_https_only_and_never_told() {
    let refused = |uri: &str| {
        Trino::new(server(uri, Some(Secret::new("hunter2"))), Vec::new()).map(|_| ()).unwrap_err().to_string()
    };
    assert!(refused("http://trino:8080").contains("over HTTPS only"));
    assert!(refused("https://me:hunter2@trino:8443").contains("TRINO_PASSWORD"));
    for uri in ["trino:8080", "ftp://trino", "", "https://me:hunter2@trino:8443"] {
        assert!(!refused(uri).contains("hunter2"), "{}", refused(uri));
    }
    let kept = Trino::new(server("https://trino:8443", Some(Secret::new("hunter2"))), Vec::new()).unwrap();
    assert!(!format!("{kept:?}").contains("hunter2"));
}
