//! `bench freshness`: how long it takes until an event can be seen in Trino, at a steady rate.
//!
//! Every event bears the time at which it was given to the producer, and in `utm_campaign` its Kafka partition. Trino is asked
//! again and again for the newest event of each partition that it sees; a partition's rows come in its order, so that all
//! events up to that one could be seen when the question was asked, which is told, and were seen when it was answered, which
//! is told as well. An event that comes in just after a question was asked waits for the next one, so both figures are a little
//! too high; some questions are always under way, so that the next one is not far. The events of the first seconds are not in the
//! figures: the worker, the table and Trino's code are cold then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, SecondsFormat};
use clap::Args;
use connector::demo::journeys::{Journeys, Options};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use it::trial::Trial;
use it::trino::query_error;
use it::wait::say;
use it::worker;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::compare::variable;
use crate::measure::{Machine, Meter};

/// Partitions of the topic.
const PARTITIONS: i32 = 4;
/// Events are sent in portions, so many a second.
const PORTIONS_PER_SEC: u64 = 100;
/// Questions under way: the next begins when one of them is answered.
const ASKERS: usize = 2;
/// Longest wait for the last event after the last was sent.
const LAST: Duration = Duration::from_secs(60);

/// What to measure.
#[derive(Debug, Clone, Args)]
pub(crate) struct Wanted {
    /// Events a second
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(100..))]
    rate: u64,
    /// Seconds of measuring, after the warm-up
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Seconds of warm-up, whose events are not in the figures
    #[arg(long, default_value_t = 60)]
    warm_up: u64,
    /// Milliseconds between two commits
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..))]
    commit_ms: u64,
    /// Print JSON, not Markdown
    #[arg(long)]
    json: bool,
}

/// When an event was given to the producer, and where it went.
#[derive(Debug, Clone, Copy)]
struct Sent {
    partition: usize,
    millis: i64,
}

/// Milliseconds.
#[derive(Debug, Serialize)]
struct Spread {
    p50: i64,
    p95: i64,
    p99: i64,
    max: i64,
}

impl Spread {
    fn of(lags: &mut [i64]) -> Result<Self> {
        lags.sort_unstable();
        Ok(Self {
            p50: percentile(lags, 50)?,
            p95: percentile(lags, 95)?,
            p99: percentile(lags, 99)?,
            max: percentile(lags, 100)?,
        })
    }
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    servers: [(&'static str, String); 4],
    events_per_second: u64,
    commit_ms: u64,
    events: u64,
    events_measured: usize,
    /// From producing to the question that saw it.
    visible: Spread,
    /// From producing to the answer that showed it.
    answered: Spread,
    /// How long the middle question took, in milliseconds: what the figures cannot be sharper than.
    question: i64,
    questions: usize,
    /// Of the worker, over the whole time.
    cpu_cores: f64,
    memory_peak_bytes: u64,
}

/// Produces, polls, counts, prints.
pub(crate) async fn run(wanted: &Wanted) -> Result<()> {
    let trial = Trial::begin("freshness", &[PARTITIONS]).await?;
    let options = worker::Options { brokers: trial.stack.brokers.clone(), ..worker::Options::default() };
    let worker = worker::Worker::start_with(&options, &trial.dir).await?;
    worker.register(&trial.registration(&[("commit.interval.ms", &wanted.commit_ms.to_string())])?).await?;
    worker.running(&trial.name, 2).await?;
    let meter = Meter::start(worker.pid()?);
    let began = std::time::Instant::now();

    let (told, sent) = mpsc::unbounded_channel();
    let topic = trial.topics.first().context("a trial has a topic")?.clone();
    let brokers = trial.stack.brokers.clone();
    let (rate, seconds) = (wanted.rate, wanted.warm_up + wanted.seconds);
    let producing = tokio::task::spawn_blocking(move || produce(&brokers, &topic, rate, seconds, &told));
    let mut watch = Watch::new(now_millis() + i64::try_from(wanted.warm_up * 1_000)?);
    watch.all(&trial, sent).await?;
    let events = producing.await??;
    let usage = meter.stop()?;
    let elapsed = began.elapsed();
    counted(&trial, events).await?;
    worker.terminate().await?;
    let server = |name, key| variable(key).map(|version| (name, version));
    let servers = [
        server("Kafka", "KAFKA_VERSION")?,
        server("MinIO", "MINIO_VERSION")?,
        server("Nessie", "NESSIE_VERSION")?,
        server("Trino", "TRINO_VERSION")?,
    ];
    watch.questions.sort_unstable();
    let report = Report {
        machine: Machine::this()?,
        servers,
        events_per_second: wanted.rate,
        commit_ms: wanted.commit_ms,
        events,
        events_measured: watch.visible.len(),
        visible: Spread::of(&mut watch.visible)?,
        answered: Spread::of(&mut watch.answered)?,
        question: percentile(&watch.questions, 50)?,
        questions: watch.questions.len(),
        cpu_cores: usage.cpu.as_secs_f64() / elapsed.as_secs_f64(),
        memory_peak_bytes: usage.memory_peak,
    };
    if wanted.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", markdown(&report));
    }
    Ok(())
}

/// What Trino saw when.
#[derive(Debug)]
struct Answer {
    asked: i64,
    at: i64,
    /// Partition and its newest event.
    newest: Vec<(usize, i64)>,
}

/// One question: the newest event of each partition, of those that are not older than the oldest waiting.
async fn ask(trial: &Trial, oldest: i64) -> Result<Answer> {
    let since = DateTime::from_timestamp_millis(oldest).context("a time of today")?.format("%F %T%.3f UTC");
    let sql = format!(
        "SELECT utm_campaign, to_unixtime(max(event_timestamp)) FROM {} \
         WHERE event_timestamp >= TIMESTAMP '{since}' GROUP BY utm_campaign",
        trial.sql_name()
    );
    let asked = now_millis();
    let rows = match trial.trino.query(&sql).await {
        Ok(rows) => rows,
        // The connector is making it.
        Err(error) if query_error(&error).is_some_and(|error| error.name == "TABLE_NOT_FOUND") => Vec::new(),
        Err(error) => return Err(error),
    };
    let at = now_millis();
    let newest = rows.iter().map(|row| {
        let partition = row.first().and_then(|lane| lane.as_str()).context("a partition")?.parse()?;
        let newest = row.get(1).and_then(serde_json::Value::as_f64).context("a time")?;
        Ok((partition, (newest * 1e3).round() as i64))
    });
    Ok(Answer { asked, at, newest: newest.collect::<Result<_>>()? })
}

/// What has become visible when.
struct Watch {
    /// Events from this time on are measured.
    from: i64,
    /// Sent and not yet seen, by partition, in order.
    waiting: Vec<VecDeque<i64>>,
    visible: Vec<i64>,
    answered: Vec<i64>,
    questions: Vec<i64>,
}

impl Watch {
    fn new(from: i64) -> Self {
        let (visible, answered, questions) = (Vec::new(), Vec::new(), Vec::new());
        Self { from, waiting: vec![VecDeque::new(); PARTITIONS as usize], visible, answered, questions }
    }

    /// Asks until the producer has ended and all of its events were seen.
    async fn all(&mut self, trial: &Trial, mut sent: mpsc::UnboundedReceiver<Sent>) -> Result<()> {
        let mut ended = None;
        let mut asking = FuturesUnordered::new();
        loop {
            loop {
                match sent.try_recv() {
                    Ok(Sent { partition, millis }) => self.waiting[partition].push_back(millis),
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => {
                        ended.get_or_insert_with(std::time::Instant::now);
                        break;
                    }
                }
            }
            let waiting: usize = self.waiting.iter().map(VecDeque::len).sum();
            match ended {
                Some(_) if waiting == 0 => return Ok(()),
                Some(at) => ensure!(at.elapsed() < LAST, "{waiting} events were never seen"),
                None => {}
            }
            while asking.len() < ASKERS {
                let oldest = self.waiting.iter().filter_map(VecDeque::front).min().copied();
                asking.push(ask(trial, oldest.unwrap_or_else(now_millis)));
            }
            let Some(answer) = asking.next().await.transpose()? else { continue };
            self.questions.push(answer.at - answer.asked);
            for (partition, newest) in &answer.newest {
                self.seen(*partition, *newest, &answer);
            }
        }
    }

    /// All events of a partition up to this one are in the answer.
    fn seen(&mut self, partition: usize, newest: i64, answer: &Answer) {
        while let Some(millis) = self.waiting[partition].pop_front_if(|millis| *millis <= newest) {
            if millis >= self.from {
                self.visible.push(answer.asked - millis);
                self.answered.push(answer.at - millis);
            }
        }
    }
}

/// Events at a steady rate; how many there were, when all are acknowledged. Blocks.
fn produce(brokers: &str, topic: &str, rate: u64, seconds: u64, told: &mpsc::UnboundedSender<Sent>) -> Result<u64> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("enable.idempotence", "true");
    config.set("linger.ms", "5").set("compression.type", "lz4");
    let producer: Arc<ThreadedProducer<DefaultProducerContext>> = Arc::new(config.create()?);
    let events = rate * seconds;
    let mut journeys = Journeys::new(1, now_millis() * 1_000, Options::spread(events, 1));
    let portions = PORTIONS_PER_SEC * seconds;
    let began = std::time::Instant::now();
    let mut sent = 0;
    for portion in 1..=portions {
        let due = Duration::from_secs_f64(portion as f64 / PORTIONS_PER_SEC as f64);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        while sent < events * portion / portions {
            let mut event = journeys.next().context("journeys end")?;
            let partition = i32::try_from(sent % PARTITIONS as u64)?;
            let millis = now_millis();
            let time = DateTime::from_timestamp_millis(millis).context("a time of today")?;
            event.event_timestamp = time.to_rfc3339_opts(SecondsFormat::Millis, true);
            event.utm_campaign = Some(partition.to_string());
            let value = serde_json::to_vec(&event)?;
            let record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(&value);
            producer.send(record).map_err(|(error, _)| error)?;
            told.send(Sent { partition: usize::try_from(partition)?, millis })?;
            sent += 1;
        }
    }
    producer.flush(LAST)?;
    say(format!("{sent} events in {:.1} s", began.elapsed().as_secs_f64()));
    Ok(sent)
}

/// Every event is one row, by Trino's count.
async fn counted(trial: &Trial, events: u64) -> Result<()> {
    let produced = trial.kafka.count(trial.topics.first().context("a trial has a topic")?)?;
    ensure!(produced == events, "{produced} records in the topic, {events} sent");
    let sql = format!("SELECT count(*), count(DISTINCT event_id) FROM {}", trial.sql_name());
    let rows = trial.trino.query(&sql).await?;
    let number = |at: usize| rows.first().and_then(|row| row.get(at)?.as_u64());
    ensure!((number(0), number(1)) == (Some(events), Some(events)), "{rows:?} rows of {events} events");
    Ok(())
}

/// The smallest of these that so many of a hundred do not exceed.
fn percentile(sorted: &[i64], percent: usize) -> Result<i64> {
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).copied().context("nothing was measured")
}

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn markdown(report: &Report) -> String {
    let seconds = |millis: i64| format!("{:.2}", millis as f64 / 1e3);
    let Machine { processor, cores, memory_gib } = &report.machine;
    let servers: Vec<String> = report.servers.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let row = |what: &str, it: &Spread| {
        let [p50, p95, p99, max] = [it.p50, it.p95, it.p99, it.max].map(seconds);
        format!("| {what} | {p50} | {p95} | {p99} | {max} |")
    };
    format!(
        "| from producing until | p50, s | p95, s | p99, s | max, s |\n|---|---:|---:|---:|---:|\n{}\n{}\n\n\
         {} events/s, a commit each {} ms. {} events, {} of them measured, by {} questions to Trino, {ASKERS} at a time, of {} s in the middle; the \
         table holds every event once, counted by Trino. The worker took {:.2} cores and {:.0} MB.\n\
         {processor}, {cores} cores, {memory_gib} GiB, servers on the same cores: {}.",
        row("a question sees it", &report.visible),
        row("that question is answered", &report.answered),
        report.events_per_second,
        report.commit_ms,
        report.events,
        report.events_measured,
        report.questions,
        seconds(report.question),
        report.cpu_cores,
        report.memory_peak_bytes as f64 / 1e6,
        servers.join(", "),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_figures_that_were_measured() {
        let hundred: Vec<i64> = (1..=100).collect();
        assert_eq!([50, 99, 100].map(|percent| percentile(&hundred, percent).unwrap()), [50, 99, 100]);
        assert_eq!([50, 99, 100].map(|percent| percentile(&[7, 9], percent).unwrap()), [7, 9, 9]);
        assert!(percentile(&[], 50).is_err());
    }

    #[test]
    fn an_event_is_seen_with_those_before_it_and_the_warm_up_is_not_measured() {
        let mut watch = Watch::new(20);
        watch.waiting[1].extend([10, 20, 30, 40]);
        watch.seen(1, 30, &Answer { asked: 90, at: 100, newest: Vec::new() });
        assert_eq!((watch.visible, watch.answered, watch.waiting[1].len()), (vec![70, 60], vec![80, 70], 1));
    }
}
