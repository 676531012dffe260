//! Why nothing was replaced. Called by [`super`] and by those who say what takes the place of what.

use iceberg::spec::FormatVersion;
use protocol::Halt;

use super::facts::TARGET_SIZE_KEY;
use crate::catalog::CatalogError;
use crate::storage::StorageError;

/// Tries before giving up; a conflict costs one, and so does a catalog that does not answer.
pub(super) const ATTEMPTS: u32 = 20;

/// Nothing was replaced, or it is not known whether it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The table cannot be loaded.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The object store cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A manifest or a manifest list cannot be read or written.
    #[error("cannot read or write manifests: {0}")]
    Iceberg(#[from] iceberg::Error),
    /// The position cannot be read, so that there is none to carry.
    #[error("the table's position cannot be carried: {0}")]
    Halted(Halt),
    /// The table has a form that this release does not write.
    #[error("the table has format version {0}, this release writes version 2")]
    Format(FormatVersion),
    /// A table property says nonsense.
    #[error("table property {TARGET_SIZE_KEY} is {0:?}, which is no number of bytes above 0")]
    Property(String),
    /// An entry that the specification does not allow.
    #[error("data file {0} has no snapshot or no sequence number in its manifest")]
    Unnumbered(String),
    /// The new manifests would not hold what the old ones did.
    #[error("the manifest list tells of {read}, the manifests hold {written}: see `catalog-sync verify`")]
    Miscounted {
        /// What the list says.
        read: String,
        /// What was found.
        written: String,
    },
    /// Files that are to go are not in the manifests once each.
    #[error("of {wanted} files that were to be replaced the manifests list {found}: see `catalog-sync verify`")]
    NotListed {
        /// Files to be replaced.
        wanted: u64,
        /// Entries found.
        found: u64,
    },
    /// Another table has the name now.
    #[error("the table was replaced by another one of its name")]
    Replaced,
    /// The catalog does not take the commit.
    #[error("the catalog does not take the commit: {0}")]
    Refused(String),
    /// Others commit all the time.
    #[error(
        "lost the race against other commits {ATTEMPTS} times: ingestion is too fast; run it again when there is less of it, \
         or lengthen the connector's commit.interval.ms for as long as it takes ({0})"
    )]
    TooFast(String),
    /// The catalog does not answer.
    #[error("not settled after {ATTEMPTS} attempts: {0}; run it again, it changes nothing twice")]
    Unsettled(String),
}
