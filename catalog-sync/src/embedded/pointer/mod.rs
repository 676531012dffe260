//! Which metadata file is a table's current one: one row a table in SQLite, moved by compare-and-swap.
//!
//! This is the only state of the catalog besides the files themselves. The swap is one `UPDATE … WHERE
//! metadata_location = <what the commit was based on>`, so any number of processes may serve the same folder. The
//! database is in WAL mode with `synchronous=FULL`: a pointer that was reported as moved stays moved.
//!
//! Namespace levels are joined with 0x1F, as in the specification's paths; the children of a namespace are therefore a
//! range of keys.

mod namespaces;
mod tables;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use iceberg::{NamespaceIdent, TableIdent};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

/// Longest wait for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Version of the tables below, kept in `user_version`.
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS namespaces (
        name       TEXT PRIMARY KEY,
        properties TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS tables (
        namespace                  TEXT NOT NULL REFERENCES namespaces (name),
        name                       TEXT NOT NULL,
        metadata_location          TEXT NOT NULL,
        previous_metadata_location TEXT,
        PRIMARY KEY (namespace, name)
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 1;";

/// Why a pointer could not be read or moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::embedded) enum PointerError {
    #[error("namespace does not exist: {0}")]
    NoNamespace(String),
    #[error("table does not exist: {0}")]
    NoTable(String),
    #[error("already exists: {0}")]
    Exists(String),
    #[error("namespace is not empty: {0}")]
    NotEmpty(String),
    #[error("table {0} was changed by another commit; load it and try again")]
    Moved(String),
    #[error("the catalog database is busy; nothing was changed, try again")]
    Busy,
    #[error("catalog database: {0}")]
    Database(String),
}

impl From<rusqlite::Error> for PointerError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Database(error.to_string()),
        }
    }
}

type Result<T> = std::result::Result<T, PointerError>;

/// The database. Cheap to clone; calls are run one after the other off the async threads.
#[derive(Debug, Clone)]
pub(in crate::embedded) struct Pointers {
    connection: Arc<Mutex<Connection>>,
}

impl Pointers {
    /// Opens or makes the database.
    pub(in crate::embedded) fn open(path: &Path) -> Result<Self> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version > SCHEMA_VERSION {
            let message = format!("it has version {version}, this program knows {SCHEMA_VERSION}; use a newer program");
            return Err(PointerError::Database(message));
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(SCHEMA)?;
        transaction.commit()?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Runs one transaction that changes something. It takes the write lock at its beginning, so that what it reads
    /// stays true until its end; what `work` did is kept only if it returns `Ok`.
    async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    {
        self.run(TransactionBehavior::Immediate, work).await
    }

    /// Runs one transaction that only reads; it waits for nobody.
    async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    {
        self.run(TransactionBehavior::Deferred, work).await
    }

    async fn run<T, F>(&self, behavior: TransactionBehavior, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    {
        let connection = Arc::clone(&self.connection);
        let done = tokio::task::spawn_blocking(move || {
            // A panic under the lock leaves a rolled-back transaction, not a broken connection.
            let mut connection = connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let transaction = connection.transaction_with_behavior(behavior)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        });
        done.await.map_err(|error| PointerError::Database(error.to_string()))?
    }
}

/// A namespace as people write it.
pub(in crate::embedded) fn shown(namespace: &NamespaceIdent) -> String {
    namespace.join(".")
}

/// A table as people write it.
pub(in crate::embedded) fn shown_table(table: &TableIdent) -> String {
    format!("{}.{}", shown(table.namespace()), table.name())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::namespaces::Properties;
    use super::*;

    fn namespace(levels: &[&str]) -> NamespaceIdent {
        NamespaceIdent::from_strs(levels).unwrap()
    }

    #[tokio::test]
    async fn only_the_swap_that_knows_the_current_file_moves_the_pointer_in_any_process() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("catalog.db"), dir.path().join("catalog.db"));
        let (one, two) = (Pointers::open(&one).unwrap(), Pointers::open(&two).unwrap());
        let table = TableIdent::new(namespace(&["a"]), "t".into());
        one.create_namespace(namespace(&["a"]), Properties::new()).await.unwrap();
        one.insert(table.clone(), "m0".into()).await.unwrap();
        let lost = two.insert(table.clone(), "m1".into()).await.unwrap_err();
        assert_eq!(lost, PointerError::Exists("table a.t".into()));
        two.swap(table.clone(), "m0".into(), "m1".into()).await.unwrap();
        let lost = one.swap(table.clone(), "m0".into(), "m2".into()).await.unwrap_err();
        assert_eq!(lost, PointerError::Moved("a.t".into()));
        assert_eq!(one.table(table).await.unwrap().as_deref(), Some("m1"));
    }

    #[tokio::test]
    async fn namespaces_nest_and_only_empty_ones_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let pointers = Pointers::open(&dir.path().join("catalog.db")).unwrap();
        pointers.create_namespace(namespace(&["a", "b", "c"]), Properties::new()).await.unwrap();
        pointers.create_namespace(namespace(&["a b"]), Properties::new()).await.unwrap();
        assert_eq!(pointers.namespaces(None).await.unwrap(), [["a"], ["a b"]]);
        assert_eq!(pointers.namespaces(Some(namespace(&["a"]))).await.unwrap(), [["a", "b"]]);
        let refused = pointers.drop_namespace(namespace(&["a"])).await.unwrap_err();
        assert_eq!(refused, PointerError::NotEmpty("a".into()));
        for levels in [&["a", "b", "c"][..], &["a", "b"], &["a"]] {
            pointers.drop_namespace(namespace(levels)).await.unwrap();
        }
        let gone = pointers.namespaces(Some(namespace(&["a"]))).await.unwrap_err();
        assert_eq!(gone, PointerError::NoNamespace("a".into()));
    }

    #[tokio::test]
    async fn a_database_of_a_newer_program_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.db");
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
        assert!(matches!(Pointers::open(&path), Err(PointerError::Database(_))));
    }
}
