//! The producer behind the dead letter topic: its settings, and the topic itself.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};

use super::{DeadLetterError, Deliveries};
use crate::config::ConnectorConfig;
use crate::kafka;

/// Longest wait for the dead letter topic to be there when a task starts.
const TOPIC_TIMEOUT: Duration = Duration::from_secs(15);

/// Settings: key, value, reason. `producer.override.*` may change them.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("compression.type", "lz4", "rejects are text, often the same text many times"),
    ("linger.ms", "20", "rejects come in bursts; the batch waits for the flush anyway"),
    ("queue.buffering.max.messages", "10000", "rejects in memory at most"),
    ("queue.buffering.max.kbytes", "32768", "and their bytes"),
    ("message.max.bytes", "16777216", "a reject is as large as its record, and its headers come on top"),
    ("batch.size", "131072", "a batch is refused whole: no reject is to be cut because of its neighbours"),
    ("message.timeout.ms", "60000", "after this a reject counts as undelivered, and its batch is not committed"),
    ("socket.keepalive.enable", "true", "rejects are rare, connections idle"),
    ("log.connection.close", "false", "brokers close idle connections; that is no news"),
];

/// Settings that `producer.override.*` cannot change.
const FIXED: &[(&str, &str, &str)] = &[
    ("enable.idempotence", "true", "a retry of the client makes no second dead letter"),
    ("acks", "all", "the offset is committed on the strength of this delivery"),
];

/// [`DEFAULTS`], over them the connector's overrides, over them [`FIXED`].
pub(super) fn config(bootstrap_servers: &str, connector: &ConnectorConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set_log_level(kafka::log_level());
    client.set("bootstrap.servers", bootstrap_servers);
    client.set("client.id", format!("{}-dead-letters", connector.name));
    for (key, value, _) in DEFAULTS {
        client.set(*key, *value);
    }
    for (key, value) in &connector.producer_overrides {
        // Two names of one setting: the last to be set would win, and the order of a map is nobody's choice.
        if key == "delivery.timeout.ms" {
            client.remove("message.timeout.ms");
        }
        client.set(key, value.expose());
    }
    for (key, value, _) in FIXED {
        client.set(*key, *value);
    }
    client
}

/// Waits until the topic has a leader; creates it once if Kafka does not know it.
pub(super) fn ensure_topic(
    producer: &BaseProducer<Deliveries>,
    client: &ClientConfig,
    topic: &str,
) -> Result<(), DeadLetterError> {
    let deadline = Instant::now() + TOPIC_TIMEOUT;
    let mut asked = false;
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        // Asking a broker that creates topics by itself creates it.
        let reason = match producer.client().fetch_metadata(Some(topic), left) {
            Ok(found) => match found.topics().first().map(|one| one.error().map(RDKafkaErrorCode::from)) {
                Some(None) => return Ok(()),
                Some(Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)) if !asked => {
                    asked = true;
                    create_topic(client, topic, left)?;
                    continue;
                }
                Some(Some(code)) => code.to_string(),
                None => "no answer about it".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(DeadLetterError::Topic { topic: topic.to_owned(), reason });
        }
        producer.poll(Duration::from_millis(100));
    }
}

fn create_topic(client: &ClientConfig, topic: &str, timeout: Duration) -> Result<(), DeadLetterError> {
    let missing = |reason: String| DeadLetterError::Topic { topic: topic.to_owned(), reason };
    let admin: AdminClient<Deliveries> =
        client.create_with_context(Deliveries).map_err(|error| missing(error.to_string()))?;
    // -1 leaves the replication factor to the broker.
    let wanted = NewTopic::new(topic, 1, TopicReplication::Fixed(-1));
    let options = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
    let answers = futures::executor::block_on(admin.create_topics([&wanted], &options));
    match answers.map_err(|error| missing(error.to_string()))?.into_iter().next() {
        None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
        Some(Err((_, code))) => Err(missing(code.to_string())),
    }
}
