//! The accounts of a task: for each assigned partition where the open batch begins, how far it has got, and what became
//! of the records.
//!
//! Pure. Every assigned partition has an account; sealing turns the accounts that moved into [`Ranges`] and lets them
//! begin again where they ended, so that ranges are adjacent by construction.

use std::collections::BTreeMap;

use protocol::offset::OffsetError;
use protocol::ranges::RangeError;
use protocol::start::Start;
use protocol::{BatchRange, Offset, OffsetRange, Ranges, TopicRanges};

/// An account that does not add up: a bug or a broker that contradicts itself. The batch must be dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BatchError {
    /// Kafka sent an offset that is none.
    #[error(transparent)]
    Offset(#[from] OffsetError),
    /// More records than offsets.
    #[error(transparent)]
    Range(#[from] RangeError),
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Became {
    /// A row.
    Row,
    /// A reject.
    Reject,
}

#[derive(Debug, Clone)]
struct Account {
    start: Offset,
    next: Offset,
    first: bool,
    rows: u64,
    rejects: u64,
}

#[derive(Debug, Clone)]
struct Topic {
    id: String,
    supersedes: Option<String>,
    partitions: BTreeMap<i32, Account>,
}

/// The accounts of all assigned partitions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accounts {
    topics: BTreeMap<String, Topic>,
}

impl Accounts {
    /// Opens the account of a partition.
    pub(crate) fn open(&mut self, topic: &str, id: &str, partition: i32, start: &Start) {
        let entry = self.topics.entry(topic.to_owned()).or_insert_with(|| Topic {
            id: id.to_owned(),
            supersedes: start.supersedes.clone(),
            partitions: BTreeMap::new(),
        });
        let account = Account { start: start.offset, next: start.offset, first: start.first, rows: 0, rejects: 0 };
        entry.partitions.insert(partition, account);
    }

    /// Whether a record at this offset is the next of its partition, or later (holes are normal). Records of partitions
    /// that are not assigned, and records that were counted already, are not.
    pub(crate) fn expects(&self, topic: &str, partition: i32, offset: i64) -> bool {
        let account = self.topics.get(topic).and_then(|topic| topic.partitions.get(&partition));
        account.is_some_and(|account| offset >= account.next.get())
    }

    /// Books a record. Call only for what [`Self::expects`].
    pub(crate) fn book(&mut self, topic: &str, partition: i32, offset: i64, became: Became) -> Result<(), BatchError> {
        let next = Offset::new(offset.saturating_add(1))?;
        let account = self.topics.get_mut(topic).and_then(|topic| topic.partitions.get_mut(&partition));
        if let Some(account) = account {
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
    pub(crate) fn reach(&mut self, topic: &str, partition: i32, next: i64) {
        let account = self.topics.get_mut(topic).and_then(|topic| topic.partitions.get_mut(&partition));
        if let (Some(account), Ok(next)) = (account, Offset::new(next))
            && account.next > account.start
        {
            account.next = account.next.max(next);
        }
    }

    /// Records booked since the last seal.
    pub(crate) fn records(&self) -> u64 {
        self.topics.values().flat_map(|topic| topic.partitions.values()).map(|a| a.rows + a.rejects).sum()
    }

    /// Closes the batch: the ranges of all partitions that moved; none if none did. The accounts go on from there.
    pub(crate) fn seal(&mut self) -> Result<Option<Ranges>, BatchError> {
        let mut sealed = BTreeMap::new();
        for (name, topic) in &mut self.topics {
            let mut partitions = BTreeMap::new();
            for (&partition, account) in &mut topic.partitions {
                if account.next == account.start {
                    continue;
                }
                let range = OffsetRange::new(account.start, account.next)?;
                partitions.insert(partition, BatchRange::new(range, account.first, account.rows, account.rejects)?);
                *account = Account { start: account.next, next: account.next, first: false, rows: 0, rejects: 0 };
            }
            let (id, supersedes) = (topic.id.clone(), topic.supersedes.clone());
            sealed.insert(name.clone(), TopicRanges { id, supersedes, partitions });
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
        let start = Start { offset: Offset::new(5).unwrap(), first: true, supersedes: None };
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
}
