//! What the object store can do to a file, and what a slow one does to the worker.
//!
//! Goal: what is committed is in the store, whole; a store that refuses, lies or is slow costs time and no row, no
//! memory, and no place in the consumer group. Method: a proxy before MinIO fails, bends or delays chosen writes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::http::{HeaderValue, Method, StatusCode, header};
use it::events::Plan;
use it::proxy::requests::{data_files, manifests, writes};
use it::proxy::rule::{Answer, Fault, Heard, Matcher, When};
use it::scene::{Scene, Wire};
use it::stack::Stack;
use it::wait::{Look, say, until};
use it::worker::Options;

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_refused_broken_off_or_slow_is_done_again() -> Result<()> {
    let mut scene = Scene::begin("writes", &[2]).await?;
    let _worker = scene.running(&[]).await?;
    for files in [data_files as fn() -> Matcher, manifests] {
        for fault in [
            Fault::StatusBefore(500, None),
            Fault::StatusBefore(503, Some(1)),
            Fault::StatusAfter(500),
            Fault::DropAnswer,
            Fault::Refuse,
            Fault::Delay(Duration::from_secs(1)),
        ] {
            let rule = scene.strike(Wire::Store, files(), When::Nth(1), fault).await?;
            ensure!(rule.hits() == 1, "{rule:?}");
        }
    }
    scene.exact(0).await
}

/// Says that the object was written, and does not write it.
fn nothing_written() -> Fault {
    Fault::Instead(Box::new(|_: &Heard| written()))
}

/// Says that the object was written, and writes the first half of it.
fn half_written(stack: &Stack) -> Fault {
    let stack = stack.clone();
    Fault::Instead(Box::new(move |heard: &Heard| match put(&stack, &heard.path, &heard.body[..heard.body.len() / 2]) {
        Ok(()) => written(),
        // Not what was meant: the connector sees a failure, and the test that nothing short was committed means nothing.
        Err(error) => {
            say(format!("half an object could not be written: {error:#}"));
            Answer { status: StatusCode::NOT_IMPLEMENTED, ..Answer::default() }
        }
    }))
}

fn written() -> Answer {
    let mut answer = Answer::default();
    answer.headers.insert(header::ETAG, HeaderValue::from_static("\"d41d8cd98f00b204e9800998ecf8427e\""));
    answer
}

/// Writes an object past the proxy, signed by curl.
fn put(stack: &Stack, path: &str, body: &[u8]) -> Result<()> {
    let mut file = tempfile::NamedTempFile::new()?;
    std::io::Write::write_all(&mut file, body)?;
    let user = format!("{}:{}", stack.s3_access_key, stack.s3_secret_key);
    let output = std::process::Command::new("curl")
        .args(["--silent", "--fail-with-body", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &user])
        .arg("--upload-file")
        .arg(file.path())
        .arg(format!("{}{path}", stack.s3))
        .output()
        .context("start curl")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_missing_or_short_although_the_store_said_yes_is_not_committed() -> Result<()> {
    let mut scene = Scene::begin("lies", &[2]).await?;
    let _worker = scene.running(&[]).await?;
    for files in [data_files as fn() -> Matcher, manifests] {
        for fault in [nothing_written(), half_written(&scene.trial.stack)] {
            let rule = scene.strike(Wire::Store, files(), When::Nth(1), fault).await?;
            ensure!(rule.hits() == 1, "{rule:?}");
            scene.trial.verified().await?;
        }
    }
    scene.exact(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_that_flips_on_the_way_is_refused_by_the_store() -> Result<()> {
    let mut scene = Scene::begin("flip", &[2]).await?;
    let _worker = scene.running(&[]).await?;
    for files in [data_files as fn() -> Matcher, manifests] {
        let rule = scene.strike(Wire::Store, files(), When::Nth(1), Fault::Flip).await?;
        ensure!(rule.answers() == [400], "the store answered {:?} to a bent body", rule.answers());
    }
    scene.exact(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_are_told_retried_at_leisure_and_forgotten() -> Result<()> {
    let mut scene = Scene::begin("denied", &[2]).await?;
    let worker = scene.running(&[]).await?;
    // In mid-upload: the first file of the batch is stored, the others are not.
    let stored = scene.store.inject(data_files(), When::Nth(1), Fault::Delay(Duration::ZERO));
    let denied = scene.store.inject(writes(), When::Always, Fault::StatusBefore(403, None));
    scene.produce(400)?;
    let trace = worker.trace(&scene.trial.name, &["RESTARTING", "RUNNING"], Duration::from_secs(30)).await?;
    say(format!("{}: {trace}", scene.trial.name));
    ensure!(trace.contains("denied"), "the trace does not say what is wrong: {trace}");
    // How often it tries is what is tested, so this is a length of time and no condition.
    let before = denied.hits();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let tries = denied.hits() - before;
    say(format!("{}: {tries} writes were tried in five seconds of refusal", scene.trial.name));
    ensure!(tries <= 60, "{tries} writes in five seconds are a busy loop");
    ensure!(stored.answers() == [200], "no file was stored before the refusal: {stored:?}");
    scene.store.lift(&denied);
    scene.settled().await?;
    scene.exact(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_with_a_slow_store_commits_within_the_grace_period_or_drops() -> Result<()> {
    let mut scene = Scene::begin("sigterm", &[2]).await?;
    let worker = scene.running(&[]).await?;
    let slow = scene.store.inject(data_files(), When::Always, Fault::Delay(Duration::from_secs(1)));
    let before = scene.trial.counts().await?.offsets();
    scene.produce(400)?;
    scene.met(&slow, 1).await?;
    let status = worker.terminate().await?;
    let drained = scene.trial.counts().await?.offsets();
    ensure!(status.success() && drained > before, "{status}; {before} offsets before SIGTERM, {drained} after");
    scene.store.lift(&slow);

    let slower = scene.store.inject(data_files(), When::Always, Fault::Delay(Duration::from_secs(20)));
    let worker = scene.worker(Options { grace: Some(Duration::from_secs(1)), ..Options::default() }).await?;
    scene.produce(400)?;
    scene.met(&slower, 1).await?;
    let began = Instant::now();
    let status = worker.terminate().await?;
    let took = began.elapsed();
    say(format!("{}: ended by SIGTERM with {status} after {took:?}", scene.trial.name));
    ensure!(
        status.success() && took < Duration::from_secs(10),
        "{status} after {took:?}, the grace period is one second"
    );
    ensure!(scene.trial.counts().await?.offsets() == drained, "a batch was committed whose files were not stored");
    scene.store.lift(&slower);
    let _worker = scene.worker(Options::default()).await?;
    scene.exact(0).await
}

/// Bytes at which a batch is full, the least that is allowed.
const BATCH: u64 = 1 << 20;
/// About 160 MB of JSON: far more than two batches.
const EVENTS: u64 = 250_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_store_slower_than_the_input_pauses_the_worker_and_bounds_its_memory() -> Result<()> {
    let mut scene = Scene::begin("slow", &[2]).await?;
    let options = Options { limits: vec!["--nofile=96".to_owned()], ..Options::default() };
    let worker = scene.worker(options).await?;
    scene.produce(400)?;
    worker.register(&scene.registration(&[("flush.bytes.max", &BATCH.to_string())])?).await?;
    scene.settled().await?;
    let base = worker.memory_peak()?;
    let rebalances = |log: &str| log.matches("rebalance").count();
    let joined = rebalances(&worker.log());

    let slow = scene.store.inject(data_files(), When::Always, Fault::Delay(Duration::from_secs(2)));
    let topic = scene.trial.topics[0].clone();
    scene.produce_to(&topic, Plan { days: 1, ..Plan::events(0, EVENTS) })?;
    until("the partitions are paused", Duration::from_secs(60), async || {
        Ok(Look::holds(worker.log().contains("paused: the open batch is full"), "not yet"))
    })
    .await?;
    // Longer than the group waits for a sign of life.
    tokio::time::sleep(Duration::from_secs(7)).await;
    let peak = worker.memory_peak()?;
    let mib = |bytes: u64| bytes >> 20;
    say(format!("{}: {} MiB at first, {} MiB at most", scene.trial.name, mib(base), mib(peak)));
    // Two batches, as columns, as they are encoded and as they are sent; 16 MiB fetched ahead, and as much being fetched;
    // all that twice, since the allocator keeps what was freed.
    let bound = base + 2 * (2 * 3 * BATCH + 2 * (16 << 20));
    ensure!(peak <= bound, "{} MiB at most, more than {} MiB", mib(peak), mib(bound));
    ensure!(rebalances(&worker.log()) == joined, "the group was left:\n{}", worker.log());
    ensure!(slow.hits() > 0, "{slow:?}");

    scene.store.lift(&slow);
    // With larger batches the rest is done in seconds.
    let (name, registration) = (&scene.trial.name, scene.registration(&[])?);
    let path = format!("/connectors/{name}/config");
    let (status, answer) = worker.ask(Method::PUT, &path, Some(&registration["config"])).await?;
    ensure!(status == StatusCode::OK, "PUT {path}: {status} {answer}");
    scene.exact(0).await
}
