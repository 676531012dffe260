//! The program itself: exit codes, what it prints, what survives `kill -9`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::{Value, json};

fn connector() -> Command {
    Command::new(env!("CARGO_BIN_EXE_connector"))
}

fn text(output: &Output) -> (String, String) {
    let read = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (read(&output.stdout), read(&output.stderr))
}

fn submission() -> Value {
    json!({"name": "clicks", "config": {
        "connector.class": "IcebergSink",
        "topics": "clickstream_events",
        "iceberg.tables": "analytics.clickstream",
        "iceberg.catalog.uri": "http://127.0.0.1:1/iceberg/",
    }})
}

/// A worker on a free port, and the rest of its log.
struct Worker {
    child: Child,
    addr: String,
    log: BufReader<ChildStderr>,
}

impl Worker {
    fn start(dir: &Path) -> Self {
        let mut child = connector()
            .args(["run", "--bootstrap-servers", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--log-format", "json"])
            .args(["--graceful-shutdown-timeout-ms", "2000", "--connectors-dir"])
            .arg(dir)
            .env("RUST_LOG", "connector::rest=info")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut worker = Self { child, addr: String::new(), log };
        while worker.addr.is_empty() {
            let mut line = String::new();
            assert!(worker.log.read_line(&mut line).unwrap() > 0, "the worker ended before it was up");
            let event: Value = serde_json::from_str(&line).unwrap();
            worker.addr = event["fields"]["addr"].as_str().unwrap_or_default().to_owned();
        }
        worker
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    async fn names(&self) -> Value {
        reqwest::get(format!("http://{}/connectors", self.addr)).await.unwrap().json().await.unwrap()
    }
}

/// A test that fails leaves no process behind.
impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn validate_prints_every_problem_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("clicks.json");
    std::fs::write(&file, submission().to_string()).unwrap();
    let good = connector().arg("validate").arg(&file).output().unwrap();
    assert!(good.status.success() && text(&good).0.ends_with("clicks is valid\n"), "{good:?}");

    let mut wrong = submission();
    wrong["config"]["task.max"] = json!("2");
    wrong["config"]["iceberg.catalog.token"] = json!("canary-4711\u{1}");
    std::fs::write(&file, wrong.to_string()).unwrap();
    let bad = connector().arg("validate").arg(&file).output().unwrap();
    let (_, told) = text(&bad);
    assert_eq!(bad.status.code(), Some(1));
    assert!(
        told.contains("2 problem(s)") && told.contains("task.max: is not a known key; did you mean tasks.max?"),
        "{told}"
    );
    assert!(told.contains("iceberg.catalog.token: ") && !told.contains("4711"), "{told}");
}

#[test]
fn errors_are_one_line_and_exit_with_one() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let output = connector().args(["run", "--bootstrap-servers", "127.0.0.1:1", "--listen", &addr]).output().unwrap();
    let (_, told) = text(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(told.starts_with(&format!("error: cannot listen on {addr}: ")) && told.lines().count() == 1, "{told}");
    let output =
        connector().args(["run", "--bootstrap-servers", "h:1", "--connector", "/no/such.json"]).output().unwrap();
    assert!(text(&output).1.starts_with("error: cannot read /no/such.json: "), "{output:?}");
}

#[tokio::test]
async fn a_registration_survives_kill_9_and_sigterm_ends_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let mut worker = Worker::start(dir.path());
    let url = format!("http://{}/connectors", worker.addr);
    let created = reqwest::Client::new().post(url).json(&submission()).send().await.unwrap();
    assert_eq!(created.status(), 201);
    worker.signal("-KILL");
    assert!(!worker.child.wait().unwrap().success());

    let mut worker = Worker::start(dir.path());
    assert_eq!(worker.names().await, json!(["clicks"]));
    worker.signal("-TERM");
    let mut rest = String::new();
    worker.log.read_to_string(&mut rest).unwrap();
    assert_eq!(worker.child.wait().unwrap().code(), Some(0), "{rest}");
}
