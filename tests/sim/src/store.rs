//! The object store: data files by name, and whether they are still there.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::kafka::Uid;

/// A data file, as a manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) name: u64,
    /// How often something was written under this name before.
    pub(crate) version: u32,
    pub(crate) rows: Rc<[Uid]>,
    /// Rows of somebody else.
    pub(crate) foreign: u32,
}

/// The store.
#[derive(Debug, Default)]
pub(crate) struct Store {
    /// Name -> version, of what is there.
    files: BTreeMap<u64, u32>,
    names: u64,
}

impl Store {
    /// A name that nobody ever had.
    pub(crate) fn fresh_name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    /// Writes a file; one of the same name is overwritten. True when there was one.
    pub(crate) fn put(&mut self, name: u64, rows: Rc<[Uid]>, foreign: u32) -> (File, bool) {
        let version = self.files.get(&name).map_or(0, |version| version + 1);
        self.files.insert(name, version);
        (File { name, version, rows, foreign }, version > 0)
    }

    pub(crate) fn delete(&mut self, name: u64) {
        self.files.remove(&name);
    }

    /// Whether the file is there, with the bytes that it was written with.
    pub(crate) fn has(&self, file: &File) -> bool {
        self.files.get(&file.name) == Some(&file.version)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = u64> {
        self.files.keys().copied()
    }
}
