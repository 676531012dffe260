//! The accounts of a task: for each assigned partition where the open batch begins, how far it has got, and what became
//! of the records.
//!
//! Every assigned partition has an account; sealing turns the accounts that moved into [`Ranges`] and lets them
//! begin again where they ended, so that ranges are adjacent by construction. Held by the task's machine
//! ([`crate::task`]).

use std::collections::BTreeMap;

use crate::offset::{Offset, OffsetError, OffsetRange};
use crate::ranges::{BatchRange, RangeError, Ranges, TopicRanges};
use crate::start::Start;

/// An account that does not add up: a bug or a broker that contradicts itself. The batch must be dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Kafka sent an offset that is none.
    #[error(transparent)]
    Offset(#[from] OffsetError),
    /// More records than offsets.
    #[error(transparent)]
    Range(#[from] RangeError),
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// A row.
    Row,
    /// A reject.
    Reject,
}

#[derive(Debug, Clone)]
struct Account {
    /// Place of the topic in [`Accounts::topics`].
    topic: usize,
    partition: i32,
    start: Offset,
    next: Offset,
    first: bool,
    rows: u64,
    rejects: u64,
}

#[derive(Debug, Clone)]
struct Topic {
    name: String,
    id: String,
    epoch: u32,
    /// Partition -> place in [`Accounts::accounts`].
    places: BTreeMap<i32, usize>,
}

/// The accounts of all assigned partitions.
///
/// Kafka hands out records in runs of one partition, and every record is looked up and booked: the account of the record
/// before is tried first, the maps only when that is another's.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    topics: Vec<Topic>,
    accounts: Vec<Account>,
    /// Place of the account that was booked last.
    last: usize,
}

impl Accounts {
    /// Opens the account of a partition.
    pub fn open(&mut self, topic: &str, id: &str, partition: i32, start: &Start) {
        let known = self.topics.iter().position(|one| one.name == topic);
        let at = known.unwrap_or_else(|| {
            let (name, id) = (topic.to_owned(), id.to_owned());
            self.topics.push(Topic { name, id, epoch: start.epoch, places: BTreeMap::new() });
            self.topics.len() - 1
        });
        let (start, first) = (start.offset, start.first);
        let account = Account { topic: at, partition, start, next: start, first, rows: 0, rejects: 0 };
        match self.topics[at].places.get(&partition) {
            Some(&place) => self.accounts[place] = account,
            None => {
                self.topics[at].places.insert(partition, self.accounts.len());
                self.accounts.push(account);
            }
        }
    }

    fn place(&self, topic: &str, partition: i32) -> Option<usize> {
        let is_it = |account: &Account| account.partition == partition && self.topics[account.topic].name == topic;
        if self.accounts.get(self.last).is_some_and(is_it) {
            return Some(self.last);
        }
        self.topics.iter().find(|one| one.name == topic)?.places.get(&partition).copied()
    }

    /// Whether a record at this offset is the next of its partition, or later (holes are normal). Records of partitions
    /// that are not assigned, and records that were counted already, are not.
    #[must_use]
    pub fn expects(&self, topic: &str, partition: i32, offset: i64) -> bool {
        self.place(topic, partition).is_some_and(|place| offset >= self.accounts[place].next.get())
    }

    /// Books a record. Call only for what [`Self::expects`].
    ///
    /// # Errors
    /// [`BatchError::Offset`] when Kafka's offset is none.
    pub fn book(&mut self, topic: &str, partition: i32, offset: i64, became: Became) -> Result<(), BatchError> {
        let next = Offset::new(offset.saturating_add(1))?;
        if let Some(place) = self.place(topic, partition) {
            self.last = place;
            let account = &mut self.accounts[place];
            account.next = next;
            match became {
                Became::Row => account.rows += 1,
                Became::Reject => account.rejects += 1,
            }
        }
        Ok(())
    }

    /// The consumer has got to this offset without a record; counts only for partitions that moved since the last seal,
    /// so that markers alone make no commit.
    pub fn reach(&mut self, topic: &str, partition: i32, next: i64) {
        let account = self.place(topic, partition).map(|place| &mut self.accounts[place]);
        if let (Some(account), Ok(next)) = (account, Offset::new(next))
            && account.next > account.start
        {
            account.next = account.next.max(next);
        }
    }

    /// Records booked since the last seal.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.accounts.iter().map(|account| account.rows + account.rejects).sum()
    }

    /// Closes the batch: the ranges of all partitions that moved; none if none did. The accounts go on from there.
    ///
    /// # Errors
    /// [`BatchError::Range`] when there are more records than offsets.
    pub fn seal(&mut self) -> Result<Option<Ranges>, BatchError> {
        let mut sealed = BTreeMap::new();
        for topic in &self.topics {
            let ranges = TopicRanges { id: topic.id.clone(), epoch: topic.epoch, partitions: BTreeMap::new() };
            sealed.insert(topic.name.clone(), ranges);
        }
        for account in self.accounts.iter_mut().filter(|account| account.next != account.start) {
            let range = OffsetRange::new(account.start, account.next)?;
            let range = BatchRange::new(range, account.first, account.rows, account.rejects)?;
            if let Some(ranges) = sealed.get_mut(&self.topics[account.topic].name) {
                ranges.partitions.insert(account.partition, range);
            }
            (account.start, account.first, account.rows, account.rejects) = (account.next, false, 0, 0);
        }
        Ok(Ranges::new(sealed))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        let mut accounts = Accounts::default();
        let start = Start { offset: Offset::new(5).unwrap(), first: true, epoch: 0 };
        accounts.open("t", "id", 0, &start);
        accounts.open("t", "id", 1, &start);
        accounts
    }

    #[test]
    fn ranges_of_successive_batches_are_adjacent_and_holes_lie_inside() {
        let mut accounts = accounts();
        accounts.book("t", 0, 5, Became::Row).unwrap();
        accounts.book("t", 0, 8, Became::Reject).unwrap();
        let first = accounts.seal().unwrap().unwrap();
        assert_eq!(Ranges::to_summary(&[&first]), r#"{"t":{"0":[5,9]}}"#);
        assert_eq!((first.counts().rows, first.counts().rejects, first.counts().skipped), (1, 1, 2));
        accounts.book("t", 0, 9, Became::Row).unwrap();
        let second = accounts.seal().unwrap().unwrap();
        assert_eq!(Ranges::to_summary(&[&second]), r#"{"t":{"0":[9,10]}}"#);
        assert!(first.topics()["t"].partitions[&0].is_first() && !second.topics()["t"].partitions[&0].is_first());
    }

    #[test]
    fn markers_behind_the_last_record_are_passed_with_it_and_make_no_batch_alone() {
        let mut accounts = accounts();
        accounts.reach("t", 1, 9);
        assert_eq!(accounts.seal().unwrap(), None);
        accounts.book("t", 0, 5, Became::Row).unwrap();
        accounts.reach("t", 0, 7);
        accounts.reach("t", 0, 6);
        let sealed = accounts.seal().unwrap().unwrap();
        assert_eq!(Ranges::to_summary(&[&sealed]), r#"{"t":{"0":[5,7]}}"#);
        assert_eq!((sealed.counts().rows, sealed.counts().skipped), (1, 1));
    }

    #[test]
    fn nothing_read_seals_to_nothing() {
        let mut accounts = accounts();
        assert_eq!(accounts.seal().unwrap(), None);
        assert_eq!(accounts.records(), 0);
    }

    #[test]
    fn records_that_were_counted_or_belong_to_others_are_not_expected() {
        let mut accounts = accounts();
        accounts.book("t", 0, 5, Became::Row).unwrap();
        assert!(!accounts.expects("t", 0, 5) && accounts.expects("t", 0, 6) && accounts.expects("t", 1, 5));
        assert!(!accounts.expects("t", 2, 5) && !accounts.expects("other", 0, 6));
    }
    #[test]
    fn each_partition_is_booked_for_itself_however_the_records_alternate() {
        let mut accounts = accounts();
        accounts.open("u", "other id", 1, &Start { offset: Offset::new(0).unwrap(), first: false, epoch: 2 });
        for (topic, partition, offset) in [("t", 1, 5), ("u", 1, 0), ("t", 1, 6), ("t", 0, 9), ("u", 1, 3), ("t", 1, 7)]
        {
            assert!(accounts.expects(topic, partition, offset), "{topic}-{partition}@{offset}");
            accounts.book(topic, partition, offset, Became::Row).unwrap();
        }
        assert_eq!(accounts.records(), 6);
        let sealed = accounts.seal().unwrap().unwrap();
        assert_eq!(Ranges::to_summary(&[&sealed]), r#"{"t":{"0":[5,10],"1":[5,8]},"u":{"1":[0,4]}}"#);
        assert_eq!((sealed.topics()["u"].id.as_str(), sealed.topics()["u"].epoch), ("other id", 2));
        assert_eq!(accounts.records(), 0);
    }
}
