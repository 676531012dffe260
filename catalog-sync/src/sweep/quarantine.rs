//! Files that wait to be deleted, as records beside the table's metadata: no state is kept anywhere else.
//!
//! A record is written once and never changed. It says which files a sweep found, after which fence, and when; a later sweep
//! deletes those that nobody needs by then, and the record with the last of them. A record that is lost costs nothing: its
//! files are found again. Called by [`super`].

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::plan::RECORD_END;
use crate::reach::cutoff::age_of;
use crate::storage::{StorageError, Store};

/// Files of a record at most: some megabytes.
const FILES: usize = 20_000;
/// Form of a record.
const VERSION: u32 = 1;

/// Files that a sweep found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// The table.
    pub(super) table_uuid: String,
    /// The fence after which they were found unreachable.
    pub(super) epoch: String,
    /// When.
    pub(super) at: DateTime<Utc>,
    /// Their locations.
    pub(super) files: Vec<String>,
}

impl Record {
    /// Whether its files have waited long enough.
    pub(super) fn is_due(&self, quarantine: Duration, now: DateTime<Utc>) -> bool {
        age_of(self.at, now) >= quarantine
    }
}

/// Writes records of these files, below the table's folder.
pub(super) async fn write(
    store: &Store,
    root: &str,
    (table_uuid, epoch): (&str, &str),
    at: DateTime<Utc>,
    files: &[String],
) -> Result<(), StorageError> {
    for files in files.chunks(FILES) {
        let record = Record {
            version: VERSION,
            table_uuid: table_uuid.to_owned(),
            epoch: epoch.to_owned(),
            at,
            files: files.to_vec(),
        };
        let location = format!("{root}/metadata/{}{RECORD_END}", Uuid::now_v7());
        let bytes = serde_json::to_vec(&record).map_err(|error| StorageError::Location {
            location: location.clone(),
            reason: format!("the record has no JSON form: {error}"),
        })?;
        store.put_new(&location, Bytes::from(bytes)).await?;
    }
    Ok(())
}

/// Reads a record; none if it is no record of this table and this form: it is left as it is, and its files are found again.
pub(super) async fn read(store: &Store, location: &str, table_uuid: &str) -> Result<Option<Record>, StorageError> {
    let bytes = match store.read(location).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    match serde_json::from_slice::<Record>(&bytes) {
        Ok(record) if record.version == VERSION && record.table_uuid == table_uuid => Ok(Some(record)),
        _ => {
            tracing::warn!(location, "not a record of this table that this release can read, it is left as it is");
            Ok(None)
        }
    }
}
