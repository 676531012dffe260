//! What Nessie's Iceberg REST hides and the position needs: the snapshots below a current one that bears no position.
//!
//! Only after a foreign commit, and only as far back as it takes to meet a snapshot that bears a position or has no
//! parent: two more requests a foreign commit. Nessie's own history stands in for the parents that it does not show, so
//! that a first writer who overwrote our rows is found even when others have committed on top since. Where Nessie's own
//! API cannot be reached, or a state is gone, the table property is believed. Called with each load of a table.
//!
//! A Nessie commit never changes, so what was found below one is kept for the next load. Without that, each lost race
//! against foreign commits would make the next look longer than the one before, until no commit of ours could win.

use std::collections::HashMap;

use iceberg::TableIdent;

use super::client::CatalogClient;
use super::error::CatalogError;
use super::table::{Ancestor, LoadedTable};

/// Former states looked at, at most.
const STATES_MAX: usize = 64;

/// A table as it was before the last change to it.
#[derive(Debug, Clone)]
struct Former {
    /// A Nessie commit at which it was so.
    commit: String,
    /// None where the table had no snapshot.
    ancestor: Option<Ancestor>,
}

/// The former states of one table that the last look met, by the commit that they lie below.
#[derive(Debug, Default)]
pub(super) struct Ancestry {
    table: Option<TableIdent>,
    below: HashMap<String, Former>,
}

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Newest first.
    pub(super) ancestors: Vec<Ancestor>,
    /// Whether the catalog had to be asked, so that others may have committed meanwhile.
    pub(super) asked: bool,
}

impl CatalogClient {
    /// The ancestors of the loaded table's current snapshot, if the position may be hidden in them.
    ///
    /// # Errors
    /// [`CatalogError::Unavailable`]; all else is an answer, too: nothing is known of them.
    pub(super) async fn ancestors(&self, ident: &TableIdent, loaded: &LoadedTable) -> Result<Found, CatalogError> {
        if !self.is_nessie() || !loaded.hides_position() {
            return Ok(Found::default());
        }
        match self.walk(ident, loaded).await {
            Err(error) if !error.is_transient() => {
                tracing::warn!(table = %ident, %error, "nessie's history is not to be had; its table property is believed");
                Ok(Found::default())
            }
            found => found,
        }
    }

    async fn walk(&self, ident: &TableIdent, loaded: &LoadedTable) -> Result<Found, CatalogError> {
        let mut found = Found::default();
        let Some((reference, hash)) = loaded.nessie_commit() else { return Ok(found) };
        let mut ancestry = self.ancestry.lock().await;
        if ancestry.table.as_ref() != Some(ident) {
            *ancestry = Ancestry { table: Some(ident.clone()), below: HashMap::new() };
        }
        let mut chain = HashMap::new();
        let mut hash = hash.to_owned();
        while found.ancestors.len() < STATES_MAX {
            if !ancestry.below.contains_key(&hash) {
                found.asked = true;
                let Some(former) = self.former(ident, reference, &hash).await? else { break };
                ancestry.below.insert(hash.clone(), former);
            }
            let Some(former) = ancestry.below.get(&hash).cloned() else { break };
            chain.insert(std::mem::replace(&mut hash, former.commit.clone()), former.clone());
            let Some(ancestor) = former.ancestor else {
                // What came next was the first snapshot.
                found.ancestors.last_mut().into_iter().for_each(|first| first.root = true);
                break;
            };
            let last = ancestor.position.is_some() || ancestor.sequence_number <= 1;
            found.ancestors.push(ancestor);
            if last {
                break;
            }
        }
        // Bounded by the length of one look.
        ancestry.below = chain;
        Ok(found)
    }

    /// The state below a commit; none if the table began there, or if the state is not to be had.
    async fn former(&self, ident: &TableIdent, reference: &str, hash: &str) -> Result<Option<Former>, CatalogError> {
        let Some(commit) = self.commit_before(ident, reference, hash).await? else { return Ok(None) };
        match self.at_commit(reference, &commit).fetch(ident).await {
            Ok(then) => Ok(Some(Former { ancestor: then.current_ancestor(), commit })),
            Err(error) => {
                tracing::warn!(table = %ident, commit, %error, "a former state is not to be had");
                Ok(None)
            }
        }
    }
}
