//! Topics, a real producer, and a reader of dead letters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::wait::{Look, until};

/// Longest wait for a broker's answer.
const ANSWER: Duration = Duration::from_secs(20);

/// A record to produce: key, and the value, or none for a tombstone.
pub type Record = (Option<String>, Option<Vec<u8>>);

/// A record that was set aside.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The value as it was produced.
    pub value: Option<Vec<u8>>,
    /// Header -> text.
    pub headers: BTreeMap<String, String>,
}

/// The brokers.
#[derive(Debug, Clone)]
pub struct Kafka {
    brokers: String,
}

impl Kafka {
    /// A client; nothing is asked yet.
    #[must_use]
    pub fn new(brokers: &str) -> Self {
        Self { brokers: brokers.to_owned() }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    fn consumer(&self) -> Result<BaseConsumer> {
        Ok(self.config().set("group.id", "it").set("enable.auto.commit", "false").create()?)
    }

    /// Makes a topic and waits until it has a leader everywhere. One of the same name is deleted first.
    ///
    /// # Errors
    /// The brokers refuse, or take too long.
    pub async fn fresh_topic(&self, name: &str, partitions: i32) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let options = AdminOptions::new().operation_timeout(Some(ANSWER));
        for result in admin.delete_topics(&[name], &options).await? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((_, code)) => bail!("delete topic {name}: {code}"),
            }
        }
        // A deleted topic goes away in the background, and its name is taken until then.
        until(&format!("create topic {name}"), ANSWER, async || {
            let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
            match admin.create_topics(&[topic], &options).await?.pop() {
                Some(Ok(_)) => Ok(Look::Done(())),
                Some(Err((_, code))) => Ok(Look::NotYet(code.to_string())),
                None => bail!("create topic {name}: no answer"),
            }
        })
        .await?;
        until(&format!("topic {name}"), ANSWER, async || {
            let found = self.partitions(name)?;
            Ok(Look::holds(found == partitions, format!("{found} of {partitions} partitions")))
        })
        .await
    }

    /// How many partitions of a topic have a leader; 0 if there is no such topic.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn partitions(&self, topic: &str) -> Result<i32> {
        let metadata = self.consumer()?.fetch_metadata(Some(topic), ANSWER)?;
        let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        Ok(i32::try_from(partitions.filter(|partition| partition.error().is_none()).count())?)
    }

    /// Partition -> where its log ends.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn ends(&self, topic: &str) -> Result<BTreeMap<i32, i64>> {
        let consumer = self.consumer()?;
        let partitions = self.partitions(topic)?;
        (0..partitions).map(|p| Ok((p, consumer.fetch_watermarks(topic, p, ANSWER)?.1))).collect()
    }

    /// How many records a topic has; for topics without transactions. 0 if there is no such topic.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn count(&self, topic: &str) -> Result<u64> {
        Ok(u64::try_from(self.ends(topic)?.values().sum::<i64>())?)
    }

    /// Everything in a topic, by partition and offset.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn read_all(&self, topic: &str) -> Result<Vec<Letter>> {
        let consumer = self.consumer()?;
        let ends = self.ends(topic)?;
        let mut list = TopicPartitionList::new();
        for partition in ends.keys() {
            list.add_partition_offset(topic, *partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        let wanted = usize::try_from(ends.values().sum::<i64>())?;
        let mut letters = Vec::with_capacity(wanted);
        while letters.len() < wanted {
            let message =
                consumer.poll(ANSWER).with_context(|| format!("{topic}: {} of {wanted}", letters.len()))??;
            let headers = message.headers().map(|headers| {
                let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
                headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
            });
            let value = message.payload().map(<[u8]>::to_vec);
            letters.push(Letter { value, headers: headers.unwrap_or_default() });
        }
        Ok(letters)
    }

    /// Produces records and returns when the brokers have acknowledged every one. Blocks.
    ///
    /// # Errors
    /// A record was not acknowledged: the count of what is in the topic would be a guess.
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = Record>) -> Result<u64> {
        let account = Account::default();
        let mut config = self.config();
        config.set("enable.idempotence", "true").set("linger.ms", "20").set("compression.type", "lz4");
        let producer: ThreadedProducer<Account> = config.create_with_context(account.clone())?;
        let mut sent: u64 = 0;
        for (key, value) in records {
            let mut record: BaseRecord<'_, str, [u8]> = BaseRecord::to(topic);
            record.key = key.as_deref();
            record.payload = value.as_deref();
            while let Err((error, refused)) = producer.send(record) {
                if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                    return Err(error).with_context(|| format!("produce to {topic}"));
                }
                record = refused;
                std::thread::sleep(Duration::from_millis(5));
            }
            sent += 1;
        }
        producer.flush(Duration::from_secs(60)).with_context(|| format!("flush {topic}"))?;
        let (delivered, failed) = (account.delivered.load(Ordering::SeqCst), account.failed.load(Ordering::SeqCst));
        ensure!(delivered == sent, "{topic}: {sent} records sent, {delivered} acknowledged, {failed} failed");
        Ok(sent)
    }
}

/// What became of the records of a producer.
#[derive(Debug, Clone, Default)]
struct Account {
    delivered: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl ClientContext for Account {}

impl ProducerContext for Account {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.delivered } else { &self.failed };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}
