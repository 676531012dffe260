//! Somebody else who appends to a table: PyIceberg, a row each time, as fast as wanted.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::pyiceberg;
use crate::stack::Stack;

const SCRIPT: &str = include_str!("append_rows.py");

/// A process that appends; it is killed when dropped.
#[derive(Debug)]
pub struct Appender {
    child: Child,
}

/// What it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Rows that are in the table, one a commit.
    pub rows: u64,
    /// Commits that lost against another and were begun anew.
    pub lost: u64,
}

impl Appender {
    /// Begins to append a row to `table` each `every`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(stack: &Stack, table: &str, every: Duration) -> Result<Self> {
        let catalog = pyiceberg::catalog(stack);
        let request = json!({"catalog": catalog, "table": table, "every": every.as_secs_f64()}).to_string();
        let mut command = Command::new(&stack.python);
        command.args(["-c", SCRIPT, &request]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        Ok(Self { child: command.spawn().context("start PyIceberg")? })
    }

    /// Tells it to stop, and takes its account.
    ///
    /// # Errors
    /// It failed.
    pub async fn stop(mut self) -> Result<Appended> {
        drop(self.child.stdin.take());
        let output = self.child.wait_with_output().await?;
        ensure!(output.status.success(), "the appender ended with {}", output.status);
        let answer: Value = serde_json::from_slice(&output.stdout).context("the appender's account")?;
        let number = |key: &str| answer[key].as_u64().with_context(|| format!("no {key} in {answer}"));
        Ok(Appended { rows: number("rows")?, lost: number("lost")? })
    }
}
