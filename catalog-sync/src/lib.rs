//! Everything that talks to the catalog.
//!
//! ```text
//!   catalog/   the REST client: one attempt per call, statuses as typed outcomes
//!   storage/   the object store behind a table, one I/O stack
//!   datafile/  one Parquet file: layout, settings, metrics, upload
//!   deletes    which rows of which data files are deleted
//!   create     a table together with its first snapshot
//!   snapshot   data files -> manifest, manifest list, commit
//!   manifest/  manifests and their list, read whole or for a plan
//!   commit     the only commit loop: load -> decide -> POST once -> look again
//!   overrule   an operator's word against a halt, as a commit
//!   replace/   a commit that puts files or manifests in the place of others, as often as it takes
//!   rewrite/   many manifests become few
//!   compact/   many small files become few
//!   engine/    the same by Trino or Spark, past one machine
//!   reach/     what a table's references reach
//!   expire/    snapshots and tags that are no longer wanted
//!   sweep/     files that nobody needs
//!   run/       all of these by themselves, when they are due
//!   embedded/  an Iceberg REST catalog in the process
//!   verify/    proves a table complete
//!   cli/       the commands
//! ```
//!
//! Used as a library by the connector, and by this crate's own command `catalog-sync`.

pub mod catalog;
pub mod cli;
pub mod commit;
pub mod compact;
pub mod create;
pub mod datafile;
mod deletes;
pub mod embedded;
pub mod engine;
pub mod expire;
pub mod manifest;
pub mod overrule;
pub mod print;
pub mod query;
pub mod reach;
mod replace;
pub mod rewrite;
pub mod run;
pub mod secret;
mod snapshot;
pub mod storage;
pub mod suggest;
pub mod sweep;
pub mod verify;
