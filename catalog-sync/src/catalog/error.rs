//! What can go wrong with a catalog, as the caller can react to it.

use std::time::Duration;

/// A call to the catalog that did not give what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// No connection, no answer in time, or an answer that says "later": the same call may go through.
    #[error("catalog at {uri}: {what}: {detail}")]
    Unavailable {
        /// Base address.
        uri: String,
        /// What was asked.
        what: String,
        /// What happened.
        detail: String,
    },
    /// There is no such namespace or table.
    #[error("catalog at {uri}: {what}: not found: {detail}")]
    NotFound {
        /// Base address.
        uri: String,
        /// What was asked.
        what: String,
        /// The catalog's words.
        detail: String,
    },
    /// It exists already.
    #[error("catalog at {uri}: {what}: exists already: {detail}")]
    AlreadyExists {
        /// Base address.
        uri: String,
        /// What was asked.
        what: String,
        /// The catalog's words.
        detail: String,
    },
    /// The catalog says no, and will say so again.
    #[error("catalog at {uri}: {what}: refused with status {status}: {detail}")]
    Refused {
        /// Base address.
        uri: String,
        /// What was asked.
        what: String,
        /// HTTP status.
        status: u16,
        /// The catalog's words.
        detail: String,
    },
    /// An answer that is not what the Iceberg REST specification says.
    #[error("catalog at {uri}: {what}: the answer is not an Iceberg REST catalog's: {detail}; is the address right?")]
    Malformed {
        /// Base address.
        uri: String,
        /// What was asked.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The client could not be made.
    #[error("{0}")]
    Config(String),
}

impl CatalogError {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Waits between tries: doubling from 100 ms to 5 s, with jitter so that several writers do not meet again and again.
#[must_use]
pub fn backoff(attempt: u32) -> Duration {
    let ceiling = 100_u64.saturating_mul(1 << attempt.min(6)).min(5_000);
    Duration::from_millis(rand::random_range(ceiling / 2..=ceiling))
}
