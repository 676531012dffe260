//! A task's consumer: its settings, and how it is opened, answered and closed.
//!
//! The task's own thread polls and answers the group ([`rebalance`](super::rebalance)); a consumer is not shared.

use std::time::Duration;

use protocol::offset::{Offset, OffsetError};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset as Place, TopicPartitionList};

use super::rebalance::{RebalanceEvent, TaskContext, TopicPartition};
use crate::config::ConnectorConfig;

/// A setting of librdkafka: key, value, reason.
type Setting = (&'static str, &'static str, &'static str);

/// Settings on which exactly-once rests; `consumer.override.*` cannot change them.
pub const FIXED: &[Setting] = &[
    ("auto.offset.reset", "error", "the table knows where to read; a missing offset is a halt, never a jump"),
    ("enable.auto.commit", "false", "group offsets follow the table's commit and never lead it"),
    ("enable.auto.offset.store", "false", "a record handed out is not yet a row"),
    ("isolation.level", "read_committed", "records of aborted transactions were never written"),
    ("enable.partition.eof", "false", "the end of a log is no event: the next record may be there already"),
    ("group.protocol", "classic", "the rebalance below is the classic one"),
    (
        "partition.assignment.strategy",
        "range,roundrobin",
        "eager: everything is released before anything is assigned, which is one state machine instead of a merge of \
         partial assignments; a batch never spans two assignments",
    ),
];

/// Settings chosen for throughput within bounds; `consumer.override.*` may change them.
pub const DEFAULTS: &[Setting] = &[
    ("check.crcs", "true", "a damaged record is found here or in the table; no cost was measured"),
    ("allow.auto.create.topics", "false", "a misspelt topic is an error, not a new topic"),
    (
        "fetch.queue.backoff.ms",
        "20",
        "a full queue is asked again soon: it empties in milliseconds, the default is 1 s",
    ),
    (
        "fetch.wait.max.ms",
        "100",
        "longest wait of the broker for the first byte; half a second would show in freshness",
    ),
    ("topic.metadata.refresh.interval.ms", "5000", "new topics and partitions are seen within five seconds"),
    ("max.poll.interval.ms", "300000", "a flush and a slow commit fit between two polls"),
    (
        "session.timeout.ms",
        "10000",
        "a killed process keeps its partitions for this long; a rebalance too many costs nothing",
    ),
    ("heartbeat.interval.ms", "3000", "a rebalance is noticed within this time"),
    ("socket.keepalive.enable", "true", "idle connections survive firewalls"),
    ("log.connection.close", "false", "brokers close idle connections; that is no news"),
];

/// Settings that follow from the memory budget; `consumer.override.*` may change them. They hold for a task, whatever the
/// number of its partitions. An answer is compressed, and is asked for while the queue is not full: both sizes count.
fn of_budget(config: &ConnectorConfig) -> [(&'static str, u64); 4] {
    let memory = &config.memory;
    // librdkafka refuses an answer that is smaller than a request may be.
    let message = config.consumer_overrides.get("message.max.bytes").and_then(|bytes| bytes.expose().parse().ok());
    [
        ("queued.max.messages.kbytes", (memory.queue_bytes() >> 10).max(1)),
        ("queued.min.messages", memory.queue_records().max(1)),
        ("fetch.max.bytes", memory.fetch_bytes().max(message.unwrap_or(0))),
        // Several partitions share an answer, else one would wait for the other.
        ("fetch.message.max.bytes", (memory.fetch_bytes() / 2).min(1 << 20)),
    ]
}

/// The configuration of a task's consumer: [`DEFAULTS`] and what the budget allows, over them the connector's overrides, over
/// them [`FIXED`].
#[must_use]
pub fn consumer_config(bootstrap_servers: &str, config: &ConnectorConfig, task: u32) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set_log_level(super::log_level());
    client.set("bootstrap.servers", bootstrap_servers);
    client.set("client.id", format!("{}-{task}", config.name));
    for (key, value, _) in DEFAULTS {
        client.set(*key, *value);
    }
    for (key, value) in of_budget(config) {
        client.set(key, value.to_string());
    }
    for (key, value) in &config.consumer_overrides {
        if FIXED.iter().any(|(fixed, _, _)| fixed == key) {
            tracing::warn!(connector = config.name, "consumer.override.{key} is ignored: exactly-once rests on it");
        }
        // Two names of one setting: the last to be set would win, and the order of a map is nobody's choice.
        if key == "max.partition.fetch.bytes" {
            client.remove("fetch.message.max.bytes");
        }
        client.set(key, value.expose());
    }
    for (key, value, _) in FIXED {
        client.set(*key, *value);
    }
    client.set("group.id", &config.group_id);
    client
}

/// A consumer that reads only what and where the task says.
///
/// After each [`Self::poll`] that returns nothing the task takes [`Self::next_event`] until there is none. `Assign` is
/// answered by [`Self::assign`], everything else by [`Self::unassign`], both from the polling thread and before the next
/// poll: records of a revoked assignment could be delivered otherwise. Dropping it leaves the group.
pub struct TaskConsumer {
    inner: BaseConsumer<TaskContext>,
}

impl TaskConsumer {
    /// Joins the group. No record is delivered before an assignment has been answered.
    ///
    /// # Errors
    /// If a setting is unknown or refused by librdkafka. A broker that does not answer is no error here.
    pub fn subscribe(config: &ClientConfig, topics: &[String]) -> KafkaResult<Self> {
        let inner: BaseConsumer<TaskContext> = config.create_with_context(TaskContext::default())?;
        let topics: Vec<_> = topics.iter().map(String::as_str).collect();
        inner.subscribe(&topics)?;
        Ok(Self { inner })
    }

    /// The next record, or none after `timeout` or when an event came.
    #[must_use]
    pub fn poll(&self, timeout: Duration) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        self.inner.poll(timeout)
    }

    /// The oldest event that has not been answered.
    #[must_use]
    pub fn next_event(&self) -> Option<RebalanceEvent> {
        self.inner.context().next_event()
    }

    /// Whether Kafka has refused group offsets since the last question.
    #[must_use]
    pub fn not_acknowledged(&self) -> bool {
        self.inner.context().not_acknowledged()
    }

    /// Answers an assignment: read each partition from the given offset on.
    ///
    /// # Errors
    /// If librdkafka refuses; the consumer is then best dropped.
    pub fn assign(&self, starts: &[(TopicPartition, Offset)]) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(starts.len());
        for ((topic, partition), start) in starts {
            list.add_partition_offset(topic, *partition, Place::Offset(start.get()))?;
        }
        self.inner.assign(&list)
    }

    /// Answers a revocation, a loss or an error: hold nothing.
    ///
    /// # Errors
    /// If librdkafka refuses; the consumer is then best dropped.
    pub fn unassign(&self) -> KafkaResult<()> {
        self.inner.unassign()
    }

    /// The client itself, to pause, seek, or ask for positions, watermarks and topic ids.
    #[must_use]
    pub fn client(&self) -> &BaseConsumer<TaskContext> {
        &self.inner
    }
}

impl Drop for TaskConsumer {
    fn drop(&mut self) {
        // Closing waits for an answer to every revocation: to one the task has not answered, and to the last one.
        self.inner.context().close();
        if let Err(error) = self.inner.unassign() {
            tracing::warn!(%error, "cannot release partitions before leaving the group");
        }
    }
}

impl std::fmt::Debug for TaskConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TaskConsumer")
    }
}

/// Why the ends of a log are not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogRangeError {
    /// Kafka did not answer, or has no such partition.
    #[error("cannot ask Kafka for the first and last offset of {topic}-{partition}: {source}")]
    Kafka {
        /// Topic name.
        topic: String,
        /// Kafka partition.
        partition: i32,
        /// What the client says.
        source: KafkaError,
    },
    /// Kafka answered with something that is no offset.
    #[error("Kafka's log of {topic}-{partition}: {source}")]
    NoOffset {
        /// Topic name.
        topic: String,
        /// Kafka partition.
        partition: i32,
        /// What is wrong.
        source: OffsetError,
    },
}

/// Kafka's first offset of a partition and the offset after its last that a committed reader sees.
///
/// # Errors
/// [`LogRangeError`]; asking again may help, unless the partition does not exist.
pub fn log_range<C: Consumer<TaskContext>>(
    consumer: &C,
    topic: &str,
    partition: i32,
    timeout: Duration,
) -> Result<(Offset, Offset), LogRangeError> {
    let (low, high) = consumer.fetch_watermarks(topic, partition, timeout).map_err(|source| LogRangeError::Kafka {
        topic: topic.to_owned(),
        partition,
        source,
    })?;
    let offset = |number| {
        Offset::new(number).map_err(|source| LogRangeError::NoOffset { topic: topic.to_owned(), partition, source })
    };
    Ok((offset(low)?, offset(high)?))
}

#[cfg(test)]
#[path = "consumer_tests.rs"]
mod tests;
