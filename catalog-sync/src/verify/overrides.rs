//! An operator's word in the history: it moved the position by exactly what its token says, or it is a fault.
//!
//! What it gave up is counted openly: offsets that Kafka no longer had, and rows that a rollback took away and that stay
//! away. Pure. Called by [`super::history`] while it replays, and by `catalog_sync::overrule`, which looks whether its word
//! was given before.

use protocol::Position;
use protocol::overrule::{Overruled, moved};
use serde::Serialize;

use super::chain::stated;
use super::history::{Property, SnapshotFact, State, Walk};
use crate::overrule::Done;

/// An operator's word, as a snapshot's summary bears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Word {
    /// The halt's token.
    pub token: String,
    /// The operator's reason.
    pub reason: String,
}

/// A halt that was overruled, and what that gave up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Override {
    /// The halt's token.
    pub token: String,
    /// The operator's reason.
    pub reason: String,
    /// The snapshot that says so.
    pub snapshot_id: i64,
    /// Offsets given up.
    pub lost_offsets: u64,
    /// Rows that a rollback took away, and that stay away.
    pub rows_given_up: u64,
}

/// What the walk knows when it comes to an operator's word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before<'a> {
    /// The position before; none if it is not known.
    pub(super) position: Option<&'a Position>,
    /// The last position before the one that could not be read, if that was so.
    pub(super) readable: Option<&'a Position>,
    /// The snapshot before.
    pub(super) snapshot: Option<&'a SnapshotFact>,
    /// The table property before.
    pub(super) property: Option<&'a Property>,
}

/// Holds an operator's word against the positions before and after it.
pub(super) fn judge(
    word: &Word,
    snapshot: &SnapshotFact,
    before: Before<'_>,
    after: &Position,
) -> (Override, Vec<String>) {
    let mut said = Override {
        token: word.token.clone(),
        reason: word.reason.clone(),
        snapshot_id: snapshot.id,
        lost_offsets: 0,
        rows_given_up: 0,
    };
    let problems = match word.token.parse::<Overruled>() {
        Err(_) => vec![format!("it overrules {:?}, which is no halt", word.token)],
        Ok(Overruled::TableRolledBack { written, current }) => {
            let rows = |position: &Position| position.counts().rows;
            // Where the history does not tell the position before, the table's own count of its rows at the time does.
            let held = before.position.map(rows).or_else(|| before.snapshot?.total_records);
            said.rows_given_up = held.map_or(0, |held| rows(after).saturating_sub(held));
            rolled_back(written, current, before, after)
        }
        Ok(Overruled::PositionUnreadable) => replaced(before, after),
        Ok(overruled) => {
            let lost = |position: &Position| position.counts().lost;
            said.lost_offsets = match (before.position, &overruled) {
                (Some(before), _) => lost(after).saturating_sub(lost(before)),
                (None, Overruled::Gap { expected, found, .. }) => found.since(*expected),
                (None, _) => 0,
            };
            followed(&overruled, before.position, after)
        }
    };
    (said, problems)
}

/// The position after it is the one before it, moved by what the token says.
fn followed(overruled: &Overruled, before: Option<&Position>, after: &Position) -> Vec<String> {
    match before.map(|before| moved(before, overruled)) {
        Some(Ok(moved)) if moved != *after => vec!["its position moved by more than its halt".to_owned()],
        Some(Err(error)) => vec![format!("its halt was none: {error}")],
        Some(Ok(_)) | None => Vec::new(),
    }
}

/// The table stood before the position of its property, and the property goes on.
fn rolled_back(written: i64, current: i64, before: Before<'_>, after: &Position) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(stood) = before.snapshot.map(|snapshot| snapshot.sequence_number).filter(|stood| *stood != current) {
        problems.push(format!("its halt was none: the table was at sequence number {stood}, not {current}"));
    }
    if let Some(Property::Is(text)) = before.property
        && Position::decode(text) != Ok((after.clone(), written))
    {
        problems.push("its position is not the one of the table property before it".to_owned());
    }
    problems
}

/// What an operator puts in the place of a position that cannot be read is proven only if it is the last that could.
fn replaced(before: Before<'_>, after: &Position) -> Vec<String> {
    match before.readable.or(before.position) {
        Some(readable) if readable == after => Vec::new(),
        Some(_) => vec!["the operator's position is not the last one that could be read".to_owned()],
        None => Vec::new(),
    }
}

/// An operator's word that was given before, and what it led to; the newest if there are several.
pub(crate) fn find(walk: &Walk, token: &str, replacement: Option<&Position>) -> Option<Done> {
    let said = |state: &State| {
        let snapshot = state.snapshot.as_ref()?;
        snapshot.overruled.as_ref().filter(|word| word.token == token)?;
        let after = Position::decode(snapshot.position.as_deref()?).ok()?.0;
        replacement.is_none_or(|wanted| *wanted == after).then_some((snapshot.id, after))
    };
    let (snapshot_id, after) = walk.states.iter().rev().find_map(said)?;
    let earlier = walk.states.iter().rev().skip_while(|state| !is_at(state, snapshot_id));
    let before = earlier.skip_while(|state| is_at(state, snapshot_id)).find_map(|state| stated(state).ok().flatten());
    Some(Done { before, after, snapshot_id, already: true })
}

fn is_at(state: &State, snapshot_id: i64) -> bool {
    state.snapshot.as_ref().is_some_and(|snapshot| snapshot.id == snapshot_id)
}

/// The newest position that can be read, as text, and the state that it stands in.
pub(crate) fn last_readable(walk: &Walk) -> Option<(String, String)> {
    walk.states.iter().rev().find_map(|state| {
        let text = match (&state.snapshot, &state.property) {
            (Some(SnapshotFact { position: Some(text), .. }), _) | (_, Property::Is(text)) => text,
            _ => return None,
        };
        Position::decode(text).ok().map(|_| (state.at.clone(), text.clone()))
    })
}

#[cfg(test)]
#[path = "overrides_tests.rs"]
mod tests;
