//! Matchers for the requests that tests aim at.

use axum::http::Method;

use super::rule::{Heard, Matcher};

/// Commits to a table, `namespace.table`; its creation is one, too.
#[must_use]
pub fn commits(table: &str) -> Matcher {
    let end = table_end(table);
    Box::new(move |heard: &Heard| heard.method == Method::POST && heard.path.ends_with(&end))
}

/// Loads of a table.
#[must_use]
pub fn loads(table: &str) -> Matcher {
    let end = table_end(table);
    let path = |heard: &Heard| heard.path.split('?').next().unwrap_or_default().to_owned();
    Box::new(move |heard: &Heard| heard.method == Method::GET && path(heard).ends_with(&end))
}

/// Data files that are written below a table's location.
#[must_use]
pub fn data_files() -> Matcher {
    Box::new(|heard: &Heard| heard.method == Method::PUT && heard.path.ends_with(".parquet"))
}

/// Manifests and manifest lists that are written below a table's location.
#[must_use]
pub fn manifests() -> Matcher {
    Box::new(|heard: &Heard| heard.method == Method::PUT && heard.path.ends_with(".avro"))
}

/// Objects that are deleted, and listings of objects.
#[must_use]
pub fn deletions_and_listings() -> Matcher {
    let delete = |heard: &Heard| heard.method == Method::DELETE || heard.path.contains("?delete");
    Box::new(move |heard: &Heard| delete(heard) || heard.path.contains("list-type="))
}

/// Every object that is written.
#[must_use]
pub fn writes() -> Matcher {
    Box::new(|heard: &Heard| heard.method == Method::PUT)
}

/// Everything.
#[must_use]
pub fn all() -> Matcher {
    Box::new(|_: &Heard| true)
}

fn table_end(table: &str) -> String {
    format!("/tables/{}", table.split('.').next_back().unwrap_or(table))
}
