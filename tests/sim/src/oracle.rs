//! The oracles: what must hold, told from Kafka's logs, the table's files and the store alone.
//!
//! * **Ledger**: each committed record is live exactly once, or is a dead letter before the position passes it, or was given
//!   up: by an operator's word, or by Kafka before the table had begun with its partition. No other row is live.
//! * **Tree**: no snapshot that can be read refers to a file that is gone or was overwritten.
//! * **Position**: goes forward only, but for a table that is restored or an operator's word; a partition begins at Kafka's
//!   first offset.
//! * **Accounts**: the position counts as many rows as are live.
//! * **Task**: no record is booked before table and Kafka were looked at; no two batches of a task are on their way.
//! * **Halt**: a topic that is called another's successor is.
//! * **Verdict**: the rows of a batch that was called committed have been live.

use std::rc::Rc;

use protocol::overrule::Overruled;
use protocol::task::End;
use protocol::{Halt, Position, TopicPosition};

use crate::catalog::{Commit, Kind, Table};
use crate::committer::Batch;
use crate::kafka::Slot;
use crate::ledger::Known;
use crate::world::World;

impl World {
    /// A request is applied, if its requirements hold; and everything is checked.
    pub(crate) fn commit(&mut self, commit: &Commit) -> Result<(), protocol::Outcome> {
        let before = self.catalog.apply(commit)?;
        if commit.kind == Kind::Ingest {
            self.tally.commits += 1;
        }
        self.trace(|| format!("APPLIED {:?} seq {} files {}", commit.kind, commit.seq, commit.add.len()));
        for file in before.files().iter().filter(|file| commit.remove.contains(&file.name)) {
            for &uid in &*file.rows {
                self.ledger.rows -= 1;
                let known = self.ledger.of(uid);
                known.live = known.live.saturating_sub(1);
            }
        }
        for file in &commit.add {
            if !self.store.has(file) {
                self.break_promise(format!("tree: file {} is committed and is not there", file.name));
            }
            for &uid in &*file.rows {
                if !self.ledger.add(uid) {
                    let place = self.kafka.place_of(uid);
                    self.break_promise(format!("ledger: record {place} is live twice, or was aborted"));
                }
            }
        }
        if let Some(position) = &commit.position {
            self.check_moved(&before, position, &commit.kind);
        }
        self.check_accounts();
        Ok(())
    }

    fn check_accounts(&mut self) {
        let Some(table) = self.catalog.table.clone() else { return };
        let counted = table.truth().counts().rows as i64 - table.skew();
        let rows = self.ledger.rows;
        if counted != rows {
            self.break_promise(format!("accounts: the position counts {counted} rows, {rows} are live"));
        }
    }

    /// The position has moved: by what, and is everything behind it in the table?
    fn check_moved(&mut self, before: &Table, after: &Rc<Position>, kind: &Kind) {
        let truth = before.truth();
        let overruled = match kind {
            Kind::Overrule(overruled, true) => Some(overruled),
            _ => None,
        };
        match overruled {
            Some(Overruled::TableRolledBack { .. }) => {
                for known in &mut self.ledger.records {
                    known.excused |= known.ever && known.live == 0;
                }
                self.catalog.set_skew(after.counts().rows as i64 - self.ledger.rows);
                return;
            }
            Some(Overruled::Gap { topic, partition, expected, found }) => {
                let lost = expected.get()..found.get();
                self.excuse_range(after.topics.get(topic), *partition, lost);
            }
            Some(Overruled::PositionAhead { topic, partition, found, .. }) => {
                self.excuse_range(after.topics.get(topic), *partition, 0..found.get());
            }
            _ => {}
        }
        let given = overruled.is_some();
        for (name, topic) in &after.topics {
            self.check_topic(name, truth.topics.get(name), topic, given);
        }
        if !given && truth.topics.keys().any(|name| !after.topics.contains_key(name)) {
            self.break_promise("position: a topic is forgotten".to_owned());
        }
    }

    fn excuse_range(&mut self, topic: Option<&TopicPosition>, partition: i32, offsets: std::ops::Range<i64>) {
        let Some(life) = topic.and_then(|topic| self.kafka.by_id(&topic.id)) else { return };
        let Some(log) = life.logs.get(partition as usize) else { return };
        for slot in offsets.filter_map(|offset| log.at(offset)) {
            self.ledger.excuse(slot);
        }
    }

    fn check_topic(&mut self, name: &str, before: Option<&TopicPosition>, after: &TopicPosition, given: bool) {
        let Some(place) = self.kafka.lives.iter().position(|life| life.id == after.id) else {
            return self.break_promise(format!("position: topic {name} never had the id {}", after.id));
        };
        let same = before.filter(|before| before.id == after.id);
        if before.is_none() || (same.is_none() && given) {
            // What the table never knew, or what an operator gave up.
            for life in self.kafka.lives[..place].iter().filter(|life| life.name == name) {
                life.logs.iter().for_each(|log| self.ledger.excuse_below(log, log.end()));
            }
        } else if same.is_none() && self.without.is_none() {
            self.break_promise(format!("position: topic {name} became another without an operator's word"));
        }
        let mut said = Vec::new();
        for (&partition, at) in &after.partitions {
            let Some(log) = self.kafka.lives[place].logs.get(partition as usize) else { continue };
            let stood = same.and_then(|before| before.partitions.get(&partition));
            let from = match stood {
                Some(stood) if at.next < stood.next && !given => {
                    said.push(format!("position: {name}-{partition} went back from {} to {}", stood.next, at.next));
                    at.next.get()
                }
                Some(stood) => stood.next.get(),
                None if at.first.get() > log.start => {
                    said.push(format!("ledger: {name}-{partition} begins at {}, kafka at {}", at.first, log.start));
                    at.next.get()
                }
                None => {
                    self.ledger.excuse_below(log, at.first.get());
                    at.first.get()
                }
            };
            for offset in from..at.next.get() {
                if log.at(offset).is_some_and(|slot| !self.ledger.holds(slot)) {
                    said.push(format!("ledger: {name}-{partition}@{offset} is passed over: no row, no dead letter"));
                    break;
                }
            }
        }
        said.into_iter().for_each(|said| self.break_promise(said));
    }

    /// A batch was called committed.
    pub(crate) fn check_verdict(&mut self, uuid: &str, batch: &Batch) {
        if self.catalog.table.as_ref().is_none_or(|table| table.uuid != uuid) {
            return;
        }
        let missing = batch.rows.iter().find(|&&uid| {
            let known = self.ledger.of(uid);
            !known.ever && !known.excused
        });
        if let Some(uid) = missing {
            let place = self.kafka.place_of(*uid);
            self.break_promise(format!("verdict: committed, but record {place} was never in the table"));
        }
    }

    /// A task has halted: what the operator is asked to agree to must be how things are.
    pub(crate) fn check_halt(&mut self, end: &End) {
        let End::Halted(Halt::TopicRecreated { expected, found, .. }) = end else { return };
        let place = |id: &String| self.kafka.lives.iter().position(|life| life.id == *id);
        if place(found) <= place(expected) {
            self.break_promise(format!("halt: {found} is called the successor of {expected}"));
        }
    }

    /// A file is deleted.
    pub(crate) fn delete(&mut self, name: u64) {
        self.store.delete(name);
        if self.catalog.needs(name) {
            self.break_promise(format!("tree: file {name} is deleted, and a snapshot refers to it"));
        }
    }

    /// The table is another state of itself: what is live is counted again.
    pub(crate) fn recount(&mut self) {
        self.ledger.rows = 0;
        self.ledger.records.iter_mut().for_each(|known| known.live = 0);
        let Some(table) = self.catalog.table.clone() else { return };
        for &uid in table.files().iter().flat_map(|file| &*file.rows) {
            self.ledger.add(uid);
        }
        let missing = table.files().iter().find(|file| !self.store.has(file)).map(|file| file.name);
        if let Some(name) = missing {
            self.break_promise(format!("tree: file {name} of a state that was kept is gone"));
        }
    }

    /// The table is another one: all that Kafka still has is to come into it.
    pub(crate) fn new_table(&mut self) {
        for known in &mut self.ledger.records {
            *known = Known { live: 0, ever: false, excused: known.shadow, ..*known };
        }
        for life in &self.kafka.lives {
            for log in &life.logs {
                self.ledger.excuse_below(log, if life.deleted { log.end() } else { log.start });
            }
        }
        self.recount();
    }

    /// What is still missing when nothing goes wrong any more; none when everything is where it belongs.
    pub(crate) fn missing(&mut self) -> Option<String> {
        let Some(table) = self.catalog.table.clone() else { return Some("the table".to_owned()) };
        if let Err(halt) = table.position(self.without) {
            return Some(format!("a position that can be read: {halt}"));
        }
        let truth = table.truth();
        for life in &self.kafka.lives {
            let known = truth.topics.get(&life.name);
            if life.deleted && known.is_none() {
                continue;
            }
            for (partition, log) in life.logs.iter().enumerate() {
                let at = known.filter(|known| known.id == life.id);
                let at = at.and_then(|known| known.partitions.get(&(partition as i32)));
                for (offset, &slot) in log.slots.iter().enumerate() {
                    let offset = offset as i64;
                    // What Kafka deleted before the table began with the partition.
                    let before = at.is_none() && offset < log.start;
                    let passed = at.is_some_and(|at| at.next.get() > offset);
                    let record = matches!(slot, Slot::Row(_) | Slot::Poison(_));
                    let unread = record && !passed && !life.deleted && offset >= log.start;
                    if !before && (unread || !self.ledger.holds(slot)) {
                        return Some(format!("{} {}-{partition}@{offset} {slot:?}", life.id, life.name));
                    }
                }
            }
        }
        None
    }

    /// Records that Kafka lost while nobody looked.
    pub(crate) fn blind(&self) -> u64 {
        let lost = |known: &&Known| known.shadow && known.live == 0 && !known.letter && !known.aborted;
        self.ledger.records.iter().filter(lost).count() as u64
    }
}
