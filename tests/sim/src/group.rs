//! Consumer groups: eager rebalances, members that are thrown out without noticing, offsets that nobody should trust.

use std::collections::{BTreeMap, BTreeSet};

use protocol::task::TopicPartition;

use crate::world::{Event, TaskAddress, TaskWhat, Time, World};

/// How long a member may take to give back what it has.
const REBALANCE_MS: Time = 15_000;

/// A member, and when the last word to it arrives: words to one member do not overtake each other.
#[derive(Debug)]
struct Member {
    task: TaskAddress,
    owns: bool,
    told: Time,
}

/// What a group tells a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    Assigned(BTreeSet<TopicPartition>),
    Revoked,
    Lost,
}

/// A consumer group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    members: BTreeMap<u64, Member>,
    /// Members that still have to release; none while no rebalance is under way.
    waiting: Option<BTreeSet<u64>>,
    round: u64,
    ids: u64,
    /// The group's offsets: a courtesy for lag tools.
    pub(crate) offsets: BTreeMap<TopicPartition, i64>,
}

impl World {
    /// A task becomes a member; gives its number.
    pub(crate) fn join(&mut self, group: usize, task: TaskAddress) -> u64 {
        let now = self.now;
        let of = &mut self.groups[group];
        of.ids += 1;
        let id = of.ids;
        of.members.insert(id, Member { task, owns: false, told: now });
        self.rebalance(group);
        id
    }

    /// Everybody has to give back.
    pub(crate) fn rebalance(&mut self, group: usize) {
        if self.groups[group].waiting.is_some() {
            return self.assign_if_free(group);
        }
        let of = &mut self.groups[group];
        let owners: BTreeSet<u64> = of.members.iter().filter(|(_, member)| member.owns).map(|(&id, _)| id).collect();
        of.round += 1;
        of.waiting = Some(owners.clone());
        let round = of.round;
        self.at(REBALANCE_MS, Event::RebalanceOver { group, round });
        for member in owners {
            self.tell(group, member, Word::Revoked);
        }
        self.assign_if_free(group);
    }

    fn tell(&mut self, group: usize, id: u64, word: Word) {
        let delay = match word {
            Word::Lost => self.rng.between(0, 6_000),
            _ => self.rng.between(1, 300),
        };
        let arrives = self.now + delay;
        let Some(member) = self.groups[group].members.get_mut(&id) else { return };
        member.told = member.told.max(arrives);
        let (delay, to) = (member.told - self.now, member.task);
        self.at(delay, Event::Task { to, what: TaskWhat::Group(id, word) });
    }

    /// A member has given back; false when it is none any more.
    pub(crate) fn released(&mut self, group: usize, id: u64) -> bool {
        let of = &mut self.groups[group];
        let Some(member) = of.members.get_mut(&id) else { return false };
        member.owns = false;
        if let Some(waiting) = &mut of.waiting {
            waiting.remove(&id);
        }
        self.assign_if_free(group);
        true
    }

    /// A member goes.
    pub(crate) fn leave(&mut self, group: usize, id: u64) {
        if self.groups[group].members.remove(&id).is_some() {
            if let Some(waiting) = &mut self.groups[group].waiting {
                waiting.remove(&id);
            }
            self.rebalance(group);
        }
    }

    /// A member is thrown out; it will hear of it, some time.
    pub(crate) fn kick(&mut self, group: usize, id: u64) {
        if self.groups[group].members.contains_key(&id) {
            self.tell(group, id, Word::Lost);
            self.leave(group, id);
        }
    }

    /// The time for giving back is over.
    pub(crate) fn rebalance_over(&mut self, group: usize, round: u64) {
        let of = &self.groups[group];
        if of.round != round {
            return;
        }
        for late in of.waiting.clone().unwrap_or_default() {
            self.kick(group, late);
        }
    }

    fn assign_if_free(&mut self, group: usize) {
        let partitions = self.kafka.partitions();
        let of = &mut self.groups[group];
        if !of.waiting.as_ref().is_some_and(BTreeSet::is_empty) {
            return;
        }
        of.waiting = None;
        let members: Vec<u64> = of.members.keys().copied().collect();
        of.members.values_mut().for_each(|member| member.owns = true);
        if members.is_empty() {
            return;
        }
        let turn = self.rng.place(members.len());
        for (place, &id) in members.iter().enumerate() {
            let own = partitions.iter().enumerate().filter(|(at, _)| (at + turn) % members.len() == place);
            let own = own.map(|(_, partition)| partition.clone()).collect();
            self.tell(group, id, Word::Assigned(own));
        }
    }

    /// Members of a worker that was up in this life.
    pub(crate) fn members_of(&self, group: usize, worker: usize) -> Vec<u64> {
        let own = |member: &&Member| member.task.worker == worker;
        self.groups[group].members.iter().filter(|(_, member)| own(member)).map(|(&id, _)| id).collect()
    }
}
