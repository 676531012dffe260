//! Records that could not become rows, on their way to the dead letter topic.
//!
//! Key and value go on as they came; the reason and the origin travel in headers with Kafka Connect's names, so that tools
//! made for its dead letter queues work here. The task flushes before it commits the offsets of the batch: a record is in
//! the table or in the dead letter topic, or its offset is not committed. A batch that is read again is sent again, so a
//! dead letter may occur twice; its origin headers tell. One that is larger than its topic takes is cut ([`cut`]): it can
//! neither be dropped nor stand in the way of all records behind it.

mod cut;
mod producer;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, ProducerContext};
use schemas::reject::Reject;

use crate::config::ConnectorConfig;
use crate::kafka;

/// Wait for room when the producer's queue is full, between two looks.
const FULL_QUEUE_POLL: Duration = Duration::from_millis(50);
/// Wait for acknowledgements, between two looks.
const FLUSH_POLL: Duration = Duration::from_millis(20);

/// A record and why it is no row. The bytes are borrowed: the producer copies them.
#[derive(Debug, Clone, Copy)]
pub struct Rejected<'a> {
    /// Topic it was read from.
    pub topic: &'a str,
    /// Kafka partition it was read from.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its time in milliseconds since 1970, if it has one.
    pub timestamp: Option<i64>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// The reason.
    pub reject: &'a Reject,
    /// The task that read it.
    pub task_id: u32,
}

/// Why rejects are not, or perhaps not, in the dead letter topic. The batch must not be committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// The producer cannot be made.
    #[error("cannot make the producer for dead letter topic {topic}: {source}")]
    Producer {
        /// The dead letter topic.
        topic: String,
        /// What the client says.
        source: Box<KafkaError>,
    },
    /// The topic is not there and cannot be created.
    #[error("dead letter topic {topic} is missing and cannot be created: {reason}; create it, or allow it")]
    Topic {
        /// The dead letter topic.
        topic: String,
        /// What Kafka says.
        reason: String,
    },
    /// A record was refused at once.
    #[error("cannot send {origin} to dead letter topic {topic}: {source}")]
    Send {
        /// The dead letter topic.
        topic: String,
        /// Topic, partition and offset of the record.
        origin: String,
        /// What the client says.
        source: Box<KafkaError>,
    },
    /// Records were given up.
    #[error("{count} records were not delivered to dead letter topic {topic}, first reason: {reason}")]
    Undelivered {
        /// The dead letter topic.
        topic: String,
        /// How many of this batch.
        count: u64,
        /// The first reason.
        reason: String,
    },
    /// The flush took too long; the records may still arrive.
    #[error("{count} records wait for dead letter topic {topic} after {waited:?}")]
    Waiting {
        /// The dead letter topic.
        topic: String,
        /// How many.
        count: u64,
        /// How long the flush waited.
        waited: Duration,
    },
}

impl DeadLetterError {
    /// Whether trying again cannot help: the producer refuses this very record.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Send { .. })
    }
}

/// The rejects of one batch: how many are under way, how many were given up. Every batch has its own, since the next
/// batch sends while this one is flushed, and the failure of one must not be another's.
#[derive(Debug, Default)]
pub struct Ledger {
    open: AtomicU64,
    lost: AtomicU64,
    first: Mutex<Option<String>>,
    /// Refused by the broker for their size; open until they are sent again, shorter.
    too_large: Mutex<Vec<OwnedMessage>>,
}

/// A record on its way to the producer.
type Letter<'a> = BaseRecord<'a, [u8], [u8], Arc<Ledger>>;

impl Ledger {
    fn fail(&self, reason: &dyn fmt::Display) {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| reason.to_string());
        self.lost.fetch_add(1, Ordering::AcqRel);
    }

    fn set_aside(&self, letter: OwnedMessage) {
        self.too_large.lock().unwrap_or_else(PoisonError::into_inner).push(letter);
    }

    fn take_too_large(&self) -> Option<OwnedMessage> {
        self.too_large.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// Callbacks of the producer; they run in `send` and `flush`.
#[derive(Debug, Default, Clone, Copy)]
struct Deliveries;

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        kafka::log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        kafka::log_error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Ledger>;

    fn delivery(&self, result: &DeliveryResult<'_>, ledger: Arc<Ledger>) {
        if let Err((error, message)) = result {
            if cut::is_too_large(error) && (message.key_len() > 0 || message.payload_len() > 0) {
                return ledger.set_aside(message.detach());
            }
            tracing::warn!(%error, topic = message.topic(), "a dead letter was not delivered");
            // Before it is no longer open, so that nobody sees it as delivered in between.
            ledger.fail(error);
        }
        ledger.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The dead letter topic of a connector. One for each task; its thread sends while a sealed batch is flushed.
pub struct DeadLetters {
    producer: BaseProducer<Deliveries>,
    topic: String,
    connector: String,
    context_headers: bool,
}

impl DeadLetters {
    /// Opens the producer and makes sure that the topic exists: by the broker, if it creates topics by itself, else with
    /// one partition and the broker's replication factor. None if the connector names no dead letter topic. Blocks for
    /// some seconds at most.
    ///
    /// # Errors
    /// [`DeadLetterError::Producer`] or [`DeadLetterError::Topic`].
    pub fn new(bootstrap_servers: &str, config: &ConnectorConfig) -> Result<Option<Self>, DeadLetterError> {
        let Some(topic) = config.errors.dead_letter_topic.clone() else { return Ok(None) };
        let client = producer::config(bootstrap_servers, config);
        let no_producer = |source| DeadLetterError::Producer { topic: topic.clone(), source: Box::new(source) };
        let producer = client.create_with_context(Deliveries).map_err(no_producer)?;
        producer::ensure_topic(&producer, &client, &topic)?;
        let context_headers = config.errors.context_headers;
        Ok(Some(Self { producer, topic, connector: config.name.clone(), context_headers }))
    }

    /// Takes a record over and books it in the batch's ledger. Returns at once unless the queue is full; then it waits
    /// until there is room, or until a delivery of this batch has failed. What is too large is cut.
    ///
    /// # Errors
    /// If the producer refuses the record, or has given up on one of this batch.
    pub fn send(&self, ledger: &Arc<Ledger>, rejected: &Rejected<'_>) -> Result<(), DeadLetterError> {
        let mut letter = Letter::with_opaque_to(&self.topic, Arc::clone(ledger)).headers(self.headers(rejected));
        letter.key = rejected.key;
        letter.payload = rejected.value;
        letter.timestamp = rejected.timestamp;
        let origin = || format!("{}-{} offset {}", rejected.topic, rejected.partition, rejected.offset);
        // Before the producer has it: its acknowledgement may come at once.
        ledger.open.fetch_add(1, Ordering::AcqRel);
        self.hand_over(ledger, letter, &origin)?;
        self.send_cut(ledger)
    }

    /// Sends what the broker refused for its size again, shorter.
    fn send_cut(&self, ledger: &Arc<Ledger>) -> Result<(), DeadLetterError> {
        while let Some(refused) = ledger.take_too_large() {
            let mut letter = Letter::with_opaque_to(&self.topic, Arc::clone(ledger));
            letter.key = refused.key();
            letter.payload = refused.payload();
            letter.timestamp = refused.timestamp().to_millis();
            letter.headers = refused.headers().cloned();
            cut::halve(&mut letter);
            self.hand_over(ledger, letter, &|| "a record that was cut".to_owned())?;
        }
        Ok(())
    }

    /// Gives a letter, which the ledger counts as open, to the producer; it is open no longer if that fails.
    fn hand_over(
        &self,
        ledger: &Ledger,
        mut letter: Letter<'_>,
        origin: &dyn Fn() -> String,
    ) -> Result<(), DeadLetterError> {
        let error = loop {
            match self.producer.send(letter) {
                Ok(()) => {
                    self.producer.poll(Duration::ZERO);
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), unsent)) => {
                    if let Err(error) = self.delivered(ledger) {
                        break error;
                    }
                    letter = unsent;
                    self.producer.poll(FULL_QUEUE_POLL);
                }
                Err((source, mut unsent)) => {
                    if !(cut::is_too_large(&source) && cut::halve(&mut unsent)) {
                        let source = Box::new(source);
                        break DeadLetterError::Send { topic: self.topic.clone(), origin: origin(), source };
                    }
                    letter = unsent;
                }
            }
        };
        ledger.open.fetch_sub(1, Ordering::AcqRel);
        Err(error)
    }

    /// Waits until every record of the batch is acknowledged by all replicas. Only then may the batch be committed.
    ///
    /// # Errors
    /// [`DeadLetterError::Undelivered`] if a record of this batch was given up, [`DeadLetterError::Waiting`] after
    /// `timeout`. The batch must be dropped.
    pub fn flush(&self, ledger: &Arc<Ledger>, timeout: Duration) -> Result<(), DeadLetterError> {
        let until = Instant::now() + timeout;
        while ledger.open.load(Ordering::Acquire) > 0 && Instant::now() < until {
            self.producer.poll(FLUSH_POLL);
            self.send_cut(ledger)?;
        }
        self.delivered(ledger)?;
        match ledger.open.load(Ordering::Acquire) {
            0 => Ok(()),
            count => Err(DeadLetterError::Waiting { topic: self.topic.clone(), count, waited: timeout }),
        }
    }

    fn delivered(&self, ledger: &Ledger) -> Result<(), DeadLetterError> {
        match ledger.lost.load(Ordering::Acquire) {
            0 => Ok(()),
            count => {
                let first = ledger.first.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let reason = first.unwrap_or_else(|| "unknown".to_owned());
                Err(DeadLetterError::Undelivered { topic: self.topic.clone(), count, reason })
            }
        }
    }

    /// The reject's code always, Kafka Connect's context if it is asked for.
    fn headers(&self, rejected: &Rejected<'_>) -> OwnedHeaders {
        let mut headers = vec![("clickstream.reject.code", rejected.reject.code.to_string())];
        if self.context_headers {
            headers.extend([
                ("__connect.errors.topic", rejected.topic.to_owned()),
                ("__connect.errors.partition", rejected.partition.to_string()),
                ("__connect.errors.offset", rejected.offset.to_string()),
                ("__connect.errors.connector.name", self.connector.clone()),
                ("__connect.errors.task.id", rejected.task_id.to_string()),
                ("__connect.errors.stage", "VALUE_CONVERTER".to_owned()),
                ("__connect.errors.class.name", "schemas::decode::ClickDecoder".to_owned()),
                ("__connect.errors.exception.class.name", "schemas::reject::Reject".to_owned()),
                ("__connect.errors.exception.message", rejected.reject.to_string()),
            ]);
        }
        let sized = OwnedHeaders::new_with_capacity(headers.len());
        headers.iter().fold(sized, |all, (key, value)| all.insert(Header { key, value: Some(value) }))
    }
}

impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeadLetters({} to {})", self.connector, self.topic)
    }
}

#[cfg(test)]
#[path = "dead_letter_tests.rs"]
mod tests;
