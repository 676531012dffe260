//! The commit protocol, exhaustively: every order of steps of writers, compactors and an orphan sweep, of a bad network,
//! crashes and foreign commits, in a small world in which the real code decides: `Round` and with it `decide`, `start`,
//! `Accounts`, `Position`, `read_position`, `overrule`.
//!
//! Promises: no offset is live twice; the rows are exactly those that the position tells of; the position never goes back;
//! no live file is deleted or written again; who was told `Committed` finds its rows; an end can be reached from
//! everywhere, and there nothing is missing that no operator gave up.
//!
//! | file | what it holds |
//! |---|---|
//! | `rules.rs` | the rules that can be switched off, the size of the world |
//! | `world.rs`, `canonical.rs`, `packed.rs` | a state, its one form, its words |
//! | `facts.rs` | the way to the real code |
//! | `moves.rs` | the steps and the promises: `writer.rs`, `network.rs`, `maintenance.rs`, `others.rs` |
//! | `search.rs` | the search |
//!
//! Called by `tests/model.rs`.

mod canonical;
mod facts;
mod maintenance;
mod moves;
mod network;
mod others;
mod packed;
mod rules;
mod search;
mod violation;
mod world;
mod writer;

pub use rules::{Bounds, Carried, Fence, Identity, OnUnknown, RangeOf, Rules};
pub use search::{Found, search};
pub use violation::{Step, Violation};
