//! Whole promises, on the real servers: one program, so that the workspace is linked once and not for each of them.
//!
//! Run by `tests/run`, one test after another, since each has the servers to itself; `tests/run --e2e restart` runs one file.

mod backfill;
mod bad_input;
mod catalog_faults;
mod compact;
mod embedded;
mod expire;
mod first_writers;
mod halts;
mod ingest;
mod kafka_faults;
mod long_strings;
mod maintenance;
mod manifests;
mod optimize;
mod poison;
mod restart;
mod store_faults;
mod workers;
