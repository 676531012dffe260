//! Where to begin reading: the table's position against Kafka's log, for every assigned partition.
//!
//! Called by the task on every assignment and after every fence. Group offsets are not asked: the table is the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::start::{LogRange, OnRecreated, start};
use protocol::{Halt, Offset, Position, Ranges};
use rdkafka::consumer::Consumer;

use super::batch::Accounts;
use crate::config::{ConnectorConfig, TopicRecreated};
use crate::kafka::consumer::{TaskConsumer, log_range};
use crate::kafka::rebalance::TopicPartition;
use crate::kafka::topic_id::topic_ids;

/// Longest wait for one of Kafka's answers.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(15);

/// Why reading could not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AssignError {
    /// Nothing may be read until somebody has looked.
    #[error("{0}")]
    Halt(#[from] Halt),
    /// Kafka did not answer; a later try may succeed.
    #[error("cannot ask kafka where to begin: {0}")]
    Kafka(String),
}

/// The partitions to read, the offsets to begin at, and the accounts to book records in.
pub(crate) struct Begin {
    pub(crate) starts: Vec<(TopicPartition, Offset)>,
    pub(crate) accounts: Accounts,
}

/// Finds the place to begin for each partition. Blocks for Kafka's answers.
pub(crate) fn begin(
    consumer: &TaskConsumer,
    config: &ConnectorConfig,
    position: &Position,
    partitions: &BTreeSet<TopicPartition>,
) -> Result<Begin, AssignError> {
    let topics: BTreeSet<&str> = partitions.iter().map(|(topic, _)| topic.as_str()).collect();
    let ids = identities(consumer, config, &topics)?;
    let on_recreated = match config.topic_recreated {
        TopicRecreated::Halt => OnRecreated::Halt,
        TopicRecreated::NewEpoch => OnRecreated::NewEpoch,
    };
    let mut begin = Begin { starts: Vec::new(), accounts: Accounts::default() };
    for (topic, partition) in partitions {
        let (low, high) = log_range(consumer.client(), topic, *partition, KAFKA_TIMEOUT).map_err(kafka)?;
        let log = LogRange { start: low, end: high };
        let id = ids.get(topic.as_str()).map_or("", String::as_str);
        let start = start(position, on_recreated, topic, id, *partition, log)?;
        tracing::info!(topic, partition, offset = %start.offset, first = start.first, "reading from");
        begin.starts.push(((topic.clone(), *partition), start.offset));
        begin.accounts.open(topic, id, *partition, &start);
    }
    Ok(begin)
}

/// Checks that the topics of a batch still are the ones it was read from. A topic that is deleted and made again between
/// two fetches is read on at the old offset, without a word from the client.
pub(crate) fn same_topics(
    consumer: &TaskConsumer,
    config: &ConnectorConfig,
    ranges: &Ranges,
) -> Result<(), AssignError> {
    let names: BTreeSet<&str> = ranges.topics().keys().map(String::as_str).collect();
    for (topic, found) in identities(consumer, config, &names)? {
        let expected = ranges.topics().get(&topic).map_or("", |topic| topic.id.as_str());
        if found != expected {
            return Err(Halt::TopicRecreated { topic, expected: expected.to_owned(), found }.into());
        }
    }
    Ok(())
}

/// Identity of each topic: what the operator named, else Kafka's topic id. A broker without topic ids cannot tell a topic
/// from another one of the same name, so there the operator has to.
fn identities(
    consumer: &TaskConsumer,
    config: &ConnectorConfig,
    topics: &BTreeSet<&str>,
) -> Result<BTreeMap<String, String>, AssignError> {
    if let Some(id) = &config.topic_id {
        return Ok(topics.iter().map(|topic| ((*topic).to_owned(), id.clone())).collect());
    }
    let names: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let found = topic_ids(consumer.client().client(), &names, KAFKA_TIMEOUT).map_err(kafka)?;
    let known = |(topic, id): (String, Option<String>)| match id {
        Some(id) => Ok((topic, id)),
        None => Err(AssignError::Kafka(format!(
            "the broker gives no topic id for {topic}; name its identity in position.topic.id, or use kafka 3.1 or later"
        ))),
    };
    found.into_iter().map(known).collect()
}

fn kafka(error: impl std::fmt::Display) -> AssignError {
    AssignError::Kafka(error.to_string())
}
