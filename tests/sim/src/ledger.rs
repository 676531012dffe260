//! The ledger: of every record of the world, whether it is live, may be missing, or is a dead letter.

use crate::kafka::{Log, Slot, Uid};

/// What is known of a record.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known {
    pub(crate) live: u8,
    /// It has been live in the present table.
    pub(crate) ever: bool,
    /// It may be missing.
    pub(crate) excused: bool,
    pub(crate) letter: bool,
    pub(crate) aborted: bool,
    /// It lies where a longer log once lay.
    pub(crate) shadow: bool,
}

/// The ledger.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) records: Vec<Known>,
    /// Rows of ours that are live.
    pub(crate) rows: i64,
}

impl Ledger {
    pub(crate) fn of(&mut self, uid: Uid) -> &mut Known {
        let place = uid as usize;
        if self.records.len() <= place {
            self.records.resize(place + 1, Known::default());
        }
        &mut self.records[place]
    }

    /// Kafka took a record.
    pub(crate) fn produced(&mut self, slot: Slot, shadow: bool) {
        if let Slot::Row(uid) | Slot::Poison(uid) | Slot::Aborted(uid) = slot {
            let aborted = matches!(slot, Slot::Aborted(_));
            *self.of(uid) = Known { aborted, shadow, excused: shadow, ..Known::default() };
        }
    }

    /// Dead letters were written.
    pub(crate) fn letters(&mut self, uids: &[Uid]) {
        for &uid in uids {
            self.of(uid).letter = true;
        }
    }

    /// A row is live; false if it must not be.
    pub(crate) fn add(&mut self, uid: Uid) -> bool {
        self.rows += 1;
        let known = self.of(uid);
        known.live = known.live.saturating_add(1);
        known.ever = true;
        known.live == 1 && !known.aborted
    }

    /// It may be missing.
    pub(crate) fn excuse(&mut self, slot: Slot) {
        if let Slot::Row(uid) | Slot::Poison(uid) = slot {
            self.of(uid).excused = true;
        }
    }

    /// Whether nothing is missing at this offset.
    pub(crate) fn holds(&mut self, slot: Slot) -> bool {
        match slot {
            Slot::Row(uid) => {
                let known = self.of(uid);
                known.live == 1 || known.excused
            }
            Slot::Poison(uid) => {
                let known = self.of(uid);
                known.letter || known.excused
            }
            Slot::Aborted(_) | Slot::Marker => true,
        }
    }

    pub(crate) fn excuse_below(&mut self, log: &Log, end: i64) {
        for &slot in log.slots.iter().take(usize::try_from(end).unwrap_or(0)) {
            self.excuse(slot);
        }
    }
}
