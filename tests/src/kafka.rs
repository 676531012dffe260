//! Topics, a real producer, and a reader of dead letters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::wait::{Look, until};

/// Longest wait for a broker's answer.
const ANSWER: Duration = Duration::from_secs(20);

/// A record to produce: key, and the value, or none for a tombstone.
pub type Record = (Option<String>, Option<Vec<u8>>);

/// A record as it is in a topic: one that was set aside, or one that was produced.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Partition and offset.
    pub place: (i32, i64),
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

    pub(crate) fn config(&self) -> ClientConfig {
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
        self.fresh_topic_with(name, partitions, &[]).await
    }

    /// As [`Self::fresh_topic`], with settings of the topic.
    ///
    /// # Errors
    /// As [`Self::fresh_topic`].
    pub async fn fresh_topic_with(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
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
            let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
            topic.config = settings.to_vec();
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

    /// Changes settings of a topic; those that are not named go back to their defaults.
    ///
    /// # Errors
    /// The brokers refuse.
    pub async fn configure(&self, topic: &str, settings: &[(&str, &str)]) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let mut wanted = AlterConfig::new(ResourceSpecifier::Topic(topic));
        for (key, value) in settings {
            wanted = wanted.set(key, value);
        }
        match admin.alter_configs([&wanted], &AdminOptions::new()).await?.pop() {
            Some(Err((_, code))) => bail!("configure {topic}: {code}"),
            _ => Ok(()),
        }
    }

    /// Sets the offsets of a consumer group that has no members: every partition of the topic to `offset`.
    ///
    /// # Errors
    /// The brokers refuse, as they do while the group has members.
    pub fn set_group(&self, group: &str, topic: &str, offset: i64) -> Result<()> {
        let consumer: BaseConsumer = self.config().set("group.id", group).create()?;
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions(topic)? {
            list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        }
        consumer.commit(&list, CommitMode::Sync).with_context(|| format!("set the offsets of {group}"))
    }

    /// The offsets of a consumer group, by partition; without those it has none for.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn group(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>> {
        let consumer: BaseConsumer = self.config().set("group.id", group).create()?;
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions(topic)? {
            list.add_partition(topic, partition);
        }
        let found = consumer.committed_offsets(list, ANSWER)?;
        let offset = |at: Offset| if let Offset::Offset(at) = at { Some(at) } else { None };
        Ok(found.elements().iter().filter_map(|one| Some((one.partition(), offset(one.offset())?))).collect())
    }

    /// Deletes a consumer group that has no members.
    ///
    /// # Errors
    /// The brokers refuse.
    pub async fn delete_group(&self, group: &str) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        match admin.delete_groups(&[group], &AdminOptions::new()).await?.pop() {
            Some(Err((_, code))) => bail!("delete group {group}: {code}"),
            _ => Ok(()),
        }
    }

    /// Produces records to a topic in a transaction of their own, and commits or aborts it. Blocks.
    ///
    /// # Errors
    /// The brokers refuse.
    pub fn transact(&self, topic: &str, records: impl IntoIterator<Item = Record>, commit: bool) -> Result<()> {
        let producer: BaseProducer = self.config().set("transactional.id", topic).create()?;
        producer.init_transactions(ANSWER)?;
        producer.begin_transaction()?;
        for (key, value) in records {
            let mut record: BaseRecord<'_, str, [u8]> = BaseRecord::to(topic);
            record.key = key.as_deref();
            record.payload = value.as_deref();
            producer.send(record).map_err(|(error, _)| error)?;
        }
        // What is aborted must have reached the log before, or there would be nothing to skip.
        producer.flush(ANSWER)?;
        let ended = if commit { producer.commit_transaction(ANSWER) } else { producer.abort_transaction(ANSWER) };
        ended.context("end the transaction")
    }

    /// Makes many topics that nobody had before, and waits until all of them have leaders.
    ///
    /// # Errors
    /// The brokers refuse, or take too long.
    pub async fn create_topics(&self, names: &[String], partitions: i32) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let options = AdminOptions::new().operation_timeout(Some(ANSWER));
        let topics: Vec<_> =
            names.iter().map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(1))).collect();
        for result in admin.create_topics(&topics, &options).await? {
            result.map_err(|(name, code)| anyhow!("create topic {name}: {code}"))?;
        }
        let consumer = self.consumer()?;
        until(&format!("{} topics", names.len()), ANSWER, async || {
            let metadata = consumer.fetch_metadata(None, ANSWER)?;
            let led = metadata.topics().iter().filter(|topic| {
                let ready = topic.partitions().iter().filter(|partition| partition.leader() >= 0).count();
                names.iter().any(|name| name == topic.name()) && i32::try_from(ready) == Ok(partitions)
            });
            let led = led.count();
            Ok(Look::holds(led == names.len(), format!("{led} of {}", names.len())))
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

    /// How many records of a topic a consumer group has not acknowledged.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn lag(&self, group: &str, topic: &str) -> Result<i64> {
        let consumer: BaseConsumer =
            self.config().set("group.id", group).set("enable.auto.commit", "false").create()?;
        let ends = self.ends(topic)?;
        let mut list = TopicPartitionList::new();
        for partition in ends.keys() {
            list.add_partition(topic, *partition);
        }
        let acknowledged = consumer.committed_offsets(list, ANSWER)?;
        let at = |partition| acknowledged.find_partition(topic, partition)?.offset().to_raw();
        Ok(ends.iter().map(|(&partition, end)| end - at(partition).unwrap_or_default().max(0)).sum())
    }

    /// How many records a topic has; for topics without transactions. 0 if there is no such topic.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn count(&self, topic: &str) -> Result<u64> {
        Ok(u64::try_from(self.ends(topic)?.values().sum::<i64>())?)
    }

    /// How many records a reader gets from a topic of one partition; fewer than offsets where the log was compacted.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn readable(&self, topic: &str) -> Result<u64> {
        let consumer = self.consumer()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning)?;
        consumer.assign(&list)?;
        let end = self.ends(topic)?.get(&0).copied().unwrap_or_default();
        let (mut records, mut next) = (0, 0);
        while next < end {
            let message = consumer.poll(ANSWER).with_context(|| format!("{topic}: {next} of {end}"))??;
            (records, next) = (records + 1, message.offset() + 1);
        }
        Ok(records)
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
            letters.push(Letter {
                place: (message.partition(), message.offset()),
                value,
                headers: headers.unwrap_or_default(),
            });
        }
        Ok(letters)
    }

    /// Produces records and returns when the brokers have acknowledged every one. Blocks.
    ///
    /// # Errors
    /// A record was not acknowledged: the count of what is in the topic would be a guess.
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = Record>) -> Result<u64> {
        self.produce_to(records.into_iter().map(|record| (topic, record)))
    }

    /// The same, each record to a topic of its own.
    ///
    /// # Errors
    /// A record was not acknowledged.
    pub fn produce_to<'a>(&self, records: impl IntoIterator<Item = (&'a str, Record)>) -> Result<u64> {
        let account = Account::default();
        let mut config = self.config();
        config.set("enable.idempotence", "true").set("linger.ms", "20").set("compression.type", "lz4");
        // Whether a record is too large is for the topic to say.
        config.set("message.max.bytes", "33554432");
        let producer: ThreadedProducer<Account> = config.create_with_context(account.clone())?;
        let mut sent: u64 = 0;
        for (topic, (key, value)) in records {
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
        producer.flush(Duration::from_secs(60)).context("flush")?;
        let (delivered, failed) = (account.delivered.load(Ordering::SeqCst), account.failed.load(Ordering::SeqCst));
        ensure!(delivered == sent, "{sent} records sent, {delivered} acknowledged, {failed} failed");
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
