//! What comes out of the blue: producers, and sudden faults of processes, Kafka, the table, and its other users.

use std::rc::Rc;

use crate::catalog::{Commit, Kind};
use crate::kafka::{Log, Slot};
use crate::shell::State;
use crate::tally::Fault;
use crate::world::{Address, Event, TaskWhat, World};

/// Records of a world at most.
const RECORDS_MAX: u32 = 1_000;
/// Topics of a world at most, one after another under the same names.
const LIVES_MAX: usize = 6;
/// A member that stalls for longer is thrown out.
const STALL_MS: u64 = 8_000;

impl World {
    /// Producers write.
    pub(crate) fn produce(&mut self) {
        if self.calm {
            // A partition that gets no record is not looked at, and a gap in it not seen: one now and then.
            self.at(20_000, Event::Produce);
            for (topic, partition) in self.kafka.partitions() {
                let uid = self.kafka.uid();
                self.push(&topic, partition, Slot::Row(uid));
            }
            return;
        }
        let delay = self.rng.between(50, 700);
        self.at(delay, Event::Produce);
        let partitions = self.kafka.partitions();
        let place = self.rng.place(partitions.len());
        if let Some((topic, partition)) = partitions.get(place) {
            let records = self.rng.between(1, 4);
            self.append(topic, *partition, records);
        }
    }

    /// Records, or a transaction: committed or aborted, with its marker.
    fn append(&mut self, topic: &str, partition: i32, records: u64) {
        let kind = self.rng.below(10);
        for _ in 0..records {
            if self.kafka.uids >= RECORDS_MAX {
                return;
            }
            let uid = self.kafka.uid();
            let slot = match kind {
                0 => Slot::Aborted(uid),
                1 => Slot::Poison(uid),
                _ => Slot::Row(uid),
            };
            self.tally.records += u64::from(kind != 0);
            self.push(topic, partition, slot);
        }
        if kind == 0 || kind > 7 {
            self.push(topic, partition, Slot::Marker);
        }
    }

    fn push(&mut self, topic: &str, partition: i32, slot: Slot) {
        let now = self.now;
        if let Some(log) = self.kafka.log_mut(topic, partition).filter(|log| log.quiet_to <= now) {
            let shadow = log.end() < log.shadow_to;
            log.slots.push(slot);
            self.ledger.produced(slot, shadow);
        }
    }

    /// One fault, some time after the last.
    pub(crate) fn chaos(&mut self) {
        if self.calm {
            return;
        }
        let delay = self.rng.between(100, self.profile.pause_ms);
        self.at(delay, Event::Chaos);
        let place = self.rng.place(self.profile.sudden.len());
        let Some(&fault) = self.profile.sudden.get(place) else { return };
        let worker = self.rng.place(self.workers.len());
        match fault {
            Fault::Crash if self.workers[worker].up => {
                self.fault(fault);
                self.down(worker);
            }
            Fault::Freeze => self.freeze(worker),
            Fault::Sigterm if self.workers[worker].up => {
                self.fault(fault);
                self.stop(worker);
            }
            Fault::Rebalance => {
                self.fault(fault);
                let group = self.rng.place(self.groups.len());
                self.rebalance(group);
            }
            Fault::TaskStall => self.stall(worker),
            Fault::Compaction => self.begin_compaction(),
            Fault::Sweep => self.begin_sweep(),
            Fault::GroupOffsetsGone => {
                self.fault(fault);
                let group = self.rng.place(self.groups.len());
                self.groups[group].offsets.clear();
            }
            Fault::Retention | Fault::TopicRecreated | Fault::LogTruncated | Fault::PartitionsAdded => {
                self.kafka_fault(fault);
            }
            _ => self.table_fault(fault),
        }
    }

    /// A task does nothing for a while, and the group thinks it dead.
    fn stall(&mut self, worker: usize) {
        let place = self.rng.place(self.workers[worker].shells.len());
        let Some(shell) = self.workers[worker].shells.get_mut(place) else { return };
        if shell.stalled || shell.state != State::Running {
            return;
        }
        shell.stalled = true;
        let (member, group, to) = (shell.member, self.workers[worker].group, self.task_address(worker, place));
        self.fault(Fault::TaskStall);
        let delay = self.rng.between(500, 40_000);
        self.at(delay, Event::Task { to, what: TaskWhat::Awake });
        if let Some(member) = member.filter(|_| delay > STALL_MS) {
            // No life of a worker has this number: nothing will vouch for the member.
            self.at(STALL_MS, Event::SessionOver { group, member, at: Address { worker, life: 0 } });
        }
    }

    fn kafka_fault(&mut self, fault: Fault) {
        let partitions = self.kafka.partitions();
        let place = self.rng.place(partitions.len());
        let Some((topic, partition)) = partitions.get(place) else { return };
        // A place where the table once stood, and where a late batch may begin.
        let past = self.rng.place(self.catalog.kept.len());
        let past = self.catalog.kept.get(past).and_then(|table| table.truth().next(topic, *partition));
        let (now, quiet) = (self.now, self.rng.pick(&[0, 30_000]).unwrap_or(0));
        let Some(log) = self.kafka.log_mut(topic, *partition) else { return };
        match fault {
            Fault::Retention => {
                log.start += self.rng.below((log.end() - log.start + 1) as u64) as i64;
            }
            Fault::LogTruncated => {
                let gone = self.rng.below((log.end() - log.start + 1) as u64) as i64;
                log.shadow_to = log.shadow_to.max(log.end());
                let past = past.map(protocol::Offset::get).filter(|past| (log.start..=log.end()).contains(past));
                let end = past.filter(|_| self.rng.per_mille(600)).unwrap_or(log.end() - gone);
                // Sometimes its producers need a while to find it again.
                log.quiet_to = now + quiet;
                let cut = log.slots.split_off(usize::try_from(end).unwrap_or(0));
                // Kafka has lost them; whoever has read them may bring them in.
                cut.into_iter().for_each(|slot| self.ledger.excuse(slot));
            }
            Fault::TopicRecreated if self.kafka.lives.len() < LIVES_MAX => {
                self.kafka.delete(topic);
                let partitions = self.rng.between(1, 3);
                self.kafka.create(topic, partitions as usize);
                // Sometimes it has grown already before anybody looks.
                let records = self.rng.pick(&[0, 0, 10, 40]).unwrap_or(0);
                for at in 0..records {
                    self.append(topic, (at % partitions) as i32, 2);
                }
            }
            Fault::PartitionsAdded => {
                let Some(life) = self.kafka.topic_mut(topic).filter(|life| life.logs.len() < 4) else { return };
                life.logs.push(Log::default());
            }
            _ => return,
        }
        self.fault(fault);
        self.trace(|| format!("  {topic}-{partition}"));
        // A topic that was made again with as many partitions is the same to the group.
        if self.kafka.partitions().len() != partitions.len() || self.rng.per_mille(100) {
            (0..self.groups.len()).for_each(|group| self.rebalance(group));
        }
    }

    fn table_fault(&mut self, fault: Fault) {
        let Some(table) = self.catalog.table.clone() else { return };
        match fault {
            Fault::ForeignAppend => {
                let name = self.store.fresh_name();
                let (file, _) = self.store.put(name, Rc::default(), 1);
                let commit = Commit { add: vec![file], ..Commit::on(&table, Kind::Foreign) };
                let _ = self.commit(&commit);
            }
            Fault::ForeignOptimize if table.files().len() > 1 => {
                let name = self.store.fresh_name();
                let rows = table.files().iter().flat_map(|file| file.rows.iter().copied()).collect();
                let foreign = table.files().iter().map(|file| file.foreign).sum();
                let (file, _) = self.store.put(name, rows, foreign);
                let remove = table.files().iter().map(|file| file.name).collect();
                let commit = Commit { add: vec![file], remove, ..Commit::on(&table, Kind::Foreign) };
                let _ = self.commit(&commit);
            }
            Fault::TableRecreated => {
                self.catalog.drop_table();
                if self.rng.per_mille(500) {
                    self.catalog.create();
                }
                self.new_table();
            }
            Fault::Restored if self.catalog.kept.len() > 1 => {
                let place = self.rng.place(self.catalog.kept.len() - 1);
                // Behind a sweep the epoch would be the old one again, and files of that epoch are gone.
                if self.catalog.kept[place].epoch != table.epoch {
                    return;
                }
                self.catalog.restore(place);
                self.rewound = self.now;
                self.recount();
            }
            Fault::RolledBack if !self.catalog.shows_one_snapshot() => {
                let steps = self.rng.between(1, 3) as usize;
                self.catalog.roll_back(steps);
                self.rewound = self.now;
                self.recount();
            }
            // Expiry of a table that was rolled back can hide that it was: nothing could tell any more.
            Fault::Expired
                if !self.catalog.shows_one_snapshot()
                    && table.property_agrees()
                    && table.position(self.without).is_ok() =>
            {
                let newest = self.rng.between(1, 4) as usize;
                self.catalog.expire(newest);
            }
            Fault::PropertyGarbled => self.catalog.garble(),
            _ => return,
        }
        self.fault(fault);
    }
}
