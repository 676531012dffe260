//! The open batch of a task: records in; rows and rejects kept; on sealing, an encoder and a ledger of dead letters out.
//!
//! The offsets are booked in the task's machine (`protocol::task`), which says when to seal and when to drop. Sealing, or
//! dropping, is all or nothing: rows waiting in the decoder and in the encoder stand and fall together. Called by
//! [`super::task`]; CPU only, but for a dead letter producer whose queue is full.

use std::sync::Arc;
use std::time::Instant;

use protocol::Became;
use protocol::flush::Fill;
use protocol::task::{End, Task as Machine};
use rdkafka::message::{BorrowedMessage, Message};
use schemas::decode::ClickDecoder;

use crate::config::{ConnectorConfig, Tolerance};
use crate::dead_letter::{DeadLetters, Ledger, Rejected};
use crate::pipeline::encode::{Encoder, EncoderLimits};
use catalog_sync::datafile::layout::TableLayout;
use catalog_sync::datafile::settings::WriterSettings;

/// Rows that are decoded before they go to the encoder.
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

/// A batch that is closed: its rows, its dead letters.
pub(crate) struct SealedIntake {
    pub(crate) encoder: Encoder,
    pub(crate) ledger: Arc<Ledger>,
}

/// The open batch.
pub(crate) struct Intake {
    parts: IntakeParts,
    decoder: ClickDecoder,
    encoder: Encoder,
    ledger: Arc<Ledger>,
    /// Tick in which the first record was read.
    opened_in: Option<u128>,
}

impl Intake {
    /// An empty batch.
    pub(crate) fn new(parts: IntakeParts) -> Self {
        let decoder = ClickDecoder::new(parts.config.decode.clone());
        let encoder = fresh_encoder(&parts);
        Self { parts, decoder, encoder, ledger: Arc::default(), opened_in: None }
    }

    /// Drops everything.
    pub(crate) fn restart(&mut self) {
        self.decoder.finish();
        self.encoder = fresh_encoder(&self.parts);
        self.ledger = Arc::default();
        self.opened_in = None;
    }

    /// One record: a row, or a dead letter. Records that are not ours to take are passed over.
    ///
    /// # Errors
    /// If the record cannot become a row and `errors.tolerance` is `none`, or if its dead letter is refused.
    pub(crate) fn take(
        &mut self,
        machine: &mut Machine,
        message: &BorrowedMessage<'_>,
        now_micros: i64,
    ) -> Result<(), End> {
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        if !machine.expects(topic, partition, offset) {
            return Ok(());
        }
        let became = match self.decoder.decode(message.payload(), now_micros) {
            Ok(()) => Became::Row,
            Err(reject) => {
                self.set_aside(message, &reject)?;
                Became::Reject
            }
        };
        let booked = machine.book(topic, partition, offset, became);
        booked.map_err(|error| End::Retry(error.to_string()))?;
        if self.opened_in.is_none() {
            self.opened_in = Some(self.tick());
        }
        let bytes_max = self.parts.config.memory.decoder_bytes();
        let full = self.decoder.rows() >= ROUTE_ROWS || self.decoder.bytes() as u64 >= bytes_max;
        if full { self.route() } else { Ok(()) }
    }

    fn set_aside(&self, message: &BorrowedMessage<'_>, reject: &schemas::reject::Reject) -> Result<(), End> {
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        if self.parts.config.errors.tolerance == Tolerance::None {
            return Err(End::Failed(format!(
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
            if error.is_lasting() { End::Failed(error.to_string()) } else { End::Retry(error.to_string()) }
        })
    }

    /// Rows from the decoder to the encoder.
    fn route(&mut self) -> Result<(), End> {
        let rows = self.decoder.finish();
        self.encoder.push(&rows).map_err(|error| End::Retry(error.to_string()))
    }

    /// Whether nothing was taken since the last seal.
    pub(crate) fn is_empty(&self) -> bool {
        self.opened_in.is_none()
    }

    /// What the batch holds, beside the number of its records. Tasks seal on shared ticks, so that their batches meet in one
    /// snapshot; a batch is of age when the tick that it was opened in has passed.
    pub(crate) fn fill(&self, records: u64) -> Fill {
        let of_age = self.opened_in.is_some_and(|opened| self.tick() > opened);
        let age_ms = if of_age { u64::try_from(self.tick_ms()).unwrap_or(u64::MAX) } else { 0 };
        Fill { age_ms, records, bytes: self.encoder.encoded_bytes() }
    }

    /// Closes the batch, whose offsets the machine has sealed.
    ///
    /// # Errors
    /// If rows cannot be encoded; the batch must be dropped then.
    pub(crate) fn seal(&mut self) -> Result<SealedIntake, End> {
        self.route()?;
        self.opened_in = None;
        let encoder = std::mem::replace(&mut self.encoder, fresh_encoder(&self.parts));
        Ok(SealedIntake { encoder, ledger: std::mem::take(&mut self.ledger) })
    }

    fn tick_ms(&self) -> u128 {
        self.parts.config.flush.interval.as_millis().max(1)
    }

    fn tick(&self) -> u128 {
        self.parts.ticks_from.elapsed().as_millis() / self.tick_ms()
    }
}

fn fresh_encoder(parts: &IntakeParts) -> Encoder {
    // The tasks share the cores.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.div_ceil(usize::try_from(parts.config.tasks_max).unwrap_or(1));
    let bytes_max = parts.config.batch_bytes_max();
    Encoder::new(Arc::clone(&parts.layout), parts.settings.clone(), EncoderLimits { bytes_max, threads })
}
