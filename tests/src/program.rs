//! The programs under test, where cargo puts them, run to their end.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::process::Command;

/// The folder that cargo builds programs into: programs run from there, tests from `deps` below it.
///
/// # Errors
/// It was started from elsewhere.
pub fn build_folder() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("the program has no folder")?;
    let above = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    Ok(above.context("the test program has no folder above its own")?.to_owned())
}

/// A program of the workspace.
///
/// # Errors
/// It has not been built.
pub fn path(name: &str) -> Result<PathBuf> {
    let path = build_folder()?.join(name);
    ensure!(path.exists(), "{} does not exist; build the whole workspace first, as tests/run does", path.display());
    Ok(path)
}

/// What a program said.
#[derive(Debug)]
pub struct Said {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// The standard output as JSON, if the program succeeded.
    ///
    /// # Errors
    /// It failed, or its output is something else.
    pub fn json(&self) -> Result<Value> {
        ensure!(self.code == Some(0), "exit code {:?}\n{}{}", self.code, self.out, self.err);
        serde_json::from_str(&self.out).with_context(|| format!("not JSON: {}", self.out))
    }
}

/// Runs a command to its end.
///
/// # Errors
/// It cannot be started, or takes longer than `within`; a failure of the program itself is in [`Said`].
pub async fn run(command: &mut Command, within: Duration) -> Result<Said> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let what = format!("{:?}", command.as_std());
    let Ok(output) = tokio::time::timeout(within, command.output()).await else {
        bail!("{what} took longer than {} s", within.as_secs());
    };
    let output = output.with_context(|| format!("start {what}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) })
}
