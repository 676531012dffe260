//! The topic that all systems read: seeded journeys of three days, mixed so that every day and every type of event is
//! live from the first record to the last. That is the hard case: 27 partitions of the table are written at once.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use chrono::{Days, NaiveDate, Utc};
use connector::demo::journeys::{Journeys, Options};
use it::kafka::Record;
use it::trial::Trial;
use it::wait::say;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::click::ClickEvent;

const DAYS: u64 = 3;

/// What is in the topic.
#[derive(Debug)]
pub(crate) struct Filled {
    pub(crate) events: u64,
    /// Bytes of all values, before compression.
    pub(crate) bytes: u64,
    /// Days and types that occur: partitions of the table.
    pub(crate) table_partitions: usize,
}

/// Produces the events, lz4 as the project's own producers do, and counts them in the topic. Returns when every one is
/// acknowledged.
pub(crate) fn fill(trial: &Trial, seed: u64, events: u64) -> Result<Filled> {
    let topic = trial.topics.first().context("a trial has a topic")?;
    let mut bytes = 0;
    let mut places = BTreeSet::new();
    let mut refused = None;
    let records = mixed(seed, events, Utc::now().date_naive()).take(usize::try_from(events)?);
    let records = records.map_while(|event| match serde_json::to_vec(&event) {
        Ok(value) => {
            bytes += value.len() as u64;
            let day = event.event_timestamp.get(..10).unwrap_or_default();
            if !places.contains(&(day.to_owned(), event.event_type.clone())) {
                places.insert((day.to_owned(), event.event_type));
            }
            Some::<Record>((event.user_id, Some(value)))
        }
        Err(error) => {
            refused = Some(error);
            None
        }
    });
    tokio::task::block_in_place(|| trial.kafka.produce(topic, records))?;
    refused.map_or(Ok(()), Err)?;
    let ends = trial.kafka.ends(topic)?;
    let found = u64::try_from(ends.values().sum::<i64>())?;
    ensure!(found == events, "{found} records in {topic}, {events} produced");
    say(format!("{events} events, {} bytes on average, offsets {ends:?}", bytes / events));
    Ok(Filled { events, bytes, table_partitions: places.len() })
}

/// Events of the days before `today`, without end: each next one is of a day drawn at random, and within a day they come in
/// the order of the journeys.
fn mixed(seed: u64, events: u64, today: NaiveDate) -> impl Iterator<Item = ClickEvent> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut days: Vec<_> =
        (0..DAYS).map(|back| day(rng.random(), events / DAYS, today - Days::new(back + 1))).collect();
    std::iter::from_fn(move || {
        let drawn = rng.random_range(0..days.len());
        days.get_mut(drawn)?.next()
    })
}

/// Events of one day, about so many before the day begins anew with other journeys.
fn day(seed: u64, events: u64, date: NaiveDate) -> impl Iterator<Item = ClickEvent> {
    let midnight = date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros();
    let date = date.to_string();
    (0_u64..).flat_map(move |round| {
        let date = date.clone();
        Journeys::new(seed.wrapping_add(round), midnight, Options::spread(events, 1))
            .take_while(move |event| event.event_timestamp.starts_with(&date))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn events(seed: u64) -> Vec<ClickEvent> {
        mixed(seed, 20_000, "2026-01-15".parse().unwrap()).take(20_000).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_events_and_no_event_comes_twice() {
        let once = events(1);
        assert_eq!(once, events(1));
        assert_ne!(once, events(2));
        let ids: BTreeSet<&str> = once.iter().map(|event| event.event_id.as_str()).collect();
        assert_eq!(ids.len(), once.len());
    }

    #[test]
    fn every_tenth_of_the_events_has_all_three_days_and_no_others() {
        let days = BTreeSet::from(["2026-01-12", "2026-01-13", "2026-01-14"]);
        for part in events(1).chunks(2_000) {
            let found: BTreeSet<&str> = part.iter().map(|event| &event.event_timestamp[..10]).collect();
            assert_eq!(found, days);
        }
    }
}
