//! A task: one consumer on a thread of its own, that fills the open batch ([`super::intake`]) and sends sealed ones off.
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
use protocol::flush::{FlushLimits, Seal};
use protocol::{Halt, Offset, Position};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use super::assignment::{self, AssignError};
use super::batch::Accounts;
use super::flight::{Airport, FlightError, Sealed, fly};
use super::intake::{Intake, IntakeParts};
use super::status::Board;
use crate::config::ConnectorConfig;
use crate::dead_letter::DeadLetters;
use crate::kafka::consumer::TaskConsumer;
use crate::kafka::rebalance::{RebalanceEvent, TopicPartition};
use crate::pipeline::settings::WriterSettings;

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
    intake: Intake,
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
        let intake = Intake::new(IntakeParts {
            task_id: parts.id,
            config: Arc::clone(&parts.config),
            layout: Arc::clone(&parts.airport.layout),
            settings: parts.settings.clone(),
            dead_letters: parts.dead_letters.clone(),
            ticks_from: parts.ticks_from,
        });
        Self { parts, limits, partitions: BTreeSet::new(), intake, flight: None, paused: false, fences: 0 }
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
        match self.limits.seal(self.intake.fill()) {
            Some(_) if self.flight.is_none() => self.seal()?,
            Some(Seal::Bytes | Seal::Records) => self.pause()?,
            // A batch that is only old goes on filling until the one before it has landed.
            Some(Seal::Age) | None => {}
        }
        self.read()
    }

    fn read(&mut self) -> Result<(), TaskEnd> {
        let now = now_micros();
        for burst in 0..POLL_BURST {
            let wait = if burst == 0 { POLL } else { Duration::ZERO };
            match self.parts.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => self.intake.take(&message, now)?,
                Some(Err(error)) => return self.kafka_error(&error),
            }
        }
        Ok(())
    }

    /// Closes the open batch and sends it off.
    fn seal(&mut self) -> Result<(), TaskEnd> {
        let reached = self.parts.consumer.client().position().map_err(|error| TaskEnd::Retry(error.to_string()))?;
        for one in reached.elements() {
            if let KafkaOffset::Offset(next) = one.offset() {
                self.intake.reach(one.topic(), one.partition(), next);
            }
        }
        let Some(batch) = self.intake.seal()? else { return Ok(()) };
        // Asked after reading, so that the answer covers every record of the batch.
        assignment::same_topics(&self.parts.consumer, &self.parts.config, &batch.ranges).map_err(assign_end)?;
        let sealed = Sealed { batch, dead_letters: self.parts.dead_letters.clone(), task_id: self.parts.id };
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
        let begin = begun.map_err(assign_end)?;
        self.parts.board.position(position);
        self.intake.restart(begin.accounts);
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
            if round == 1 && self.seal().is_err() {
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
        self.intake.restart(Accounts::default());
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

    /// What librdkafka reports instead of a record. It reconnects by itself; the rest needs a decision.
    fn kafka_error(&mut self, error: &KafkaError) -> Result<(), TaskEnd> {
        use RDKafkaErrorCode::{
            AutoOffsetReset, BadCompression, BadMessage, Fatal, GroupAuthorizationFailed, MessageSizeTooLarge,
            NotImplemented, OffsetOutOfRange, TopicAuthorizationFailed,
        };
        match error.rdkafka_error_code() {
            // Kafka does not have what we asked for: hold its log against the table, which says what kind of halt it is.
            Some(OffsetOutOfRange | AutoOffsetReset) => {
                self.fences = self.fences.saturating_add(1);
                std::thread::sleep(backoff(self.fences));
                self.begin()
            }
            // librdkafka goes on behind what it cannot read, and the hole would look like a transaction's; we must not.
            Some(BadMessage | BadCompression | NotImplemented | MessageSizeTooLarge) => Err(TaskEnd::Failed(format!(
                "kafka sent records that cannot be read, and nothing was skipped: {error}; \
                 repair or replace the damaged log, then restart the connector"
            ))),
            Some(Fatal | TopicAuthorizationFailed | GroupAuthorizationFailed) => {
                Err(TaskEnd::Retry(format!("kafka: {error}")))
            }
            _ => {
                tracing::warn!(task = self.parts.id, %error, "kafka");
                Ok(())
            }
        }
    }
}

fn assign_end(error: AssignError) -> TaskEnd {
    match error {
        AssignError::Halt(halt) => TaskEnd::Halted(halt),
        error @ AssignError::Kafka(_) => TaskEnd::Retry(error.to_string()),
    }
}

/// Microseconds since 1970, the value of `ingestion_timestamp`.
fn now_micros() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or(0)
}
