//! Breadth-first search: every state once, the shortest way to a broken promise, and whether every state has an end.
//!
//! Nothing is cut off: the search ends when there is no new state, or at the first violation.

use std::collections::HashMap;

use crate::moves::Moves;
use crate::world::{Bounds, Rules, State, Step, Violation};

/// What a search found.
pub(crate) struct Found {
    /// Different states.
    pub(crate) states: usize,
    /// States in which all is done.
    pub(crate) ends: usize,
    /// Steps to the farthest state.
    pub(crate) depth: usize,
    /// The first broken promise and the shortest way to it.
    pub(crate) broken: Option<(Violation, Vec<Step>)>,
}

/// Searches the whole world, or up to the first violation. `only_twice`: look for doubled rows and for nothing else.
pub(crate) fn search(rules: Rules, bounds: Bounds, only_twice: bool) -> Found {
    let mut moves = Moves::new(rules, bounds, only_twice);
    let initial = State::initial(&bounds);
    let mut numbers: HashMap<State, u32> = HashMap::from([(initial.clone(), 0)]);
    // By number: the state before and the step from there.
    let mut parents = vec![(0_u32, Step('-', "begin", 0))];
    // Successor, state.
    let mut edges: Vec<(u32, u32)> = Vec::new();
    let mut ends = Vec::new();
    let (mut frontier, mut depth) = (vec![(initial, 0_u32)], 0);
    while !frontier.is_empty() {
        let mut next = Vec::new();
        for (state, number) in frontier {
            let ended = state.is_end(bounds.records);
            let missing = ended && !only_twice && state.table.rows.iter().sum::<u8>() != bounds.records;
            if ended {
                ends.push(number);
            }
            let after = if missing { Err((None, Violation::Missing)) } else { moves.of(&state).map_err(at_step) };
            let after = match after {
                Ok(after) => after,
                Err((step, violation)) => {
                    let mut steps = trace(&parents, number);
                    steps.extend(step);
                    return Found { states: numbers.len(), ends: ends.len(), depth, broken: Some((violation, steps)) };
                }
            };
            for (step, state) in after {
                let new = u32::try_from(parents.len()).unwrap_or(u32::MAX);
                let known = numbers.get(&state).copied();
                if known.is_none() {
                    numbers.insert(state.clone(), new);
                    parents.push((number, step));
                    next.push((state, new));
                }
                edges.push((known.unwrap_or(new), number));
            }
        }
        depth += usize::from(!next.is_empty());
        frontier = next;
    }
    let stuck = if only_twice { None } else { first_without_end(parents.len(), edges, &ends) };
    let broken = stuck.map(|number| (Violation::Stuck, trace(&parents, number)));
    Found { states: numbers.len(), ends: ends.len(), depth, broken }
}

fn at_step((step, violation): (Step, Violation)) -> (Option<Step>, Violation) {
    (Some(step), violation)
}

/// The steps from the beginning to a state.
fn trace(parents: &[(u32, Step)], mut number: u32) -> Vec<Step> {
    let mut steps = Vec::new();
    while number != 0 {
        let (parent, step) = parents[number as usize];
        steps.push(step);
        number = parent;
    }
    steps.reverse();
    steps
}

/// The first state from which no end can be reached; found by walking back from the ends.
fn first_without_end(states: usize, mut edges: Vec<(u32, u32)>, ends: &[u32]) -> Option<u32> {
    edges.sort_unstable();
    let mut reaches = vec![false; states];
    let mut open: Vec<u32> = ends.to_vec();
    while let Some(number) = open.pop() {
        if std::mem::replace(&mut reaches[number as usize], true) {
            continue;
        }
        let from = edges.partition_point(|&(successor, _)| successor < number);
        let before = edges[from..].iter().take_while(|&&(successor, _)| successor == number);
        open.extend(before.map(|&(_, state)| state).filter(|&state| !reaches[state as usize]));
    }
    reaches.iter().position(|reached| !reached).and_then(|number| u32::try_from(number).ok())
}
