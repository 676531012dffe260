//! The open batch of a task: records in; rows, rejects and their offsets kept; on sealing, ranges and an encoder out.
//!
//! Sealing, or dropping, is all or nothing: rows waiting in the decoder, in the encoder and the accounts of their offsets
//! stand and fall together. Called by [`super::task`]; CPU only, but for a dead letter producer whose queue is full.

use std::sync::Arc;
use std::time::Instant;

use protocol::Ranges;
use protocol::flush::Fill;
use rdkafka::message::{BorrowedMessage, Message};
use schemas::decode::ClickDecoder;

use super::batch::{Accounts, Became};
use super::task::TaskEnd;
use crate::config::{ConnectorConfig, Tolerance};
use crate::dead_letter::{DeadLetters, Ledger, Rejected};
use crate::pipeline::encode::Encoder;
use crate::pipeline::layout::TableLayout;
use crate::pipeline::settings::WriterSettings;

/// Rows that are decoded before they are routed to their partition keys: small enough to stay in the cache.
const ROUTE_ROWS: usize = 4_096;

/// What an open batch is made with.
pub(crate) struct IntakeParts {
    pub(crate) task_id: u32,
    pub(crate) config: Arc<ConnectorConfig>,
    pub(crate) layout: Arc<TableLayout>,
    pub(crate) settings: WriterSettings,
    pub(crate) dead_letters: Option<Arc<DeadLetters>>,
    /// Beginning of the ticks on which all tasks of the connector seal.
    pub(crate) ticks_from: Instant,
}

/// A batch that is closed: its offsets, its rows, its dead letters.
pub(crate) struct SealedIntake {
    pub(crate) ranges: Ranges,
    pub(crate) encoder: Encoder,
    pub(crate) ledger: Arc<Ledger>,
}

/// The open batch.
pub(crate) struct Intake {
    parts: IntakeParts,
    accounts: Accounts,
    decoder: ClickDecoder,
    encoder: Encoder,
    ledger: Arc<Ledger>,
    /// Tick in which the first record was read.
    opened_in: Option<u128>,
}

impl Intake {
    /// An empty batch of no partition.
    pub(crate) fn new(parts: IntakeParts) -> Self {
        let decoder = ClickDecoder::new(parts.config.decode.clone());
        let encoder = fresh_encoder(&parts);
        Self { parts, accounts: Accounts::default(), decoder, encoder, ledger: Arc::default(), opened_in: None }
    }

    /// Drops everything, and books from now on in these accounts.
    pub(crate) fn restart(&mut self, accounts: Accounts) {
        self.accounts = accounts;
        self.decoder.finish();
        self.encoder = fresh_encoder(&self.parts);
        self.ledger = Arc::default();
        self.opened_in = None;
    }

    /// One record: a row, or a dead letter. Records that are not ours to take are passed over.
    ///
    /// # Errors
    /// If the record cannot become a row and `errors.tolerance` is `none`, or if its dead letter is refused.
    pub(crate) fn take(&mut self, message: &BorrowedMessage<'_>, now_micros: i64) -> Result<(), TaskEnd> {
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        if !self.accounts.expects(topic, partition, offset) {
            return Ok(());
        }
        let became = match self.decoder.decode(message.payload(), now_micros) {
            Ok(()) => Became::Row,
            Err(reject) => {
                self.set_aside(message, &reject)?;
                Became::Reject
            }
        };
        let booked = self.accounts.book(topic, partition, offset, became);
        booked.map_err(|error| TaskEnd::Retry(error.to_string()))?;
        if self.opened_in.is_none() {
            self.opened_in = Some(self.tick());
        }
        if self.decoder.rows() >= ROUTE_ROWS { self.route() } else { Ok(()) }
    }

    fn set_aside(&self, message: &BorrowedMessage<'_>, reject: &schemas::reject::Reject) -> Result<(), TaskEnd> {
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        if self.parts.config.errors.tolerance == Tolerance::None {
            return Err(TaskEnd::Failed(format!(
                "record {topic}-{partition}@{offset} cannot become a row: {reject}; \
                 set errors.tolerance=all and errors.deadletterqueue.topic.name to set such records aside"
            )));
        }
        if self.parts.config.errors.log {
            tracing::warn!(topic, partition, offset, code = reject.code.as_str(), "a record cannot become a row");
        }
        let Some(letters) = &self.parts.dead_letters else { return Ok(()) };
        let rejected = Rejected {
            topic,
            partition,
            offset,
            timestamp: message.timestamp().to_millis(),
            key: message.key(),
            value: message.payload(),
            reject,
            task_id: self.parts.task_id,
        };
        letters.send(&self.ledger, &rejected).map_err(|error| {
            if error.is_lasting() { TaskEnd::Failed(error.to_string()) } else { TaskEnd::Retry(error.to_string()) }
        })
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

    /// What the batch holds. Tasks seal on shared ticks, so that their batches meet in one snapshot; a batch is of age
    /// when the tick that it was opened in has passed.
    pub(crate) fn fill(&self) -> Fill {
        let of_age = self.opened_in.is_some_and(|opened| self.tick() > opened);
        let age_ms = if of_age { u64::try_from(self.tick_ms()).unwrap_or(u64::MAX) } else { 0 };
        let bytes = self.encoder.bytes().saturating_add(self.decoder.bytes() as u64);
        Fill { age_ms, records: self.accounts.records(), bytes }
    }

    /// The consumer has got to this offset: what lies between the last record and it holds none for us (transaction
    /// markers, aborted records). Only partitions that moved in this batch take notice.
    pub(crate) fn reach(&mut self, topic: &str, partition: i32, next: i64) {
        self.accounts.reach(topic, partition, next);
    }

    /// Closes the batch; none if nothing was read. The accounts go on where they ended.
    ///
    /// # Errors
    /// If rows cannot be encoded or the offsets do not add up; the batch must be dropped then.
    pub(crate) fn seal(&mut self) -> Result<Option<SealedIntake>, TaskEnd> {
        self.route()?;
        self.opened_in = None;
        let ranges = self.accounts.seal().map_err(|error| TaskEnd::Retry(error.to_string()))?;
        let encoder = std::mem::replace(&mut self.encoder, fresh_encoder(&self.parts));
        let ledger = std::mem::take(&mut self.ledger);
        Ok(ranges.map(|ranges| SealedIntake { ranges, encoder, ledger }))
    }

    fn tick_ms(&self) -> u128 {
        self.parts.config.flush.interval.as_millis().max(1)
    }

    fn tick(&self) -> u128 {
        self.parts.ticks_from.elapsed().as_millis() / self.tick_ms()
    }
}

fn fresh_encoder(parts: &IntakeParts) -> Encoder {
    Encoder::new(Arc::clone(&parts.layout), parts.settings.clone())
}
