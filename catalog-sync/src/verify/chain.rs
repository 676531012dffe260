//! One link of the chain: the position that a state names, and whether a batch leads to it from the position before.
//!
//! Pure. Called by [`super::history`], and tested there.

use std::collections::BTreeMap;

use protocol::{BatchRange, Counts, OffsetRange, PartitionPosition, Position, Ranges, TopicRanges};

use super::history::{Property, State};
use super::plural;

/// The position that a state names itself; none when it names none, so that the one before it goes on.
pub(super) fn stated(state: &State) -> Result<Option<Position>, String> {
    let decode = |text: &str| Position::decode(text).map_err(|error| error.to_string());
    let summary = state.snapshot.as_ref().and_then(|snapshot| Some((snapshot, snapshot.position.as_deref()?)));
    let property = match &state.property {
        Property::Is(text) => Some(decode(text)?),
        Property::Absent | Property::Unseen => None,
    };
    let Some((snapshot, text)) = summary else { return Ok(property.map(|(position, _)| position)) };
    let (position, written) = decode(text)?;
    if written != snapshot.sequence_number {
        let is = snapshot.sequence_number;
        return Err(format!("its position was written for sequence number {written}, the snapshot has {is}"));
    }
    match (&state.property, property) {
        (Property::Absent, _) => Err("the table property that holds the position is not set".to_owned()),
        (_, Some(property)) if property != (position.clone(), written) => {
            Err("summary and table property hold different positions".to_owned())
        }
        _ => Ok(Some(position)),
    }
}

/// A state that brings no offsets carries the position on unchanged.
pub(super) fn unmoved(before: Option<&Position>, stated: Option<&Position>, property: &Property) -> Vec<String> {
    match (before, stated) {
        (Some(before), Some(stated)) if before != stated => {
            vec!["the position moved without a batch".to_owned()]
        }
        (Some(before), None) if *property == Property::Absent && !before.topics.is_empty() => {
            vec!["the table property that holds the position was removed".to_owned()]
        }
        _ => Vec::new(),
    }
}

/// A range begins where the position before stands and ends where the position after stands.
pub(super) fn adjacent(
    topic: &str,
    partition: i32,
    range: OffsetRange,
    before: Option<&Position>,
    after: &Position,
) -> Vec<String> {
    let mut problems = Vec::new();
    let place = format!("{topic}-{partition}");
    let id = |position: &Position| position.topics.get(topic).map(|topic| topic.id.clone());
    let same_topic = before.is_some_and(|before| id(before) == id(after));
    let stood = before.filter(|_| same_topic).and_then(|before| before.next(topic, partition));
    match stood {
        Some(stood) if range.start() > stood => {
            let lost = range.start().since(stood);
            problems.push(format!(
                "{place}: gap: {} from {stood} to {} in no snapshot",
                plural(lost, "offset"),
                range.start()
            ));
        }
        Some(stood) if range.start() < stood => {
            let twice = stood.since(range.start());
            problems.push(format!("{place}: overlap: {} before {stood} there already", plural(twice, "offset")));
        }
        _ => {}
    }
    match after.next(topic, partition) {
        Some(next) if next == range.end() => {}
        Some(next) => problems.push(format!("{place}: the range ends at {}, its position at {next}", range.end())),
        None => problems.push(format!("{place}: the range has no position")),
    }
    problems
}

/// The batch that a snapshot brought, with the counts that its position gained.
pub(super) fn batch(
    ranges: &BTreeMap<String, BTreeMap<i32, OffsetRange>>,
    before: &Position,
    after: &Position,
) -> Result<Ranges, String> {
    let mut topics = BTreeMap::new();
    for (name, partitions) in ranges {
        let Some(now) = after.topics.get(name) else { return Err(format!("{name}: the range has no position")) };
        let same = before.topics.get(name).filter(|was| was.id == now.id && was.epoch == now.epoch);
        let mut batch = BTreeMap::new();
        for (partition, range) in partitions {
            let then = same.and_then(|topic| topic.partitions.get(partition));
            let gained = gained(then, now.partitions.get(partition)).unwrap_or_default();
            let part = BatchRange::new(*range, then.is_none(), gained.rows, gained.rejects);
            batch.insert(*partition, part.map_err(|error| format!("{name}-{partition}: {error}"))?);
        }
        topics.insert(name.clone(), TopicRanges { id: now.id.clone(), epoch: now.epoch, partitions: batch });
    }
    Ranges::new(topics).ok_or_else(|| "its offset ranges are empty".to_owned())
}

fn gained(then: Option<&PartitionPosition>, now: Option<&PartitionPosition>) -> Option<Counts> {
    let (then, now) = (then.map(|at| at.counts).unwrap_or_default(), now?.counts);
    Some(Counts {
        rows: now.rows.checked_sub(then.rows)?,
        rejects: now.rejects.checked_sub(then.rejects)?,
        skipped: now.skipped.checked_sub(then.skipped)?,
        lost: now.lost.checked_sub(then.lost)?,
    })
}
