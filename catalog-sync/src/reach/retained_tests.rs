//! Random histories of a catalog with references, swept by the decisions that a real sweep makes.
//!
//! Goal: no file is deleted that a branch, a tag or a retained commit needs, and nothing is left that should be gone, whatever
//! happened: branches, tags, drops, tables made anew, resets, compactions, expiries, writers that stop for as long as they like.
//! Method: a model of the catalog that keeps the whole state of each commit; what must live is told from those states, and
//! not, as the code under test does it, from what each commit changed. 1,000 seeds.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::*;
use crate::catalog::Commit;
use crate::reach::Reached;
use crate::sweep::plan::{Judgement, judge, kind};

/// Commits of a page: few, so that there are many.
const PAGE: usize = 3;

/// Every table that is to be seen: its name and its metadata file.
type State = BTreeMap<Vec<String>, String>;

#[derive(Clone)]
struct Node {
    parent: Option<usize>,
    time: DateTime<Utc>,
    state: State,
}

/// A writer that has begun files and not committed them.
struct Writer {
    branch: String,
    epoch: u32,
    files: Vec<String>,
}

struct World {
    rng: StdRng,
    now: DateTime<Utc>,
    nodes: Vec<Node>,
    /// Name -> whether it is a branch, and where it stands.
    refs: BTreeMap<String, (bool, usize)>,
    /// Metadata file -> the files that its snapshot has, and its sweep epoch.
    tables: BTreeMap<String, (BTreeSet<String>, u32)>,
    /// What is in the table's folder, and when it was written.
    store: BTreeMap<String, DateTime<Utc>>,
    writers: Vec<Writer>,
    epoch: u32,
    names: u32,
}

fn key(name: &str) -> Vec<String> {
    vec!["a".to_owned(), name.to_owned()]
}

impl World {
    fn new(seed: u64) -> Self {
        let root = Node { parent: None, time: DateTime::UNIX_EPOCH, state: State::new() };
        let mut world = Self {
            rng: StdRng::seed_from_u64(seed),
            now: DateTime::UNIX_EPOCH + TimeDelta::days(100),
            nodes: vec![root],
            refs: BTreeMap::from([("main".to_owned(), (true, 0))]),
            tables: BTreeMap::new(),
            store: BTreeMap::new(),
            writers: Vec::new(),
            epoch: 0,
            names: 0,
        };
        world.change("main", "t", BTreeSet::new(), 0);
        world
    }

    fn file(&mut self, folder: &str, end: &str) -> String {
        self.names += 1;
        let name = format!("root/{folder}/{}{end}", self.names);
        self.store.insert(name.clone(), self.now);
        name
    }

    fn commit(&mut self, branch: &str, state: State) {
        let parent = self.refs[branch].1;
        self.nodes.push(Node { parent: Some(parent), time: self.now, state });
        self.refs.insert(branch.to_owned(), (true, self.nodes.len() - 1));
    }

    /// A commit that gives a table other files.
    fn change(&mut self, branch: &str, table: &str, mut files: BTreeSet<String>, epoch: u32) {
        let metadata = self.file("metadata", ".metadata.json");
        files.insert(self.file("metadata", ".avro"));
        self.tables.insert(metadata.clone(), (files, epoch));
        let mut state = self.nodes[self.refs[branch].1].state.clone();
        state.insert(key(table), metadata);
        self.commit(branch, state);
    }

    fn table(&self, branch: &str) -> Option<(BTreeSet<String>, u32)> {
        let metadata = self.nodes[self.refs[branch].1].state.get(&key("t"))?;
        let (files, epoch) = &self.tables[metadata];
        Some((files.iter().filter(|name| name.contains("/data/")).cloned().collect(), *epoch))
    }

    fn branch(&mut self) -> String {
        let branches: Vec<&String> = self.refs.iter().filter(|it| it.1.0).map(|it| it.0).collect();
        (*branches.choose(&mut self.rng).unwrap()).clone()
    }

    /// A commit whose tables can be read: nobody tags what was cut off.
    fn any(&mut self) -> usize {
        let is_there = |name: &String| self.store.contains_key(name);
        let is_whole = |metadata: &String| is_there(metadata) && self.tables[metadata].0.iter().all(is_there);
        let whole: Vec<usize> =
            (0..self.nodes.len()).filter(|&node| self.nodes[node].state.values().all(is_whole)).collect();
        *whole.choose(&mut self.rng).unwrap()
    }

    /// Something happens, but no sweep.
    fn step(&mut self) {
        self.now += TimeDelta::hours(self.rng.random_range(0..9));
        let branch = self.branch();
        let any = self.any();
        let name = format!("r{}", self.names);
        match (self.rng.random_range(0..14), self.table(&branch)) {
            (0..=3, Some((_, epoch))) => {
                let files = (0..2).map(|_| self.file("data", ".parquet")).collect();
                self.writers.push(Writer { branch, epoch, files });
            }
            (4..=6, _) if !self.writers.is_empty() => {
                let writer = self.rng.random_range(0..self.writers.len());
                let Writer { branch, epoch, files } = self.writers.swap_remove(writer);
                let there = self.refs.contains_key(&branch).then(|| self.table(&branch)).flatten();
                // As `protocol::decide` has it.
                if let Some((mut all, at)) = there.filter(|(_, at)| *at == epoch) {
                    all.extend(files);
                    self.change(&branch, "t", all, at);
                }
            }
            (7, Some((files, epoch))) if files.len() > 1 => {
                let one = BTreeSet::from([self.file("data", ".parquet")]);
                self.change(&branch, "t", one, epoch);
            }
            (8, _) => drop(self.refs.insert(name, (true, self.refs[&branch].1))),
            (9, _) => drop(self.refs.insert(name, (false, any))),
            (10, _) if branch != "main" => drop(self.refs.remove(&branch)),
            (11, _) => {
                // The epoch goes back with the branch, so that whoever writes to it has to begin anew: MAINTENANCE.md.
                self.writers.retain(|writer| writer.branch != branch);
                self.refs.insert(branch, (true, any));
            }
            (12, Some(_)) => {
                let mut state = self.nodes[self.refs[&branch].1].state.clone();
                state.remove(&key("t"));
                self.commit(&branch, state);
            }
            // Under another name it stays the same table; another table has a folder of its own.
            (13, Some((files, epoch))) => self.change(&branch, "renamed", files, epoch),
            (_, None) => self.change(&branch, "t", BTreeSet::new(), self.epoch),
            _ => {}
        }
    }

    /// The files that must be there, from the states of all commits that count.
    fn alive(&self, cutoffs: &Cutoffs) -> BTreeSet<String> {
        let mut alive = BTreeSet::new();
        for (name, (_, head)) in &self.refs {
            let (mut at, mut place) = (Some(*head), 0);
            while let Some(node) = at.map(|at| &self.nodes[at]) {
                for metadata in node.state.values() {
                    alive.insert(metadata.clone());
                    alive.extend(self.tables[metadata].0.iter().cloned());
                }
                if !cutoffs.of(name).keeps(node.time, place, self.now) {
                    break;
                }
                (at, place) = (node.parent, place + 1);
            }
        }
        alive
    }

    async fn reach(&self, cutoffs: &Cutoffs, reached: &mut Reached) {
        let found = retained(self, cutoffs, self.now, |_| true).await.unwrap();
        for metadata in found.heads.keys().chain(found.past.keys()) {
            reached.add(metadata);
            for name in &self.tables[metadata].0 {
                reached.add(name);
            }
        }
    }

    /// A sweep as the real one goes about it: look, list, fence, look again, delete.
    async fn sweep(&mut self, seed: u64) {
        let cutoffs = ["main=2d", "r*=1", "never", "5", "36h"];
        let cutoffs = Cutoffs::parse(cutoffs.choose_multiple(&mut self.rng, 2).copied()).unwrap();
        let older_than = Duration::from_secs(self.rng.random_range(0..3) * 40_000);
        let (mut reached, before, then) = (Reached::default(), self.alive(&cutoffs), self.now);
        self.reach(&cutoffs, &mut reached).await;
        let judged = |name: &String| judge(kind(name), reached.holds(name), self.store[name], then, older_than);
        let is_suspect = |name: &&String| matches!(judged(name), Judgement::Suspect(_));
        let suspects: Vec<String> = self.store.keys().filter(is_suspect).cloned().collect();
        let is_old = |it: &(&String, &DateTime<Utc>)| (then - *it.1).to_std().is_ok_and(|age| age >= older_than);
        let old: Vec<String> = self.store.iter().filter(is_old).map(|(name, _)| name.clone()).collect();
        for _ in 0..self.rng.random_range(0..4) {
            self.step();
        }
        self.epoch += 1;
        let branches: Vec<String> = self.refs.iter().filter(|it| it.1.0).map(|it| it.0.clone()).collect();
        for branch in branches {
            for table in ["t", "renamed"] {
                let state = &self.nodes[self.refs[&branch].1].state;
                if let Some(metadata) = state.get(&key(table)).cloned() {
                    let files = self.tables[&metadata].0.iter().filter(|it| it.contains("/data/")).cloned().collect();
                    self.change(&branch, table, files, self.epoch);
                }
            }
        }
        self.reach(&cutoffs, &mut reached).await;
        let gone: BTreeSet<&String> = suspects.iter().filter(|name| !reached.holds(name)).collect();
        let alive = self.alive(&cutoffs);
        for name in &gone {
            assert!(!alive.contains(*name), "seed {seed}: {name} is deleted and is needed");
        }
        // What was needed when the sweep began to look goes with the next one.
        for name in old.iter().filter(|name| !before.contains(*name) && !alive.contains(*name)) {
            assert!(gone.contains(name), "seed {seed}: {name} is left and nobody needs it");
        }
        let gone: BTreeSet<String> = gone.into_iter().cloned().collect();
        self.store.retain(|name, _| !gone.contains(name));
    }
}

impl Versions for World {
    type Error = Infallible;

    async fn references(&self) -> Result<Vec<Reference>, Infallible> {
        let reference = |(name, (is_branch, at)): (&String, &(bool, usize))| Reference {
            name: name.clone(),
            hash: at.to_string(),
            is_branch: *is_branch,
        };
        Ok(self.refs.iter().map(reference).collect())
    }

    async fn commits(&self, reference: &Reference, page: Option<&str>) -> Result<Commits, Infallible> {
        let mut at: Option<usize> = Some(page.unwrap_or(&reference.hash).parse().unwrap());
        let mut commits = Vec::new();
        while let Some(hash) = at.filter(|_| commits.len() < PAGE) {
            let node = &self.nodes[hash];
            let before = node.parent.map(|parent| &self.nodes[parent].state);
            let is_put =
                |(key, metadata): &(&Vec<String>, &String)| before.and_then(|it| it.get(*key)) != Some(*metadata);
            let puts = node.state.iter().filter(is_put).map(content).collect();
            commits.push(Commit { hash: hash.to_string(), time: node.time, puts });
            at = node.parent;
        }
        Ok(Commits { commits, next: at.map(|at| at.to_string()) })
    }

    async fn contents(&self, _reference: &Reference, hash: &str) -> Result<Vec<Content>, Infallible> {
        Ok(self.nodes[hash.parse::<usize>().unwrap()].state.iter().map(content).collect())
    }
}

fn content((key, metadata): (&Vec<String>, &String)) -> Content {
    Content { key: key.clone(), metadata_location: metadata.clone() }
}

#[tokio::test]
async fn in_random_histories_nothing_that_is_needed_is_deleted_and_the_rest_goes() {
    let (mut deleted, mut left) = (0, 0);
    for seed in 0..1_000 {
        let mut world = World::new(seed);
        for _ in 0..4 {
            for _ in 0..12 {
                world.step();
            }
            let before = world.store.len();
            world.sweep(seed).await;
            deleted += before.saturating_sub(world.store.len());
        }
        // At rest, with all ages waited for: exactly what is needed is left.
        world.writers.clear();
        world.now += TimeDelta::days(30);
        let cutoffs = Cutoffs::parse(["1"]).unwrap();
        let mut reached = Reached::default();
        world.reach(&cutoffs, &mut reached).await;
        let reached: BTreeSet<&String> = world.store.keys().filter(|name| reached.holds(name)).collect();
        let alive = world.alive(&cutoffs);
        let there: BTreeSet<&String> = alive.iter().filter(|name| world.store.contains_key(*name)).collect();
        assert_eq!(reached, there, "seed {seed}");
        let heads: Vec<usize> = world.refs.values().map(|it| it.1).collect();
        for metadata in heads.iter().flat_map(|head| world.nodes[*head].state.values()) {
            assert!(world.store.contains_key(metadata), "seed {seed}: a head lost {metadata}");
            for name in &world.tables[metadata].0 {
                assert!(world.store.contains_key(name), "seed {seed}: a head lost {name}");
            }
        }
        left += world.store.len();
    }
    assert!(deleted > 10_000 && left > 1_000, "{deleted} files deleted, {left} left: the histories say little");
}
