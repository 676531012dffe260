//! Several workers on one topic and one table: as a group, by mistake as two groups, as a zombie, and after a crash.
//!
//! Goal: exactly once, whoever believes that a partition is theirs, and no partition left behind. Method: worker processes
//! that join and leave every two seconds while events pour in; two that were registered with different groups; one that is
//! stopped until others have committed its partitions, and then goes on; one that is killed and timed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use it::catalog::POSITION;
use it::events::{Plan, Sent};
use it::steady::Steady;
use it::trial::Trial;
use it::wait::{Look, say, until};
use it::worker::Worker;
use serde_json::{Value, json};

const PARTITIONS: i32 = 6;

/// How long a storm lasts: joins and leaves, one every [`EVERY`].
const CHANGES: usize = 12;
const EVERY: Duration = Duration::from_secs(2);

/// Longest time from the restart of a killed worker to its next commit. The promise is 10 s with a session time-out of
/// 6 s, for which the dead one keeps its partitions; the rest is for a machine that is busy with other tests.
const RECOVERED: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn a_rebalance_storm_loses_nothing_and_repeats_nothing() -> Result<()> {
    let trial = Trial::begin("storm", &[PARTITIONS]).await?;
    let producer = Steady::begin(&trial.kafka, &trial.topics[0], 200, 0);
    let one = worker(&trial, "one", &trial.registration(&[])?).await?;
    let two = worker(&trial, "two", &trial.registration(&[])?).await?;
    // A member with another strategy could not join, and the others could not go on.
    let strategy = "consumer.override.partition.assignment.strategy";
    let mut cooperative = trial.registration(&[(strategy, "cooperative-sticky")])?;
    cooperative["name"] = json!(format!("{}_cooperative", trial.name));
    let message = two.refused(&cooperative).await?;
    ensure!(message.contains(strategy), "{message}");
    trial.passed(1).await?;

    let mut three = None;
    for change in 0..CHANGES {
        three = match three.take() {
            None => Some(worker(&trial, "three", &trial.registration(&[])?).await?),
            // In turn with a farewell, and without one.
            Some(leaving) if change % 4 == 1 => {
                Worker::kill(leaving).await?;
                None
            }
            Some(leaving) => {
                let status = leaving.terminate().await?;
                ensure!(status.success(), "after SIGTERM the third worker ended with {status}");
                None
            }
        };
        match change {
            4 => one.put(&trial.registration(&[("tasks.max", "4")])?).await?,
            8 => two.put(&trial.registration(&[("tasks.max", "1")])?).await?,
            _ => {}
        }
        // The pace of the storm is what is tested here, so this is a length of time and no condition.
        tokio::time::sleep(EVERY).await;
    }
    let passed = trial.counts().await?.offsets();
    say(format!("{}: {CHANGES} joins and leaves, {passed} offsets passed meanwhile", trial.name));
    ensure!(passed > 0, "nothing was committed during the storm");

    let mut sent = producer.stop().await?;
    let three = worker(&trial, "three", &trial.registration(&[])?).await?;
    sent.add(tokio::task::block_in_place(|| Plan::events(9_999, 5_000).produce(&trial.kafka, &trial.topics[0]))?);
    trial.ingested().await?;
    trial.counted(&sent).await?;
    let group = format!("connect-{}", trial.name);
    until("the group has no lag", Duration::from_secs(30), async || {
        let lag = tokio::task::block_in_place(|| trial.kafka.lag(&group, &trial.topics[0]))?;
        Ok(Look::holds(lag == 0, format!("lag {lag}")))
    })
    .await?;
    let rebalances = one.log().lines().filter(|line| line.contains("rebalance task")).count();
    say(format!("{}: the first worker saw {rebalances} assignments and revocations", trial.name));
    for worker in [one, two, three] {
        let status = worker.terminate().await?;
        ensure!(status.success(), "after SIGTERM a worker ended with {status}");
    }
    trial.counted(&sent).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_groups_by_mistake_fence_each_other() -> Result<()> {
    let trial = Trial::begin("groups", &[PARTITIONS]).await?;
    let producer = Steady::begin(&trial.kafka, &trial.topics[0], 200, 0);
    let one = worker(&trial, "one", &trial.registration(&[])?).await?;
    trial.passed(1).await?;
    let mut other = trial.registration(&[])?;
    other["name"] = json!(format!("{}_again", trial.name));
    let two = worker(&trial, "two", &other).await?;
    let fences = |worker: &Worker| worker.log().lines().filter(|line| is_fence(line)).count();
    until("the second group says that it is fenced", Duration::from_secs(120), async || {
        Ok(Look::holds(fences(&two) > 0, "no fence in its log"))
    })
    .await?;
    // They go on side by side; a fence is no failure.
    let before = trial.counts().await?.offsets();
    trial.passed(before + 5_000).await?;
    let sent = producer.stop().await?;
    trial.ingested().await?;
    trial.counted(&sent).await?;
    say(format!("{}: the first group was fenced {} times, the second {}", trial.name, fences(&one), fences(&two)));
    two.running(other["name"].as_str().unwrap_or_default(), 2).await?;
    one.running(&trial.name, 2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_is_fenced_and_comes_back() -> Result<()> {
    let trial = Trial::begin("zombie", &[PARTITIONS]).await?;
    let producer = Steady::begin(&trial.kafka, &trial.topics[0], 200, 0);
    let registration = trial.registration(&[("tasks.max", "1")])?;
    let zombie = worker(&trial, "zombie", &registration).await?;
    trial.passed(1).await?;
    let heir = worker(&trial, "heir", &registration).await?;
    let (mut fenced, mut lost) = (0, 0);
    // Before its next commit is logged: when its files are being uploaded, or its request is on its way.
    for before_ms in [80, 160, 40, 120] {
        commits_again(&zombie, zombie.log().len()).await?;
        commits_again(&heir, 0).await?;
        // The moment itself is what is tested here, so this is a length of time and no condition.
        tokio::time::sleep(until_next_commit(&zombie)?.saturating_sub(Duration::from_millis(before_ms))).await;
        zombie.signal("STOP").await?;
        let stopped_at = zombie.log().len();
        let position = trial.catalog.position(&trial.table).await?;
        let all = async || {
            let now = trial.catalog.position(&trial.table).await?;
            let moved = |p| now.next(&trial.topics[0], p) > position.next(&trial.topics[0], p);
            Ok(Look::holds((0..PARTITIONS).all(moved), format!("{now:?}")))
        };
        until("the heir has committed all partitions", Duration::from_secs(60), all).await?;
        zombie.signal("CONT").await?;
        until("the zombie says that its partitions are another's", Duration::from_secs(60), async || {
            let log = zombie.log();
            let since = log.get(stopped_at..).unwrap_or_default();
            let (is_fenced, is_lost) = (since.lines().any(is_fence), since.contains("rebalance task=0 event=Lost"));
            fenced += usize::from(is_fenced);
            lost += usize::from(is_lost && !is_fenced);
            Ok(Look::holds(is_fenced || is_lost, "neither fenced nor lost"))
        })
        .await?;
        // A commit that was under way when it was stopped is none of its new life: its partitions are assigned anew.
        let assigned_at = until("the zombie has partitions again", Duration::from_secs(60), async || {
            let at = zombie.log().get(stopped_at..).unwrap_or_default().find("rebalance task=0 event=Assign([(");
            Ok(at.map_or_else(|| Look::NotYet("no assignment".to_owned()), Look::Done))
        })
        .await?;
        commits_again(&zombie, stopped_at + assigned_at).await?;
    }
    let sent = producer.stop().await?;
    trial.ingested().await?;
    trial.counted(&sent).await?;
    say(format!(
        "{}: the zombie was fenced by the table {fenced} times, heard of the loss first {lost} times",
        trial.name
    ));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_commits_again_in_time() -> Result<()> {
    let trial = Trial::begin("recovery", &[PARTITIONS]).await?;
    let producer = Steady::begin(&trial.kafka, &trial.topics[0], 200, 0);
    let mut one = worker(&trial, "one", &trial.registration(&[])?).await?;
    let mut took = Vec::new();
    for _ in 0..3 {
        let before = trial.counts().await?.offsets();
        trial.passed(before + 1_000).await?;
        one.kill().await?;
        let (began, before) = (Instant::now(), trial.counts().await?.offsets());
        one = Worker::start(&trial.stack.brokers, &trial.dir.join("one")).await?;
        trial.passed(before + 1).await?;
        took.push(began.elapsed());
    }
    let seconds: Vec<String> = took.iter().map(|took| format!("{:.1}", took.as_secs_f64())).collect();
    say(format!("{}: from restart to the next commit: {} s", trial.name, seconds.join(", ")));
    ensure!(took.iter().all(|took| *took <= RECOVERED), "one took longer than {} s", RECOVERED.as_secs());
    let sent = producer.stop().await?;
    trial.ingested().await?;
    trial.counted(&sent).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_of_an_unknown_version_halts_and_the_table_is_left_alone() -> Result<()> {
    let trial = Trial::begin("version", &[1]).await?;
    trial.catalog.create_without_snapshot(&trial.table).await?;
    trial.catalog.set_property(&trial.table, POSITION, r#"{"v":99,"what":"ever"}"#).await?;
    let before = trial.catalog.table(&trial.table).await?;
    let _: Sent = tokio::task::block_in_place(|| Plan::events(1, 100).produce(&trial.kafka, &trial.topics[0]))?;
    let worker = worker(&trial, "one", &trial.registration(&[])?).await?;
    let trace = worker.trace(&trial.name, &["FAILED"], Duration::from_secs(60)).await?;
    ensure!(trace.contains("position-unreadable") && trace.contains("99"), "the trace says: {trace}");
    ensure!(trial.catalog.table(&trial.table).await? == before, "the table was changed");
    Ok(())
}

/// A worker in a folder of its own, with the registration.
async fn worker(trial: &Trial, name: &str, registration: &Value) -> Result<Worker> {
    let worker = Worker::start(&trial.stack.brokers, &trial.dir.join(name)).await?;
    // It may know it from its life before.
    worker.put(registration).await.context(name.to_owned())?;
    Ok(worker)
}

/// How long it is until the worker logs its next commit, which comes a second after the last.
fn until_next_commit(worker: &Worker) -> Result<Duration> {
    let log = worker.log();
    let line = log.lines().rev().find(|line| line.contains("committed table=")).context("it has committed")?;
    let at: DateTime<Utc> = line.split_whitespace().next().context("a line has a time")?.parse()?;
    let since = u64::try_from((Utc::now() - at).num_milliseconds()).unwrap_or_default();
    Ok(Duration::from_millis(1_000 - since % 1_000))
}

/// Waits until the worker has committed after this place in its log.
async fn commits_again(worker: &Worker, after: usize) -> Result<()> {
    until("the worker commits", Duration::from_secs(60), async || {
        let log = worker.log();
        let committed = log.get(after..).unwrap_or_default().contains("committed table=");
        Ok(Look::holds(committed, "no commit in its log"))
    })
    .await
}

fn is_fence(line: &str) -> bool {
    line.contains("fenced: another writer")
}
