//! What can happen next: steps of the writers, of the network, of others; and the promises, checked wherever the table
//! changes or a writer is told something.
//!
//! A writer's own step (decide, take an answer) reads nothing but what it has loaded, so it is joined to the load or to
//! the answer; everything between them can come in any order.

use protocol::{Decision, decide};

use crate::facts::{Facts, begin, next, position_at, ranges, small, uuid};
use crate::world::{Batch, Bounds, OnUnknown, Plan, Post, RECORDS_MAX, Rules, State, Step, Table, Violation, Writer};

/// The steps of one configuration.
pub(crate) struct Moves {
    rules: Rules,
    bounds: Bounds,
    only_twice: bool,
    facts: Facts,
}

type Next = Vec<(Step, State)>;
type Broken = (Step, Violation);

/// The writer's letter.
fn name(writer: u8) -> char {
    if writer == 0 { 'A' } else { 'B' }
}

impl Moves {
    pub(crate) fn new(rules: Rules, bounds: Bounds, only_twice: bool) -> Self {
        Self { rules, bounds, only_twice, facts: Facts::new(bounds.one_snapshot) }
    }

    /// All that can happen in a state.
    pub(crate) fn of(&mut self, state: &State) -> Result<Next, Broken> {
        let mut after = Vec::new();
        for writer in 0..2 {
            self.writer(state, writer, &mut after)?;
        }
        for at in 0..state.network.len() {
            self.network(state, at, &mut after)?;
        }
        if state.foreign > 0 && state.table.seq > 0 {
            let step = Step('f', "commit", 0);
            let table = self.push(&state.table, None).map_err(|broken| (step, broken))?;
            after.push((step, State { table, foreign: state.foreign - 1, ..state.clone() }));
        }
        if state.replaced > 0 {
            let table = Table::new(state.table.uuid + 1);
            after.push((Step('f', "replace", 0), State { table, replaced: state.replaced - 1, ..state.clone() }));
        }
        Ok(after)
    }

    fn writer(&mut self, state: &State, writer: u8, after: &mut Next) -> Result<(), Broken> {
        let now = state.writers[usize::from(writer)];
        let step = |what| Step(name(writer), what, 0);
        let mut to = |step: Step, then: Writer| {
            let mut state = state.clone();
            state.writers[usize::from(writer)] = then;
            after.push((step, state));
        };
        match now {
            Writer::Begin => {
                let then = self.load(&state.table).map_err(|broken| (step("load"), broken))?;
                to(step("load"), then);
            }
            Writer::Reading { uuid, start, first } => {
                for end in start + 1..=self.bounds.records {
                    let batch = Batch { uuid, start, end, first };
                    to(Step(name(writer), "stage", end - start), Writer::Staged { batch, unknown: false });
                }
                // Nothing left to read: the loss of the table shows at the next start.
                if start == self.bounds.records && uuid != state.table.uuid {
                    to(step("restart"), Writer::Begin);
                }
            }
            Writer::Staged { batch, unknown } => {
                let looked = self.look(&state.table, writer, batch, unknown);
                to(step("look"), looked.map_err(|broken| (step("look"), broken))?);
            }
            Writer::Halted => to(step("restart"), Writer::Begin),
            Writer::Ready { batch, plan } => {
                to(step("post"), Writer::Waiting);
                if let Some((_, state)) = after.last_mut() {
                    state.send(Post { writer, batch, plan, awaited: true });
                }
            }
            Writer::Waiting => {}
        }
        if state.crashes > 0 && now != Writer::Begin {
            let mut crashed = State { crashes: state.crashes - 1, ..state.clone() };
            leave(&mut crashed, writer, Writer::Begin);
            after.push((step("crash"), crashed));
        }
        Ok(())
    }

    /// A start, or a new start after a fence: read from where the table stands.
    fn load(&mut self, table: &Table) -> Result<Writer, Violation> {
        let position = &self.facts.of(table)?.position;
        let reading = |(start, first)| Writer::Reading { uuid: table.uuid, start, first };
        Ok(begin(position, self.bounds.records).map_or(Writer::Halted, reading))
    }

    /// A fresh load and the decision: before the first request, after a conflict, after an unknown outcome.
    fn look(&mut self, table: &Table, writer: u8, batch: Batch, unknown: bool) -> Result<Writer, Violation> {
        let rules = self.rules;
        let resends = unknown && rules.on_unknown != OnUnknown::Decide;
        if resends && rules.on_unknown == OnUnknown::LookForOwnSnapshot && table.author == Some((writer, batch)) {
            return self.told(table, batch);
        }
        let facts = self.facts.of(table)?;
        if resends || !rules.compare_position {
            // What a library does that puts its files onto whatever is current.
            let position = position_at(batch.end.max(next(&facts.position)));
            let position = self.facts.number(&position, i64::from(table.seq) + 1);
            let plan = Plan { uuid: table.uuid, base: table.seq, seq: table.seq + 1, position };
            return Ok(Writer::Ready { batch, plan });
        }
        let Some(ranges) = ranges(&batch) else { return Ok(Writer::Halted) };
        let (mut decisions, plan) = decide(facts, &uuid(batch.uuid), &[&ranges]);
        match (decisions.remove(0), plan) {
            (Decision::Commit, Some(plan)) => {
                let position = self.facts.number(plan.position(), plan.sequence_number());
                let base = plan.base().map_or(0, small);
                // The plan names the table that was loaded: `decide` refuses any other.
                let plan = Plan { uuid: batch.uuid, base, seq: small(plan.sequence_number()), position };
                Ok(Writer::Ready { batch, plan })
            }
            (Decision::AlreadyCommitted, _) => self.told(table, batch),
            (Decision::Fenced(_), _) => self.load(table),
            _ => Ok(Writer::Halted),
        }
    }

    /// A writer learns that its batch is in the table, and goes on behind it.
    fn told(&self, table: &Table, batch: Batch) -> Result<Writer, Violation> {
        let there = (batch.start..batch.end).all(|at| table.rows[usize::from(at)] == 1);
        if !self.only_twice && (!there || table.uuid != batch.uuid) {
            return Err(Violation::NotThere);
        }
        Ok(Writer::Reading { uuid: batch.uuid, start: batch.end, first: false })
    }

    /// What can become of one request.
    fn network(&mut self, state: &State, at: usize, after: &mut Next) -> Result<(), Broken> {
        let post = state.network[at];
        let step = |what| Step(name(post.writer), what, 0);
        let mut gone = state.clone();
        gone.network.remove(at);
        let applies =
            post.plan.uuid == state.table.uuid && (!self.rules.assert_base || post.plan.base == state.table.seq);
        let table = if applies { self.push(&state.table, Some(&post)) } else { Ok(state.table) };
        let table = table.map_err(|broken| (step(if post.awaited { "ok" } else { "late" }), broken))?;
        let applied = State { table, ..gone.clone() };
        if !post.awaited {
            after.push((step(if applies { "late" } else { "refused" }), applied));
            if applies {
                after.push((step("gone"), gone));
            }
            return Ok(());
        }
        let mut answered = applied.clone();
        answered.writers[usize::from(post.writer)] = if applies {
            self.told(&table, post.batch).map_err(|broken| (step("ok"), broken))?
        } else {
            Writer::Staged { batch: post.batch, unknown: false }
        };
        after.push((step(if applies { "ok" } else { "conflict" }), answered));
        if state.faults > 0 {
            let spent = |base: &State| State { faults: base.faults - 1, ..base.clone() };
            let mut doubled = spent(state);
            doubled.send(Post { awaited: false, ..post });
            let (mut answer_lost, mut request_lost, mut timed_out) = (spent(&applied), spent(&gone), spent(state));
            for state in [&mut answer_lost, &mut request_lost, &mut timed_out] {
                leave(state, post.writer, Writer::Staged { batch: post.batch, unknown: true });
            }
            after.push((step("answer-lost"), answer_lost));
            after.push((step("request-lost"), request_lost));
            after.push((step("time-out"), timed_out));
            after.push((step("doubled"), doubled));
        }
        Ok(())
    }

    /// A new snapshot: of a request that was accepted, or of others.
    fn push(&mut self, table: &Table, post: Option<&Post>) -> Result<Table, Violation> {
        let before = next(&self.facts.of(table)?.position);
        let mut now = *table;
        now.seq = post.map_or(0, |post| post.plan.seq).max(table.seq + 1);
        if !self.bounds.one_snapshot {
            now.summaries.rotate_right(1);
        }
        now.summaries[0] = post.map_or(0, |post| post.plan.position);
        now.author = None;
        if let Some(post) = post {
            if self.rules.property {
                now.property = post.plan.position;
            }
            if self.rules.on_unknown == OnUnknown::LookForOwnSnapshot {
                now.author = Some((post.writer, post.batch));
            }
            (post.batch.start..post.batch.end).for_each(|at| now.rows[usize::from(at)] += 1);
        }
        if now.rows.iter().any(|&live| live > 1) {
            return Err(Violation::Twice);
        }
        let at = next(&self.facts.of(&now)?.position);
        let fit = (0..RECORDS_MAX).all(|row| (now.rows[row] == 1) == (row < usize::from(at)));
        match (self.only_twice, at < before, fit) {
            (true, ..) | (false, false, true) => Ok(now),
            (false, true, _) => Err(Violation::Backwards),
            (false, false, false) => Err(Violation::RowsDiffer),
        }
    }
}

/// The writer goes elsewhere; its requests stay on their way.
fn leave(state: &mut State, writer: u8, then: Writer) {
    state.network.iter_mut().filter(|post| post.writer == writer).for_each(|post| post.awaited = false);
    state.network.sort_unstable();
    state.writers[usize::from(writer)] = then;
}
