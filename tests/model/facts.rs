//! Between the small world and the real code: a table's facts as `catalog_sync` gathers them, and batches as `Ranges`.

use std::collections::{BTreeMap, HashMap};

use protocol::lineage::{SnapshotFact, read_position};
use protocol::start::{LogRange, OnRecreated, start};
use protocol::{BatchRange, Offset, OffsetRange, Position, Ranges, TableFacts, TopicRanges};

use crate::world::{Batch, Table, Violation};

const TOPIC: &str = "clicks";
const TOPIC_ID: &str = "id-1";

/// Texts of positions by number, and the facts of every table seen.
pub(crate) struct Facts {
    one_snapshot: bool,
    /// The first is unused: 0 stands for none.
    texts: Vec<String>,
    known: HashMap<Table, TableFacts>,
}

/// An offset of the small world.
fn offset(number: u8) -> Offset {
    Offset::new(number.into()).unwrap_or(Offset::ZERO)
}

/// A small number out of the real code.
pub(crate) fn small(number: i64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// The table's uuid, spelled out.
pub(crate) fn uuid(number: u8) -> String {
    format!("uuid-{number}")
}

/// Where a position stands; 0 without one.
pub(crate) fn next(position: &Position) -> u8 {
    position.next(TOPIC, 0).map_or(0, |at| small(at.get()))
}

/// A batch as the real code takes it.
pub(crate) fn ranges(batch: &Batch) -> Option<Ranges> {
    let range = OffsetRange::new(offset(batch.start), offset(batch.end)).ok()?;
    let part = BatchRange::new(range, batch.first, range.width(), 0).ok()?;
    let topic = TopicRanges { id: TOPIC_ID.into(), supersedes: None, partitions: BTreeMap::from([(0, part)]) };
    Ranges::new(BTreeMap::from([(TOPIC.into(), topic)]))
}

/// Where the real code begins to read: offset, and whether the table had no position. None if it halts.
pub(crate) fn begin(position: &Position, records: u8) -> Option<(u8, bool)> {
    let log = LogRange { start: Offset::ZERO, end: offset(records) };
    let begin = start(position, OnRecreated::Halt, TOPIC, TOPIC_ID, 0, log).ok()?;
    Some((small(begin.offset.get()), begin.first))
}

/// The position of a table that has all before `end`, for commits that nobody decided about.
pub(crate) fn position_at(end: u8) -> Position {
    let all = Batch { uuid: 0, start: 0, end, first: true };
    ranges(&all).and_then(|all| Position::default().advance(&all).ok()).unwrap_or_default()
}

impl Facts {
    /// `one_snapshot`: the catalog shows the current snapshot only.
    pub(crate) fn new(one_snapshot: bool) -> Self {
        Self { one_snapshot, texts: vec![String::new()], known: HashMap::new() }
    }

    /// The number of a position's text.
    pub(crate) fn number(&mut self, position: &Position, sequence_number: i64) -> u8 {
        let text = position.encode(sequence_number);
        let number = self.texts.iter().position(|known| *known == text).unwrap_or_else(|| {
            self.texts.push(text);
            self.texts.len() - 1
        });
        u8::try_from(number).unwrap_or(u8::MAX)
    }

    /// What one load tells.
    pub(crate) fn of(&mut self, table: &Table) -> Result<&TableFacts, Violation> {
        if !self.known.contains_key(table) {
            let facts = self.read(table)?;
            self.known.insert(*table, facts);
        }
        self.known.get(table).ok_or_else(|| Violation::Unreadable("no facts".to_owned()))
    }

    fn read(&self, table: &Table) -> Result<TableFacts, Violation> {
        let text = |number: u8| (number > 0).then(|| self.texts[usize::from(number)].as_str());
        let shown = if self.one_snapshot { table.seq.min(1) } else { table.seq };
        let lineage: Vec<SnapshotFact<'_>> = (0..shown)
            .map(|back| SnapshotFact {
                sequence_number: (table.seq - back).into(),
                position: text(table.summaries[usize::from(back)]),
            })
            .collect();
        let position = read_position(&lineage, text(table.property));
        Ok(TableFacts {
            uuid: uuid(table.uuid),
            snapshot_id: (table.seq > 0).then_some(table.seq.into()),
            sequence_number: table.seq.into(),
            position: position.map_err(|halt| Violation::Unreadable(halt.to_string()))?,
        })
    }
}
