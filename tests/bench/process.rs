//! Another system as a process: its output in a file, asked to end as an operator would, killed when it does not or when
//! dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use it::program;
use it::wait::say;
use tokio::process::{Child, Command};

/// Longest time from SIGTERM to the end.
const STOP: Duration = Duration::from_secs(30);

/// A running system.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command that logs into a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let what = format!("{:?}", command.as_std().get_program());
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("start {what}"))?;
        Ok(Self { child, log: log.to_owned() })
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().context("the process has ended")
    }

    /// Fails, with the end of its log, if the process has ended by itself.
    pub(crate) fn alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("it ended with {status}:\n{}", self.log_tail()),
            None => Ok(()),
        }
    }

    /// SIGTERM, and waits for the end. One that does not end in time, as the sink's worker at times, is killed: it has been
    /// measured, and what it has committed stays.
    pub(crate) async fn terminate(mut self) -> Result<()> {
        let said = program::run(Command::new("kill").args(["-TERM", &self.pid()?.to_string()]), STOP).await?;
        ensure!(said.code == Some(0), "kill -TERM: {}", said.err);
        match tokio::time::timeout(STOP, self.child.wait()).await {
            Ok(status) => status.map(|_| ()).context("wait for the process"),
            Err(_) => {
                say(format!(
                    "not ended within {} s of SIGTERM, killed; its log: {}",
                    STOP.as_secs(),
                    self.log.display()
                ));
                self.child.kill().await.context("kill the process")
            }
        }
    }

    /// The last lines that it logged.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default();
        format!("{}\n(all of it: {})", tail.join("\n"), self.log.display())
    }
}
