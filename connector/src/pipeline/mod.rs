//! The write path: decoded batches become data files in the store.
//!
//! [`layout`] says how the event lies in the table, [`settings`] how files are written, [`encode`] makes them in memory,
//! [`metrics`] tells the catalog what is in them, [`upload`] stores them. Nothing here commits: a file that was uploaded
//! and never committed is an orphan, and harmless.

pub mod encode;
pub mod layout;
pub mod metrics;
pub mod settings;
pub mod upload;

#[cfg(test)]
pub(crate) mod testing;
