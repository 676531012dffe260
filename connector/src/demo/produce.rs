//! The producer of the demo: journeys into the topic, never further ahead of the table than the broker can hold.
//!
//! Records are keyed by session id, so that a visit stays in one partition and in order. One record in
//! [`MALFORMED_EVERY`] is spoilt on purpose, so that there is something in the dead letter topic. The [`Feeder`] knows for each
//! partition what the table has not committed yet; it holds back before the broker would drop any of that.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use futures::future::try_join_all;
use protocol::Position;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};
use schemas::click::ClickEvent;

use super::broker::PARTITION_BYTES_KEPT;

/// Partitions of the topic.
pub(super) const PARTITIONS: usize = 4;

/// One record in so many is malformed.
pub(super) const MALFORMED_EVERY: u64 = 1_000;

/// Records that are sent at once.
pub(super) const CHUNK: usize = 250;

/// What the broker adds to a record, at most.
const OVERHEAD_BYTES: usize = 128;

/// The most that waits in a partition: a chunk can go to one partition as a whole and must fit on top.
const WAITING_BYTES_MAX: usize = PARTITION_BYTES_KEPT * 4 / 5 - CHUNK * 1024;

/// What was sent to one partition.
#[derive(Debug, Default)]
struct Lane {
    /// The next offset.
    next: u64,
    /// Sizes of the records that the table does not have yet, the oldest first.
    waiting: VecDeque<usize>,
    waiting_bytes: usize,
}

impl Lane {
    fn sent(&mut self, bytes: usize) {
        self.next += 1;
        self.waiting.push_back(bytes + OVERHEAD_BYTES);
        self.waiting_bytes += bytes + OVERHEAD_BYTES;
    }

    /// Forgets what the table has, of which `committed` is the next offset.
    fn settle(&mut self, committed: u64) {
        while self.next - (self.waiting.len() as u64) < committed {
            let Some(bytes) = self.waiting.pop_front() else { break };
            self.waiting_bytes -= bytes;
        }
    }
}

/// Sends events and knows which of them are still on their way to the table.
pub(super) struct Feeder {
    producer: FutureProducer,
    topic: &'static str,
    lanes: [Lane; PARTITIONS],
    produced: u64,
    malformed: u64,
}

impl Feeder {
    /// A producer for a topic of [`PARTITIONS`] partitions that nobody else writes to.
    ///
    /// # Errors
    /// librdkafka's.
    pub(super) fn new(bootstrap_servers: &str, topic: &'static str) -> Result<Self, KafkaError> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap_servers);
        config.set("enable.idempotence", "true").set("linger.ms", "2");
        Ok(Self { producer: config.create()?, topic, lanes: Default::default(), produced: 0, malformed: 0 })
    }

    /// Records sent so far, the malformed ones included.
    pub(super) fn produced(&self) -> u64 {
        self.produced
    }

    /// Records sent that the table does not have yet.
    pub(super) fn waiting(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.waiting.len() as u64).sum()
    }

    /// Whether another chunk can be sent without the broker dropping anything that waits.
    pub(super) fn has_room(&self) -> bool {
        self.lanes.iter().all(|lane| lane.waiting_bytes <= WAITING_BYTES_MAX)
    }

    /// Takes note of how far the table is. What it says of an earlier topic of the same name is about other records.
    pub(super) fn settle(&mut self, position: &Position, topic_id: &str) {
        if position.topics.get(self.topic).is_none_or(|topic| topic.id != topic_id) {
            return;
        }
        for (lane, partition) in self.lanes.iter_mut().zip(0..) {
            if let Some(next) = position.next(self.topic, partition) {
                lane.settle(u64::try_from(next.get()).unwrap_or(0));
            }
        }
    }

    /// Sends events, at most [`CHUNK`] at once, and returns when the broker has them all.
    ///
    /// # Errors
    /// librdkafka's, when a record is not taken; the run is not complete then.
    pub(super) async fn send(&mut self, events: &[ClickEvent]) -> Result<(), KafkaError> {
        let mut deliveries = Vec::with_capacity(events.len());
        for event in events {
            self.produced += 1;
            let value = if self.produced % MALFORMED_EVERY == MALFORMED_EVERY / 2 {
                self.malformed += 1;
                spoil(event, self.malformed)
            } else {
                serde_json::to_vec(event).unwrap_or_default()
            };
            let key = event.session_id.as_deref().unwrap_or_default();
            let partition = partition_of(key);
            let record = FutureRecord::to(self.topic).key(key).payload(&value).partition(partition as i32);
            deliveries.push(self.producer.send_result(record).map_err(|(error, _)| error)?);
            self.lanes[partition].sent(key.len() + value.len());
        }
        for delivered in try_join_all(deliveries).await.map_err(|_| KafkaError::Canceled)? {
            delivered.map_err(|(error, _)| error)?;
        }
        Ok(())
    }
}

/// The same for a session in every run: the hasher has a fixed key.
fn partition_of(key: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    (hasher.finish() % PARTITIONS as u64) as usize
}

/// A record that cannot become a row, in four ways by turns.
fn spoil(event: &ClickEvent, turn: u64) -> Vec<u8> {
    let mut event = event.clone();
    match turn % 4 {
        0 => event.event_type = "hover".to_owned(),
        1 => event.event_timestamp = "yesterday".to_owned(),
        2 => event.event_id = String::new(),
        _ => {
            let mut cut = serde_json::to_vec(&event).unwrap_or_default();
            cut.truncate(cut.len() / 2);
            return cut;
        }
    }
    serde_json::to_vec(&event).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use protocol::{Counts, Offset, PartitionPosition, TopicPosition};
    use schemas::decode::{ClickDecoder, DecodePolicy};

    use super::super::broker::Broker;
    use super::super::journeys::{Journeys, Options};
    use super::*;

    #[test]
    fn every_spoilt_record_is_rejected_each_kind_for_its_own_reason() {
        let event = Journeys::new(1, 0, Options::default()).next().unwrap();
        let mut decoder = ClickDecoder::new(DecodePolicy::default());
        let codes: std::collections::BTreeSet<String> = (0..4)
            .map(|turn| format!("{:?}", decoder.decode(Some(&spoil(&event, turn)), 0).unwrap_err().code))
            .collect();
        assert_eq!(codes.len(), 4, "{codes:?}");
    }

    #[test]
    fn a_lane_forgets_exactly_what_the_table_has() {
        let mut lane = Lane::default();
        (0..5).for_each(|_| lane.sent(100));
        lane.settle(2);
        assert_eq!((lane.waiting.len(), lane.waiting_bytes), (3, 3 * (100 + OVERHEAD_BYTES)));
        lane.settle(2);
        assert_eq!(lane.waiting.len(), 3);
        lane.settle(5);
        assert_eq!((lane.waiting.len(), lane.waiting_bytes), (0, 0));
    }

    #[test]
    fn sessions_are_spread_over_all_partitions() {
        let mut hits = [0; PARTITIONS];
        for event in Journeys::new(1, 0, Options::default()).take(2_000) {
            hits[partition_of(event.session_id.as_deref().unwrap())] += 1;
        }
        assert!(hits.iter().all(|&hits| hits > 250), "{hits:?}");
    }

    #[tokio::test]
    async fn the_position_of_an_earlier_topic_settles_nothing() {
        let broker = Broker::start(&[("clicks", PARTITIONS as i32)]).unwrap();
        let mut feeder = Feeder::new(broker.bootstrap_servers(), "clicks").unwrap();
        let events: Vec<_> = Journeys::new(1, 0, Options::default()).take(8).collect();
        feeder.send(&events).await.unwrap();
        let next = Offset::new(1_000).unwrap();
        let part = PartitionPosition { first: Offset::new(0).unwrap(), next, counts: Counts::default() };
        let partitions = (0..PARTITIONS as i32).map(|partition| (partition, part)).collect();
        let old = TopicPosition { id: "old".into(), epoch: 0, ended: Counts::default(), partitions };
        let position = Position { topics: [("clicks".to_owned(), old)].into() };
        feeder.settle(&position, "new");
        assert_eq!(feeder.waiting(), 8);
        feeder.settle(&position, "old");
        assert_eq!(feeder.waiting(), 0);
    }

    #[tokio::test]
    async fn the_broker_has_all_records_when_send_returns() {
        let broker = Broker::start(&[("clicks", PARTITIONS as i32)]).unwrap();
        let mut feeder = Feeder::new(broker.bootstrap_servers(), "clicks").unwrap();
        let events: Vec<_> = Journeys::new(1, 0, Options::default()).take(CHUNK).collect();
        feeder.send(&events).await.unwrap();
        assert_eq!(broker.records_in(("clicks", PARTITIONS as i32)).await.unwrap(), CHUNK as u64);
        assert_eq!((feeder.produced(), feeder.waiting()), (CHUNK as u64, CHUNK as u64));
        assert!(feeder.has_room());
    }
}
