//! What may happen to the offsets of a topic on their way into a table.
//!
//! A **batch** is a set of rows that carries, for every Kafka partition in it, a half-open range of offsets
//! ([`Ranges`]). The table carries a **position** ([`Position`]): for every topic its identity, for every partition the
//! next offset to be read. [`decide`](decide::decide) compares the two on a freshly loaded table and is the only maker
//! of a [`CommitPlan`](decide::CommitPlan): nothing is committed but by its leave.
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
//! Pure: no I/O, no clock, no randomness, no async. Called by the committer (`catalog_sync::commit`), by the
//! connector's task, and by `catalog-sync verify`.

pub mod decide;
pub mod flush;
pub mod halt;
pub mod lineage;
pub mod offset;
pub mod position;
pub mod ranges;
pub mod start;

pub use decide::{CommitPlan, Decision, TableFacts, decide};
pub use halt::Halt;
pub use offset::{Offset, OffsetRange};
pub use position::{Counts, PartitionPosition, Position, TopicPosition};
pub use ranges::{BatchRange, Ranges, TopicRanges};
