//! A sealed batch on its way to the table, while the task reads on: finish the Parquet files and upload each as soon as it
//! is done, meanwhile have the dead letters acknowledged, then hand all to the committer.
//!
//! The order matters: rejects are safe in the dead letter topic *before* the position passes them, and files are in the
//! store before a manifest names them. Dropping a flight is safe at any moment: nothing refers to its files.

use std::sync::Arc;
use std::time::Duration;

use catalog_sync::commit::Staged;
use catalog_sync::storage::Store;
use iceberg::spec::DataFile;
use protocol::{Landed, Proposal};
use tokio::sync::{mpsc, oneshot};

use super::committer::Request;
use super::intake::SealedIntake;
use crate::dead_letter::DeadLetters;
use crate::pipeline::encode::Encoder;
use catalog_sync::datafile::layout::TableLayout;
use catalog_sync::datafile::upload::upload;

/// Longest wait for the acknowledgement of dead letters.
const DEAD_LETTERS_TIMEOUT: Duration = Duration::from_secs(60);
/// Files of one batch that are uploaded at the same time.
const UPLOADS: usize = 8;

/// What all flights of a connector share.
#[derive(Clone)]
pub(crate) struct Airport {
    pub(crate) store: Store,
    pub(crate) layout: Arc<TableLayout>,
    pub(crate) committer: mpsc::Sender<Request>,
}

/// A sealed batch.
pub(crate) struct Sealed {
    pub(crate) proposal: Proposal,
    pub(crate) batch: SealedIntake,
    pub(crate) dead_letters: Option<Arc<DeadLetters>>,
    pub(crate) task_id: u32,
}

/// A batch that did not reach the committer, or whose committer has gone; begin again from the table's position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FlightError(pub(crate) String);

/// Brings a sealed batch to its verdict.
pub(crate) async fn fly(airport: Airport, sealed: Sealed) -> Result<Landed, FlightError> {
    let Sealed { proposal, batch: SealedIntake { encoder, ledger }, dead_letters, task_id } = sealed;
    let letters = tokio::task::spawn_blocking(move || match dead_letters {
        Some(letters) => letters.flush(&ledger, DEAD_LETTERS_TIMEOUT),
        None => Ok(()),
    });
    let files = write_files(&airport, encoder, task_id).await?;
    let flushed = letters.await.map_err(|error| FlightError(format!("the dead letters ended early: {error}")))?;
    flushed.map_err(|error| FlightError(error.to_string()))?;
    let (fields, spec_id) = (Arc::clone(airport.layout.fields()), airport.layout.spec_id());
    let staged = Staged { proposal, files, fields, spec_id };
    let (verdict, answer) = oneshot::channel();
    let gone = || FlightError("the committer has ended".to_owned());
    airport.committer.send(Request { staged, verdict }).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())
}

/// Encodes the files of a batch, and uploads those that are done while the others are being encoded.
async fn write_files(airport: &Airport, encoder: Encoder, task_id: u32) -> Result<Vec<DataFile>, FlightError> {
    let rows = encoder.rows();
    let (sender, mut done) = mpsc::channel(1);
    let encoding = tokio::task::spawn_blocking(move || encoder.finish(|file| sender.blocking_send(file).is_ok()));
    let files = futures::stream::poll_fn(move |context| done.poll_recv(context));
    // When it fails the channel closes, and the encoder stops.
    let uploaded = upload(&airport.store, &airport.layout, files, &task_id.to_string(), UPLOADS).await;
    let encoded = encoding.await.map_err(|error| FlightError(format!("encoding ended early: {error}")))?;
    let files = uploaded.map_err(|error| FlightError(error.to_string()))?;
    encoded.map_err(|error| FlightError(format!("cannot encode a batch: {error}")))?;
    // The position is about to pass these rows: that no file got lost on the way is not left to reasoning.
    let written: u64 = files.iter().map(DataFile::record_count).sum();
    if written != rows {
        return Err(FlightError(format!("{written} rows are in the files of a batch of {rows}")));
    }
    Ok(files)
}
