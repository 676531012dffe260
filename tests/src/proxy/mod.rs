//! Faults on the wire, between a worker and the real servers.
//!
//! [`http`] understands requests, so that it can lose the answer to one commit and no other; it stands before the catalog
//! and the object store. [`tcp`] understands connections only; it stands before Kafka. Both live in the test's own
//! process, are driven by its calls and end with it. Every fault is counted, since a test whose fault never came about
//! has shown nothing.

pub mod gate;
pub mod http;
pub mod requests;
pub mod rule;
pub mod tcp;
