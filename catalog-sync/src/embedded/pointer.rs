//! Which metadata file is a table's current one: one row a table in SQLite, moved by compare-and-swap.
//!
//! This is the only state of the catalog besides the files themselves. The swap is one `UPDATE … WHERE
//! metadata_location = <what the commit was based on>`, so any number of processes may serve the same folder. The
//! database is in WAL mode with `synchronous=FULL`: a pointer that was reported as moved stays moved.
//!
//! Namespace levels are joined with 0x1F, as in the specification's paths; the children of a namespace are therefore a
//! range of keys.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use iceberg::{NamespaceIdent, TableIdent};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};

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

/// Properties of a namespace.
pub(super) type Properties = BTreeMap<String, String>;

/// Why a pointer could not be read or moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PointerError {
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

/// What an update of a namespace's properties did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PropertiesUpdate {
    pub(super) updated: Vec<String>,
    pub(super) removed: Vec<String>,
    pub(super) missing: Vec<String>,
}

/// The database. Cheap to clone; calls are run one after the other off the async threads.
#[derive(Debug, Clone)]
pub(super) struct Pointers {
    connection: Arc<Mutex<Connection>>,
}

impl Pointers {
    /// Opens or makes the database.
    pub(super) fn open(path: &Path) -> Result<Self> {
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

    /// Direct children of a namespace, or the top level.
    pub(super) async fn namespaces(&self, parent: Option<NamespaceIdent>) -> Result<Vec<Vec<String>>> {
        self.read(move |db| {
            let (from, to, depth) = match &parent {
                None => (String::new(), String::from("\u{10FFFF}"), 1),
                Some(parent) => {
                    properties(db, parent)?;
                    let key = parent.to_url_string();
                    (format!("{key}\u{1F}"), format!("{key}\u{20}"), parent.len() + 1)
                }
            };
            let mut statement =
                db.prepare("SELECT name FROM namespaces WHERE name >= ?1 AND name < ?2 ORDER BY name")?;
            let names = statement.query_map(params![from, to], |row| row.get::<_, String>(0))?;
            let levels = names.map(|name| Ok(name?.split('\u{1F}').map(str::to_owned).collect::<Vec<_>>()));
            levels.filter(|levels: &Result<Vec<_>>| levels.as_ref().map_or(true, |it| it.len() == depth)).collect()
        })
        .await
    }

    /// Makes a namespace, and its parents where they are missing.
    pub(super) async fn create_namespace(&self, namespace: NamespaceIdent, properties: Properties) -> Result<()> {
        self.write(move |db| {
            let mut parent = namespace.parent();
            while let Some(namespace) = parent {
                db.execute("INSERT OR IGNORE INTO namespaces VALUES (?1, '{}')", [namespace.to_url_string()])?;
                parent = namespace.parent();
            }
            let sql = "INSERT OR IGNORE INTO namespaces VALUES (?1, ?2)";
            match db.execute(sql, params![namespace.to_url_string(), to_json(&properties)?])? {
                0 => Err(PointerError::Exists(format!("namespace {}", shown(&namespace)))),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Properties of a namespace; the way to know that it is there.
    pub(super) async fn namespace(&self, namespace: NamespaceIdent) -> Result<Properties> {
        self.read(move |db| properties(db, &namespace)).await
    }

    /// Removes and sets properties of a namespace.
    pub(super) async fn update_namespace(
        &self,
        namespace: NamespaceIdent,
        removals: Vec<String>,
        updates: Properties,
    ) -> Result<PropertiesUpdate> {
        self.write(move |db| {
            let mut properties = properties(db, &namespace)?;
            let mut done = PropertiesUpdate::default();
            for key in removals {
                match properties.remove(&key) {
                    Some(_) => done.removed.push(key),
                    None => done.missing.push(key),
                }
            }
            done.updated = updates.keys().cloned().collect();
            properties.extend(updates);
            let sql = "UPDATE namespaces SET properties = ?2 WHERE name = ?1";
            db.execute(sql, params![namespace.to_url_string(), to_json(&properties)?])?;
            Ok(done)
        })
        .await
    }

    /// Removes a namespace that holds neither tables nor namespaces.
    pub(super) async fn drop_namespace(&self, namespace: NamespaceIdent) -> Result<()> {
        self.write(move |db| {
            properties(db, &namespace)?;
            let key = namespace.to_url_string();
            let sql = "SELECT EXISTS (SELECT 1 FROM tables WHERE namespace = ?1)
                           OR EXISTS (SELECT 1 FROM namespaces WHERE name >= ?2 AND name < ?3)";
            if db.query_row(sql, params![key, format!("{key}\u{1F}"), format!("{key}\u{20}")], |row| row.get(0))? {
                return Err(PointerError::NotEmpty(shown(&namespace)));
            }
            db.execute("DELETE FROM namespaces WHERE name = ?1", [key])?;
            Ok(())
        })
        .await
    }

    /// Names of the tables of a namespace.
    pub(super) async fn tables(&self, namespace: NamespaceIdent) -> Result<Vec<String>> {
        self.read(move |db| {
            properties(db, &namespace)?;
            let mut statement = db.prepare("SELECT name FROM tables WHERE namespace = ?1 ORDER BY name")?;
            let names = statement.query_map([namespace.to_url_string()], |row| row.get(0))?;
            Ok(names.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The current metadata file of a table; `None` when there is no such table. Its namespace must exist.
    pub(super) async fn table(&self, table: TableIdent) -> Result<Option<String>> {
        self.read(move |db| location(db, &table)).await
    }

    /// Puts a new table down.
    pub(super) async fn insert(&self, table: TableIdent, metadata_location: String) -> Result<()> {
        self.write(move |db| {
            properties(db, table.namespace())?;
            let sql = "INSERT OR IGNORE INTO tables VALUES (?1, ?2, ?3, NULL)";
            match db.execute(sql, params![table.namespace().to_url_string(), table.name(), metadata_location])? {
                0 => Err(PointerError::Exists(format!("table {}", shown_table(&table)))),
                _ => Ok(()),
            }
        })
        .await
    }

    /// The compare-and-swap: moves a table from one metadata file to the next, if it is still at the first.
    pub(super) async fn swap(&self, table: TableIdent, from: String, to: String) -> Result<()> {
        self.write(move |db| {
            let sql = "UPDATE tables SET metadata_location = ?4, previous_metadata_location = ?3
                       WHERE namespace = ?1 AND name = ?2 AND metadata_location = ?3";
            match db.execute(sql, params![table.namespace().to_url_string(), table.name(), from, to])? {
                0 => Err(PointerError::Moved(shown_table(&table))),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Forgets a table; its files stay.
    pub(super) async fn remove(&self, table: TableIdent) -> Result<()> {
        self.write(move |db| {
            let sql = "DELETE FROM tables WHERE namespace = ?1 AND name = ?2";
            match db.execute(sql, params![table.namespace().to_url_string(), table.name()])? {
                0 => Err(PointerError::NoTable(shown_table(&table))),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Gives a table another name, in the same or another namespace.
    pub(super) async fn rename(&self, from: TableIdent, to: TableIdent) -> Result<()> {
        self.write(move |db| {
            if location(db, &from)?.is_none() {
                return Err(PointerError::NoTable(shown_table(&from)));
            }
            if location(db, &to)?.is_some() {
                return Err(PointerError::Exists(format!("table {}", shown_table(&to))));
            }
            let sql = "UPDATE tables SET namespace = ?3, name = ?4 WHERE namespace = ?1 AND name = ?2";
            let (from_namespace, to_namespace) = (from.namespace().to_url_string(), to.namespace().to_url_string());
            db.execute(sql, params![from_namespace, from.name(), to_namespace, to.name()])?;
            Ok(())
        })
        .await
    }
}

fn properties(db: &Connection, namespace: &NamespaceIdent) -> Result<Properties> {
    let sql = "SELECT properties FROM namespaces WHERE name = ?1";
    let json: Option<String> = db.query_row(sql, [namespace.to_url_string()], |row| row.get(0)).optional()?;
    let json = json.ok_or_else(|| PointerError::NoNamespace(shown(namespace)))?;
    serde_json::from_str(&json).map_err(|error| PointerError::Database(error.to_string()))
}

fn location(db: &Connection, table: &TableIdent) -> Result<Option<String>> {
    properties(db, table.namespace())?;
    let sql = "SELECT metadata_location FROM tables WHERE namespace = ?1 AND name = ?2";
    Ok(db.query_row(sql, params![table.namespace().to_url_string(), table.name()], |row| row.get(0)).optional()?)
}

fn to_json(properties: &Properties) -> Result<String> {
    serde_json::to_string(properties).map_err(|error| PointerError::Database(error.to_string()))
}

/// A namespace as people write it.
pub(super) fn shown(namespace: &NamespaceIdent) -> String {
    namespace.join(".")
}

/// A table as people write it.
pub(super) fn shown_table(table: &TableIdent) -> String {
    format!("{}.{}", shown(table.namespace()), table.name())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
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
