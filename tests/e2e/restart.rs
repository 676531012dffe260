//! A worker that is killed at any moment, and started again, loses nothing and repeats nothing.
//!
//! Goal: `count(*) = count(distinct event_id) = produced`, whenever the power goes. Method: SIGKILL right after the
//! registration, after the first commit, and at odd moments while events pour in; then SIGTERM, after which everything
//! read must be committed.

use std::time::Duration;

use anyhow::{Result, ensure};
use it::events::Plan;
use it::steady::Steady;
use it::trial::Trial;
use it::wait::say;

/// Milliseconds after a commit at which the worker is killed: just after it, while the next batch fills, about when the
/// next commit is under way (the interval is 1,000), and while the one after that is.
const MOMENTS_MS: [u64; 5] = [0, 350, 900, 1_050, 2_100];

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_odd_moments_loses_nothing_and_repeats_nothing() -> Result<()> {
    let trial = Trial::begin("restart", &[3]).await?;
    let producer = Steady::begin(&trial.kafka, &trial.topics[0], 500, 100);

    let worker = trial.worker().await?;
    worker.register(&trial.registration(&[])?).await?;
    worker.kill().await?;
    say("killed right after the registration was answered");

    let mut worker = trial.worker().await?;
    trial.passed(1).await?;
    worker.kill().await?;
    say("killed after the first commit");

    for moment in MOMENTS_MS {
        worker = trial.worker().await?;
        let before = trial.counts().await?.offsets();
        trial.passed(before + 1).await?;
        // The moment itself is what is tested here, so this is a length of time and no condition.
        tokio::time::sleep(Duration::from_millis(moment)).await;
        worker.kill().await?;
        say(format!("killed {moment} ms after a commit was seen, at {} offsets", trial.counts().await?.offsets()));
    }

    worker = trial.worker().await?;
    let before = trial.counts().await?.offsets();
    trial.passed(before + 1).await?;
    let status = worker.terminate().await?;
    ensure!(status.success(), "after SIGTERM the worker ended with {status}");
    say(format!("ended by SIGTERM with {status}, at {} offsets", trial.counts().await?.offsets()));

    let worker = trial.worker().await?;
    let mut sent = producer.stop().await?;
    let last = Plan { malformed_every: 100, ..Plan::events(9_999, 5_000) };
    sent.add(tokio::task::block_in_place(|| last.produce(&trial.kafka, &trial.topics[0]))?);
    trial.ingested().await?;
    trial.exact(&sent).await?;
    // A dead letter may occur twice after a kill, and none may be missing.
    let letters = trial.kafka.count(&trial.rejects)?;
    ensure!(letters >= sent.malformed_count(), "{letters} dead letters of {}", sent.malformed_count());
    let status = worker.terminate().await?;
    ensure!(status.success(), "an idle worker ended with {status} after SIGTERM");
    Ok(())
}
