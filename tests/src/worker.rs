//! A `connector run` process: started, killed at will, and spoken to over its REST API.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::program;
use crate::wait::{Look, until};

/// Longest time that a worker may take to answer after its start.
const START: Duration = Duration::from_secs(30);
/// Longest time that a worker may take to commit what it holds and end.
const STOP: Duration = Duration::from_secs(60);

/// How a worker is run; what is left out is as a user would have it.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Kafka, `host:port`.
    pub brokers: String,
    /// Longest wait for the last commit.
    pub grace: Option<Duration>,
    /// Arguments of `prlimit`, such as `--nofile=64`.
    pub limits: Vec<String>,
}

/// A worker process. It is killed when dropped.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    http: reqwest::Client,
    address: String,
    log: PathBuf,
}

/// A port on which nothing listens.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Worker {
    /// Starts a worker that keeps its registrations in `dir/connectors` and logs to `dir/worker.log`, and waits until it
    /// answers. Started again in the same folder, it goes on with what is registered there.
    ///
    /// # Errors
    /// It ended, or did not answer in time.
    pub async fn start(brokers: &str, dir: &Path) -> Result<Self> {
        Self::start_with(&Options { brokers: brokers.to_owned(), ..Options::default() }, dir).await
    }

    /// As [`Self::start`], with more to choose.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(options: &Options, dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir.join("connectors"))?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let log = dir.join("worker.log");
        let log_file = OpenOptions::new().create(true).append(true).open(&log)?;
        let connector = program::path("connector")?;
        let mut command = if options.limits.is_empty() {
            Command::new(connector)
        } else {
            let mut command = Command::new("prlimit");
            command.args(&options.limits).arg(connector);
            command
        };
        if let Some(grace) = options.grace {
            command.env("CONNECTOR_GRACEFUL_SHUTDOWN_TIMEOUT_MS", grace.as_millis().to_string());
        }
        let child = command
            .args(["run", "--bootstrap-servers", &options.brokers, "--listen", &address, "--connectors-dir"])
            .arg(dir.join("connectors"))
            .env("RUST_LOG", "info,connector=debug,catalog_sync=debug")
            .stdin(Stdio::null())
            .stdout(log_file.try_clone()?)
            .stderr(log_file)
            .kill_on_drop(true)
            .spawn()
            .context("start the connector")?;
        let mut worker = Self { child, http: reqwest::Client::new(), address, log };
        let probe = worker.http.get(format!("http://{}/", worker.address));
        until("the worker answers", START, async || {
            if let Some(status) = worker.child.try_wait()? {
                bail!("the worker ended with {status}:\n{}", worker.log_tail());
            }
            let answer = probe.try_clone().context("a GET can be repeated")?.send().await;
            Ok(Look::holds(answer.is_ok_and(|answer| answer.status().is_success()), "no answer"))
        })
        .await?;
        Ok(worker)
    }

    /// Ends the process as a power cut would: SIGKILL.
    ///
    /// # Errors
    /// It had ended by itself before.
    pub async fn kill(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the worker ended by itself with {status}:\n{}", self.log_tail());
        }
        self.child.kill().await.context("kill the worker")
    }

    /// The number of the process.
    ///
    /// # Errors
    /// The worker ended by itself.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("the worker ended by itself")
    }

    /// Sends a signal, by its name without `SIG`.
    ///
    /// # Errors
    /// The worker ended by itself.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let pid = self.pid()?.to_string();
        let said = program::run(Command::new("kill").args([&format!("-{name}"), &pid]), STOP).await?;
        ensure!(said.code == Some(0), "kill -{name}: {}", said.err);
        Ok(())
    }

    /// Ends the process as an operator would: SIGTERM, then wait for its last commit.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn terminate(mut self) -> Result<ExitStatus> {
        self.signal("TERM").await?;
        match tokio::time::timeout(STOP, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("the worker did not end within {} s of SIGTERM:\n{}", STOP.as_secs(), self.log_tail()),
        }
    }

    /// The most memory that the process has had at once, in bytes.
    ///
    /// # Errors
    /// It has ended.
    pub fn memory_peak(&self) -> Result<u64> {
        let pid = self.pid()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }

    /// Everything logged in this folder so far, by all workers that ran in it.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// One request of the REST API: status and body.
    ///
    /// # Errors
    /// No answer.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Value)> {
        let mut request = self.http.request(method.clone(), format!("http://{}{path}", self.address));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| format!("{method} {path}"))?;
        let status = answer.status();
        Ok((status, answer.json().await.unwrap_or(Value::Null)))
    }

    /// Registers a connector.
    ///
    /// # Errors
    /// The answer is not 201.
    pub async fn register(&self, registration: &Value) -> Result<()> {
        let (status, answer) = self.ask(Method::POST, "/connectors", Some(registration)).await?;
        ensure!(status == StatusCode::CREATED, "POST /connectors: {status} {answer}");
        Ok(())
    }

    /// Puts a configuration: registers the connector, or starts it again with this one.
    ///
    /// # Errors
    /// The answer is neither 200 nor 201.
    pub async fn put(&self, registration: &Value) -> Result<()> {
        let name = registration["name"].as_str().context("a registration has a name")?;
        let path = format!("/connectors/{name}/config");
        let (status, answer) = self.ask(Method::PUT, &path, Some(&registration["config"])).await?;
        ensure!(status.is_success(), "PUT {path}: {status} {answer}");
        Ok(())
    }

    /// Registers a connector that must be refused, and returns the message.
    ///
    /// # Errors
    /// The answer is not 400 in Kafka Connect's form.
    pub async fn refused(&self, registration: &Value) -> Result<String> {
        let (status, answer) = self.ask(Method::POST, "/connectors", Some(registration)).await?;
        ensure!(status == StatusCode::BAD_REQUEST, "POST /connectors: {status} {answer}, not 400");
        ensure!(answer["error_code"] == 400, "no error_code 400 in {answer}");
        Ok(answer["message"].as_str().with_context(|| format!("no message in {answer}"))?.to_owned())
    }

    /// Unregisters a connector; its last commit is made first.
    ///
    /// # Errors
    /// The answer is not 204.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let (status, answer) = self.ask(Method::DELETE, &format!("/connectors/{name}"), None).await?;
        ensure!(status == StatusCode::NO_CONTENT, "DELETE /connectors/{name}: {status} {answer}");
        Ok(())
    }

    /// `GET /connectors/{name}/status`.
    ///
    /// # Errors
    /// The answer is not 200.
    pub async fn status(&self, name: &str) -> Result<Value> {
        let (status, answer) = self.ask(Method::GET, &format!("/connectors/{name}/status"), None).await?;
        ensure!(status == StatusCode::OK, "status of {name}: {status} {answer}");
        Ok(answer)
    }

    /// Waits until the connector and this many tasks are RUNNING.
    ///
    /// # Errors
    /// One of them failed, or they are not in time.
    pub async fn running(&self, name: &str, tasks: usize) -> Result<()> {
        until(&format!("{name} runs"), Duration::from_secs(60), async || {
            let status = self.status(name).await?;
            let states = states(&status);
            ensure!(!states.contains(&"FAILED".to_owned()), "{name} failed: {status}");
            let all = states.len() == tasks + 1 && states.iter().all(|state| state == "RUNNING");
            Ok(Look::holds(all, status))
        })
        .await
    }

    /// Waits until the connector, or one of its tasks, is in one of the states, and returns its trace.
    ///
    /// # Errors
    /// Not in time.
    pub async fn trace(&self, name: &str, wanted: &[&str], within: Duration) -> Result<String> {
        until(&format!("{name} is {}", wanted.join(" or ")), within, async || {
            let status = self.status(name).await?;
            let tasks = status["tasks"].as_array().cloned().unwrap_or_default();
            let all = std::iter::once(&status["connector"]).chain(&tasks);
            let found = all.into_iter().find(|one| {
                one["trace"].is_string() && one["state"].as_str().is_some_and(|state| wanted.contains(&state))
            });
            Ok(match found.and_then(|one| one["trace"].as_str()) {
                Some(trace) => Look::Done(trace.to_owned()),
                None => Look::NotYet(status.to_string()),
            })
        })
        .await
    }
}

/// The states of a connector and then of its tasks.
fn states(status: &Value) -> Vec<String> {
    let tasks = status["tasks"].as_array().into_iter().flatten();
    let all = std::iter::once(&status["connector"]).chain(tasks);
    all.map(|one| one["state"].as_str().unwrap_or_default().to_owned()).collect()
}
