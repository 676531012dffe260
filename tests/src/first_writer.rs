//! A user of PyIceberg who writes the first rows of tables: one process for many tables, which holds them as it has
//! loaded them until it is told to append. It also counts rows, so that no process is started for each table.

use std::collections::{BTreeMap, HashMap};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;

use crate::pyiceberg::catalog;
use crate::stack::Stack;

const SCRIPT: &str = include_str!("first_writer.py");

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(120);

type Pending = Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>;

/// What a table holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rows {
    /// Rows.
    pub all: u64,
    /// Distinct event ids.
    pub distinct: u64,
    /// Rows that a [`FirstWriter`] appended.
    pub foreign: u64,
}

/// How an append went. It did succeed. Snapshot and base are those of its first commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The snapshot that it made.
    pub snapshot: i64,
    /// Refused tries before.
    pub conflicts: u64,
    /// It made the table.
    pub created: bool,
    /// The table as it was appended to had no snapshot.
    pub without_base: bool,
}

/// When and what to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// How many rows, commit by commit.
    pub rows: Vec<u64>,
    /// Wait before the table is taken.
    pub after: Duration,
    /// Wait between taking the table and appending to it.
    pub hold: Duration,
}

/// The process. It is killed when dropped.
#[derive(Debug)]
pub struct FirstWriter {
    _child: Child,
    stdin: tokio::sync::Mutex<ChildStdin>,
    pending: Pending,
    next: AtomicU64,
}

impl FirstWriter {
    /// Starts the process.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(stack: &Stack) -> Result<Self> {
        let argument = json!({"catalog": catalog(stack), "definition": schemas::table::definition()}).to_string();
        let mut child = Command::new(&stack.python)
            .args(["-c", SCRIPT, &argument])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start python")?;
        let stdin = child.stdin.take().context("python has a standard input")?;
        let stdout = child.stdout.take().context("python has a standard output")?;
        let pending = Pending::default();
        let waiting = Arc::clone(&pending);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let answer: Value = serde_json::from_str(&line).unwrap_or_default();
                let id = answer["id"].as_u64().unwrap_or_default();
                if let Some(asked) = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id) {
                    // Whoever asked may have given up.
                    let _ = asked.send(answer);
                }
            }
            // Nobody will be answered any more.
            waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
        });
        Ok(Self { _child: child, stdin: tokio::sync::Mutex::new(stdin), pending, next: AtomicU64::new(1) })
    }

    async fn ask(&self, mut command: Value) -> Result<Value> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        command["id"] = json!(id);
        let (sender, answer) = oneshot::channel();
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        self.stdin.lock().await.write_all(format!("{command}\n").as_bytes()).await.context("python has ended")?;
        let answer = tokio::time::timeout(ANSWER, answer).await.context("no answer")?.context("python has ended")?;
        match answer["error"].as_str() {
            Some(error) => bail!("pyiceberg: {command}: {error}"),
            None => Ok(answer),
        }
    }

    /// Loads tables and keeps them as they are now.
    ///
    /// # Errors
    /// One cannot be loaded.
    pub async fn load(&self, tables: &[String]) -> Result<()> {
        self.ask(json!({"do": "load", "tables": tables})).await.map(|_| ())
    }

    /// Appends to a table as it was loaded, or makes it; tries again after a conflict.
    ///
    /// # Errors
    /// It fails with anything but a conflict.
    pub async fn append(&self, table: &str, append: &Append) -> Result<Appended> {
        let (after, hold) = (append.after.as_millis() as u64, append.hold.as_millis() as u64);
        let command = json!({"do": "append", "table": table, "rows": append.rows, "after_ms": after, "hold_ms": hold});
        let answer = self.ask(command).await?;
        Ok(Appended {
            snapshot: answer["snapshot"].as_i64().with_context(|| format!("{answer} has no snapshot"))?,
            conflicts: answer["conflicts"].as_u64().unwrap_or_default(),
            created: answer["created"] == true,
            without_base: answer["without_base"] == true,
        })
    }

    /// What the tables hold; nothing, if there is no such table.
    ///
    /// # Errors
    /// One cannot be read.
    pub async fn count(&self, tables: &[String]) -> Result<BTreeMap<String, Rows>> {
        let answer = self.ask(json!({"do": "count", "tables": tables})).await?;
        let tables = answer["tables"].as_object().with_context(|| format!("{answer} has no tables"))?;
        let number = |rows: &Value, key: &str| rows[key].as_u64().with_context(|| format!("{rows} has no {key}"));
        let rows = |(name, rows): (&String, &Value)| {
            let (all, distinct) = (number(rows, "rows")?, number(rows, "distinct")?);
            Ok((name.clone(), Rows { all, distinct, foreign: number(rows, "foreign")? }))
        };
        tables.iter().map(rows).collect()
    }
}
