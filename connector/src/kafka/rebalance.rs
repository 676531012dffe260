//! What the group coordinator wants, as events that wait for the task.
//!
//! librdkafka announces an assignment and then waits until `assign` is called, a revocation until `unassign` is. The usual
//! callback does so at once; here the callback only writes the event down, and the task answers after it has found the
//! table's position (assignment) or has committed what it read (revocation). The group waits as long as the task keeps
//! within `max.poll.interval.ms`. A loss is not a revocation: others may own the partitions already, so that a task must
//! drop what it read instead of committing it (it would be fenced by the table in any case).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use protocol::task::TopicPartition;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

/// One announcement of the group coordinator, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RebalanceEvent {
    /// These partitions are ours once we say where to read them from; until then nothing is delivered.
    Assign(Vec<TopicPartition>),
    /// These partitions will be another's once we release them; there is time to commit.
    Revoke(Vec<TopicPartition>),
    /// These partitions are no longer ours: the session ran out. They must be released all the same.
    Lost(Vec<TopicPartition>),
    /// The group told of an error instead; release everything and wait for the next assignment.
    Error(String),
}

/// The callbacks of a task's consumer. A clone sees the same events.
#[derive(Debug, Clone, Default)]
pub struct TaskContext {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    events: Mutex<VecDeque<RebalanceEvent>>,
    closing: AtomicBool,
    not_acknowledged: AtomicBool,
}

impl TaskContext {
    /// The oldest event that the task has not seen. Ask after each poll that returned no record, and before the next
    /// poll: a poll ends when an event comes.
    #[must_use]
    pub fn next_event(&self) -> Option<RebalanceEvent> {
        self.shared.events.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// From now on revocations are answered at once. Closing a consumer waits for the answer to the last revocation, and
    /// nobody is left to give it.
    pub(crate) fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
    }

    /// Whether Kafka has refused group offsets since the last question.
    #[must_use]
    pub fn not_acknowledged(&self) -> bool {
        self.shared.not_acknowledged.swap(false, Ordering::AcqRel)
    }

    fn announce(&self, event: RebalanceEvent) {
        tracing::debug!(?event, "the group rebalances");
        self.shared.events.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }
}

impl ClientContext for TaskContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        super::log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        super::log_error(&error, reason);
    }
}

impl ConsumerContext for TaskContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        if self.shared.closing.load(Ordering::Acquire) {
            if let Err(error) = consumer.unassign() {
                tracing::warn!(%error, "cannot release the partitions of a closing consumer");
            }
            return;
        }
        let partitions = partitions.elements().iter().map(|one| (one.topic().to_owned(), one.partition())).collect();
        self.announce(match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => RebalanceEvent::Assign(partitions),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS if consumer.assignment_lost() => {
                RebalanceEvent::Lost(partitions)
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => RebalanceEvent::Revoke(partitions),
            other => RebalanceEvent::Error(RDKafkaErrorCode::from(other).to_string()),
        });
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        // Only lag tools miss these offsets, but they would until the next commit, which an idle topic never has.
        if let Err(error) = result {
            self.shared.not_acknowledged.store(true, Ordering::Release);
            tracing::debug!(%error, "group offsets not acknowledged");
        }
    }
}
