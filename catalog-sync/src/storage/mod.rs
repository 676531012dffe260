//! Bytes of tables: one I/O stack over S3 and the local disk.
//!
//! [`Store`] is opened from a location and from what the catalog and the operator say about the object store. It writes
//! whole objects that are never changed afterwards, reads, lists and deletes them; [`Store::file_io`] hands the same
//! store to the `iceberg` crate, so that manifests and data files take the same way, with the same credentials, retries
//! and time-outs.
//!
//! Invariants: an object, once written, is never overwritten through this module; a location is used as it is written
//! in the table's metadata, without decoding; no error text and no `Debug` output carries a credential.
//!
//! Called by the commit loop, the writers, maintenance, and the embedded catalog.

mod error;
mod iceberg;
mod location;
mod s3;
mod store;

pub use error::StorageError;
pub use store::{Listed, Store};
