//! What is produced, and the account of it.
//!
//! The events are the demo's user journeys; the malformed records are the golden rejects of `schemas`, each under the
//! code that its file is named after, so that a dead letter can be held against the reason it must have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use chrono::Utc;
use connector::demo::journeys::{Journeys, Options, span_micros};
use protocol::Counts;

use crate::kafka::{Kafka, Record};

/// What was produced to one or more topics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Events that must become rows.
    pub events: u64,
    /// Event type -> events.
    pub by_type: BTreeMap<String, u64>,
    /// The (day, event type) pairs that occur: the table's partitions.
    pub partitions: BTreeSet<(String, String)>,
    /// Reject code -> records that must not become rows.
    pub malformed: BTreeMap<String, u64>,
}

impl Sent {
    /// Adds what another account holds.
    pub fn add(&mut self, other: Self) {
        self.events += other.events;
        for (kind, count) in other.by_type {
            *self.by_type.entry(kind).or_default() += count;
        }
        self.partitions.extend(other.partitions);
        for (code, count) in other.malformed {
            *self.malformed.entry(code).or_default() += count;
        }
    }

    /// What the position must say of it, if nothing else is in the topics.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { rows: self.events, rejects: self.malformed_count(), ..Counts::default() }
    }

    /// Records that must not become rows.
    #[must_use]
    pub fn malformed_count(&self) -> u64 {
        self.malformed.values().sum()
    }
}

/// A plan of what to produce to a topic. The same seed gives the same journeys; different seeds share no event.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Of the journeys.
    pub seed: u64,
    /// How many events.
    pub events: u64,
    /// Over how many days, up to now.
    pub days: u32,
    /// A malformed record after each so many events; 0 for none.
    pub malformed_every: u64,
}

impl Plan {
    /// Events of three days, none malformed.
    #[must_use]
    pub fn events(seed: u64, events: u64) -> Self {
        Self { seed, events, days: 3, malformed_every: 0 }
    }

    /// Produces it all and returns the account. Blocks while the broker is slower than the generator.
    ///
    /// # Errors
    /// A record was not acknowledged.
    pub fn produce(self, kafka: &Kafka, topic: &str) -> Result<Sent> {
        let (sent, records) = self.records()?;
        kafka.produce(topic, records)?;
        Ok(sent)
    }

    /// The records, and the account of them; nothing is produced.
    ///
    /// # Errors
    /// An event has no JSON form, or the malformed records cannot be read.
    pub fn records(self) -> Result<(Sent, Vec<Record>)> {
        let options = Options::spread(self.events, self.days);
        let start = Utc::now().timestamp_micros() - span_micros(self.seed, self.events, options);
        let bad = if self.malformed_every > 0 { malformed()? } else { Vec::new() };
        let mut bad = bad.into_iter().cycle();
        let mut sent = Sent::default();
        let mut records: Vec<Record> = Vec::new();
        for event in Journeys::new(self.seed, start, options).take(usize::try_from(self.events)?) {
            let day = event.event_timestamp.get(..10).context("an event's time begins with its day")?.to_owned();
            sent.events += 1;
            *sent.by_type.entry(event.event_type.clone()).or_default() += 1;
            sent.partitions.insert((day, event.event_type.clone()));
            records.push((event.user_id.clone(), Some(serde_json::to_vec(&event)?)));
            if self.malformed_every > 0 && sent.events.is_multiple_of(self.malformed_every) {
                let (code, value) = bad.next().context("there are malformed records")?;
                *sent.malformed.entry(code).or_default() += 1;
                records.push((None, value));
            }
        }
        Ok((sent, records))
    }
}

/// Malformed records with the code that each must get: a tombstone, and every golden reject of the default policy.
///
/// # Errors
/// The golden files cannot be read.
pub fn malformed() -> Result<Vec<(String, Option<Vec<u8>>)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/golden/reject");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        files.push(entry?.path());
    }
    files.sort();
    let mut records = vec![("tombstone".to_owned(), None)];
    for file in files {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((code, _)) = name.split_once("--") else { continue };
        // Refused by policies that are not the default.
        if ["unknown_field", "too_large"].contains(&code) {
            continue;
        }
        records.push((code.to_owned(), Some(std::fs::read(&file)?)));
    }
    ensure!(records.len() > 10, "{} holds too few golden rejects", folder.display());
    Ok(records)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use schemas::decode::{ClickDecoder, DecodePolicy};

    #[test]
    fn every_malformed_record_is_refused_under_its_code_by_the_default_policy() {
        for (code, value) in malformed().unwrap() {
            let refused = ClickDecoder::new(DecodePolicy::default()).decode(value.as_deref(), 0);
            assert_eq!(refused.unwrap_err().code.as_str(), code, "{:?}", value.map(String::from_utf8));
        }
    }
}
