//! Kafka: topics with identities, logs with records, aborted records and markers, retention, deletion, truncation.
//!
//! Every record has a number of its own in the whole world ([`Uid`]), by which the ledger knows it: two records at the same
//! offset, before and after a truncation or in two topics of one name, are not the same.

use std::collections::BTreeMap;

use protocol::task::TopicPartition;

/// A record's number in the world.
pub(crate) type Uid = u32;

/// What lies at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    Row(Uid),
    Poison(Uid),
    Aborted(Uid),
    Marker,
}

/// A partition's log. The slots below `start` are Kafka's no longer; they are kept for the ledger.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    pub(crate) start: i64,
    pub(crate) slots: Vec<Slot>,
    /// The end that the log once had before it was cut: records below it may be overtaken by the position unseen.
    pub(crate) shadow_to: i64,
    /// Nothing is written until then.
    pub(crate) quiet_to: u64,
}

impl Log {
    pub(crate) fn end(&self) -> i64 {
        self.slots.len() as i64
    }

    pub(crate) fn at(&self, offset: i64) -> Option<Slot> {
        usize::try_from(offset).ok().and_then(|at| self.slots.get(at)).copied()
    }
}

/// One topic from creation to deletion.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) logs: Vec<Log>,
    pub(crate) deleted: bool,
}

/// What a poll of one partition gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polled {
    Record {
        offset: i64,
        slot: Slot,
    },
    /// Nothing up to this offset.
    Nothing {
        next: i64,
    },
    /// Kafka does not have this offset.
    OutOfRange,
}

/// The cluster.
#[derive(Debug, Default)]
pub(crate) struct Kafka {
    /// All topics that ever were; the last of a name that is not deleted is the present one.
    pub(crate) lives: Vec<Life>,
    pub(crate) uids: Uid,
}

impl Kafka {
    /// Creates a topic.
    pub(crate) fn create(&mut self, name: &str, partitions: usize) {
        let id = format!("id{}", self.lives.len());
        self.lives.push(Life { name: name.to_owned(), id, logs: vec![Log::default(); partitions], deleted: false });
    }

    pub(crate) fn delete(&mut self, name: &str) {
        self.lives.iter_mut().filter(|life| life.name == name).for_each(|life| life.deleted = true);
    }

    pub(crate) fn topic(&self, name: &str) -> Option<&Life> {
        self.lives.iter().rev().find(|life| life.name == name && !life.deleted)
    }

    pub(crate) fn topic_mut(&mut self, name: &str) -> Option<&mut Life> {
        self.lives.iter_mut().rev().find(|life| life.name == name && !life.deleted)
    }

    /// The topic with this identity, deleted or not.
    pub(crate) fn by_id(&self, id: &str) -> Option<&Life> {
        self.lives.iter().find(|life| life.id == id)
    }

    pub(crate) fn log(&self, topic: &str, partition: i32) -> Option<&Log> {
        self.topic(topic)?.logs.get(usize::try_from(partition).ok()?)
    }

    pub(crate) fn log_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Log> {
        self.topic_mut(topic)?.logs.get_mut(usize::try_from(partition).ok()?)
    }

    /// Where a record lies, for people.
    pub(crate) fn place_of(&self, uid: Uid) -> String {
        for life in &self.lives {
            for (partition, log) in life.logs.iter().enumerate() {
                let same = |slot: &Slot| matches!(*slot, Slot::Row(other) | Slot::Poison(other) | Slot::Aborted(other) if other == uid);
                if let Some(offset) = log.slots.iter().position(same) {
                    return format!("{uid} at {} {}-{partition}@{offset}", life.id, life.name);
                }
            }
        }
        format!("{uid}, which kafka has lost")
    }

    /// All partitions of all present topics.
    pub(crate) fn partitions(&self) -> Vec<TopicPartition> {
        let live = self.lives.iter().filter(|life| !life.deleted);
        live.flat_map(|life| (0..life.logs.len()).map(|p| (life.name.clone(), p as i32))).collect()
    }

    /// Topic -> identity.
    pub(crate) fn ids(&self) -> BTreeMap<String, String> {
        let live = self.lives.iter().filter(|life| !life.deleted);
        live.map(|life| (life.name.clone(), life.id.clone())).collect()
    }

    /// A new number.
    pub(crate) fn uid(&mut self) -> Uid {
        self.uids += 1;
        self.uids - 1
    }

    /// The next record at or behind an offset, by the topic's name, as a consumer asks.
    pub(crate) fn poll(&self, topic: &str, partition: i32, offset: i64, uncommitted: bool) -> Polled {
        let Some(log) = self.log(topic, partition) else { return Polled::Nothing { next: offset } };
        if offset < log.start || offset > log.end() {
            return Polled::OutOfRange;
        }
        let mut next = offset;
        while let Some(slot) = log.at(next) {
            match slot {
                Slot::Row(_) | Slot::Poison(_) => return Polled::Record { offset: next, slot },
                Slot::Aborted(_) if uncommitted => return Polled::Record { offset: next, slot },
                Slot::Aborted(_) | Slot::Marker => next += 1,
            }
        }
        Polled::Nothing { next }
    }
}
