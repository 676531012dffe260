//! A backfill through one memory budget, however many partitions the table and Kafka have.
//!
//! Goal: 400 days of nine event types, all of them live at once, end in the table exactly; the worker never holds more
//! than its budget, what a process needs by itself and some kilobytes for each file that is not committed yet; the group is
//! not left; and files are as large as the budget allows, since a batch is only sealed when its part of the budget is used
//! up. Method: shuffled events that come faster than they can be stored once every task has its partitions, a long interval
//! of commits, and `VmHWM`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use it::events::{Plan, Sent};
use it::kafka::Record;
use it::trial::Trial;
use it::wait::{Look, say, until};
use it::worker::Worker;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// `memory.max.bytes`.
const BUDGET: u64 = 256 << 20;
/// What a worker has beside the budget: the program, its threads with their stacks and caches, connections, TLS. It is
/// measured at 25 MiB before a connector is registered; the rest is what the allocator keeps of what was freed.
const PROCESS: u64 = 64 << 20;
/// What a worker keeps of a file from its upload to its commit: bounds and counts of 26 columns.
const FILE: u64 = 8 << 10;
/// Events: some 200 MB of JSON, 125 MB as columns.
const EVENTS: u64 = 300_000;
/// Days of the backfill, and table partitions of a day.
const DAYS: u32 = 400;
const TYPES: u64 = 9;

/// The backfill in no order, so that every batch meets every partition of the table.
fn shuffled() -> Result<(Sent, Vec<Record>)> {
    let (sent, mut records) = Plan { days: DAYS, ..Plan::events(11, EVENTS) }.records()?;
    records.shuffle(&mut StdRng::seed_from_u64(5));
    // Without a key, so that each Kafka partition gets as many.
    Ok((sent, records.into_iter().map(|(_, value)| (None, value)).collect()))
}

/// The rebalances that the log tells: task, and whether it was given partitions.
fn rebalances(worker: &Worker) -> Vec<(String, bool)> {
    let told = |line: &str| {
        let (_, said) = line.split_once("rebalance task=")?;
        let (task, event) = said.split_once(' ')?;
        Some((task.to_owned(), event.contains("Assign")))
    };
    worker.log().lines().filter_map(told).collect()
}

/// Waits until so many tasks have partitions at the same time, and says how many rebalances it took.
async fn assigned(worker: &Worker, tasks: usize) -> Result<usize> {
    until("all tasks have partitions", Duration::from_secs(60), async || {
        let told = rebalances(worker);
        let last: BTreeMap<_, _> = told.iter().cloned().collect();
        let have = last.values().filter(|assigned| **assigned).count();
        Ok(if have == tasks { Look::Done(told.len()) } else { Look::NotYet(format!("{have} have")) })
    })
    .await
}

/// What a backfill led to.
struct Made {
    /// Partitions of the table.
    partitions: u64,
    files: u64,
    commits: u64,
}

/// Ingests the backfill with so many tasks, while it is being produced.
async fn backfill(trial: &Trial, tasks: usize) -> Result<Made> {
    let (sent, records) = shuffled()?;
    let worker = trial.worker().await?;
    let base = worker.memory_peak()?;
    let (budget, count) = (BUDGET.to_string(), tasks.to_string());
    let changes = [("memory.max.bytes", budget.as_str()), ("tasks.max", &count), ("commit.interval.ms", "20000")];
    worker.register(&trial.registration(&changes)?).await?;
    worker.running(&trial.name, tasks).await?;
    // All members have joined then, and none may leave from there on.
    let joined = assigned(&worker, tasks).await?;
    let began = Instant::now();
    tokio::task::block_in_place(|| trial.kafka.produce(&trial.topics[0], records))?;
    trial.ingested().await?;
    let (took, peak) = (began.elapsed(), worker.memory_peak()?);
    let mib = |bytes: u64| bytes >> 20;
    say(format!("{}: {took:.1?}, {} MiB at first, {} MiB at most", trial.name, mib(base), mib(peak)));
    // Every task can have a file in each partition of the table.
    let partitions = sent.partitions.len() as u64;
    let allowed = BUDGET + PROCESS + FILE * partitions * tasks as u64;
    ensure!(peak <= allowed, "{} MiB at most, {} MiB allowed", mib(peak), mib(allowed));
    ensure!(rebalances(&worker).len() == joined, "the group was left:\n{}", worker.log());
    trial.counted(&sent).await?;
    let summary = trial.catalog.summary(&trial.table).await?;
    let files = summary.get("total-data-files").context("the summary counts files")?.parse()?;
    let commits = worker.log().matches("catalog_sync::commit: committed").count() as u64;
    say(format!("{}: {files} files by {commits} commits", trial.name));
    ensure!(worker.terminate().await?.success(), "the worker failed");
    Ok(Made { partitions, files, commits })
}

#[tokio::test(flavor = "multi_thread")]
async fn four_hundred_days_go_through_one_budget_in_files_as_large_as_it_allows() -> Result<()> {
    let trial = Trial::begin("backfill", &[4]).await?;
    let Made { partitions, files, commits } = backfill(&trial, 1).await?;
    ensure!(partitions > u64::from(DAYS) * (TYPES - 1), "{partitions} partitions are no backfill of {DAYS} days");
    // A batch has a quarter of the budget, and is sealed when half of that holds compressed rows: of some 100 bytes, that is
    // more than there are. What is in the table comes from one batch, and one or two that were sealed by their age.
    ensure!(commits <= 3, "{commits} commits for {EVENTS} events");
    ensure!(files <= partitions * commits, "{files} files of {partitions} partitions by {commits} commits");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_holds_for_four_tasks_and_sixty_four_kafka_partitions() -> Result<()> {
    let trial = Trial::begin("partitions", &[64]).await?;
    let Made { partitions, files, commits } = backfill(&trial, 4).await?;
    // Each of four tasks has a file in every partition, twice if a tick came in the middle of its records.
    ensure!(files <= partitions * 8, "{files} files of {partitions} partitions by four tasks");
    ensure!(commits <= 8, "{commits} commits of two batches of each task");
    Ok(())
}
