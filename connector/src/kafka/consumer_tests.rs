//! Tests of [`super`]: assignment, positions and rebalances, on the mock cluster.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use catalog_sync::secret::Secret;
use rdkafka::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

use super::*;
use crate::config::memory::{MemoryConfig, SHARE_BYTES_MIN};
use crate::kafka::testing::connector_config;

const TOPIC: &str = "clicks";
const PARTITIONS: i32 = 4;
const RECORDS: i64 = 50;

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, PARTITIONS, 1).unwrap();
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    produce(&producer, 0..RECORDS);
    cluster
}

fn produce(producer: &BaseProducer, numbers: std::ops::Range<i64>) {
    for number in numbers {
        for partition in 0..PARTITIONS {
            let value = number.to_string();
            producer.send(BaseRecord::<(), _>::to(TOPIC).partition(partition).payload(&value)).unwrap();
        }
    }
    producer.flush(Duration::from_secs(10)).unwrap();
}

/// A task reduced to its group protocol: positions per partition, answers that may be held back.
struct Task {
    consumer: TaskConsumer,
    held: BTreeSet<TopicPartition>,
    unanswered: Vec<RebalanceEvent>,
    next: BTreeMap<TopicPartition, i64>,
    read: Vec<(i32, i64)>,
}

impl Task {
    fn join(cluster: &MockCluster<'static, DefaultProducerContext>, task: u32) -> Self {
        let mut config = consumer_config(&cluster.bootstrap_servers(), &connector_config("clicks-to-lake"), task);
        config.set("session.timeout.ms", "6000").set("heartbeat.interval.ms", "500");
        let consumer = TaskConsumer::subscribe(&config, &[TOPIC.to_owned()]).unwrap();
        Self { consumer, held: BTreeSet::new(), unanswered: Vec::new(), next: BTreeMap::new(), read: Vec::new() }
    }

    /// One poll; events are kept and not answered.
    fn poll(&mut self) {
        if let Some(message) = self.consumer.poll(Duration::from_millis(50)) {
            let message = message.unwrap();
            self.next.insert((TOPIC.to_owned(), message.partition()), message.offset() + 1);
            self.read.push((message.partition(), message.offset()));
        }
        while let Some(event) = self.consumer.next_event() {
            self.unanswered.push(event);
        }
    }

    /// Answers what was kept: partitions start where `starts` says.
    fn answer(&mut self, starts: &BTreeMap<TopicPartition, i64>) {
        for event in std::mem::take(&mut self.unanswered) {
            match event {
                RebalanceEvent::Assign(partitions) => {
                    let start = |one: &TopicPartition| (one.clone(), Offset::new(starts[one]).unwrap());
                    self.consumer.assign(&partitions.iter().map(start).collect::<Vec<_>>()).unwrap();
                    self.held = partitions.into_iter().collect();
                }
                RebalanceEvent::Revoke(_) | RebalanceEvent::Lost(_) => {
                    self.consumer.unassign().unwrap();
                    self.held.clear();
                }
                RebalanceEvent::Error(error) => panic!("{error}"),
            }
        }
    }
}

fn starts(offset: i64) -> BTreeMap<TopicPartition, i64> {
    (0..PARTITIONS).map(|partition| ((TOPIC.to_owned(), partition), offset)).collect()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what} did not happen");
    }
}

#[test]
fn answers_may_come_long_after_the_announcement() {
    let cluster = cluster();
    let mut first = Task::join(&cluster, 0);
    until("an assignment", || {
        first.poll();
        !first.unanswered.is_empty()
    });
    assert!(matches!(&first.unanswered[..], [RebalanceEvent::Assign(all)] if all.len() == 4), "{:?}", first.unanswered);

    // Unanswered, it delivers nothing and is not announced again, although the task goes on polling.
    let announced = Instant::now();
    until("a second", || {
        first.poll();
        announced.elapsed() > Duration::from_secs(1)
    });
    assert_eq!((first.read.len(), first.unanswered.len()), (0, 1));

    // Answered, it starts where the task says, not where the group or the log does.
    first.answer(&starts(10));
    until("reading", || {
        first.poll();
        first.read.len() as i64 == 40 * i64::from(PARTITIONS)
    });
    assert_eq!(first.read.iter().map(|(_, offset)| *offset).min(), Some(10));

    // A second member: the first is asked to release, and the group waits until it does.
    let mut second = Task::join(&cluster, 1);
    until("a revocation", || {
        first.poll();
        second.poll();
        !first.unanswered.is_empty()
    });
    assert!(matches!(&first.unanswered[..], [RebalanceEvent::Revoke(all)] if all.len() == 4), "{:?}", first.unanswered);
    let announced = Instant::now();
    until("a second", || {
        first.poll();
        second.poll();
        announced.elapsed() > Duration::from_secs(1)
    });
    assert!(second.unanswered.is_empty(), "nothing is assigned to another before it is released");

    let mut committed = first.next.clone();
    until("two assignments", || {
        for task in [&mut first, &mut second] {
            task.poll();
            task.answer(&committed);
        }
        first.held.len() == 2 && second.held.len() == 2
    });
    assert!(first.held.is_disjoint(&second.held));

    // Both go on where the first stopped: each record once, none twice.
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    produce(&producer, RECORDS..RECORDS + 10);
    until("reading by both", || {
        first.poll();
        second.poll();
        first.read.len() + second.read.len() == 50 * PARTITIONS as usize
    });
    let all: BTreeSet<_> = first.read.iter().chain(&second.read).collect();
    assert_eq!(all.len(), 50 * PARTITIONS as usize);
    assert_eq!(second.read.len(), 20);

    // One leaves without having answered anything more: closing does not hang, the other gets everything.
    committed.extend(second.next.clone());
    committed.extend(first.next.clone());
    drop(second);
    until("taking over", || {
        first.poll();
        first.answer(&committed);
        first.held.len() == 4
    });
}

#[test]
fn partitions_that_were_lost_are_told_apart_from_revoked_ones() {
    let cluster = cluster();
    let mut config = consumer_config(&cluster.bootstrap_servers(), &connector_config("clicks-to-lake"), 0);
    // The embedded broker waits three seconds for members, so that less would end the session before it begins.
    config.set("session.timeout.ms", "4500").set("heartbeat.interval.ms", "500").set("max.poll.interval.ms", "4500");
    let consumer = TaskConsumer::subscribe(&config, &[TOPIC.to_owned()]).unwrap();
    let event = || {
        let mut found = None;
        until("an event", || {
            // The error that the interval was exceeded comes as a record's place would.
            let _ = consumer.poll(Duration::from_millis(50));
            found = consumer.next_event();
            found.is_some()
        });
        found.unwrap()
    };
    let RebalanceEvent::Assign(partitions) = event() else { panic!("no assignment") };
    let zero = |one: TopicPartition| (one, Offset::ZERO);
    consumer.assign(&partitions.into_iter().map(zero).collect::<Vec<_>>()).unwrap();

    // A task that does not poll for longer than it may is thrown out of the group.
    std::thread::sleep(Duration::from_millis(5500));
    assert!(matches!(event(), RebalanceEvent::Lost(all) if all.len() == 4));
    consumer.unassign().unwrap();
    assert!(matches!(event(), RebalanceEvent::Assign(all) if all.len() == 4), "it may come back");
}

#[test]
fn a_consumer_with_an_unanswered_assignment_closes() {
    let cluster = cluster();
    let mut task = Task::join(&cluster, 0);
    until("an assignment", || {
        task.poll();
        !task.unanswered.is_empty()
    });
    let closing = Instant::now();
    drop(task);
    assert!(closing.elapsed() < Duration::from_secs(10));
}

#[test]
fn the_ends_of_a_log_are_offsets() {
    let cluster = cluster();
    let config = consumer_config(&cluster.bootstrap_servers(), &connector_config("clicks-to-lake"), 0);
    let consumer = TaskConsumer::subscribe(&config, &[TOPIC.to_owned()]).unwrap();
    let range = log_range(consumer.client(), TOPIC, 1, Duration::from_secs(10)).unwrap();
    assert_eq!(range, (Offset::ZERO, Offset::new(RECORDS).unwrap()));
    assert!(log_range(consumer.client(), TOPIC, 99, Duration::from_secs(2)).is_err());
}

#[test]
fn an_offset_that_is_gone_is_an_error_and_not_a_jump() {
    let cluster = cluster();
    let mut task = Task::join(&cluster, 0);
    until("an assignment", || {
        task.poll();
        !task.unanswered.is_empty()
    });
    task.answer(&starts(1_000_000));
    let mut found = None;
    until("an error", || {
        match task.consumer.poll(Duration::from_millis(50)) {
            Some(Ok(message)) => panic!("offset {} was delivered", message.offset()),
            Some(Err(error)) => found = error.rdkafka_error_code(),
            None => {}
        }
        found.is_some()
    });
    assert_eq!(found, Some(rdkafka::error::RDKafkaErrorCode::AutoOffsetReset));
}

#[test]
fn overrides_change_defaults_but_not_what_exactly_once_rests_on() {
    let mut config = connector_config("clicks-to-lake");
    config.group_id = "lake".to_owned();
    for (key, value) in [
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "true"),
        ("fetch.wait.max.ms", "7"),
        ("group.id", "other"),
        ("sasl.password", "hunter2"),
    ] {
        config.consumer_overrides.insert(key.to_owned(), Secret::new(value));
    }
    let client = consumer_config("127.0.0.1:1", &config, 3);
    for (key, value) in [
        ("auto.offset.reset", "error"),
        ("enable.auto.commit", "false"),
        ("isolation.level", "read_committed"),
        ("fetch.wait.max.ms", "7"),
        ("group.id", "lake"),
        ("client.id", "clicks-to-lake-3"),
    ] {
        assert_eq!(client.get(key), Some(value), "{key}");
    }
    assert!(!format!("{client:?}").contains("hunter2"));
    assert!(client.create_native_config().is_ok(), "librdkafka knows every setting");
}

#[test]
fn librdkafka_takes_what_follows_from_the_smallest_and_the_largest_budget() {
    for share in [SHARE_BYTES_MIN, 96 << 20, 1 << 40] {
        let mut config = connector_config("clicks-to-lake");
        config.memory = MemoryConfig::divide(share, 1);
        let made: Result<BaseConsumer, _> = consumer_config("127.0.0.1:1", &config, 0).create();
        assert!(made.is_ok(), "{share}: {:?}", made.err());
        config.consumer_overrides.insert("message.max.bytes".to_owned(), Secret::new("50000000"));
        let made: Result<BaseConsumer, _> = consumer_config("127.0.0.1:1", &config, 0).create();
        assert!(made.is_ok(), "{share}, large messages: {:?}", made.err());
    }
}
