//! Nessie's named references, and every table that they show: through its own API, since its Iceberg REST shows one.
//!
//! A reference is a branch or a tag; each commit below it says which contents it put, with the location of their metadata
//! file. Called by [`crate::reach`], which wants to know what must not be deleted, and by [`crate::expire`], which makes
//! and retires tags.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{CatalogClient, encode};
use super::error::CatalogError;
use super::nessie::{Page, at};

/// Commits, references or contents asked for at once.
const PAGE: usize = 250;

/// A branch or a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Its name.
    pub name: String,
    /// The commit that it stands at.
    pub hash: String,
    /// Whether it moves with each commit; a tag stands still.
    pub is_branch: bool,
}

/// An Iceberg table as one commit of the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Namespace and name.
    pub key: Vec<String>,
    /// Its metadata file.
    pub metadata_location: String,
}

/// A commit of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its hash.
    pub hash: String,
    /// When, by Nessie's clock.
    pub time: DateTime<Utc>,
    /// The tables that it made or changed.
    pub puts: Vec<Content>,
}

/// Commits, newest first, and how to ask for those below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commits {
    /// The commits.
    pub commits: Vec<Commit>,
    /// Where to go on; none at the beginning of the history.
    pub next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct References {
    #[serde(default)]
    references: Vec<Named>,
    #[serde(default)]
    has_more: bool,
    token: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    hash: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entries {
    #[serde(default)]
    entries: Vec<Entry>,
    #[serde(default)]
    has_more: bool,
    token: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    name: super::nessie::Key,
    content: Option<super::nessie::Content>,
}

impl CatalogClient {
    /// Name of the branch that this connection works on.
    #[must_use]
    pub(crate) fn branch(&self) -> String {
        self.reference().0
    }

    /// The same connection on another branch.
    pub(crate) fn on_branch(&self, branch: &str) -> Self {
        let mut other = self.clone();
        let warehouse = self.reference().1.map(|warehouse| format!("|{warehouse}")).unwrap_or_default();
        other.prefix = format!("/{}", encode(&format!("{branch}{warehouse}")));
        other.ancestry = Arc::default();
        other
    }

    /// All branches and tags.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub(crate) async fn nessie_references(&self) -> Result<Vec<Reference>, CatalogError> {
        let (mut references, mut next) = (Vec::new(), None);
        loop {
            let url = paged(&format!("{}?max-records={PAGE}", self.trees()?), next.as_deref());
            let page: References = self.json("list its references", Method::GET, &url, None).await?;
            references.extend(page.references.into_iter().map(|named| Reference {
                is_branch: named.kind == "BRANCH",
                name: named.name,
                hash: named.hash,
            }));
            next = page.token.filter(|_| page.has_more);
            if next.is_none() {
                return Ok(references);
            }
        }
    }

    /// Commits of a reference, from a hash downwards.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub(crate) async fn nessie_commits(
        &self,
        reference: &str,
        hash: &str,
        page: Option<&str>,
    ) -> Result<Commits, CatalogError> {
        let url = format!("{}/{}/history?fetch=ALL&max-records={PAGE}", self.trees()?, at(reference, hash));
        let what = format!("read the history of reference {reference}");
        let page: Page = self.json(&what, Method::GET, &paged(&url, page), None).await?;
        let commit = |entry: super::nessie::Entry| {
            let time = entry.commit_meta.commit_time;
            let time = DateTime::parse_from_rfc3339(&time).map_err(|error| CatalogError::Malformed {
                uri: self.base.clone(),
                what: what.clone(),
                detail: format!("commit time {time:?}: {error}"),
            })?;
            let puts = entry.operations.into_iter().filter(|change| change.kind == "PUT");
            let puts = puts.filter_map(|change| content(change.key.elements, change.content?)).collect();
            Ok(Commit { hash: entry.commit_meta.hash, time: time.to_utc(), puts })
        };
        let commits = page.log_entries.into_iter().map(commit).collect::<Result<_, _>>()?;
        Ok(Commits { commits, next: page.token.filter(|_| page.has_more) })
    }

    /// The tables that a reference shows at a commit.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub(crate) async fn nessie_contents(&self, reference: &str, hash: &str) -> Result<Vec<Content>, CatalogError> {
        let url = format!("{}/{}/entries?content=true&max-records={PAGE}", self.trees()?, at(reference, hash));
        let (mut contents, mut next) = (Vec::new(), None);
        loop {
            let what = format!("list the tables of reference {reference}");
            let page: Entries = self.json(&what, Method::GET, &paged(&url, next.as_deref()), None).await?;
            contents.extend(page.entries.into_iter().filter_map(|entry| content(entry.name.elements, entry.content?)));
            next = page.token.filter(|_| page.has_more);
            if next.is_none() {
                return Ok(contents);
            }
        }
    }

    /// Makes a tag at a commit of a branch.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyExists`] when the name is taken.
    pub(crate) async fn make_tag(&self, name: &str, branch: &str, hash: &str) -> Result<(), CatalogError> {
        let url = format!("{}?name={}&type=TAG", self.trees()?, encode(name));
        let from = json!({"type": "BRANCH", "name": branch, "hash": hash});
        let _: Value = self.json(&format!("make tag {name}"), Method::POST, &url, Some(&from)).await?;
        Ok(())
    }

    /// Removes a tag that stands at a commit.
    ///
    /// # Errors
    /// [`CatalogError`]: it does not, or it is no tag.
    pub(crate) async fn remove_tag(&self, name: &str, hash: &str) -> Result<(), CatalogError> {
        let url = format!("{}/{}?type=TAG", self.trees()?, at(name, hash));
        let _: Value = self.json(&format!("remove tag {name}"), Method::DELETE, &url, None).await?;
        Ok(())
    }
}

/// An Iceberg table; anything else is none.
fn content(key: Vec<String>, content: super::nessie::Content) -> Option<Content> {
    Some(Content { key, metadata_location: content.metadata_location? })
}

fn paged(url: &str, token: Option<&str>) -> String {
    token.map_or_else(|| url.to_owned(), |token| format!("{url}&page-token={}", encode(token)))
}
