//! An operator's word against a halt: what becomes of the table's position.
//!
//! A halt says with its token ([`Halt::token`]) exactly what stands in the way; the operator repeats it, and the position
//! changes by that and nothing else. A token that does not fit the table as it is now is refused: nobody accepts a loss
//! that he was not told of. The change is committed as a snapshot of its own, with the token and the operator's reason in
//! its summary (`catalog_sync::overrule`), so that it is part of the table's history, and requests on their way die on
//! the base that they assert.
//!
//! | halt | position afterwards |
//! |---|---|
//! | `gap` | goes on at Kafka's first offset; the offsets between count as lost, the epoch goes up |
//! | `topic-recreated` | the old topic's account is closed, the epoch goes up, the new topic begins at its start |
//! | `position-ahead` | (the token bears the epoch) the partition's account is closed, the epoch goes up, it goes on at Kafka's end |
//! | `table-rolled-back` | stays as the property says: the rows that were rolled back stay away |
//! | `position-unreadable` | is the one that the operator gives |
//!
//! Called by `catalog_sync::overrule`, for the command line and for the demo; `catalog-sync verify` holds each change of
//! the past against the same function ([`moved`]).

use std::str::FromStr;

use crate::decide::{CommitPlan, TableFacts};
use crate::halt::Halt;
use crate::offset::Offset;
use crate::position::{Counts, PartitionPosition, Position};

/// A halt that an operator overrules, with all that its message told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overruled {
    /// Offsets that Kafka deleted are given up.
    Gap {
        /// Topic name.
        topic: String,
        /// Kafka partition.
        partition: i32,
        /// Where the table stands.
        expected: Offset,
        /// Where it is to go on.
        found: Offset,
    },
    /// Another topic takes the place of the one the table was fed from.
    TopicRecreated {
        /// Topic name.
        topic: String,
        /// Identity in the table.
        expected: String,
        /// Identity from now on.
        found: String,
    },
    /// Kafka lost the end of its log; new records will get the offsets of lost ones.
    PositionAhead {
        /// Topic name.
        topic: String,
        /// Kafka partition.
        partition: i32,
        /// The topic's epoch in the table: the same word is not taken twice.
        epoch: u32,
        /// Where the table stands.
        expected: Offset,
        /// Where it is to go on.
        found: Offset,
    },
    /// The table was rolled back on purpose; the position stays.
    TableRolledBack {
        /// Sequence number in the position.
        written: i64,
        /// Sequence number of the current snapshot.
        current: i64,
    },
    /// The position cannot be read.
    PositionUnreadable,
}

/// Why a halt is not overruled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OverruleError {
    /// Not a token of any halt.
    #[error(
        "{0:?} is not what a halt prints; copy it from the task's trace, for example gap:clicks-0:120..150, \
         topic-recreated:clicks:OLD..NEW, position-ahead:clicks-0@0:150..120, table-rolled-back:9..7, position-unreadable"
    )]
    Token(String),
    /// The table is not in that state, or no longer.
    #[error("the table does not stand as the token says: {0}; look at the task's present trace")]
    Differs(String),
    /// Only the operator can tell what the position should be, or must not.
    #[error("{0}")]
    Replacement(&'static str),
}

/// The token's own form: `code:…:A..B`.
impl FromStr for Overruled {
    type Err = OverruleError;

    fn from_str(token: &str) -> Result<Self, OverruleError> {
        parse(token).ok_or_else(|| OverruleError::Token(token.to_owned()))
    }
}

fn parse(token: &str) -> Option<Overruled> {
    if token == "position-unreadable" {
        return Some(Overruled::PositionUnreadable);
    }
    let (code, rest) = token.split_once(':')?;
    // A topic's name has no colon, and neither has an identity.
    let (subject, ends) = rest.rsplit_once(':').unwrap_or(("", rest));
    let (from, to) = ends.split_once("..")?;
    let offset = |text: &str| Offset::new(text.parse().ok()?).ok();
    let partition = |subject: &str| {
        let (topic, partition) = subject.rsplit_once('-')?;
        Some((topic.to_owned(), partition.parse::<i32>().ok()?))
    };
    Some(match code {
        "gap" => {
            let (topic, partition) = partition(subject)?;
            Overruled::Gap { topic, partition, expected: offset(from)?, found: offset(to)? }
        }
        "position-ahead" => {
            let (subject, epoch) = subject.rsplit_once('@')?;
            let (topic, partition) = partition(subject)?;
            let epoch = epoch.parse().ok()?;
            Overruled::PositionAhead { topic, partition, epoch, expected: offset(from)?, found: offset(to)? }
        }
        "topic-recreated" if !subject.is_empty() => {
            Overruled::TopicRecreated { topic: subject.to_owned(), expected: from.to_owned(), found: to.to_owned() }
        }
        "table-rolled-back" if subject.is_empty() => {
            Overruled::TableRolledBack { written: from.parse().ok()?, current: to.parse().ok()? }
        }
        _ => return None,
    })
}

/// What a load of the table tells an operator who overrules: the position, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'a> {
    /// The position, or the halt that reading it led to.
    pub position: Result<Position, Halt>,
    /// The table property, as it is.
    pub property: Option<&'a str>,
    /// The rest; its position is not looked at.
    pub facts: TableFacts,
}

/// Leave to commit the changed position. `replacement` is the operator's own position, for `position-unreadable` only.
///
/// # Errors
/// [`OverruleError`] when the table is not in the state that the token tells of.
pub fn overrule(
    found: &Found<'_>,
    overruled: &Overruled,
    replacement: Option<Position>,
) -> Result<CommitPlan, OverruleError> {
    Ok(CommitPlan::on(&found.facts, changed(found, overruled, replacement)?))
}

fn changed(found: &Found<'_>, overruled: &Overruled, replacement: Option<Position>) -> Result<Position, OverruleError> {
    let differs = |text: String| Err(OverruleError::Differs(text));
    match (&found.position, overruled, replacement) {
        (Err(Halt::PositionUnreadable(_)), Overruled::PositionUnreadable, Some(position)) => Ok(position),
        (_, Overruled::PositionUnreadable, None) => {
            Err(OverruleError::Replacement("say what the position is to be, with --position"))
        }
        (Ok(_), Overruled::PositionUnreadable, Some(_)) => differs("its position can be read".to_owned()),
        (_, _, Some(_)) => Err(OverruleError::Replacement("--position is for position-unreadable only")),
        (
            Err(Halt::TableRolledBack { written, current }),
            Overruled::TableRolledBack { written: by_token, current: now },
            None,
        ) if written == by_token && current == now => match found.property.map(Position::decode) {
            Some(Ok((position, _))) => Ok(position),
            _ => differs("the position property cannot be read".to_owned()),
        },
        (Err(halt), ..) => differs(halt.to_string()),
        (Ok(position), overruled, None) => moved(position, overruled),
    }
}

/// What becomes of a position that can be read. The receiver is left as it is.
///
/// # Errors
/// [`OverruleError::Differs`] when the position does not stand as the token tells, or the token is one of those that only
/// a position that cannot be read leads to.
pub fn moved(position: &Position, overruled: &Overruled) -> Result<Position, OverruleError> {
    let mut after = position.clone();
    match overruled {
        Overruled::Gap { topic, partition, expected, found } => {
            let (_, at) = partition_at(&mut after, topic, *partition, *expected)?;
            if found <= expected {
                return Err(OverruleError::Differs(format!("{found} is not behind {expected}")));
            }
            at.counts.lost = at.counts.lost.saturating_add(found.since(*expected));
            at.next = *found;
            // Or a batch of these very offsets, read before they were deleted, would pass for one that is there already.
            after.topics.entry(topic.clone()).and_modify(|topic| topic.epoch = topic.epoch.saturating_add(1));
        }
        Overruled::PositionAhead { topic, partition, epoch, expected, found } => {
            // Cut, overruled and read on, the table may stand at the same offset again; a word that was meant for the first
            // time would have what was read since be read twice.
            let now = position.topics.get(topic).map(|topic| topic.epoch);
            if let Some(now) = now.filter(|now| now != epoch) {
                return Err(OverruleError::Differs(format!(
                    "topic {topic} is in epoch {now}, the halt was in {epoch}"
                )));
            }
            let (ended, at) = partition_at(&mut after, topic, *partition, *expected)?;
            if found >= expected {
                return Err(OverruleError::Differs(format!("{found} is not before {expected}")));
            }
            *ended = ended.plus(at.counts);
            *at = PartitionPosition { first: *found, next: *found, counts: Counts::default() };
            after.topics.entry(topic.clone()).and_modify(|topic| topic.epoch = topic.epoch.saturating_add(1));
        }
        Overruled::TopicRecreated { topic, expected, found } => match after.topics.get_mut(topic) {
            Some(known) if known.id == *expected && expected != found => {
                let parts = std::mem::take(&mut known.partitions);
                known.ended = parts.values().fold(known.ended, |sum, at| sum.plus(at.counts));
                (known.id, known.epoch) = (found.clone(), known.epoch.saturating_add(1));
            }
            Some(known) => {
                return Err(OverruleError::Differs(format!("it was fed from a topic {topic} with id {}", known.id)));
            }
            None => return Err(OverruleError::Differs(format!("it has no position for topic {topic}"))),
        },
        Overruled::TableRolledBack { .. } => {
            return Err(OverruleError::Differs("it was not rolled back behind its position".to_owned()));
        }
        Overruled::PositionUnreadable => {
            return Err(OverruleError::Differs("its position can be read".to_owned()));
        }
    }
    Ok(after)
}

/// The account of a partition that stands where the token says, beside the topic's account of what came before.
fn partition_at<'a>(
    position: &'a mut Position,
    name: &str,
    partition: i32,
    expected: Offset,
) -> Result<(&'a mut Counts, &'a mut PartitionPosition), OverruleError> {
    let differs = |text: String| OverruleError::Differs(text);
    let topic = position.topics.get_mut(name);
    let topic = topic.ok_or_else(|| differs(format!("it has no position for topic {name}")))?;
    match topic.partitions.get_mut(&partition) {
        Some(at) if at.next == expected => Ok((&mut topic.ended, at)),
        Some(at) => Err(differs(format!("{name}-{partition} stands at {}", at.next))),
        None => Err(differs(format!("it has no position for {name}-{partition}"))),
    }
}

#[cfg(test)]
#[path = "overrule_tests.rs"]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
