//! What a process and all its descendants cost: CPU time and memory, read from `/proc` ten times a second.
//!
//! CPU is user and system time of every process of the tree, with that of children which have ended and were waited for.
//! Memory is the sum of the resident sets, at its highest: for a tree of one process the kernel's own high-water mark,
//! for more of them the highest sample (pages that two of them share count twice). What runs outside of the tree, such as
//! the servers, is not in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

const EVERY: Duration = Duration::from_millis(100);
/// The unit of times in `/proc`: Linux shows it in hundredths of a second on every architecture (USER_HZ).
const TICK: Duration = Duration::from_millis(10);

/// What a tree of processes has cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Resident memory at its highest, in bytes.
    pub(crate) memory_peak: u64,
}

/// Measures until it is stopped.
pub(crate) struct Meter {
    root: u32,
    stopped: Arc<AtomicBool>,
    sampling: JoinHandle<Usage>,
}

impl Meter {
    /// Begins with a process that was just started: its CPU time counts from its start, whenever this is called.
    pub(crate) fn start(root: u32) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stopped);
        let sampling = std::thread::spawn(move || {
            let mut usage = Usage::default();
            loop {
                let last = told.load(Ordering::Acquire);
                usage.add(&processes(), root);
                if last {
                    return usage;
                }
                std::thread::park_timeout(EVERY);
            }
        });
        Self { root, stopped, sampling }
    }

    /// The cost so far, and the end of the measurement. The process must be alive.
    pub(crate) fn stop(self) -> Result<Usage> {
        let root = self.root;
        let usage = self.read()?;
        let alive = status_bytes(root, "VmRSS:").is_some();
        ensure!(alive, "process {root} ended before it was measured");
        Ok(usage)
    }

    fn read(self) -> Result<Usage> {
        self.stopped.store(true, Ordering::Release);
        self.sampling.thread().unpark();
        self.sampling.join().map_err(|_| anyhow!("the meter ended in a panic"))
    }
}

/// Runs a command to its end and has it succeed: its standard output, how long it took, and what it cost. Memory is that of a
/// tenth of a second before the end, at its highest until then.
pub(crate) fn run(command: &mut Command, log: &Path) -> Result<(String, Duration, Usage)> {
    let what = format!("{command:?}");
    let stderr = File::create(log).with_context(|| format!("create {}", log.display()))?;
    let began = Instant::now();
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    let mut child = command.spawn().with_context(|| format!("start {what}"))?;
    let meter = Meter::start(child.id());
    let mut said = String::new();
    child.stdout.take().context("a pipe")?.read_to_string(&mut said)?;
    // A process that has ended keeps its times until somebody waits for it.
    while !has_ended(child.id()) {
        std::thread::yield_now();
    }
    let (wall, usage, status) = (began.elapsed(), meter.read()?, child.wait()?);
    let stderr = || std::fs::read_to_string(log).unwrap_or_default();
    ensure!(status.success(), "{what} ended with {status}:\n{said}{}", stderr());
    Ok((said, wall, usage))
}

fn has_ended(pid: u32) -> bool {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    line.rsplit_once(')').is_none_or(|(_, fields)| fields.trim_start().starts_with('Z'))
}

impl Usage {
    /// One more sample.
    fn add(&mut self, processes: &BTreeMap<u32, Process>, root: u32) {
        let tree = tree(processes, root);
        let ticks = tree.iter().filter_map(|pid| processes.get(pid)).map(|process| process.ticks).sum::<u64>();
        let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
        // A descendant that nobody waited for takes its time with it: what was seen stays.
        self.cpu = self.cpu.max(TICK * ticks);
        let resident = tree.iter().filter_map(|pid| status_bytes(*pid, "VmRSS:")).sum();
        let high = status_bytes(root, "VmHWM:").unwrap_or_default();
        self.memory_peak = self.memory_peak.max(high).max(resident);
    }
}

/// What a process has spent by now, with children that it waited for: of a server, before and after its work.
pub(crate) fn spent(pid: u32) -> Result<Duration> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
    let process = Process::parse(&line).with_context(|| format!("process {pid}: {line}"))?;
    Ok(TICK * u32::try_from(process.ticks)?)
}

/// The resident memory of a process at its highest, in bytes.
pub(crate) fn memory_peak(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmHWM:").with_context(|| format!("process {pid} has no memory"))
}

/// A line of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    parent: u32,
    /// User and system time, its own and that of children that it waited for.
    ticks: u64,
}

impl Process {
    fn parse(line: &str) -> Option<Self> {
        // The name is in brackets and may hold brackets and spaces; after it the third field comes first.
        let (_, fields) = line.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let ticks = (14..=17).map(number).sum::<Option<u64>>()?;
        Some(Self { parent: u32::try_from(number(4)?).ok()?, ticks })
    }
}

/// All processes of the machine; one that ends meanwhile is left out.
fn processes() -> BTreeMap<u32, Process> {
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, Process::parse(&line)?))
    })
    .collect()
}

/// A process and all its descendants.
fn tree(processes: &BTreeMap<u32, Process>, root: u32) -> Vec<u32> {
    let mut tree = vec![root];
    let mut at = 0;
    while let Some(&parent) = tree.get(at) {
        tree.extend(processes.iter().filter(|(_, process)| process.parent == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    tree
}

fn status_bytes(pid: u32, key: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

/// What the machine is, for the report.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: u64,
}

impl Machine {
    pub(crate) fn this() -> Result<Self> {
        let line = |file: &str, key: &str| {
            let text = std::fs::read_to_string(file).with_context(|| format!("read {file}"))?;
            let found = text.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
            found.with_context(|| format!("no {key:?} in {file}"))
        };
        // Some architectures have no name of their processor there.
        let processor = line("/proc/cpuinfo", "model name").unwrap_or_else(|_| format!(": {}", std::env::consts::ARCH));
        let memory = line("/proc/meminfo", "MemTotal:")?;
        let kib: u64 = memory.trim().trim_end_matches("kB").trim().parse()?;
        Ok(Self {
            processor: processor.trim_start_matches(['\t', ' ', ':']).to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: (kib + (1 << 19)) >> 20,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_hides_no_field() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194560 9 0 0 0 100 20 3 4 20 0 1 0 5 6 7";
        assert_eq!(Process::parse(line), Some(Process { parent: 7, ticks: 127 }));
        assert_eq!(Process::parse("42 (a) S"), None);
    }

    #[test]
    fn a_tree_is_a_process_with_its_descendants_and_no_others() {
        let process = |parent| Process { parent, ticks: 1 };
        let all = BTreeMap::from([(1, process(0)), (2, process(1)), (3, process(2)), (4, process(2)), (5, process(1))]);
        assert_eq!(tree(&all, 2), [2, 3, 4]);
        let mut usage = Usage::default();
        usage.add(&all, 2);
        assert_eq!(usage.cpu, TICK * 3);
    }

    #[test]
    fn what_children_have_spent_counts_after_they_ended() {
        // The loop runs in a child; its parent waits for it and then for its standard input.
        let busy = "(i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done); echo done; read line";
        let mut shell = Command::new("sh");
        let mut shell = shell.args(["-c", busy]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let meter = Meter::start(shell.id());
        let mut said = [0; 4];
        Read::read_exact(shell.stdout.as_mut().unwrap(), &mut said).unwrap();
        let usage = meter.stop().unwrap();
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert!(usage.cpu >= TICK, "{usage:?}");
        assert!(usage.memory_peak > 100_000, "{usage:?}");
    }

    #[test]
    fn a_process_that_has_ended_is_not_measured() {
        let mut gone = Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        assert!(Meter::start(gone.id()).stop().is_err());
    }
}
