//! The embedded broker: librdkafka's mock cluster, in the process, on loopback.
//!
//! It speaks Kafka's protocol to any client, but it is no store: all is gone when it stops, it has no topic ids, and each
//! partition keeps at most [`PARTITION_BYTES_KEPT`] (or 100,000 batches), silently dropping the oldest. The feeder
//! therefore never runs further ahead of the table than that. The cluster's handle must stay on the thread that made it,
//! so it has a thread of its own that waits to be told to stop.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;

/// Bytes of records that a partition of the broker keeps: 5 MiB.
pub(super) const PARTITION_BYTES_KEPT: usize = 5 * 1024 * 1024;

/// Longest wait for an answer of the broker.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A topic to begin with: name and number of partitions.
pub(super) type Topic = (&'static str, i32);

/// A running broker; it stops when dropped.
#[derive(Debug)]
pub(super) struct Broker {
    bootstrap_servers: String,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Starts a broker with these topics, empty.
    ///
    /// # Errors
    /// librdkafka's, when no port can be had.
    pub(super) fn start(topics: &[Topic]) -> Result<Self, KafkaError> {
        let topics = topics.to_vec();
        let (told, started) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let cluster = match open(&topics) {
                Ok(cluster) => cluster,
                Err(error) => {
                    let _ = told.send(Err(error));
                    return;
                }
            };
            let _ = told.send(Ok(cluster.bootstrap_servers()));
            // Ends when the sender is dropped.
            let _ = stopped.recv();
        });
        // A thread that ends without a word has panicked inside librdkafka's binding.
        let bootstrap_servers = started.recv().unwrap_or(Err(KafkaError::Canceled))?;
        Ok(Self { bootstrap_servers, stop: Some(stop), thread: Some(thread) })
    }

    /// Its address, `host:port`.
    pub(super) fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// How many records were ever written to a topic.
    ///
    /// # Errors
    /// librdkafka's, when the broker does not answer.
    pub(super) async fn records_in(&self, (topic, partitions): Topic) -> Result<u64, KafkaError> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers);
        let count = move || {
            let consumer: BaseConsumer = config.create()?;
            (0..partitions).try_fold(0, |sum, partition| {
                let (_, end) = consumer.fetch_watermarks(topic, partition, ANSWER_TIMEOUT)?;
                Ok(sum + u64::try_from(end).unwrap_or(0))
            })
        };
        tokio::task::spawn_blocking(count).await.unwrap_or(Err(KafkaError::Canceled))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open(topics: &[Topic]) -> Result<MockCluster<'static, rdkafka::producer::DefaultProducerContext>, KafkaError> {
    let cluster = MockCluster::new(1)?;
    for (name, partitions) in topics {
        cluster.create_topic(name, *partitions, 1)?;
    }
    Ok(cluster)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_topic_begins_empty_on_loopback() {
        let broker = Broker::start(&[("clicks", 2)]).unwrap();
        assert!(broker.bootstrap_servers().starts_with("127.0.0.1:"), "{}", broker.bootstrap_servers());
        assert_eq!(broker.records_in(("clicks", 2)).await.unwrap(), 0);
    }
}
