//! The pointers themselves: one row a table.

use iceberg::{NamespaceIdent, TableIdent};
use rusqlite::{Connection, OptionalExtension, params};

use super::namespaces::properties;
use super::{PointerError, Pointers, Result, shown_table};

impl Pointers {
    /// Names of the tables of a namespace.
    pub(in crate::embedded) async fn tables(&self, namespace: NamespaceIdent) -> Result<Vec<String>> {
        self.read(move |db| {
            properties(db, &namespace)?;
            let mut statement = db.prepare("SELECT name FROM tables WHERE namespace = ?1 ORDER BY name")?;
            let names = statement.query_map([namespace.to_url_string()], |row| row.get(0))?;
            Ok(names.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The current metadata file of a table; `None` when there is no such table. Its namespace must exist.
    pub(in crate::embedded) async fn table(&self, table: TableIdent) -> Result<Option<String>> {
        self.read(move |db| location(db, &table)).await
    }

    /// Puts a new table down.
    pub(in crate::embedded) async fn insert(&self, table: TableIdent, metadata_location: String) -> Result<()> {
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
    pub(in crate::embedded) async fn swap(&self, table: TableIdent, from: String, to: String) -> Result<()> {
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
    pub(in crate::embedded) async fn remove(&self, table: TableIdent) -> Result<()> {
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
    pub(in crate::embedded) async fn rename(&self, from: TableIdent, to: TableIdent) -> Result<()> {
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

fn location(db: &Connection, table: &TableIdent) -> Result<Option<String>> {
    properties(db, table.namespace())?;
    let sql = "SELECT metadata_location FROM tables WHERE namespace = ?1 AND name = ?2";
    Ok(db.query_row(sql, params![table.namespace().to_url_string(), table.name()], |row| row.get(0)).optional()?)
}
