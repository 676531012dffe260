//! The write path: decoded batches become data files.
//!
//! [`encode`] makes them in memory: rows wait in `stage`, or compressed in a `run`; lanes are encoded in `parallel`. How a
//! file is written and stored is `catalog_sync::datafile`'s. Nothing here commits.

pub mod encode;
mod parallel;
mod run;
mod stage;
