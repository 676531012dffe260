//! The write path: decoded batches become data files in the store.
//!
//! [`layout`] says how the event lies in the table, [`settings`] how files are written, [`encode`] makes them in memory
//! (rows wait in `stage`, or compressed in a `run`; lanes are encoded in `parallel`), [`metrics`] tells the catalog what is
//! in them, [`upload`] stores them. Nothing here commits: a file that was uploaded and never committed is an orphan, and
//! harmless.

pub mod encode;
pub mod layout;
pub mod metrics;
mod parallel;
mod run;
pub mod settings;
mod stage;
pub mod upload;

#[cfg(test)]
pub(crate) mod testing;
