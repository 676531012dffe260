//! Arguments, logging, signals, exit codes; everything else is in the library.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use connector::cli::{self, Cli, CliError, Command, LogFormat};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The demo shows its own progress.
    let level = if matches!(cli.command, Command::Demo(_)) { "warn" } else { "info" };
    log_to_stderr(cli.log_format, level);
    match execute(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Errors of the library name their cause themselves.
            let text = error.downcast_ref::<CliError>().map_or_else(|| format!("{error:#}"), ToString::to_string);
            let _ = writeln!(std::io::stderr(), "error: {text}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(args) => on_threads(async { cli::run(args, stop_signal()?).await.map_err(anyhow::Error::from) }),
        Command::Demo(args) => on_threads(async { Ok(connector::demo::run(&args, stop_signal()?).await?) }).map(|_| ()),
        Command::Validate { file } => {
            let submission = cli::read_connector(&file)?;
            print(&format!("{}: {} is valid\n", file.display(), submission.name))
        }
        Command::ConfigDocs => print(&cli::config_docs()),
    }
}

/// Runs to the end on a runtime of its own.
fn on_threads<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let done = runtime.block_on(work);
    // Connectors have ended or used up their time by now; a thread that still waits for a broker must not hold the
    // process.
    runtime.shutdown_background();
    done
}

/// A reader that went away (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        _ => Ok(()),
    }
}

fn log_to_stderr(format: LogFormat, default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let ansi = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}

/// Ready at the first SIGTERM or SIGINT; the second ends the process at once, which the protocol allows at any moment.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {},
            _ = interrupt.recv() => {},
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {},
                _ = interrupt.recv() => {},
            }
            std::process::exit(130);
        });
    })
}
