//! A sealed batch on its way to the table, while the task reads on: finish the Parquet files, have the dead letters
//! acknowledged, upload the files, hand all to the committer.
//!
//! The order matters: rejects are safe in the dead letter topic *before* the position passes them, and files are in the
//! store before a manifest names them. Dropping a flight is safe at any moment: nothing refers to its files.

use std::sync::Arc;
use std::time::Duration;

use catalog_sync::commit::{Landed, Staged};
use catalog_sync::storage::Store;
use tokio::sync::{mpsc, oneshot};

use super::committer::Request;
use super::intake::SealedIntake;
use crate::dead_letter::DeadLetters;
use crate::pipeline::layout::TableLayout;
use crate::pipeline::upload::upload;

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
    let Sealed { batch: SealedIntake { ranges, encoder, ledger }, dead_letters, task_id } = sealed;
    let encoded = tokio::task::spawn_blocking(move || {
        let files = encoder.finish().map_err(|error| FlightError(format!("cannot encode a batch: {error}")))?;
        if let Some(letters) = dead_letters {
            letters.flush(&ledger, DEAD_LETTERS_TIMEOUT).map_err(|error| FlightError(error.to_string()))?;
        }
        Ok(files)
    });
    let files = encoded.await.map_err(|error| FlightError(format!("encoding ended early: {error}")))??;
    let files = upload(&airport.store, &airport.layout, files, task_id, UPLOADS)
        .await
        .map_err(|error| FlightError(error.to_string()))?;
    let staged = Staged { ranges, files, spec_id: airport.layout.spec_id() };
    let (verdict, answer) = oneshot::channel();
    let gone = || FlightError("the committer has ended".to_owned());
    airport.committer.send(Request { staged, verdict }).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())
}
