//! What a decoder accepts beyond the syntax: the part of the contract that an operator may choose.
//!
//! The connector fills it from its configuration and calls [`DecodePolicy::check`] before it starts.

use std::collections::BTreeSet;

use crate::click::EVENT_TYPES;
use crate::table::{COLUMNS, EVENT_FIELDS};

/// What to do with keys that are no field of a click.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownFields {
    /// Leave them out of the row.
    #[default]
    Ignore,
    /// Refuse the record.
    Reject,
}

/// What a decoder accepts. The default is the contract of the README.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodePolicy {
    /// Keys that are no field of a click.
    pub unknown_fields: UnknownFields,
    /// The event types that may become partitions. Default: [`EVENT_TYPES`].
    pub event_types: BTreeSet<String>,
    /// Fields that must be there, not null, and not an empty string. `event_timestamp` and `event_type` are required whether
    /// listed or not, since a row has no partition without them. Default: these two and `event_id`.
    pub required: BTreeSet<String>,
    /// The most bytes of a record's value. Default: 1 MiB.
    pub record_bytes_max: usize,
    /// The most bytes of one string in UTF-8, after escapes are resolved. Default: 8 KiB.
    pub string_bytes_max: usize,
    /// The first event time accepted, in microseconds since 1970. Default: 2000-01-01T00:00:00Z.
    pub timestamp_min_micros: i64,
    /// The first event time no longer accepted, in microseconds since 1970. Default: 2100-01-01T00:00:00Z.
    pub timestamp_max_micros: i64,
}

impl Default for DecodePolicy {
    fn default() -> Self {
        Self {
            unknown_fields: UnknownFields::default(),
            event_types: EVENT_TYPES.iter().map(|name| (*name).to_owned()).collect(),
            required: ["event_id", "event_timestamp", "event_type"].map(str::to_owned).into(),
            record_bytes_max: 1024 * 1024,
            string_bytes_max: 8 * 1024,
            timestamp_min_micros: 946_684_800_000_000,
            timestamp_max_micros: 4_102_444_800_000_000,
        }
    }
}

impl DecodePolicy {
    /// Refuses a policy under which no record could ever become a row.
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn check(&self) -> Result<(), PolicyError> {
        let is_field = |name: &String| COLUMNS[..EVENT_FIELDS].iter().any(|column| column.name == name.as_str());
        if let Some(name) = self.required.iter().find(|name| !is_field(name)) {
            return Err(PolicyError::UnknownRequired(name.clone()));
        }
        if self.event_types.is_empty() || self.event_types.contains("") {
            return Err(PolicyError::EventTypes);
        }
        if self.record_bytes_max == 0 || self.string_bytes_max == 0 {
            return Err(PolicyError::Limits);
        }
        if self.timestamp_min_micros >= self.timestamp_max_micros {
            return Err(PolicyError::Times { min: self.timestamp_min_micros, max: self.timestamp_max_micros });
        }
        Ok(())
    }
}

/// A policy that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A required field that an event does not have.
    #[error("required field {0:?} is no field of a click, so every record would be rejected; correct its name")]
    UnknownRequired(String),
    /// No event type is allowed, or the empty one is.
    #[error("the list of event types is empty or holds an empty name; list at least one event type")]
    EventTypes,
    /// A size limit of zero.
    #[error("a record or a string may have zero bytes only; set both limits above zero")]
    Limits,
    /// An empty range of event times.
    #[error("the event times accepted end ({max} microseconds) before they begin ({min}); swap or widen them")]
    Times {
        /// The first accepted time, in microseconds.
        min: i64,
        /// The first time no longer accepted, in microseconds.
        max: i64,
    },
}
