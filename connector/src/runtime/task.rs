//! A task: one consumer on a thread of its own, that reads, decodes, routes and encodes, and sends sealed batches off.
//!
//! One sealed batch is on its way while the next is filled; when that is full too, the partitions are paused and the
//! group is not left. A task keeps nothing that matters: when anything is unclear, it drops what it holds and begins
//! again from the table's position ([`super::assignment`]).
//!
//! Invariants:
//! * no record is read before the table's position was loaded and Kafka's log and topic id were held against it;
//! * partitions are given back only after their batch has a verdict, or was dropped;
//! * a batch is dropped whole, together with the one on its way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use catalog_sync::catalog::{CatalogClient, backoff};
use catalog_sync::commit::Landed;
use iceberg::TableIdent;
use protocol::flush::{Fill, FlushLimits};
use protocol::{Halt, Offset, Position};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use schemas::decode::ClickDecoder;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use super::assignment::{self, AssignError};
use super::batch::{Accounts, Became};
use super::flight::{Airport, FlightError, Sealed, fly};
use super::status::Board;
use crate::config::{ConnectorConfig, Tolerance};
use crate::dead_letter::{DeadLetters, Rejected};
use crate::kafka::consumer::TaskConsumer;
use crate::kafka::rebalance::{RebalanceEvent, TopicPartition};
use crate::pipeline::encode::Encoder;
use crate::pipeline::settings::WriterSettings;

/// Rows that are decoded before they are routed to their partition keys: small enough to stay in the cache.
const ROUTE_ROWS: usize = 4_096;
/// Longest wait for a record, so that verdicts, rebalances and a stop are noticed.
const POLL: Duration = Duration::from_millis(50);
/// Records taken in one go before the other duties are looked at.
const POLL_BURST: usize = 1_000;

/// Why a task ended.
#[derive(Debug)]
pub(crate) enum TaskEnd {
    /// It was told to.
    Stopped,
    /// It waits for an operator.
    Halted(Halt),
    /// It failed for good: a record that cannot become a row and `errors.tolerance=none`, or a configuration error.
    Failed(String),
    /// It failed for now; a new task may do better.
    Retry(String),
}

/// What a task is made of.
pub(crate) struct Parts {
    pub(crate) id: u32,
    pub(crate) config: Arc<ConnectorConfig>,
    pub(crate) consumer: TaskConsumer,
    pub(crate) dead_letters: Option<Arc<DeadLetters>>,
    pub(crate) client: CatalogClient,
    pub(crate) ident: TableIdent,
    pub(crate) settings: WriterSettings,
    pub(crate) airport: Airport,
    pub(crate) board: Arc<Board>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) runtime: Handle,
    /// Beginning of the ticks on which all tasks of the connector seal.
    pub(crate) ticks_from: Instant,
    /// Longest wait for the last commit when partitions are given back.
    pub(crate) drain_for: Duration,
}

type Verdict = Result<Landed, FlightError>;

/// A task at work.
pub(crate) struct Task {
    parts: Parts,
    limits: FlushLimits,
    partitions: BTreeSet<TopicPartition>,
    accounts: Accounts,
    decoder: ClickDecoder,
    encoder: Encoder,
    /// Tick in which the first record of the open batch was read.
    opened_in: Option<u128>,
    flight: Option<oneshot::Receiver<Verdict>>,
    paused: bool,
    fences: u32,
}

impl Task {
    pub(crate) fn new(parts: Parts) -> Self {
        let flush = &parts.config.flush;
        let limits = FlushLimits {
            age_ms_max: u64::try_from(flush.interval.as_millis()).unwrap_or(u64::MAX),
            records_max: flush.records_max,
            bytes_max: flush.bytes_max,
        };
        let decoder = ClickDecoder::new(parts.config.decode.clone());
        let encoder = Encoder::new(Arc::clone(&parts.airport.layout), parts.settings.clone());
        Self {
            parts,
            limits,
            partitions: BTreeSet::new(),
            accounts: Accounts::default(),
            decoder,
            encoder,
            opened_in: None,
            flight: None,
            paused: false,
            fences: 0,
        }
    }

    /// Reads until told to stop, or until something ends it. Blocks; call it on a thread of its own.
    pub(crate) fn run(mut self) -> TaskEnd {
        let end = loop {
            if let Err(end) = self.turn() {
                break end;
            }
        };
        if matches!(end, TaskEnd::Stopped) {
            self.drain();
        }
        end
    }

    /// One turn of the loop: verdicts, rebalances, sealing, then records.
    fn turn(&mut self) -> Result<(), TaskEnd> {
        if *self.parts.stop.borrow() {
            return Err(TaskEnd::Stopped);
        }
        self.take_verdict()?;
        while let Some(event) = self.parts.consumer.next_event() {
            self.rebalance(event)?;
        }
        if self.limits.seal(self.fill()).is_some() {
            if self.flight.is_none() {
                self.seal()?;
            } else if self.fill().bytes >= self.limits.bytes_max || self.fill().records >= self.limits.records_max {
                self.pause()?;
            }
        }
        self.read()
    }

    fn read(&mut self) -> Result<(), TaskEnd> {
        let now = now_micros();
        let tick = self.tick();
        for burst in 0..POLL_BURST {
            let wait = if burst == 0 { POLL } else { Duration::ZERO };
            match self.parts.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let taken = take(&self.parts, &mut self.accounts, &mut self.decoder, &message, now)?;
                    if taken && self.opened_in.is_none() {
                        self.opened_in = Some(tick);
                    }
                }
                Some(Err(error)) => return self.kafka_error(&error),
            }
            if self.decoder.rows() >= ROUTE_ROWS {
                self.route()?;
            }
        }
        Ok(())
    }

    /// Rows from the decoder to the lanes of their partition keys.
    fn route(&mut self) -> Result<(), TaskEnd> {
        let failed = |error: String| TaskEnd::Retry(format!("cannot encode rows: {error}"));
        let rows = self.decoder.finish();
        for (key, rows) in schemas::partition::split(&rows).map_err(|error| failed(error.to_string()))? {
            self.encoder.push(key, rows).map_err(|error| failed(error.to_string()))?;
        }
        Ok(())
    }

    fn fill(&self) -> Fill {
        // Tasks seal on shared ticks, so that their batches meet in one snapshot; a batch is never older than a tick.
        let due = self.opened_in.is_some_and(|opened| self.tick() > opened);
        Fill {
            age_ms: if due { self.limits.age_ms_max } else { 0 },
            records: self.accounts.records(),
            bytes: self.encoder.bytes().saturating_add(self.decoder.bytes() as u64),
        }
    }

    fn tick(&self) -> u128 {
        self.parts.ticks_from.elapsed().as_millis() / u128::from(self.limits.age_ms_max.max(1))
    }

    /// Closes the open batch and sends it off.
    fn seal(&mut self) -> Result<(), TaskEnd> {
        self.route()?;
        let fresh = Encoder::new(Arc::clone(&self.parts.airport.layout), self.parts.settings.clone());
        let encoder = std::mem::replace(&mut self.encoder, fresh);
        self.opened_in = None;
        let sealed = self.accounts.seal().map_err(|error| TaskEnd::Retry(error.to_string()))?;
        let Some(ranges) = sealed else { return Ok(()) };
        let sealed = Sealed { ranges, encoder, dead_letters: self.parts.dead_letters.clone(), task_id: self.parts.id };
        let (sender, verdict) = oneshot::channel();
        let airport = self.parts.airport.clone();
        self.parts.runtime.spawn(async move {
            // Nobody listens when the task was stopped meanwhile; the table knows what became of the batch.
            let _ = sender.send(fly(airport, sealed).await);
        });
        self.flight = Some(verdict);
        Ok(())
    }

    /// Looks whether the batch on its way has a verdict.
    fn take_verdict(&mut self) -> Result<(), TaskEnd> {
        let Some(flight) = &mut self.flight else { return Ok(()) };
        match flight.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => Ok(()),
            Err(oneshot::error::TryRecvError::Closed) => Err(TaskEnd::Retry("the batch's flight broke off".to_owned())),
            Ok(verdict) => {
                self.flight = None;
                self.land(verdict)
            }
        }
    }

    fn land(&mut self, verdict: Verdict) -> Result<(), TaskEnd> {
        match verdict {
            Ok(Landed::Committed(position)) => {
                self.fences = 0;
                self.acknowledge(&position);
                self.parts.board.position(position);
                self.resume()
            }
            Ok(Landed::Fenced { reason, .. }) => {
                self.fences = self.fences.saturating_add(1);
                tracing::warn!(task = self.parts.id, reason, "fenced: another writer moved the table; reading again");
                std::thread::sleep(backoff(self.fences));
                self.begin()
            }
            Ok(Landed::Halt(halt)) => Err(TaskEnd::Halted(halt)),
            Ok(Landed::Failed(error)) => Err(TaskEnd::Retry(error.to_string())),
            Err(error) => Err(TaskEnd::Retry(error.to_string())),
        }
    }

    /// Tells Kafka how far we are, for lag tools only; what it answers does not matter.
    fn acknowledge(&self, position: &Position) {
        let mut list = TopicPartitionList::new();
        for (topic, partition) in &self.partitions {
            if let Some(next) = position.next(topic, *partition) {
                let _ = list.add_partition_offset(topic, *partition, KafkaOffset::Offset(next.get()));
            }
        }
        if list.count() > 0
            && let Err(error) = self.parts.consumer.client().commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "kafka did not take the group offsets");
        }
    }

    fn rebalance(&mut self, event: RebalanceEvent) -> Result<(), TaskEnd> {
        tracing::info!(task = self.parts.id, ?event, "rebalance");
        match event {
            RebalanceEvent::Assign(partitions) => {
                self.partitions = partitions.into_iter().collect();
                self.begin()
            }
            RebalanceEvent::Revoke(_) => {
                self.drain();
                self.give_back()
            }
            RebalanceEvent::Lost(_) => self.give_back(),
            RebalanceEvent::Error(error) => Err(TaskEnd::Retry(format!("the consumer group failed: {error}"))),
        }
    }

    /// Drops what is held and reads from the table's position.
    fn begin(&mut self) -> Result<(), TaskEnd> {
        self.drop_batches();
        if self.partitions.is_empty() {
            return self.assign(&[]);
        }
        let position = self.load_position()?;
        let begun = assignment::begin(&self.parts.consumer, &self.parts.config, &position, &self.partitions);
        let begin = match begun {
            Ok(begin) => begin,
            Err(AssignError::Halt(halt)) => return Err(TaskEnd::Halted(halt)),
            Err(error @ AssignError::Kafka(_)) => return Err(TaskEnd::Retry(error.to_string())),
        };
        self.parts.board.position(position);
        self.accounts = begin.accounts;
        self.assign(&begin.starts)
    }

    fn load_position(&self) -> Result<Position, TaskEnd> {
        let loaded = self.parts.runtime.block_on(self.parts.client.load_table(&self.parts.ident));
        let loaded = loaded.map_err(|error| TaskEnd::Retry(error.to_string()))?;
        let facts = loaded.facts().map_err(TaskEnd::Halted)?;
        Ok(facts.position)
    }

    fn assign(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), TaskEnd> {
        // No poll lies between, so nothing of the old assignment is delivered.
        self.resume()?;
        self.parts.consumer.assign(starts).map_err(|error| TaskEnd::Retry(format!("cannot assign: {error}")))
    }

    /// Waits for the batch on its way and for the open one, within the bound; what has no verdict by then is dropped.
    fn drain(&mut self) {
        let deadline = Instant::now() + self.parts.drain_for;
        for round in 0..2 {
            if round == 1 && (self.accounts.records() == 0 || self.seal().is_err()) {
                break;
            }
            let Some(flight) = self.flight.take() else { continue };
            let left = deadline.saturating_duration_since(Instant::now());
            let verdict = self.parts.runtime.block_on(async { tokio::time::timeout(left, flight).await });
            match verdict {
                Ok(Ok(Ok(Landed::Committed(position)))) => {
                    self.acknowledge(&position);
                    self.parts.board.position(position);
                }
                other => {
                    tracing::warn!(
                        task = self.parts.id,
                        ?other,
                        "the last batch was not committed; it will be read again"
                    );
                    break;
                }
            }
        }
        self.drop_batches();
    }

    fn give_back(&mut self) -> Result<(), TaskEnd> {
        self.drop_batches();
        self.partitions.clear();
        self.resume()?;
        self.parts.consumer.unassign().map_err(|error| TaskEnd::Retry(format!("cannot unassign: {error}")))
    }

    fn drop_batches(&mut self) {
        self.accounts = Accounts::default();
        self.decoder.finish();
        self.encoder = Encoder::new(Arc::clone(&self.parts.airport.layout), self.parts.settings.clone());
        self.opened_in = None;
        self.flight = None;
    }

    fn pause(&mut self) -> Result<(), TaskEnd> {
        if !self.paused {
            self.paused = true;
            tracing::debug!(task = self.parts.id, "paused: the open batch is full and one is on its way");
            let client = self.parts.consumer.client();
            let assigned = client.assignment().map_err(|error| TaskEnd::Retry(error.to_string()))?;
            client.pause(&assigned).map_err(|error| TaskEnd::Retry(error.to_string()))?;
        }
        Ok(())
    }

    fn resume(&mut self) -> Result<(), TaskEnd> {
        if self.paused {
            self.paused = false;
            let client = self.parts.consumer.client();
            let assigned = client.assignment().map_err(|error| TaskEnd::Retry(error.to_string()))?;
            client.resume(&assigned).map_err(|error| TaskEnd::Retry(error.to_string()))?;
        }
        Ok(())
    }

    /// What librdkafka reports instead of a record. It reconnects by itself; only what needs a decision ends the turn.
    fn kafka_error(&mut self, error: &KafkaError) -> Result<(), TaskEnd> {
        use RDKafkaErrorCode::{AutoOffsetReset, Fatal, OffsetOutOfRange};
        match error.rdkafka_error_code() {
            // Kafka does not have what we asked for: hold its log against the table, which says what kind of halt it is.
            Some(OffsetOutOfRange | AutoOffsetReset) => self.begin(),
            Some(Fatal) => Err(TaskEnd::Retry(format!("kafka client: {error}"))),
            _ => {
                tracing::warn!(task = self.parts.id, %error, "kafka");
                Ok(())
            }
        }
    }
}

/// One record: a row in the decoder, or a dead letter. False if it is not ours to take.
fn take(
    parts: &Parts,
    accounts: &mut Accounts,
    decoder: &mut ClickDecoder,
    message: &BorrowedMessage<'_>,
    now: i64,
) -> Result<bool, TaskEnd> {
    let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
    if !accounts.expects(topic, partition, offset) {
        return Ok(false);
    }
    let became = match decoder.decode(message.payload(), now) {
        Ok(()) => Became::Row,
        Err(reject) if parts.config.errors.tolerance == Tolerance::None => {
            return Err(TaskEnd::Failed(format!(
                "record {topic}-{partition}@{offset} cannot become a row: {reject}; \
                 set errors.tolerance=all and errors.deadletterqueue.topic.name to set such records aside"
            )));
        }
        Err(reject) => {
            if parts.config.errors.log {
                tracing::warn!(topic, partition, offset, code = reject.code.as_str(), "a record cannot become a row");
            }
            if let Some(letters) = &parts.dead_letters {
                let rejected = Rejected {
                    topic,
                    partition,
                    offset,
                    timestamp: message.timestamp().to_millis(),
                    key: message.key(),
                    value: message.payload(),
                    reject: &reject,
                    task_id: parts.id,
                };
                letters.send(&rejected).map_err(|error| TaskEnd::Retry(error.to_string()))?;
            }
            Became::Reject
        }
    };
    accounts.book(topic, partition, offset, became).map_err(|error| TaskEnd::Retry(error.to_string()))?;
    Ok(true)
}

/// Microseconds since 1970, the value of `ingestion_timestamp`.
fn now_micros() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or(0)
}
