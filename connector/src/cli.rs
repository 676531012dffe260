//! The command line: what there is to call, and each command but the long ones.
//!
//! Every option of `run` can also be given as an environment variable, `CONNECTOR_*`. Called by `main`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{WorkerConfig, docs, problems};
use crate::rest::{RegistryError, RestError, RestOptions, RestServer, Submission};

/// Kafka to Iceberg for clickstreams, exactly once, without a coordinator.
#[derive(Debug, Parser)]
#[command(name = "connector", version, about, arg_required_else_help = true)]
pub struct Cli {
    /// How log lines look; they go to the standard error output. Which ones: RUST_LOG.
    #[arg(long, global = true, env = "CONNECTOR_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole pipeline in this process, with generated visitors and an embedded broker and catalog
    Demo(crate::demo::DemoArgs),
    /// Run a worker: the REST API and the connectors that are registered with it.
    Run(RunArgs),
    /// Check a connector's configuration without running it; exit code 1 if it is wrong.
    Validate {
        /// JSON as for `POST /connectors`, or the flat map alone.
        file: PathBuf,
    },
    /// Print the documentation of all configuration keys as Markdown.
    ConfigDocs,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Kafka brokers, with commas between.
    #[arg(long, env = "CONNECTOR_BOOTSTRAP_SERVERS", value_name = "HOST:PORT,…")]
    pub bootstrap_servers: String,
    /// Where the REST API listens. It has no log-in: keep it on loopback.
    #[arg(long, env = "CONNECTOR_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:8083")]
    pub listen: SocketAddr,
    /// A host name under which the API may be called besides localhost; `*` for any. Needed off loopback.
    #[arg(long = "allowed-host", env = "CONNECTOR_ALLOWED_HOSTS", value_name = "HOST", value_delimiter = ',')]
    pub allowed_hosts: Vec<String>,
    /// Keep registrations here, so that they survive the process.
    #[arg(long, env = "CONNECTOR_CONNECTORS_DIR", value_name = "DIR")]
    pub connectors_dir: Option<PathBuf>,
    /// Start this connector, in place of a kept one of the same name; may be repeated.
    #[arg(long = "connector", env = "CONNECTOR_CONNECTORS", value_name = "FILE.json", value_delimiter = ',')]
    pub connectors: Vec<PathBuf>,
    /// Longest wait for the last commit when stopping, in milliseconds.
    #[arg(long, env = "CONNECTOR_GRACEFUL_SHUTDOWN_TIMEOUT_MS", value_name = "MS", default_value_t = 30_000)]
    pub graceful_shutdown_timeout_ms: u64,
}

/// Why a command failed; told in one line but for a wrong configuration, which has one line a problem.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file holds no connector.
    #[error("{path}: {why}")]
    NoConnector {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A file's configuration is wrong.
    #[error("{path}: {count} problem(s)\n{lines}")]
    Wrong {
        /// Which.
        path: PathBuf,
        /// How many.
        count: usize,
        /// One a line.
        lines: String,
    },
    /// A connector was not taken.
    #[error("{path}: {source}")]
    Register {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: RegistryError,
    },
    /// The server did not start.
    #[error(transparent)]
    Rest(#[from] RestError),
}

/// Reads and checks a connector's file.
///
/// # Errors
/// It cannot be read, is no connector, or its configuration is wrong.
pub fn read_connector(path: &Path) -> Result<Submission, CliError> {
    let path_owned = || path.to_owned();
    let text = std::fs::read(path).map_err(|source| CliError::Read { path: path_owned(), source })?;
    let submission = Submission::from_file(&text).map_err(|why| CliError::NoConnector { path: path_owned(), why })?;
    let found = problems(&submission.name, &submission.config);
    if found.is_empty() {
        return Ok(submission);
    }
    let lines: Vec<String> = found.iter().map(|problem| format!("  {problem}")).collect();
    Err(CliError::Wrong { path: path_owned(), count: found.len(), lines: lines.join("\n") })
}

/// Runs a worker until `shutdown` is ready.
///
/// # Errors
/// A connector's file is wrong or the server does not start; nothing is left running.
pub async fn run(args: RunArgs, shutdown: impl Future<Output = ()>) -> Result<(), CliError> {
    // Files first: a wrong one must not show only after the others have begun to work.
    let files: Vec<(PathBuf, Submission)> = args
        .connectors
        .iter()
        .map(|path| Ok((path.clone(), read_connector(path)?)))
        .collect::<Result<_, CliError>>()?;
    let worker = Arc::new(WorkerConfig {
        worker_id: args.listen.to_string(),
        bootstrap_servers: args.bootstrap_servers,
        graceful_shutdown_timeout: Duration::from_millis(args.graceful_shutdown_timeout_ms),
    });
    let options =
        RestOptions { listen: args.listen, allowed_hosts: args.allowed_hosts, connectors_dir: args.connectors_dir };
    let server = RestServer::start(worker, options).await?;
    for (path, submission) in files {
        if let Err(source) = server.register(submission).await {
            server.stop().await;
            return Err(CliError::Register { path, source });
        }
    }
    shutdown.await;
    tracing::info!("stopping: the connectors commit what they have read; a second signal ends at once");
    server.stop().await;
    Ok(())
}

/// `config-docs`.
#[must_use]
pub fn config_docs() -> String {
    docs::markdown()
}
