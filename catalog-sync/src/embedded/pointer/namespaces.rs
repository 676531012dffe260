//! Namespaces and their properties.

use std::collections::BTreeMap;

use iceberg::NamespaceIdent;
use rusqlite::{Connection, OptionalExtension, params};

use super::{PointerError, Pointers, Result, shown};

/// Properties of a namespace.
pub(in crate::embedded) type Properties = BTreeMap<String, String>;

/// What an update of a namespace's properties did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::embedded) struct PropertiesUpdate {
    pub(in crate::embedded) updated: Vec<String>,
    pub(in crate::embedded) removed: Vec<String>,
    pub(in crate::embedded) missing: Vec<String>,
}

impl Pointers {
    /// Direct children of a namespace, or the top level.
    pub(in crate::embedded) async fn namespaces(&self, parent: Option<NamespaceIdent>) -> Result<Vec<Vec<String>>> {
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
    pub(in crate::embedded) async fn create_namespace(
        &self,
        namespace: NamespaceIdent,
        properties: Properties,
    ) -> Result<()> {
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
    pub(in crate::embedded) async fn namespace(&self, namespace: NamespaceIdent) -> Result<Properties> {
        self.read(move |db| properties(db, &namespace)).await
    }

    /// Removes and sets properties of a namespace.
    pub(in crate::embedded) async fn update_namespace(
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
    pub(in crate::embedded) async fn drop_namespace(&self, namespace: NamespaceIdent) -> Result<()> {
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
}

/// Properties of a namespace, or that there is none.
pub(super) fn properties(db: &Connection, namespace: &NamespaceIdent) -> Result<Properties> {
    let sql = "SELECT properties FROM namespaces WHERE name = ?1";
    let json: Option<String> = db.query_row(sql, [namespace.to_url_string()], |row| row.get(0)).optional()?;
    let json = json.ok_or_else(|| PointerError::NoNamespace(shown(namespace)))?;
    serde_json::from_str(&json).map_err(|error| PointerError::Database(error.to_string()))
}

fn to_json(properties: &Properties) -> Result<String> {
    serde_json::to_string(properties).map_err(|error| PointerError::Database(error.to_string()))
}
