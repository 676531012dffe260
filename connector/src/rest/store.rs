//! Registrations on disk: `DIR/<name>.json`, the body of the `POST` that made them.
//!
//! Invariants: a file is whole or not there (written beside, synced, renamed); it is readable by its owner only, since
//! it holds secrets; one worker at a time uses a directory (a lock that the system drops with the process). Blocking;
//! called by the registry from a blocking thread.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::submission::Submission;
use crate::config::values::connector_name;

/// The directory could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has it.
    #[error("{0} is used by another worker; give each worker its own --connectors-dir")]
    Locked(PathBuf),
    /// The system said no.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file there is no registration.
    #[error("{path} is no registration ({why}); mend it or move it away")]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// Why not; never holds a value.
        why: String,
    },
}

/// An open directory of registrations.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    _lock: File,
}

impl Store {
    /// Makes the directory if it is missing, and locks it.
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        let at = |what, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { what, path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at("create", dir))?;
        let path = dir.join(".lock");
        let mut open = OpenOptions::new();
        let lock = open.create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(at("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir: dir.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked(dir.to_owned())),
            Err(TryLockError::Error(source)) => Err(at("lock", &path)(source)),
        }
    }

    /// Every registration, by name. A file that cannot be read stops the start: a connector must not vanish in silence.
    pub(super) fn load(&self) -> Result<BTreeMap<String, Submission>, StoreError> {
        let io = |what, path: &Path, source| StoreError::Io { what, path: path.to_owned(), source };
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&self.dir).map_err(|e| io("read", &self.dir, e))? {
            let path = entry.map_err(|e| io("read", &self.dir, e))?.path();
            let Some(name) =
                path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".json"))
            else {
                continue;
            };
            let unreadable = |why: String| StoreError::Unreadable { path: path.clone(), why };
            connector_name(name).map_err(|_| unreadable("the file name is no name of a connector".into()))?;
            let text = fs::read(&path).map_err(|e| io("read", &path, e))?;
            let submission = Submission::from_json(&text).map_err(unreadable)?;
            if submission.name != name {
                return Err(unreadable("it is for a connector of another name".into()));
            }
            found.insert(name.to_owned(), submission);
        }
        Ok(found)
    }

    /// Keeps a registration, in place of an older one of the same name.
    pub(super) fn save(&self, submission: &Submission) -> Result<(), StoreError> {
        let path = self.path(&submission.name);
        let beside = self.dir.join(format!("{}.json.tmp", submission.name));
        let write = || -> io::Result<()> {
            match fs::remove_file(&beside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside)?;
            file.write_all(submission.to_json().as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            self.sync()
        };
        write().map_err(|source| StoreError::Io { what: "write", path: path.clone(), source })
    }

    /// Forgets a registration; one that is not there is forgotten already.
    pub(super) fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        let gone = match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            done => done,
        };
        gone.and_then(|()| self.sync()).map_err(|source| StoreError::Io { what: "remove", path, source })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.json"))
    }

    /// A rename is only safe from a power cut once the directory itself is synced.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn submission(name: &str, value: &str) -> Submission {
        Submission::from_json(format!(r#"{{"name":"{name}","config":{{"topics":"{value}"}}}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn what_was_saved_is_loaded_and_only_the_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("new")).unwrap();
        store.save(&submission("a", "one")).unwrap();
        store.save(&submission("a", "two")).unwrap();
        store.save(&submission("a.json", "three")).unwrap();
        store.save(&submission("b", "four")).unwrap();
        store.remove("b").unwrap();
        store.remove("b").unwrap();
        let all = store.load().unwrap();
        assert_eq!(all.keys().collect::<Vec<_>>(), ["a", "a.json"]);
        assert_eq!(all["a"].config["topics"], "two");
        let mode = fs::metadata(dir.path().join("new/a.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_half_written_file_of_a_crash_is_passed_over_and_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.json.tmp"), "{\"na").unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(store.load().unwrap().is_empty());
        store.save(&submission("a", "one")).unwrap();
        assert_eq!(store.load().unwrap().len(), 1);
    }

    #[test]
    fn a_directory_serves_one_worker_and_bad_files_stop_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(matches!(Store::open(dir.path()), Err(StoreError::Locked(_))));
        fs::write(dir.path().join("x.json"), "canary-4711").unwrap();
        let error = store.load().unwrap_err().to_string();
        assert!(error.contains("x.json") && !error.contains("4711"), "{error}");
    }
}
