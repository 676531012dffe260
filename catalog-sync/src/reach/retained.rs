//! Which metadata files count on a catalog whose references have histories.
//!
//! For each reference: what it shows now, what its commits made until the cut-off, and what it showed at the cut-off, since
//! that was to be seen until the next commit. The oldest state is asked for as a whole, so that no table is missed which did
//! not change since. Decides by what [`Versions`] tells; Nessie is one, the simulation's model another. Called by
//! [`super::roots`].

use std::collections::{BTreeMap, HashMap};
use std::future::Future;

use chrono::{DateTime, Utc};

use super::cutoff::{Cutoff, Cutoffs};
use crate::catalog::{Commits, Content, Reference};

/// Who needs a metadata file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// The reference.
    pub reference: String,
    /// The commit.
    pub hash: String,
    /// Namespace and name of the table.
    pub key: Vec<String>,
}

/// Metadata files, and who needs them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retained {
    /// The references that were looked at.
    pub references: Vec<Reference>,
    /// Of what references show now.
    pub heads: BTreeMap<String, Vec<By>>,
    /// Of what they showed since the cut-off.
    pub past: BTreeMap<String, By>,
    /// Commits that were looked at.
    pub commits: u64,
}

/// Finds them; `is_ours` tells which metadata files matter.
///
/// # Errors
/// The catalog's own.
pub async fn retained<V: Versions>(
    versions: &V,
    cutoffs: &Cutoffs,
    now: DateTime<Utc>,
    is_ours: impl Fn(&str) -> bool + Sync,
) -> Result<Retained, V::Error> {
    let found = Retained { references: versions.references().await?, ..Retained::default() };
    let mut look = Look { versions, now, is_ours, found, walked: Walked::default() };
    for reference in look.found.references.clone() {
        look.at_head(&reference).await?;
        look.at_past(&reference, cutoffs.of(&reference.name)).await?;
    }
    Ok(look.found)
}

/// A look at all references.
struct Look<'a, V, F> {
    versions: &'a V,
    now: DateTime<Utc>,
    is_ours: F,
    found: Retained,
    walked: Walked,
}

impl<V: Versions, F: Fn(&str) -> bool + Sync> Look<'_, V, F> {
    /// What a reference shows.
    async fn at_head(&mut self, reference: &Reference) -> Result<(), V::Error> {
        for content in self.versions.contents(reference, &reference.hash).await? {
            if (self.is_ours)(&content.metadata_location) {
                let by = By { reference: reference.name.clone(), hash: reference.hash.clone(), key: content.key };
                self.found.heads.entry(content.metadata_location).or_default().push(by);
            }
        }
        Ok(())
    }

    /// What it showed, back to its cut-off.
    async fn at_past(&mut self, reference: &Reference, cutoff: Cutoff) -> Result<(), V::Error> {
        let (mut page, mut place) = (None, 0);
        loop {
            let Commits { commits, next } = self.versions.commits(reference, page.as_deref()).await?;
            for commit in commits {
                // Whoever came here before with as much to keep has seen the rest.
                if !self.walked.is_new(&commit.hash, cutoff) {
                    return Ok(());
                }
                let keeps = cutoff.keeps(commit.time, place, self.now);
                self.found.commits += 1;
                let contents = match keeps {
                    true => commit.puts,
                    false => self.versions.contents(reference, &commit.hash).await?,
                };
                for content in contents.into_iter().filter(|content| (self.is_ours)(&content.metadata_location)) {
                    let by = By { reference: reference.name.clone(), hash: commit.hash.clone(), key: content.key };
                    self.found.past.entry(content.metadata_location).or_insert(by);
                }
                if !keeps {
                    return Ok(());
                }
                place += 1;
            }
            match next {
                Some(next) => page = Some(next),
                None => return Ok(()),
            }
        }
    }
}

/// Commits that were looked at, with the cut-offs that it was for. What lies below a commit is kept or not, from whatever
/// reference it is reached, if the cut-off is an age; if it is a number, that depends on the way.
#[derive(Default)]
struct Walked(HashMap<String, Vec<Cutoff>>);

impl Walked {
    fn is_new(&mut self, hash: &str, cutoff: Cutoff) -> bool {
        let covers = |known: &Cutoff| match (known, cutoff) {
            (Cutoff::Never, _) => true,
            (Cutoff::Age(known), Cutoff::Age(age)) => *known >= age,
            _ => false,
        };
        let known = self.0.entry(hash.to_owned()).or_default();
        if known.iter().any(covers) {
            return false;
        }
        known.push(cutoff);
        true
    }
}

/// A catalog with named references, each with a history.
pub trait Versions: Sync {
    /// Why it does not tell.
    type Error;

    /// All references, as they are now.
    fn references(&self) -> impl Future<Output = Result<Vec<Reference>, Self::Error>> + Send;

    /// Commits from a hash downwards, newest first; `page` is what the page before said.
    fn commits(
        &self,
        reference: &Reference,
        page: Option<&str>,
    ) -> impl Future<Output = Result<Commits, Self::Error>> + Send;

    /// Every table that a reference showed after a commit of its history.
    fn contents(
        &self,
        reference: &Reference,
        hash: &str,
    ) -> impl Future<Output = Result<Vec<Content>, Self::Error>> + Send;
}

#[cfg(test)]
#[path = "retained_tests.rs"]
mod tests;
