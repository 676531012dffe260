//! What Nessie keeps and its Iceberg REST does not show: the commits that touched a table, and the table as of each.
//!
//! Nessie's Iceberg REST shows the current snapshot only. Its own API lists the commits of a branch, and a prefix that
//! names a commit loads the table as it was then. Read-only. Called by `verify`; what Nessie calls references is in
//! [`super::references`].

use iceberg::TableIdent;
use reqwest::Method;
use serde::Deserialize;

use super::client::{CatalogClient, encode};
use super::error::CatalogError;
use super::table::LoadedTable;

/// Commits asked for at once.
const PAGE_COMMITS: usize = 250;
/// Key under which the catalog says that it is Nessie.
pub(super) const IS_NESSIE: &str = "nessie.is-nessie-catalog";

/// One commit that touched a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableCommit {
    /// Nessie's hash of it.
    pub hash: String,
    /// When, as Nessie writes it.
    pub time: String,
}

/// The commits that touched a table, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NessieHistory {
    /// The commits.
    pub commits: Vec<TableCommit>,
    /// Whether the last one is the commit that created the table.
    pub from_creation: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    #[serde(default)]
    pub(super) log_entries: Vec<Entry>,
    #[serde(default)]
    pub(super) has_more: bool,
    pub(super) token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) commit_meta: Meta,
    #[serde(default)]
    pub(super) operations: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    pub(super) hash: String,
    #[serde(default)]
    pub(super) commit_time: String,
}

#[derive(Deserialize)]
pub(super) struct Change {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) key: Key,
    pub(super) content: Option<Content>,
}

#[derive(Deserialize)]
pub(super) struct Key {
    pub(super) elements: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Content {
    pub(super) id: String,
    pub(super) metadata_location: Option<String>,
}

/// Builds the list, entry by entry, until the table's life begins.
#[derive(Default)]
struct Collector {
    history: NessieHistory,
    content: Option<String>,
}

impl CatalogClient {
    /// Whether the catalog says that it is Nessie.
    #[must_use]
    pub fn is_nessie(&self) -> bool {
        self.properties.get(IS_NESSIE).is_some_and(|text| text == "true")
    }

    /// The newest `limit` commits of the branch that touched the table. A table of the same name that was dropped
    /// before does not belong to it.
    ///
    /// # Errors
    /// [`CatalogError`], also when the address has no `/iceberg` in it, so that Nessie's own API cannot be found.
    pub async fn nessie_history(&self, ident: &TableIdent, limit: usize) -> Result<NessieHistory, CatalogError> {
        let elements = elements(ident);
        let what = format!("read the history of table {ident}");
        let url = self.history_url(&encode(&self.reference().0), &elements, PAGE_COMMITS.min(limit.max(1)))?;
        let mut collector = Collector::default();
        let mut next = url.clone();
        loop {
            let page: Page = self.json(&what, Method::GET, &next, None).await?;
            let more = page.log_entries.into_iter().all(|entry| collector.take(entry, &elements, limit));
            match page.token.filter(|_| page.has_more) {
                Some(token) if more => next = format!("{url}&page-token={}", encode(&token)),
                Some(_) => break,
                None => {
                    collector.history.from_creation |= more && !collector.history.commits.is_empty();
                    break;
                }
            }
        }
        Ok(collector.history)
    }

    /// A commit before the one that made the table what it was at `hash`; none if that one created it. Nessie searches no
    /// further than to the commit that is told here: where there is none, to the beginning of the branch.
    pub(super) async fn commit_before(
        &self,
        ident: &TableIdent,
        reference: &str,
        hash: &str,
    ) -> Result<Option<String>, CatalogError> {
        let url = self.history_url(&at(reference, hash), &elements(ident), 1)?;
        let page: Page = self.json(&format!("read the history of table {ident}"), Method::GET, &url, None).await?;
        // The token of a page is the hash of the commit that the next one begins with.
        Ok(page.token.filter(|_| page.has_more))
    }

    fn history_url(&self, from: &str, elements: &[String], page: usize) -> Result<String, CatalogError> {
        let filter = encode(&filter(elements));
        Ok(format!("{}/{from}/history?fetch=ALL&max-records={page}&filter={filter}", self.trees()?))
    }

    /// Where Nessie's own API has the references.
    pub(super) fn trees(&self) -> Result<String, CatalogError> {
        match self.base.rsplit_once("/iceberg") {
            Some((root, _)) => Ok(format!("{root}/api/v2/trees")),
            None => Err(CatalogError::Config(format!(
                "cannot tell the address of Nessie's API from {}: it has no /iceberg in it",
                self.base
            ))),
        }
    }

    /// The table as it was after a commit.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn load_table_at(&self, ident: &TableIdent, hash: &str) -> Result<LoadedTable, CatalogError> {
        self.load_table_at_commit(&self.reference().0, ident, hash).await
    }

    /// The table as a reference had it after one of its commits.
    pub(crate) async fn load_table_at_commit(
        &self,
        reference: &str,
        ident: &TableIdent,
        hash: &str,
    ) -> Result<LoadedTable, CatalogError> {
        self.at_commit(reference, hash).fetch(ident).await
    }

    /// The same connection with a prefix that names a commit. What is read through it is the table as it was then; what
    /// is written through it is refused if the table has changed since, and not if only others have.
    pub(super) fn at_commit(&self, reference: &str, hash: &str) -> Self {
        let at = at(reference, hash);
        let mut then = self.clone();
        then.prefix = match self.reference() {
            (_, Some(warehouse)) => format!("/{at}{}", encode(&format!("|{warehouse}"))),
            (_, None) => format!("/{at}"),
        };
        then
    }

    /// Branch and warehouse, out of the prefix that Nessie gave.
    pub(super) fn reference(&self) -> (String, Option<String>) {
        let raw = self.prefix.trim_start_matches('/');
        let prefix = percent_encoding::percent_decode_str(raw).decode_utf8_lossy().into_owned();
        match prefix.split_once('|') {
            Some((reference, warehouse)) => (reference.to_owned(), Some(warehouse.to_owned())),
            None if prefix.is_empty() => ("main".to_owned(), None),
            None => (prefix, None),
        }
    }
}

impl Collector {
    /// Takes an entry; false when nothing older belongs to the table, or enough was taken.
    fn take(&mut self, entry: Entry, elements: &[String], limit: usize) -> bool {
        let Some(change) = entry.operations.iter().find(|change| change.key.elements == elements) else { return true };
        let id = change.content.as_ref().map(|content| content.id.as_str());
        let another = self.content.as_deref().is_some_and(|known| id != Some(known));
        if change.kind != "PUT" || another {
            self.history.from_creation = !self.history.commits.is_empty();
            return false;
        }
        if self.history.commits.len() >= limit {
            return false;
        }
        self.content = id.map(str::to_owned);
        self.history.commits.push(TableCommit { hash: entry.commit_meta.hash, time: entry.commit_meta.commit_time });
        // A rename deletes the old name in the same commit: what was before it stands under that name.
        entry.operations.iter().all(|change| change.kind != "DELETE")
    }
}

/// A commit in an address. Nessie 0.99.0 wants the `@` as it is when something is written.
pub(super) fn at(reference: &str, hash: &str) -> String {
    format!("{}@{}", encode(reference), encode(hash))
}

fn elements(ident: &TableIdent) -> Vec<String> {
    ident.namespace().as_ref().iter().cloned().chain([ident.name().to_owned()]).collect()
}

/// Nessie's filter expression for the commits that touch a key.
fn filter(elements: &[String]) -> String {
    let quoted: Vec<String> =
        elements.iter().map(|text| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))).collect();
    format!("operations.exists(op, op.keyElements == [{}])", quoted.join(", "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entry(hash: &str, operations: &str) -> Entry {
        serde_json::from_str(&format!(r#"{{"commitMeta":{{"hash":"{hash}"}},"operations":{operations}}}"#)).unwrap()
    }

    fn put(id: &str) -> String {
        format!(r#"{{"type":"PUT","key":{{"elements":["a","t"]}},"content":{{"type":"ICEBERG_TABLE","id":"{id}"}}}}"#)
    }

    fn collect(entries: Vec<Entry>, limit: usize) -> (Vec<String>, bool) {
        let elements = ["a".to_owned(), "t".to_owned()];
        let mut collector = Collector::default();
        let _ = entries.into_iter().all(|entry| collector.take(entry, &elements, limit));
        (collector.history.commits.into_iter().map(|commit| commit.hash).collect(), collector.history.from_creation)
    }

    #[test]
    fn a_table_of_the_same_name_that_was_dropped_does_not_belong_to_the_history() {
        let drop = r#"[{"type":"DELETE","key":{"elements":["a","t"]}}]"#;
        let one = || vec![entry("3", &format!("[{}]", put("x"))), entry("2", &format!("[{}]", put("x")))];
        let dropped = one().into_iter().chain([entry("1", drop), entry("0", &format!("[{}]", put("y")))]).collect();
        assert_eq!(collect(dropped, 9), (vec!["3".into(), "2".into()], true));
        let replaced = one().into_iter().chain([entry("0", &format!("[{}]", put("y")))]).collect();
        assert_eq!(collect(replaced, 9), (vec!["3".into(), "2".into()], true));
        assert_eq!(collect(one(), 1), (vec!["3".into()], false));
    }

    #[test]
    fn before_a_rename_the_history_stands_under_another_name() {
        let rename = format!(r#"[{{"type":"DELETE","key":{{"elements":["a","old"]}}}},{}]"#, put("x"));
        let entries = vec![entry("2", &rename), entry("1", &format!("[{}]", put("x")))];
        assert_eq!(collect(entries, 9), (vec!["2".into()], false));
    }

    #[test]
    fn names_cannot_break_out_of_the_filter() {
        let text = filter(&["a".to_owned(), r"it's \ t".to_owned()]);
        assert_eq!(text, r"operations.exists(op, op.keyElements == ['a', 'it\'s \\ t'])");
    }
}
