//! A connector that has halted: what it says, an operator's word against it, and how the table accounts for it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use protocol::Counts;
use reqwest::Method;
use serde_json::Value;

use crate::pyiceberg;
use crate::trial::Trial;
use crate::wait::say;
use crate::worker::Worker;

/// Longest time from a cause to its halt.
const HALT: Duration = Duration::from_secs(45);

/// The reason that every operator here gives.
pub const REASON: &str = "a test of ours, nobody's loss";

/// What a halted connector says.
#[derive(Debug, Clone)]
pub struct Halted {
    /// Its trace.
    pub trace: String,
    /// What `catalog-sync override` takes; none where nothing about the position has to change.
    pub token: Option<String>,
}

impl Halted {
    /// The trace must hold these words.
    ///
    /// # Errors
    /// It does not.
    pub fn says(&self, words: &str) -> Result<()> {
        ensure!(self.trace.contains(words), "no {words:?} in the trace: {}", self.trace);
        Ok(())
    }
}

impl Trial {
    /// Waits for a halt, which must be this one, name the way out, and have left the table at this snapshot.
    ///
    /// # Errors
    /// Another halt, or none in time; or the table is another.
    pub async fn halts(&self, worker: &Worker, code: &str, untouched: &Value) -> Result<Halted> {
        let trace = worker.trace(&self.name, &["FAILED"], HALT).await?;
        say(format!("{}: {trace}", self.name));
        ensure!(trace.starts_with(&format!("halted: {code}: ")), "not halted with {code}: {trace}");
        ensure!(trace.contains(&format!("connector/docs/RUNBOOK.md#{code}")), "no runbook in {trace}");
        let snapshot = self.snapshot().await?;
        ensure!(snapshot == *untouched, "{code}: the table went from snapshot {untouched} to {snapshot}");
        let command = trace.split_once("catalog-sync override '").and_then(|(_, rest)| rest.split_once('\''));
        if let Some((_, rest)) = command {
            let named = rest.starts_with(&format!(" {} --reason ", self.table));
            ensure!(named, "the command in the trace is for another table: {trace}");
        }
        Ok(Halted { token: command.map(|(token, _)| token.to_owned()), trace })
    }

    /// Id of the current snapshot; null without one.
    ///
    /// # Errors
    /// The catalog cannot say.
    pub async fn snapshot(&self) -> Result<Value> {
        Ok(self.catalog.table(&self.table).await?.unwrap_or_default()["current-snapshot-id"].take())
    }

    /// Gives the operator's word, with the token of the trace, and checks that the table says so; returns what the command
    /// printed. Given twice, it must change nothing the second time.
    ///
    /// # Errors
    /// It is refused, or not recorded.
    pub async fn overrule(&self, halted: &Halted, more: &[&str]) -> Result<Value> {
        let token = halted.token.as_deref().with_context(|| format!("no token in {}", halted.trace))?;
        let arguments = [&["override", token, self.table.as_str(), "--reason", REASON, "--json"], more].concat();
        let printed = self.catalog_sync(&arguments).await?.json()?;
        ensure!(printed["already"] == false, "{printed}");
        let snapshot = self.snapshot().await?;
        ensure!(printed["snapshot_id"] == snapshot, "the current snapshot is {snapshot}: {printed}");
        let summary = self.catalog.summary(&self.table).await?;
        let recorded = (summary.get("kafka.override"), summary.get("kafka.override-reason"));
        ensure!(recorded == (Some(&token.to_owned()), Some(&REASON.to_owned())), "not recorded: {summary:?}");
        let again = self.catalog_sync(&arguments).await?.json()?;
        ensure!(again["already"] == true && again["after"] == printed["after"], "the second time: {again}");
        ensure!(self.snapshot().await? == snapshot, "the second call changed the table");
        Ok(printed)
    }

    /// Starts the halted connector again, over REST.
    ///
    /// # Errors
    /// The worker refuses.
    pub async fn restart(&self, worker: &Worker) -> Result<()> {
        let path = format!("/connectors/{}/restart", self.name);
        let (status, answer) = worker.ask(Method::POST, &path, None).await?;
        ensure!(status.is_success(), "POST {path}: {status} {answer}");
        Ok(())
    }

    /// The current snapshot, the first since the halt, must tell which halt came before.
    ///
    /// # Errors
    /// It does not.
    pub async fn resumed(&self, code: &str) -> Result<()> {
        let summary = self.catalog.summary(&self.table).await?;
        let said = summary.get("kafka.resumed-after").with_context(|| format!("no halt in {summary:?}"))?;
        ensure!(said.starts_with(&format!("{code}: ")), "resumed after {said:?}, not {code}");
        Ok(())
    }

    /// PyIceberg must find so many rows, each once; the position must count them with so many lost offsets; and `verify`
    /// must call the table complete, with these overrides, oldest first.
    ///
    /// # Errors
    /// A difference.
    pub async fn accounts(&self, counts: Counts, overrides: &[&str]) -> Result<()> {
        let found = pyiceberg::read(&self.stack, &self.table).await?;
        ensure!((found.rows, found.distinct) == (counts.rows, counts.rows), "{counts:?}, pyiceberg found {found:?}");
        self.verifies(counts, overrides).await?;
        say(format!("{}: pyiceberg reads {} rows, each once; {counts:?}", self.name, found.rows));
        Ok(())
    }

    async fn verifies(&self, counts: Counts, overrides: &[&str]) -> Result<()> {
        let report = self.catalog_sync(&["verify", &self.table, "--json"]).await?.json()?;
        ensure!(report["complete"] == true && report["lost_offsets"] == counts.lost, "verify: {report}");
        let said = report["overrides"].as_array().context("a report lists overrides")?;
        let tokens: Vec<&str> = said.iter().filter_map(|one| one["token"].as_str()).collect();
        ensure!(tokens == overrides, "verify lists {tokens:?}, not {overrides:?}");
        ensure!(said.iter().all(|one| one["reason"] == REASON), "reasons in {report}");
        let lost: u64 = said.iter().filter_map(|one| one["lost_offsets"].as_u64()).sum();
        ensure!(lost == counts.lost, "the overrides gave up {lost} offsets, not {}", counts.lost);
        let position = self.counts().await?;
        ensure!(position == counts, "the position counts {position:?}, not {counts:?}");
        Ok(())
    }
}
