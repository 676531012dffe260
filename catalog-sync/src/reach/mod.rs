//! What a table's references reach: every file that somebody may still want to read.
//!
//! ```text
//!   cutoff     pure: how far back the history of a reference counts
//!   retained   which metadata files count, by the catalog's references; the same code in the simulation
//!   roots      I/O: the catalogs that there are
//!   walk       I/O: metadata file -> manifest lists -> manifests -> files, each once
//! ```
//!
//! On a catalog with history the table's own metadata tells of all its snapshots. On Nessie a metadata file tells of one, so
//! that every branch and tag is looked at, and every commit that is retained. What is reached grows and never shrinks: a
//! second look adds what came since, and costs no more than that. Called by [`crate::sweep`] and [`crate::expire`].

pub mod cutoff;
pub mod retained;
pub(crate) mod roots;
pub(crate) mod walk;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::catalog::CatalogError;
use crate::storage::StorageError;

/// Files that are reached, as hashes of their names: two files with one hash are both kept, so that a collision costs
/// some bytes of storage and nothing else.
#[derive(Debug, Clone, Default)]
pub struct Reached {
    hashes: HashSet<u64>,
}

impl Reached {
    /// Adds a file by its name in the store; whether it is new.
    pub fn add(&mut self, name: &str) -> bool {
        self.hashes.insert(hash(name))
    }

    /// Whether a file is reached, or another one of the same hash.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        self.hashes.contains(&hash(name))
    }

    /// Files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether nothing is reached.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// It is not known what is reached; nothing may be deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The catalog did not answer as it should.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The object store did not.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Metadata that nobody can read.
    #[error("cannot read {location}: {error}")]
    Unreadable {
        /// The file.
        location: String,
        /// Why.
        error: String,
    },
    /// A file is gone that a reference needs now.
    #[error(
        "{location} is gone, and {by} needs it: the table is damaged there, and nothing is deleted before it is whole \
         again; restore the file, or drop the reference"
    )]
    Gone {
        /// The file.
        location: String,
        /// Who needs it.
        by: String,
    },
}
