//! Tests of [`super`]: what a dead letter carries, and that none is lost silently; on the mock cluster.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Instant;

use catalog_sync::secret::Secret;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, Message};
use schemas::reject::RejectCode;

use super::*;
use crate::kafka::testing::connector_config;

const TOPIC: &str = "clicks-dead";
const TIMEOUT: Duration = Duration::from_secs(20);

fn config(context_headers: bool) -> ConnectorConfig {
    let mut config = connector_config("clicks-to-lake");
    config.errors.dead_letter_topic = Some(TOPIC.to_owned());
    config.errors.context_headers = context_headers;
    config
}

fn open(bootstrap: &str, context_headers: bool) -> DeadLetters {
    DeadLetters::new(bootstrap, &config(context_headers)).unwrap().unwrap()
}

fn open_with_context(bootstrap: &str, config: &ConnectorConfig) -> DeadLetters {
    let mut config = config.clone();
    config.errors.context_headers = true;
    DeadLetters::new(bootstrap, &config).unwrap().unwrap()
}

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    MockCluster::new(1).unwrap()
}

fn reject() -> Reject {
    Reject { code: RejectCode::NotJson, field: None, detail: "the value ends early".to_owned() }
}

fn rejected<'a>(offset: i64, value: Option<&'a [u8]>, reject: &'a Reject) -> Rejected<'a> {
    let key = Some(&[0_u8, 255][..]);
    Rejected {
        topic: "clicks",
        partition: 3,
        offset,
        timestamp: Some(1_700_000_000_123),
        key,
        value,
        reject,
        task_id: 1,
    }
}

fn read<T>(bootstrap: &str, topic: &str, count: usize, take: impl Fn(&BorrowedMessage<'_>) -> T) -> Vec<T> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", "reader").create().unwrap();
    let mut all = TopicPartitionList::new();
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).unwrap();
    for partition in metadata.topics()[0].partitions() {
        all.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let started = Instant::now();
    let mut found = Vec::new();
    while found.len() < count && started.elapsed() < TIMEOUT {
        found.extend(consumer.poll(Duration::from_millis(100)).map(|message| take(&message.unwrap())));
    }
    found
}

fn headers(message: &BorrowedMessage<'_>) -> BTreeMap<String, String> {
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
    message.headers().unwrap().iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
}

#[test]
fn a_dead_letter_keeps_its_bytes_and_tells_its_origin_in_connects_words() {
    let cluster = cluster();
    let bootstrap = cluster.bootstrap_servers();
    let letters = open(&bootstrap, true);
    let ledger = Arc::new(Ledger::default());
    let reject = reject();
    letters.send(&ledger, &rejected(42, Some(b"{\"broken\xff"), &reject)).unwrap();
    letters.flush(&ledger, TIMEOUT).unwrap();

    let found = read(&bootstrap, TOPIC, 1, |message| {
        let bytes = (message.key().map(<[u8]>::to_vec), message.payload().map(<[u8]>::to_vec));
        (bytes, message.timestamp().to_millis(), headers(message))
    });
    let (bytes, timestamp, headers) = &found[0];
    assert_eq!(bytes, &(Some(vec![0, 255]), Some(b"{\"broken\xff".to_vec())));
    assert_eq!(*timestamp, Some(1_700_000_000_123));
    let expected = [
        ("__connect.errors.class.name", "schemas::decode::ClickDecoder"),
        ("__connect.errors.connector.name", "clicks-to-lake"),
        ("__connect.errors.exception.class.name", "schemas::reject::Reject"),
        ("__connect.errors.exception.message", "not_json: the value ends early"),
        ("__connect.errors.offset", "42"),
        ("__connect.errors.partition", "3"),
        ("__connect.errors.stage", "VALUE_CONVERTER"),
        ("__connect.errors.task.id", "1"),
        ("__connect.errors.topic", "clicks"),
        ("clickstream.reject.code", "not_json"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(headers, &BTreeMap::from(expected));
}

#[test]
fn without_context_only_the_code_is_told_and_a_missing_value_stays_missing() {
    let cluster = cluster();
    let bootstrap = cluster.bootstrap_servers();
    let letters = open(&bootstrap, false);
    let ledger = Arc::new(Ledger::default());
    let reject = reject();
    letters.send(&ledger, &rejected(1, None, &reject)).unwrap();
    letters.flush(&ledger, TIMEOUT).unwrap();
    let found = read(&bootstrap, TOPIC, 1, |message| (message.payload().is_none(), headers(message).len()));
    assert_eq!(found, [(true, 1)]);
}

#[test]
fn more_rejects_than_the_queue_holds_all_arrive() {
    let cluster = cluster();
    let bootstrap = cluster.bootstrap_servers();
    let mut config = config(false);
    config.producer_overrides.insert("queue.buffering.max.messages".to_owned(), Secret::new("10"));
    let letters = DeadLetters::new(&bootstrap, &config).unwrap().unwrap();
    let ledger = Arc::new(Ledger::default());
    let reject = reject();
    for offset in 0..200 {
        letters.send(&ledger, &rejected(offset, Some(offset.to_string().as_bytes()), &reject)).unwrap();
    }
    letters.flush(&ledger, TIMEOUT).unwrap();
    let mut found = read(&bootstrap, TOPIC, 200, |message| {
        String::from_utf8(message.payload().unwrap().to_vec()).unwrap().parse::<u32>().unwrap()
    });
    found.sort_unstable();
    assert_eq!(found, (0..200).collect::<Vec<_>>());
}

#[test]
fn a_failed_delivery_fails_the_flush_of_its_own_batch_and_of_no_other() {
    let cluster = cluster();
    let bootstrap = cluster.bootstrap_servers();
    let mut config = config(false);
    config.producer_overrides.insert("message.max.bytes".to_owned(), Secret::new("2000"));
    let letters = DeadLetters::new(&bootstrap, &config).unwrap().unwrap();
    let ledger = Arc::new(Ledger::default());
    let reject = reject();
    let long = Reject { detail: "d".repeat(4000), ..reject.clone() };
    let refused = open_with_context(&bootstrap, &config).send(&ledger, &rejected(0, Some(b"x"), &long)).unwrap_err();
    assert!(refused.to_string().starts_with("cannot send clicks-3 offset 0 to dead letter topic clicks-dead"));

    let refusal = rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD;
    cluster.request_errors(rdkafka::types::RDKafkaApiKey::Produce, &[refusal]);
    letters.send(&ledger, &rejected(1, Some(b"a"), &reject)).unwrap();
    assert!(matches!(letters.flush(&ledger, TIMEOUT), Err(DeadLetterError::Undelivered { count: 1, .. })));
    let next = Arc::new(Ledger::default());
    letters.send(&next, &rejected(2, Some(b"b"), &reject)).unwrap();
    letters.flush(&next, TIMEOUT).unwrap();
    // The failure stays with its batch, whoever flushes in between.
    assert!(matches!(letters.flush(&ledger, TIMEOUT), Err(DeadLetterError::Undelivered { count: 1, .. })));
}

#[test]
fn what_is_too_large_for_the_producer_or_the_broker_is_cut_and_tells_its_size() {
    let cluster = cluster();
    let bootstrap = cluster.bootstrap_servers();
    let mut config = config(false);
    config.producer_overrides.insert("message.max.bytes".to_owned(), Secret::new("4000"));
    let letters = DeadLetters::new(&bootstrap, &config).unwrap().unwrap();
    let ledger = Arc::new(Ledger::default());
    let (reject, value) = (reject(), vec![b'x'; 10_000]);
    // 10,000 and 5,000 are refused by the producer; the broker refuses a batch of one, so 2,500 is not enough either.
    let refusal = rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    cluster.request_errors(rdkafka::types::RDKafkaApiKey::Produce, &[refusal]);
    letters.send(&ledger, &rejected(0, Some(&value), &reject)).unwrap();
    letters.flush(&ledger, TIMEOUT).unwrap();
    let large_key = Rejected { key: Some(&value), ..rejected(1, Some(b"v"), &reject) };
    letters.send(&ledger, &large_key).unwrap();
    letters.flush(&ledger, TIMEOUT).unwrap();
    letters.send(&ledger, &rejected(2, Some(b"small"), &reject)).unwrap();
    letters.flush(&ledger, TIMEOUT).unwrap();

    let mut found = read(&bootstrap, TOPIC, 3, |message| {
        let header = |key: &str| headers(message).get(key).cloned();
        let sizes = (message.key().unwrap().len(), message.payload().unwrap().len());
        (sizes, header("clickstream.key.bytes"), header("clickstream.value.bytes"))
    });
    let told = Some("10000".to_owned());
    // The topic has several partitions, which come in any order.
    found.sort_unstable();
    assert_eq!(found, [((2, 5), None, None), ((2, 1_250), None, told.clone()), ((2_500, 1), told, None)]);
}

#[test]
fn a_flush_that_takes_too_long_says_how_much_waits() {
    let cluster = cluster();
    let letters = open(&cluster.bootstrap_servers(), false);
    let ledger = Arc::new(Ledger::default());
    cluster.broker_down(1).unwrap();
    let reject = reject();
    letters.send(&ledger, &rejected(0, Some(b"a"), &reject)).unwrap();
    let error = letters.flush(&ledger, Duration::from_millis(200)).unwrap_err();
    assert!(matches!(error, DeadLetterError::Waiting { count: 1, .. }), "{error}");
}

#[test]
fn no_topic_named_means_no_dead_letters() {
    assert!(DeadLetters::new("127.0.0.1:1", &connector_config("clicks-to-lake")).unwrap().is_none());
}

/// Against a real broker: `KAFKA_TEST_BOOTSTRAP=127.0.0.1:9092`.
#[test]
fn a_missing_topic_is_made_by_a_real_broker() {
    let Ok(bootstrap) = std::env::var("KAFKA_TEST_BOOTSTRAP") else { return };
    let mut config = config(true);
    let topic = format!("dead-letter-test-{}", uuid::Uuid::now_v7());
    config.errors.dead_letter_topic = Some(topic.clone());
    let letters = DeadLetters::new(&bootstrap, &config).unwrap().unwrap();
    let ledger = Arc::new(Ledger::default());
    let reject = reject();
    letters.send(&ledger, &rejected(7, Some(b"a"), &reject)).unwrap();
    letters.flush(&ledger, TIMEOUT).unwrap();
    assert_eq!(read(&bootstrap, &topic, 1, |message| headers(message).len()), [10]);
}
