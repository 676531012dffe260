//! Between the small world and the real code: a table's facts as `catalog_sync` gathers them, batches as the task's
//! accounts make them, and what the real code says about both.
//!
//! Asked here: `read_position`, `start`, `Accounts`, `Round` (and with it `decide`), `overrule`. They are pure, so a question
//! that was asked before is answered from memory.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use protocol::batch::Accounts;
use protocol::lineage::{SnapshotFact, read_position};
use protocol::overrule::{Found, Overruled, overrule};
use protocol::round::{Round, RoundEffect, RoundEvent};
use protocol::start::{LogRange, Start, start};
use protocol::{Became, CommitPlan, Halt, Landed, Offset, Outcome, Position, Proposal, Ranges, TableFacts};

use crate::packed::Fx;
use crate::rules::{Bounds, Rules};
use crate::violation::Violation;
use crate::world::{Batch, OFFSETS, Rows, State, Table, rows};

const TOPIC: &str = "clicks";
const TOPIC_IDS: [&str; 2] = ["id-0", "id-1"];

type Memory<K, V> = HashMap<K, V, BuildHasherDefault<Fx>>;

/// What one load tells.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    facts: TableFacts,
    /// The topic in the position, its epoch, the first offset and the next; none for a table without position.
    pub(crate) at: Option<At>,
    /// Rows and lost offsets by the position's own account.
    pub(crate) counted: (u64, u64),
}

/// Where a position stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) topic: u8,
    pub(crate) epoch: u8,
    /// Nothing of this topic was committed yet where this is none.
    pub(crate) first: Option<u8>,
    pub(crate) next: u8,
}

impl At {
    /// What the table should hold by this position: what came before of the topic and of those that it took the place of,
    /// but for what was given up.
    pub(crate) fn rows(self, records: Rows, lost: Rows) -> Rows {
        let before = (0..self.topic).fold(0, |all, topic| all | rows(topic, 0, OFFSETS));
        (before | rows(self.topic, self.first.unwrap_or(self.next), self.next)) & records & !lost
    }
}

/// What the committer does with a batch after a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Sends a request with this position.
    Post(u16),
    Committed,
    Fenced,
    Halted,
}

/// What an operator's word changes.
pub(crate) enum Given {
    /// Offsets `[from, to)` of the present topic.
    Offsets(u8, u8),
    /// All that the table has not got of the topics before the present one.
    Topics,
}

/// Texts of positions by number, and all that was asked.
pub(crate) struct Facts {
    one_snapshot: bool,
    check_epoch: bool,
    /// The first is unused: 0 stands for none.
    texts: Vec<String>,
    known: Memory<Table, Known>,
    verdicts: Memory<(Table, Batch, Rows), Verdict>,
}

/// An offset of the small world.
fn offset(number: u8) -> Offset {
    Offset::new(number.into()).unwrap_or(Offset::ZERO)
}

/// A small number out of the real code; what does not fit shows when the state is packed.
fn small(number: impl TryInto<u8>) -> u8 {
    number.try_into().unwrap_or(u8::MAX)
}

fn uuid(number: u8) -> String {
    format!("uuid-{number}")
}

fn epoch_name(number: u8) -> String {
    if number == 0 { String::new() } else { format!("sweep-{number}") }
}

/// A batch as the task's accounts make it; none if no record was read.
fn ranges(batch: &Batch, read: Rows) -> Option<Ranges> {
    let mut accounts = Accounts::default();
    let begin = Start { offset: offset(batch.start), first: batch.first, epoch: batch.epoch.into() };
    accounts.open(TOPIC, TOPIC_IDS[usize::from(batch.topic)], 0, &begin);
    for at in (batch.start..batch.end).filter(|at| (read | read >> OFFSETS) >> at & 1 == 1) {
        accounts.book(TOPIC, 0, at.into(), Became::Row).ok()?;
    }
    accounts.reach(TOPIC, 0, batch.end.into());
    accounts.seal().ok()?
}

impl Facts {
    pub(crate) fn new(rules: &Rules, bounds: &Bounds) -> Self {
        Self {
            one_snapshot: bounds.one_snapshot,
            check_epoch: rules.check_epoch,
            texts: vec![String::new()],
            known: Memory::default(),
            verdicts: Memory::default(),
        }
    }

    /// The number of a position's text.
    pub(crate) fn number(&mut self, position: &Position, sequence_number: i64) -> u16 {
        let text = position.encode(sequence_number);
        let number = self.texts.iter().position(|known| *known == text).unwrap_or_else(|| {
            self.texts.push(text);
            self.texts.len() - 1
        });
        u16::try_from(number).unwrap_or(u16::MAX)
    }

    /// What one load tells.
    pub(crate) fn of(&mut self, table: &Table) -> Result<&Known, Violation> {
        // What was added last is not part of a load.
        let key = Table { live: 0, newest: 0, ..*table };
        if !self.known.contains_key(&key) {
            let known = self.read(&key)?;
            self.known.insert(key, known);
        }
        self.known.get(&key).ok_or_else(|| Violation::Unreadable("no facts".to_owned()))
    }

    fn read(&self, table: &Table) -> Result<Known, Violation> {
        let text =
            |number: u16| self.texts.get(usize::from(number)).filter(|text| !text.is_empty()).map(String::as_str);
        let shown = SnapshotFact { sequence_number: table.seq.into(), root: false, position: text(table.summary) };
        // With history, the snapshot that has the position may be an ancestor; one of others stands before it then.
        let other = SnapshotFact { position: None, ..shown };
        let lineage = if self.one_snapshot { vec![shown] } else { vec![other, shown] };
        let lineage = if table.seq == 0 { &[][..] } else { &lineage };
        let position = read_position(lineage, text(table.property));
        let position = position.map_err(|halt| Violation::Unreadable(halt.to_string()))?;
        let counts = position.counts();
        Ok(Known {
            at: at(&position),
            counted: (counts.rows, counts.lost),
            facts: TableFacts {
                uuid: uuid(table.uuid),
                snapshot_id: (table.seq > 0).then_some(table.seq.into()),
                sequence_number: table.seq.into(),
                position,
                sweep_epoch: epoch_name(table.sweep),
            },
        })
    }

    /// Where the real code begins to read. `blind`: the log is not held against the position.
    pub(crate) fn begin(
        &mut self,
        state: &State,
        records: u8,
        blind: (bool, bool),
    ) -> Result<Result<Batch, Halt>, Violation> {
        let known = self.of(&state.table)?;
        let (any_log, any_topic) = blind;
        let log_start = if any_log && known.at.is_some() { 0 } else { state.log_start };
        let topic = known.at.filter(|_| any_topic).map_or(state.topic, |at| at.topic);
        let log = LogRange { start: offset(log_start), end: offset(records) };
        let begin = start(&known.facts.position, TOPIC, TOPIC_IDS[usize::from(topic)], 0, log);
        Ok(begin.map(|begin| Batch {
            uuid: state.table.uuid,
            topic,
            epoch: small(begin.epoch),
            start: small(begin.offset.get()),
            end: 0,
            first: begin.first,
            sweep: state.table.sweep,
        }))
    }

    /// What the real committer does with a batch of these rows, after it has loaded this table.
    pub(crate) fn verdict(&mut self, table: &Table, batch: &Batch, read: Rows) -> Result<Verdict, Violation> {
        let key = (Table { live: 0, newest: 0, ..*table }, *batch, read);
        if let Some(verdict) = self.verdicts.get(&key) {
            return Ok(*verdict);
        }
        let facts = self.of(table)?.facts.clone();
        let Some(ranges) = ranges(batch, read) else { return Err(Violation::Round("an empty batch".to_owned())) };
        let epoch = if self.check_epoch { epoch_name(batch.sweep) } else { facts.sweep_epoch.clone() };
        let (round, effect) = Round::begin(uuid(batch.uuid), vec![Proposal { ranges, sweep_epoch: epoch }]);
        expect(effect == RoundEffect::Load, &effect)?;
        let verdict = match round.step(RoundEvent::Loaded(Ok(facts))) {
            (round, Some(RoundEffect::Build { plan, batches })) if batches == [0] => {
                answers(&round, &plan)?;
                Verdict::Post(self.number(plan.position(), plan.sequence_number()))
            }
            (_, Some(RoundEffect::Done(landed))) => match landed.as_slice() {
                [Landed::Committed(_)] => Verdict::Committed,
                [Landed::Fenced(_)] => Verdict::Fenced,
                [Landed::Halt(_)] => Verdict::Halted,
                other => return Err(Violation::Round(format!("{other:?}"))),
            },
            (_, other) => return Err(Violation::Round(format!("{other:?}"))),
        };
        self.verdicts.insert(key, verdict);
        Ok(verdict)
    }

    /// The position of one who does not compare: at the batch's end, or where the table stands if that is farther.
    pub(crate) fn without_comparing(&mut self, table: &Table, batch: &Batch, records: Rows) -> Result<u16, Violation> {
        let end = self.of(table)?.at.map_or(0, |at| at.next).max(batch.end);
        let all = Batch { start: 0, end, first: true, ..*batch };
        let position = ranges(&all, records).and_then(|all| Position::default().advance(&all).ok()).unwrap_or_default();
        Ok(self.number(&position, i64::from(table.seq) + 1))
    }

    /// The position of a table as one who carries it on would write it into the next summary.
    pub(crate) fn carried(&mut self, table: &Table) -> Result<u16, Violation> {
        let position = self.of(table)?.facts.position.clone();
        Ok(if position == Position::default() { 0 } else { self.number(&position, i64::from(table.seq) + 1) })
    }

    /// What an operator does about a halt, in the real code's words: the new position, and what is given up by it.
    pub(crate) fn overrule(&mut self, table: &Table, halt: &Halt) -> Result<(u16, Given), Violation> {
        let known = self.of(table)?.clone();
        let refused = |text: String| Violation::Unreadable(text);
        let given = match halt {
            Halt::Gap { expected, found, .. } => Given::Offsets(small(expected.get()), small(found.get())),
            Halt::TopicRecreated { .. } => Given::Topics,
            other => return Err(refused(other.to_string())),
        };
        let token: Overruled = halt.token().unwrap_or_default().parse().map_err(|error| refused(format!("{error}")))?;
        let found = Found { position: Ok(known.facts.position.clone()), property: None, facts: known.facts };
        let plan = overrule(&found, &token, None).map_err(|error| refused(error.to_string()))?;
        Ok((self.number(plan.position(), plan.sequence_number()), given))
    }
}

fn at(position: &Position) -> Option<At> {
    let topic = position.topics.get(TOPIC)?;
    let id = TOPIC_IDS.iter().position(|id| *id == topic.id)?;
    let part = topic.partitions.get(&0);
    let (first, next) = (part.map(|part| small(part.first.get())), part.map_or(0, |part| small(part.next.get())));
    Some(At { topic: small(id), epoch: small(topic.epoch), first, next })
}

fn expect(holds: bool, found: &impl std::fmt::Debug) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation::Round(format!("{found:?}"))) }
}

/// What a round does after it was told to build: one request, and after any answer but "committed" a fresh load, which is
/// where it began. So the world need not keep the round itself: it is the batch and, once sent, the request.
fn answers(round: &Round, plan: &CommitPlan) -> Result<(), Violation> {
    let (round, effect) = round.clone().step(RoundEvent::Built(Ok(())));
    expect(effect == Some(RoundEffect::Post), &effect)?;
    let (_, effect) = round.clone().step(RoundEvent::Answered(Outcome::Committed));
    let landed = Landed::Committed(plan.position().clone());
    expect(effect == Some(RoundEffect::Done(vec![landed])), &effect)?;
    for outcome in [Outcome::Conflict(String::new()), Outcome::Unknown(String::new())] {
        let (round, effect) = round.clone().step(RoundEvent::Answered(outcome));
        expect(matches!(effect, Some(RoundEffect::Wait { .. })), &effect)?;
        let (round, effect) = round.step(RoundEvent::Waited);
        expect(effect == Some(RoundEffect::Load) && round.open().eq([0]), &effect)?;
    }
    Ok(())
}
