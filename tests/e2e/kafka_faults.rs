//! What Kafka, or what lies before it, can do to a reader.
//!
//! Goal: a broker that is cut off, silent, slow or dead costs time and no row; only what Kafka's transactions committed is
//! read; what the consumer group says is no truth; and a record is passed only when its dead letter is safe. Method: a
//! TCP proxy before the broker, SIGKILL for the broker, and topics and groups made for the purpose.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use it::events::Plan;
use it::kafka::Record;
use it::proxy::tcp::Mode;
use it::scene::Scene;
use it::servers;
use it::wait::{Look, say, until};

/// What lets a client notice a silent broker within seconds.
const IMPATIENT: [(&str, &str); 2] =
    [("consumer.override.socket.timeout.ms", "3000"), ("consumer.override.reconnect.backoff.max.ms", "500")];

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_stalled_half_open_or_slow_cost_no_row() -> Result<()> {
    let mut scene = Scene::begin("wire", &[2]).await?;
    let _worker = scene.running(&IMPATIENT).await?;
    for mode in [Mode::Cut, Mode::Stall, Mode::Swallow] {
        let met = |scene: &Scene| match mode {
            Mode::Cut => scene.kafka.cut(),
            Mode::Stall => scene.kafka.stalled(),
            _ => scene.kafka.swallowed(),
        };
        let before = met(&scene);
        scene.kafka.set(mode);
        scene.produce(400)?;
        until(&format!("{mode:?} has met a connection"), Duration::from_secs(20), async || {
            Ok(Look::holds(met(&scene) > before, met(&scene)))
        })
        .await?;
        // Longer than the client's time-out: the length of the silence is what is tested.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let counts = scene.trial.counts().await?;
        ensure!(counts.rows < scene.sent.events, "{mode:?} kept nothing away: {counts:?}");
        scene.kafka.set(Mode::Pass);
        scene.settled().await?;
        say(format!("{}: {mode:?} met {}", scene.trial.name, met(&scene) - before));
    }
    scene.kafka.set(Mode::Delay(Duration::from_millis(100)));
    scene.produce(400)?;
    scene.exact(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_and_started_again_is_read_on() -> Result<()> {
    let mut scene = Scene::begin("broker", &[2]).await?;
    let worker = scene.running(&IMPATIENT).await?;
    scene.produce(2_000)?;
    servers::kill(&scene.trial.stack, "kafka").await?;
    servers::start("kafka").await?;
    scene.produce(2_000)?;
    scene.settled().await?;
    worker.running(&scene.trial.name, 1).await?;
    scene.exact(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_transactions_and_compacted_holes_are_no_rows_and_no_gaps() -> Result<()> {
    let mut scene = Scene::begin("holes", &[1, 1]).await?;
    let (transactions, compacted) = (scene.trial.topics[0].clone(), scene.trial.topics[1].clone());
    let kafka = scene.trial.kafka.clone();
    for seed in 1_000..1_010 {
        let (sent, records) = Plan { days: 1, ..Plan::events(seed, 100) }.records()?;
        let commit = seed % 2 == 0;
        tokio::task::block_in_place(|| kafka.transact(&transactions, records, commit))?;
        if commit {
            scene.sent.add(sent);
        }
    }
    let settings = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("segment.ms", "500"),
        ("max.compaction.lag.ms", "1"),
    ];
    kafka.fresh_topic_with(&compacted, 1, &settings).await?;
    // Every key is written over once; what is under it goes.
    for seed in 2_000..2_002 {
        let (sent, records) = Plan { days: 1, ..Plan::events(seed, 400) }.records()?;
        let keyed = records.into_iter().enumerate().map(|(n, (_, value))| (Some(n.to_string()), value));
        tokio::task::block_in_place(|| kafka.produce(&compacted, keyed.collect::<Vec<Record>>()))?;
        if seed == 2_001 {
            scene.sent.add(sent);
        }
    }
    until("the topic is compacted", Duration::from_secs(90), async || {
        // A record that opens a new segment, since the one being written is left alone.
        let (sent, records) = Plan { days: 1, ..Plan::events(3_000 + scene.sent.events, 1) }.records()?;
        scene.sent.add(sent);
        let keyed = records.into_iter().map(|(_, value)| (Some(format!("new {}", scene.sent.events)), value));
        tokio::task::block_in_place(|| kafka.produce(&compacted, keyed.collect::<Vec<Record>>()))?;
        let (end, left) = (kafka.count(&compacted)?, kafka.readable(&compacted)?);
        Ok(Look::holds(end >= left + 400, format!("{left} records of {end} offsets")))
    })
    .await?;
    // The last offsets of both topics are records: markers alone are passed with the next one.
    scene.produce(10)?;
    let skipped = kafka.count(&transactions)? + kafka.count(&compacted)? - scene.sent.events;
    say(format!("{}: {skipped} offsets without a record", scene.trial.name));
    ensure!(skipped >= 910, "{skipped} offsets without a record: 500 aborted, 10 markers, 400 compacted were meant");
    let worker = scene.worker(it::worker::Options::default()).await?;
    worker.register(&scene.registration(&[])?).await?;
    scene.exact(skipped).await
}

#[tokio::test(flavor = "multi_thread")]
async fn group_offsets_that_are_rewound_put_ahead_or_deleted_have_no_effect() -> Result<()> {
    let mut scene = Scene::begin("group", &[2]).await?;
    let group = format!("connect-{}", scene.trial.name);
    let topic = scene.trial.topics[0].clone();
    let kafka = scene.trial.kafka.clone();
    let mut worker = scene.running(&[]).await?;
    for offset in [Some(0), Some(1_000_000), None] {
        worker.terminate().await?;
        let told = kafka.group(&group, &topic)?;
        ensure!(!told.is_empty(), "the connector tells the group nothing, so there is nothing to rewind");
        match offset {
            Some(offset) => tokio::task::block_in_place(|| kafka.set_group(&group, &topic, offset))?,
            None => kafka.delete_group(&group).await?,
        }
        let found: Vec<i64> = kafka.group(&group, &topic)?.into_values().collect();
        ensure!(found.iter().all(|found| Some(*found) == offset), "the group stands at {found:?}, not at {offset:?}");
        scene.produce(400)?;
        worker = scene.worker(it::worker::Options::default()).await?;
        scene.settled().await?;
    }
    scene.exact(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_position_passes_a_reject_only_when_its_dead_letter_is_safe() -> Result<()> {
    let mut scene = Scene::begin("letters", &[1]).await?;
    let (topic, rejects) = (scene.trial.topics[0].clone(), scene.trial.rejects.clone());
    // Too small for any letter with its headers.
    scene.trial.kafka.fresh_topic_with(&rejects, 1, &[("max.message.bytes", "100")]).await?;
    let worker = scene.running(&[]).await?;
    let safe = scene.trial.counts().await?.offsets();
    scene.produce_to(&topic, Plan { malformed_every: 100, ..Plan::events(0, 400) })?;
    let trace = worker.trace(&scene.trial.name, &["RESTARTING", "RUNNING"], Duration::from_secs(60)).await?;
    say(format!("{}: {trace}", scene.trial.name));
    ensure!(trace.contains(&rejects), "the trace does not name the dead letter topic: {trace}");
    let counts = scene.trial.counts().await?;
    ensure!(counts.rejects == 0 && counts.offsets() < safe + 101, "{counts:?}: passed a record without its letter");
    ensure!(scene.trial.kafka.count(&rejects)? == 0, "the topic took a letter after all");
    scene.trial.kafka.configure(&rejects, &[]).await?;
    scene.exact(0).await.context("with the dead letter topic repaired")?;
    let letters = scene.trial.kafka.count(&rejects)?;
    ensure!(letters >= scene.sent.malformed_count(), "{letters} letters of {}", scene.sent.malformed_count());
    Ok(())
}
