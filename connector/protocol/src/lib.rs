//! What may happen to the offsets of a topic on their way into a table.
//!
//! A **batch** is a set of rows that carries, for every Kafka partition in it, a half-open range of offsets
//! ([`Ranges`]). The table carries a **position** ([`Position`]): for every topic its identity, for every partition the
//! next offset to be read. [`decide`](decide::decide) compares the two on a freshly loaded table and makes a
//! [`CommitPlan`](decide::CommitPlan): no batch is committed but by its leave. An operator's word against a halt
//! ([`overrule`](overrule::overrule)) is the only other thing that moves a position.
//!
//! ```text
//!   poll ──> batch with Ranges ──> files written ──> decide(facts, ranges)
//!                                                       │ Commit            one POST ──> Committed
//!                                                       │                        └────> Conflict | Unknown ─┐
//!                                                       │ AlreadyCommitted  done                            │ load again,
//!                                                       │ Fenced            drop the batch, seek            │ decide again
//!                                                       └ Halt              stop, say why                 <─┘
//! ```
//!
//! Invariants, each held by a type or by a test here:
//! * a range is never empty and never runs backwards ([`OffsetRange`]);
//! * a position moves only forward and only by a range that starts where it stands ([`Position::advance`]);
//! * in a position, offsets passed = rows + rejects + offsets that never held a record ([`Counts`]);
//! * equality, not "at least": a batch whose start is behind *or* ahead of the table is fenced.
//!
//! Two state machines carry it out, as `step(State, Event) -> (State, Effects)`: [`task::Task`] (what a consumer reads,
//! seals and drops) and [`round::Round`] (how batches that wait become one snapshot). The connector's task and the committer
//! perform their effects on real servers; the simulation in `tests/sim` performs them on simulated ones.
//!
//! Pure: no I/O, no clock, no randomness, no async. Called by the committer (`catalog_sync::commit`), by the
//! connector's task, and by `catalog-sync verify`.

pub mod batch;
pub mod decide;
mod events;
pub mod flush;
pub mod halt;
pub mod lineage;
pub mod offset;
pub mod outcome;
pub mod overrule;
pub mod position;
pub mod ranges;
pub mod round;
pub mod start;
pub mod task;

pub use batch::Became;
pub use decide::{CommitPlan, Decision, Proposal, TableFacts, decide};
pub use halt::Halt;
pub use offset::{Offset, OffsetRange};
pub use outcome::{Landed, Outcome};
pub use position::{Counts, PartitionPosition, Position, TopicPosition};
pub use ranges::{BatchRange, Ranges, TopicRanges};
