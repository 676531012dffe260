//! One server of the stack, killed as a power cut would, or stopped and started by the scripts that started it.
//!
//! `compose/local` finds the servers by `PORT_OFFSET` and `CLICKSTREAM_STATE`, which `tests/run` exports and which the
//! scripts inherit from here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::program;
use crate::stack::Stack;
use crate::wait::{Look, until};

/// Longest time that a server may take to end or to be ready again.
const PATIENCE: Duration = Duration::from_secs(120);

/// Ends a server (`kafka`, `nessie`, `minio`) with SIGKILL, if the recorded process still is that server, and waits until
/// it is gone.
///
/// # Errors
/// It is not running.
pub async fn kill(stack: &Stack, name: &str) -> Result<()> {
    let file = stack.state.join(format!("{name}.pid"));
    let pid = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let pid = pid.trim().to_owned();
    let process = Path::new("/proc").join(&pid);
    let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
    let data = stack.state.join(name).display().to_string();
    ensure!(String::from_utf8_lossy(&line).contains(&data), "process {pid} is not {name}");
    let said = program::run(Command::new("kill").args(["-KILL", &pid]), PATIENCE).await?;
    ensure!(said.code == Some(0), "kill {name}: {}", said.err);
    // The threads end one by one, and the ports are free when the last of them has: a zombie, or nothing, is left then.
    let gone = || {
        let threads = std::fs::read_dir(process.join("task")).into_iter().flatten().flatten();
        let states = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("status")).ok());
        states.into_iter().all(|state| state.contains("State:\tZ"))
    };
    until(&format!("{name} is gone"), PATIENCE, async || Ok(Look::holds(gone(), "still there"))).await
}

/// Ends a server as an operator would, and waits until it is gone. Its data stays.
///
/// # Errors
/// It does not end.
pub async fn stop(name: &str) -> Result<()> {
    script("down", name).await
}

/// Starts a server and waits until it is ready.
///
/// # Errors
/// It does not start.
pub async fn start(name: &str) -> Result<()> {
    script("up", name).await
}

/// The folder of a server's data.
///
/// # Errors
/// There is none: the stack's state is elsewhere.
pub fn data_folder(stack: &Stack, name: &str) -> Result<PathBuf> {
    let found = stack.state.join(name);
    ensure!(found.is_dir(), "{} is no folder; is this the stack's CLICKSTREAM_STATE?", found.display());
    Ok(found)
}

async fn script(script: &str, name: &str) -> Result<()> {
    let said = program::run(Command::new(folder().join(script)).arg(name), PATIENCE).await?;
    ensure!(said.code == Some(0), "{script} {name}: {}{}", said.out, said.err);
    Ok(())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose/local")
}
