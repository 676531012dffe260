//! A task's shell: one consumer on a thread of its own. It tells the machine (`protocol::task`) what happens and does what
//! the machine says; the rows are kept by the open batch ([`super::intake`]), sealed ones fly on their own
//! ([`super::flight`]).
//!
//! One sealed batch is on its way while the next is filled; when that is full too, the partitions are paused and the
//! group is not left. A task keeps nothing that matters: when anything is unclear, it drops what it holds and begins
//! again from the table's position ([`super::assignment`]). Started, and started again, by [`super::connector`].

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use catalog_sync::catalog::{CatalogClient, CatalogError, backoff};
use iceberg::TableIdent;
use protocol::flush::FlushLimits;
use protocol::task::{Bearings, Effect, End, Event, Obstacle, Task as Machine, TopicPartition};
use protocol::{Halt, Landed, Offset, Position, Proposal};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use super::assignment;
use super::flight::{Airport, FlightError, Sealed, fly};
use super::intake::{Intake, IntakeParts};
use super::status::Board;
use crate::config::ConnectorConfig;
use crate::dead_letter::DeadLetters;
use crate::kafka::consumer::TaskConsumer;
use crate::kafka::rebalance::RebalanceEvent;
use catalog_sync::datafile::settings::WriterSettings;

/// Longest wait for a record, so that verdicts, rebalances and a stop are noticed.
const POLL: Duration = Duration::from_millis(50);
/// Records taken in one go before the other duties are looked at.
const POLL_BURST: usize = 1_000;

/// Pause before group offsets that Kafka has refused are sent again.
const ACKNOWLEDGE_AGAIN: Duration = Duration::from_secs(1);

/// What a task is made of.
pub(crate) struct Parts {
    pub(crate) id: u32,
    pub(crate) config: Arc<ConnectorConfig>,
    pub(crate) consumer: TaskConsumer,
    pub(crate) dead_letters: Option<Arc<DeadLetters>>,
    pub(crate) client: CatalogClient,
    pub(crate) ident: TableIdent,
    /// Identity of the table that the connector began with.
    pub(crate) uuid: String,
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
    machine: Machine,
    intake: Intake,
    /// The batch on its way: its number, and where its verdict comes.
    flight: Option<(u64, oneshot::Receiver<Verdict>)>,
    drain_until: Instant,
    /// The position that Kafka was last told, and when.
    acknowledged: Option<(Position, Instant)>,
    stopping: bool,
}

impl Task {
    pub(crate) fn new(parts: Parts) -> Self {
        let flush = &parts.config.flush;
        let limits = FlushLimits {
            age_ms_max: u64::try_from(flush.interval.as_millis()).unwrap_or(u64::MAX),
            records_max: flush.records_max,
            // The encoder makes room by encoding; at half of its limit there is little left to make.
            bytes_max: parts.config.batch_bytes_max() / 2,
        };
        let intake = Intake::new(IntakeParts {
            task_id: parts.id,
            config: Arc::clone(&parts.config),
            layout: Arc::clone(&parts.airport.layout),
            settings: parts.settings.clone(),
            dead_letters: parts.dead_letters.clone(),
            ticks_from: parts.ticks_from,
        });
        let machine = Machine::new(limits);
        let (drain_until, acknowledged) = (Instant::now(), None);
        Self { parts, limits, machine, intake, flight: None, drain_until, acknowledged, stopping: false }
    }

    /// Reads until told to stop, or until something ends it. Blocks; call it on a thread of its own.
    pub(crate) fn run(mut self) -> End {
        loop {
            if let Err(end) = self.turn() {
                return end;
            }
        }
    }

    /// One turn of the loop: stop, verdicts, rebalances, sealing, then records.
    fn turn(&mut self) -> Result<(), End> {
        if *self.parts.stop.borrow() && !self.stopping {
            self.stopping = true;
            self.tell(Event::Stop)?;
        }
        self.take_verdict()?;
        self.acknowledge_again();
        if self.machine.is_draining() {
            // The group waits for the release, and nothing is read any more.
            return self.await_verdict();
        }
        while let Some(event) = self.parts.consumer.next_event() {
            self.rebalance(event)?;
        }
        self.tell(Event::Look(self.intake.fill(self.machine.records())))?;
        if self.machine.is_draining() { Ok(()) } else { self.read() }
    }

    /// Tells the machine what happened, does what it says, and tells it the answers.
    fn tell(&mut self, event: Event) -> Result<(), End> {
        let was_draining = self.machine.is_draining();
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let machine = std::mem::replace(&mut self.machine, Machine::new(self.limits));
            let (machine, effects) = machine.step(event);
            self.machine = machine;
            for effect in effects {
                events.extend(self.perform(effect)?);
            }
        }
        if self.machine.is_draining() && !was_draining {
            self.drain_until = Instant::now() + self.parts.drain_for;
        }
        Ok(())
    }

    /// Does one thing; the answer, where there is one.
    fn perform(&mut self, effect: Effect) -> Result<Option<Event>, End> {
        match effect {
            Effect::Locate(partitions) => Ok(Some(Event::Located(self.locate(&partitions)))),
            Effect::Survey => {
                let (consumer, config) = (&self.parts.consumer, &self.parts.config);
                Ok(Some(Event::Surveyed(assignment::survey(consumer, config, &self.machine.topics()))))
            }
            Effect::Launch(flight, proposal) => self.launch(flight, proposal).map(|()| None),
            Effect::Assign(starts) => self.assign(&starts).map(|()| None),
            Effect::Release => {
                let released = self.parts.consumer.unassign();
                released.map(|()| None).map_err(|error| End::Retry(format!("cannot unassign: {error}")))
            }
            Effect::Drop => {
                if self.machine.is_draining() || self.flight.is_some() || !self.intake.is_empty() {
                    tracing::info!(
                        task = self.parts.id,
                        "dropped what was read and not committed; it will be read again"
                    );
                }
                self.intake.restart();
                self.flight = None;
                Ok(None)
            }
            Effect::Pause => self.set_paused(true).map(|()| None),
            Effect::Resume => self.set_paused(false).map(|()| None),
            Effect::Acknowledge(position) => {
                self.acknowledge(&position);
                self.acknowledged = Some((position.clone(), Instant::now()));
                self.parts.board.position(position);
                Ok(None)
            }
            Effect::Backoff(times) => {
                std::thread::sleep(backoff(times));
                Ok(None)
            }
            Effect::End(end) => Err(end),
        }
    }

    fn locate(&self, partitions: &BTreeSet<TopicPartition>) -> Result<Bearings, Obstacle> {
        let loaded = self.parts.runtime.block_on(self.parts.client.load_table(&self.parts.ident));
        let replaced = |found| Obstacle::Halt(Halt::TableReplaced { expected: self.parts.uuid.clone(), found });
        let loaded = loaded.map_err(|error| match error {
            CatalogError::NotFound { .. } => replaced("none".to_owned()),
            error => Obstacle::Passing(error.to_string()),
        })?;
        let uuid = loaded.metadata().uuid().to_string();
        if uuid != self.parts.uuid {
            return Err(replaced(uuid));
        }
        let facts = loaded.facts().map_err(Obstacle::Halt)?;
        self.parts.board.position(facts.position.clone());
        assignment::bearings(&self.parts.consumer, &self.parts.config, facts, partitions)
    }

    fn assign(&self, starts: &[(TopicPartition, Offset)]) -> Result<(), End> {
        for ((topic, partition), offset) in starts {
            tracing::info!(topic, partition, %offset, "reading from");
        }
        // No poll lies between, so nothing of the old assignment is delivered.
        self.parts.consumer.assign(starts).map_err(|error| End::Retry(format!("cannot assign: {error}")))
    }

    /// Sends the rows of the open batch off with the offsets that the machine has sealed.
    fn launch(&mut self, flight: u64, proposal: Proposal) -> Result<(), End> {
        let batch = self.intake.seal()?;
        let dead_letters = self.parts.dead_letters.clone();
        let sealed = Sealed { proposal, batch, dead_letters, task_id: self.parts.id };
        let (sender, verdict) = oneshot::channel();
        let airport = self.parts.airport.clone();
        self.parts.runtime.spawn(async move {
            // Nobody listens when the task was stopped meanwhile; the table knows what became of the batch.
            let _ = sender.send(fly(airport, sealed).await);
        });
        self.flight = Some((flight, verdict));
        Ok(())
    }

    /// Looks whether the batch on its way has a verdict.
    fn take_verdict(&mut self) -> Result<(), End> {
        let Some((number, verdict)) = &mut self.flight else { return Ok(()) };
        let number = *number;
        let landed = match verdict.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => return Ok(()),
            Err(oneshot::error::TryRecvError::Closed) => Landed::Failed("the batch's flight broke off".to_owned()),
            Ok(verdict) => landed(verdict),
        };
        self.flight = None;
        self.land(number, landed)
    }

    /// Waits for the batch on its way, within the bound of the drain.
    fn await_verdict(&mut self) -> Result<(), End> {
        let Some((number, verdict)) = self.flight.take() else { return self.tell(Event::DrainOver) };
        let left = self.drain_until.saturating_duration_since(Instant::now());
        let stop = &mut self.parts.stop;
        let stopping = self.stopping;
        let waited = self.parts.runtime.block_on(async {
            let mut verdict = verdict;
            tokio::select! {
                answer = tokio::time::timeout(left, &mut verdict) => Some(answer),
                // A stop in the middle of a revocation: the machine must know what comes after.
                _ = stop.wait_for(|stop| *stop), if !stopping => { self.flight = Some((number, verdict)); None }
            }
        });
        match waited {
            None => Ok(()),
            Some(Ok(answer)) => {
                let broken = |_| Landed::Failed("the batch's flight broke off".to_owned());
                self.land(number, answer.map_or_else(broken, landed))
            }
            Some(Err(_)) => {
                tracing::warn!(task = self.parts.id, "the last batch was not committed in time; it will be read again");
                self.tell(Event::DrainOver)
            }
        }
    }

    fn land(&mut self, number: u64, landed: Landed) -> Result<(), End> {
        match &landed {
            Landed::Committed(_) => {}
            Landed::Fenced(reason) => {
                tracing::warn!(task = self.parts.id, reason, "fenced: another writer moved the table; reading again");
            }
            other => tracing::warn!(task = self.parts.id, ?other, "the batch was not committed"),
        }
        self.tell(Event::Landed(number, landed))
    }

    fn acknowledge_again(&mut self) {
        if let Some((position, at)) = &mut self.acknowledged
            && at.elapsed() >= ACKNOWLEDGE_AGAIN
            && self.parts.consumer.not_acknowledged()
        {
            *at = Instant::now();
            let position = position.clone();
            self.acknowledge(&position);
        }
    }

    /// Tells Kafka how far we are, for lag tools only.
    fn acknowledge(&self, position: &Position) {
        let mut list = TopicPartitionList::new();
        for (topic, partition) in self.machine.partitions() {
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

    fn rebalance(&mut self, event: RebalanceEvent) -> Result<(), End> {
        tracing::info!(task = self.parts.id, ?event, "rebalance");
        match event {
            RebalanceEvent::Assign(partitions) => self.tell(Event::Assigned(partitions.into_iter().collect())),
            RebalanceEvent::Revoke(_) => self.tell(Event::Revoked),
            RebalanceEvent::Lost(_) => self.tell(Event::Lost),
            RebalanceEvent::Error(error) => Err(End::Retry(format!("the consumer group failed: {error}"))),
        }
    }

    fn set_paused(&self, paused: bool) -> Result<(), End> {
        let what = if paused { "paused: the open batch is full and one is on its way" } else { "reads on" };
        tracing::debug!(task = self.parts.id, "{what}");
        let client = self.parts.consumer.client();
        let assigned = client.assignment().map_err(|error| End::Retry(error.to_string()))?;
        let done = if paused { client.pause(&assigned) } else { client.resume(&assigned) };
        done.map_err(|error| End::Retry(error.to_string()))
    }

    fn read(&mut self) -> Result<(), End> {
        let now = now_micros();
        for burst in 0..POLL_BURST {
            let wait = if burst == 0 { POLL } else { Duration::ZERO };
            match self.parts.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => self.intake.take(&mut self.machine, &message, now)?,
                Some(Err(error)) => return self.kafka_error(&error),
            }
        }
        Ok(())
    }

    /// What librdkafka reports instead of a record. It reconnects by itself; the rest needs a decision.
    fn kafka_error(&mut self, error: &KafkaError) -> Result<(), End> {
        use RDKafkaErrorCode::{
            AutoOffsetReset, BadCompression, BadMessage, Fatal, GroupAuthorizationFailed, MessageSizeTooLarge,
            NotImplemented, OffsetOutOfRange, TopicAuthorizationFailed,
        };
        match error.rdkafka_error_code() {
            // Kafka does not have what we asked for: hold its log against the table, which says what kind of halt it is.
            Some(OffsetOutOfRange | AutoOffsetReset) => self.tell(Event::OffsetsMissing),
            // librdkafka goes on behind what it cannot read, and the hole would look like a transaction's; we must not.
            Some(BadMessage | BadCompression | NotImplemented | MessageSizeTooLarge) => Err(End::Failed(format!(
                "kafka sent records that cannot be read, and nothing was skipped: {error}; \
                 repair or replace the damaged log, then restart the connector"
            ))),
            Some(Fatal | TopicAuthorizationFailed | GroupAuthorizationFailed) => {
                Err(End::Retry(format!("kafka: {error}")))
            }
            _ => {
                tracing::warn!(task = self.parts.id, %error, "kafka");
                Ok(())
            }
        }
    }
}

/// A batch that did not reach the committer failed.
fn landed(verdict: Verdict) -> Landed {
    verdict.unwrap_or_else(|error| Landed::Failed(error.to_string()))
}

/// Microseconds since 1970, the value of `ingestion_timestamp`.
fn now_micros() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or(0)
}
