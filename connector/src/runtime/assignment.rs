//! What a task has to know before it reads, and before it seals: the table's position, Kafka's log, the topics' identities.
//!
//! Called by the task's shell ([`super::task`]), which hands the answers to its machine; nothing is decided here. Group
//! offsets are not asked: the table is the truth. Blocks for Kafka's answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::TableFacts;
use protocol::start::LogRange;
use protocol::task::{Bearings, Obstacle, Survey, TopicPartition};
use rdkafka::Offset as KafkaOffset;
use rdkafka::consumer::Consumer;

use crate::config::ConnectorConfig;
use crate::kafka::consumer::{TaskConsumer, log_range};
use crate::kafka::topic_id::topic_ids;

/// Longest wait for one of Kafka's answers.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(15);

/// Holds together what the table and Kafka say about the partitions.
pub(crate) fn bearings(
    consumer: &TaskConsumer,
    config: &ConnectorConfig,
    facts: TableFacts,
    partitions: &BTreeSet<TopicPartition>,
) -> Result<Bearings, Obstacle> {
    let topics: BTreeSet<&str> = partitions.iter().map(|(topic, _)| topic.as_str()).collect();
    let ids = identities(consumer, config, &topics)?;
    let mut logs = BTreeMap::new();
    for (topic, partition) in partitions {
        let (start, end) = log_range(consumer.client(), topic, *partition, KAFKA_TIMEOUT).map_err(passing)?;
        logs.insert((topic.clone(), *partition), LogRange { start, end });
    }
    Ok(Bearings { position: facts.position, sweep_epoch: facts.sweep_epoch, ids, logs })
}

/// Asks where the consumer stands and who the topics are. Asked after reading, so that the answer covers every record.
pub(crate) fn survey(
    consumer: &TaskConsumer,
    config: &ConnectorConfig,
    topics: &BTreeSet<&str>,
) -> Result<Survey, Obstacle> {
    let mut reached = BTreeMap::new();
    for one in consumer.client().position().map_err(passing)?.elements() {
        if let KafkaOffset::Offset(next) = one.offset() {
            reached.insert((one.topic().to_owned(), one.partition()), next);
        }
    }
    Ok(Survey { reached, ids: identities(consumer, config, topics)? })
}

/// Identity of each topic: what the operator named, else Kafka's topic id. A broker without topic ids cannot tell a topic
/// from another one of the same name, so there the operator has to.
fn identities(
    consumer: &TaskConsumer,
    config: &ConnectorConfig,
    topics: &BTreeSet<&str>,
) -> Result<BTreeMap<String, String>, Obstacle> {
    if let Some(id) = &config.topic_id {
        return Ok(topics.iter().map(|topic| ((*topic).to_owned(), id.clone())).collect());
    }
    let names: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let found = topic_ids(consumer.client().client(), &names, KAFKA_TIMEOUT).map_err(passing)?;
    let known = |(topic, id): (String, Option<String>)| match id {
        Some(id) => Ok((topic, id)),
        None => Err(passing(format!(
            "the broker gives no topic id for {topic}; name its identity in position.topic.id, or use kafka 3.1 or later"
        ))),
    };
    found.into_iter().map(known).collect()
}

fn passing(error: impl std::fmt::Display) -> Obstacle {
    Obstacle::Passing(format!("cannot ask kafka where to read: {error}"))
}
