//! The catalog: one table, its snapshots, what a load shows of it, and commits with their requirements.
//!
//! Two kinds, as they are found in the field: one shows all ancestors of the current snapshot (until they are expired), the
//! other, like Nessie, the current one only. Properties survive every commit that does not set them.

use std::collections::BTreeSet;
use std::rc::Rc;

use protocol::decide::{CommitPlan, TableFacts};
use protocol::lineage::{SnapshotFact, read_position};
use protocol::outcome::Outcome;
use protocol::overrule::Overruled;
use protocol::{Halt, Position};

use crate::rule::Rule;
use crate::store::File;

/// States of the table that an operator can go back to, and that the sweep must leave whole.
const KEPT: usize = 6;

/// A snapshot.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) id: i64,
    pub(crate) seq: i64,
    parent: Option<Rc<Self>>,
    /// The position in its summary.
    position: Option<Rc<str>>,
    pub(crate) files: Rc<Vec<File>>,
    /// For the ledger: where the rows say that the table stands, whatever the catalog shows.
    pub(crate) truth: Rc<Position>,
    /// For the ledger: rows that the truth counts and that an operator gave up.
    pub(crate) skew: i64,
}

impl Snapshot {
    /// As far as it matters to the protocol.
    fn fact(&self) -> SnapshotFact<'_> {
        SnapshotFact { sequence_number: self.seq, root: false, position: self.position.as_deref() }
    }
}

/// The table at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) uuid: String,
    pub(crate) current: Option<Rc<Snapshot>>,
    last_seq: i64,
    /// Ancestors that are shown, the current snapshot included.
    shown: usize,
    pub(crate) property: Option<Rc<str>>,
    pub(crate) epoch: String,
}

impl Table {
    fn lineage(&self) -> impl Iterator<Item = &Snapshot> {
        std::iter::successors(self.current.as_deref(), |snapshot| snapshot.parent.as_deref()).take(self.shown)
    }

    /// Whether the property says what the newest snapshot that bears a position says. After a rollback it does not, until the
    /// next commit of a batch; and a snapshot must not be expired then that bears the position.
    pub(crate) fn property_agrees(&self) -> bool {
        let newest = self.lineage().find_map(|snapshot| snapshot.position.as_deref());
        match (newest, self.property.as_deref()) {
            (Some(newest), property) => property == Some(newest),
            // Set back to before the first batch: what is read then is not what the property says.
            (None, Some(property)) => Position::decode(property)
                .ok()
                .is_some_and(|(said, _)| self.position(None).is_ok_and(|read| read == said)),
            (None, None) => true,
        }
    }

    /// Position, by the code of the protocol, from what a load shows.
    pub(crate) fn position(&self, without: Option<Rule>) -> Result<Position, Halt> {
        let lineage: Vec<SnapshotFact<'_>> = self.lineage().map(Snapshot::fact).collect();
        let property = self.property.as_deref().filter(|_| without != Some(Rule::R3));
        read_position(&lineage, property)
    }

    /// What the decision looks at, but for the position.
    pub(crate) fn facts_with(&self, position: Position) -> TableFacts {
        TableFacts {
            uuid: self.uuid.clone(),
            snapshot_id: self.current.as_ref().map(|snapshot| snapshot.id),
            sequence_number: self.last_seq,
            position,
            sweep_epoch: self.epoch.clone(),
        }
    }

    pub(crate) fn files(&self) -> &[File] {
        self.current.as_ref().map_or(&[], |snapshot| &snapshot.files)
    }

    /// Where the rows say that the table stands.
    pub(crate) fn truth(&self) -> Rc<Position> {
        self.current.as_ref().map_or_else(Rc::default, |snapshot| Rc::clone(&snapshot.truth))
    }

    pub(crate) fn skew(&self) -> i64 {
        self.current.as_ref().map_or(0, |snapshot| snapshot.skew)
    }
}

/// Who commits, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Ingest,
    /// An operator's word, and whether it is one: with a rule off, halts are passed over without.
    Overrule(Overruled, bool),
    Sweep,
    Compact,
    Foreign,
}

/// A request to commit.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) kind: Kind,
    pub(crate) uuid: String,
    /// The base that must be current; none where it is not asserted.
    pub(crate) base: Option<Option<i64>>,
    pub(crate) seq: i64,
    /// Position after it, for summary and property.
    pub(crate) position: Option<Rc<Position>>,
    pub(crate) epoch: Option<String>,
    pub(crate) add: Vec<File>,
    pub(crate) remove: Vec<u64>,
}

impl Commit {
    /// On what a load showed, without anything in it.
    pub(crate) fn on(table: &Table, kind: Kind) -> Self {
        Self {
            kind,
            uuid: table.uuid.clone(),
            base: Some(table.current.as_ref().map(|snapshot| snapshot.id)),
            seq: table.last_seq + 1,
            position: None,
            epoch: None,
            add: Vec::new(),
            remove: Vec::new(),
        }
    }

    /// What a plan gives leave to.
    pub(crate) fn planned(plan: &CommitPlan, kind: Kind, add: Vec<File>) -> Self {
        Self {
            kind,
            uuid: plan.uuid().to_owned(),
            base: Some(plan.base()),
            seq: plan.sequence_number(),
            position: Some(Rc::new(plan.position().clone())),
            epoch: None,
            add,
            remove: Vec::new(),
        }
    }
}

/// The catalog.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// Shows the current snapshot only.
    one_snapshot: bool,
    without: Option<Rule>,
    pub(crate) table: Option<Rc<Table>>,
    /// States that can be gone back to, the present one last.
    pub(crate) kept: Vec<Rc<Table>>,
    ids: i64,
    tables: u32,
}

impl Catalog {
    pub(crate) fn new(one_snapshot: bool, without: Option<Rule>) -> Self {
        let mut catalog = Self { one_snapshot, without, table: None, kept: Vec::new(), ids: 0, tables: 0 };
        catalog.create();
        catalog
    }

    pub(crate) fn shows_one_snapshot(&self) -> bool {
        self.one_snapshot
    }

    /// Creates the table, another one than ever before.
    pub(crate) fn create(&mut self) {
        self.tables += 1;
        let uuid = format!("table{}", self.tables);
        let table = Table { uuid, current: None, last_seq: 0, shown: 1, property: None, epoch: String::new() };
        self.kept.clear();
        self.set(table);
    }

    /// Drops the table.
    pub(crate) fn drop_table(&mut self) {
        self.table = None;
        self.kept.clear();
    }

    fn set(&mut self, table: Table) {
        let table = Rc::new(table);
        self.kept.push(Rc::clone(&table));
        if self.kept.len() > KEPT {
            self.kept.remove(0);
        }
        self.table = Some(table);
    }

    /// Applies a commit, if its requirements hold. Gives the table as it was before.
    pub(crate) fn apply(&mut self, commit: &Commit) -> Result<Rc<Table>, Outcome> {
        let Some(before) = self.table.clone() else { return Err(Outcome::Conflict("no such table".to_owned())) };
        let current = before.current.as_ref().map(|snapshot| snapshot.id);
        if before.uuid != commit.uuid {
            return Err(Outcome::Conflict("uuid".to_owned()));
        }
        let asserted = commit.base.filter(|_| self.without != Some(Rule::R2));
        if asserted.is_some_and(|base| base != current) {
            return Err(Outcome::Conflict("main has moved".to_owned()));
        }
        // Catalogs refuse a sequence number that was given already; without a base, somebody numbers anew.
        if asserted.is_some() && commit.seq <= before.last_seq {
            return Err(Outcome::Conflict("sequence number".to_owned()));
        }
        let seq = if asserted.is_some() { commit.seq } else { before.last_seq + 1 };
        self.ids += 1;
        let encoded: Option<Rc<str>> = commit.position.as_ref().map(|position| position.encode(seq).into());
        let kept = before.files().iter().filter(|file| !commit.remove.contains(&file.name));
        let files = Rc::new(kept.chain(&commit.add).cloned().collect());
        let truth = commit.position.clone().unwrap_or_else(|| before.truth());
        let snapshot = Snapshot {
            id: self.ids,
            seq,
            parent: before.current.clone(),
            position: encoded.clone(),
            files,
            truth,
            skew: before.skew(),
        };
        let property = encoded.filter(|_| self.without != Some(Rule::R3)).or_else(|| before.property.clone());
        self.set(Table {
            uuid: before.uuid.clone(),
            current: Some(Rc::new(snapshot)),
            last_seq: seq,
            shown: if self.one_snapshot { 1 } else { before.shown + 1 },
            property,
            epoch: commit.epoch.clone().unwrap_or_else(|| before.epoch.clone()),
        });
        Ok(before)
    }

    /// For the ledger: so many rows that the position counts were given up.
    pub(crate) fn set_skew(&mut self, skew: i64) {
        let Some(table) = self.table.as_deref() else { return };
        let Some(current) = table.current.as_deref() else { return };
        let Snapshot { id, seq, .. } = *current;
        let (parent, position) = (current.parent.clone(), current.position.clone());
        let (files, truth) = (Rc::clone(&current.files), Rc::clone(&current.truth));
        let snapshot = Snapshot { id, seq, parent, position, files, truth, skew };
        let table = Rc::new(Table { current: Some(Rc::new(snapshot)), ..table.clone() });
        self.kept.pop();
        self.kept.push(Rc::clone(&table));
        self.table = Some(table);
    }

    /// The whole table as it once was, properties and all: a branch that is reset, a backup that is restored.
    pub(crate) fn restore(&mut self, place: usize) {
        self.kept.truncate(place + 1);
        self.table = self.kept.last().cloned();
    }

    /// The current snapshot becomes an ancestor, and everything else stays.
    pub(crate) fn roll_back(&mut self, steps: usize) {
        let Some(table) = self.table.as_deref() else { return };
        let ancestors = std::iter::successors(table.current.as_ref(), |snapshot| snapshot.parent.as_ref());
        let Some(target) = ancestors.take(table.shown).nth(steps).cloned() else { return };
        self.set(Table { current: Some(target), shown: table.shown - steps, ..table.clone() });
    }

    /// Snapshots but the newest so many are no longer shown.
    pub(crate) fn expire(&mut self, newest: usize) {
        let Some(table) = self.table.as_deref() else { return };
        let shown = table.shown.min(newest);
        self.set(Table { shown, ..table.clone() });
    }

    /// Somebody spoils the property.
    pub(crate) fn garble(&mut self) {
        let Some(table) = self.table.as_deref() else { return };
        self.set(Table { property: Some("{}".into()), ..table.clone() });
    }

    /// The files that a snapshot refers to which can be read, or gone back to.
    pub(crate) fn needed(&self) -> BTreeSet<u64> {
        let mut seen = BTreeSet::new();
        let mut needed = BTreeSet::new();
        for snapshot in self.kept.iter().flat_map(|table| table.lineage()) {
            if seen.insert(snapshot.id) {
                needed.extend(snapshot.files.iter().map(|file| file.name));
            }
        }
        needed
    }

    /// Whether such a snapshot refers to the file.
    pub(crate) fn needs(&self, name: u64) -> bool {
        let refers = |snapshot: &Snapshot| snapshot.files.iter().any(|file| file.name == name);
        self.kept.iter().flat_map(|table| table.lineage()).any(refers)
    }
}
