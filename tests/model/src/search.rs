//! Breadth-first search: every state once, the shortest way to a broken promise, and whether every state has an end.
//!
//! Nothing is cut off: the search ends when there is no new state, or at the first violation. A state's number is its
//! place in the order in which the states were found, so the list of states is the queue as well.

use crate::moves::{Broken, Moves};
use crate::packed::{Packed, Seen, pack, unpack};
use crate::rules::{Bounds, Rules};
use crate::violation::{Step, Violation};
use crate::world::State;

/// What a search found.
pub struct Found {
    /// Different states.
    pub states: usize,
    /// States in which all is done.
    pub ends: usize,
    /// Steps to the farthest state.
    pub depth: usize,
    /// What has happened, by the names of the steps.
    pub happened: Vec<&'static str>,
    /// The first broken promise and the shortest way to it.
    pub broken: Option<(Violation, Vec<Step>)>,
}

struct Search {
    moves: Moves,
    bounds: Bounds,
    seen: Seen,
    /// By number: the state that it was found from.
    parents: Vec<u32>,
    /// By number: the end of its part of `successors`.
    until: Vec<usize>,
    successors: Vec<u32>,
    ends: Vec<u32>,
    depth: usize,
    happened: Vec<&'static str>,
}

/// Searches the whole world, or up to the first violation. `wanted`: look for this one and for nothing else.
#[must_use]
pub fn search(rules: Rules, bounds: Bounds, wanted: Option<Violation>) -> Found {
    let mut search = Search {
        moves: Moves::new(rules, bounds, wanted),
        bounds,
        seen: Seen::new(),
        parents: Vec::new(),
        until: Vec::new(),
        successors: Vec::new(),
        ends: Vec::new(),
        depth: 0,
        happened: Vec::new(),
    };
    let broken = match search.run() {
        Ok(()) => search.stuck(),
        Err((number, violation, step)) => {
            let mut steps = search.trace(number);
            steps.extend(step);
            Some((violation, steps))
        }
    };
    Found {
        states: search.parents.len(),
        ends: search.ends.len(),
        depth: search.depth,
        happened: search.happened,
        broken,
    }
}

type Failed = (u32, Violation, Option<Step>);

impl Search {
    fn run(&mut self) -> Result<(), Failed> {
        let mut state = State::initial(&self.bounds);
        self.find(Step('-', "begin", 0), state, 0)?;
        self.successors.clear();
        let (mut number, mut level) = (0, self.parents.len());
        let mut after = Vec::new();
        while number < self.parents.len() {
            if number == level {
                self.depth += 1;
                level = self.parents.len();
            }
            let here = u32::try_from(number).unwrap_or(u32::MAX);
            unpack(&self.seen.states()[number], &mut state);
            if self.moves.is_end(&state) {
                self.ends.push(here);
                let missing = self.moves.is_missing(&state).and_then(|m| self.moves.broken(m, Violation::Missing));
                missing.map_err(|violation| (here, violation, None))?;
            }
            after.clear();
            self.moves.of(&state, &mut after).map_err(|(step, violation)| (here, violation, Some(step)))?;
            for (step, next) in after.drain(..) {
                self.find(step, next, here)?;
            }
            self.until.push(self.successors.len());
            number += 1;
        }
        Ok(())
    }

    /// Notes a state that can be reached from another.
    fn find(&mut self, step: Step, mut state: State, from: u32) -> Result<(), Failed> {
        state.canonical(&self.moves.rules);
        let packed = pack(state).ok_or((from, Violation::TooLarge, Some(step)))?;
        let (number, new) = self.seen.number(&packed);
        if new {
            self.parents.push(from);
        }
        self.successors.push(number);
        if !self.happened.contains(&step.1) {
            self.happened.push(step.1);
        }
        Ok(())
    }

    /// The steps from the beginning to a state, found by taking them again.
    fn trace(&mut self, mut number: u32) -> Vec<Step> {
        let mut steps = Vec::new();
        while number != 0 {
            let parent = self.parents[number as usize];
            let step = self.step(parent, &self.seen.states()[number as usize].clone());
            steps.push(step.unwrap_or(Step('?', "unknown", 0)));
            number = parent;
        }
        steps.reverse();
        steps
    }

    fn step(&mut self, from: u32, to: &Packed) -> Option<Step> {
        let mut state = State::initial(&self.bounds);
        unpack(&self.seen.states()[from as usize], &mut state);
        let mut after = Vec::new();
        let _: Result<(), Broken> = self.moves.of(&state, &mut after);
        let leads = |mut next: State| {
            next.canonical(&self.moves.rules);
            pack(next).as_ref() == Some(to)
        };
        after.into_iter().find(|(_, next)| leads(*next)).map(|(step, _)| step)
    }

    /// The first state from which no end can be reached; found by walking back from the ends.
    fn stuck(&mut self) -> Option<(Violation, Vec<Step>)> {
        if !self.moves.watches(&Violation::Stuck) {
            return None;
        }
        let states = self.parents.len();
        // By number: the part of `before` that holds its predecessors begins there.
        let mut begins = vec![0_usize; states + 1];
        self.successors.iter().for_each(|&to| begins[to as usize + 1] += 1);
        (0..states).for_each(|number| begins[number + 1] += begins[number]);
        let mut before = vec![0_u32; self.successors.len()];
        let mut filled = begins.clone();
        let mut edge = 0;
        for (number, &until) in self.until.iter().enumerate() {
            for &to in &self.successors[edge..until] {
                before[filled[to as usize]] = u32::try_from(number).unwrap_or(u32::MAX);
                filled[to as usize] += 1;
            }
            edge = until;
        }
        let mut reaches = vec![false; states];
        let mut open = self.ends.clone();
        while let Some(number) = open.pop() {
            let number = number as usize;
            if !std::mem::replace(&mut reaches[number], true) {
                open.extend(before[begins[number]..begins[number + 1]].iter().filter(|&&from| !reaches[from as usize]));
            }
        }
        let number = reaches.iter().position(|reached| !reached)?;
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        Some((Violation::Stuck, self.trace(number)))
    }
}
