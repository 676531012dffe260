//! Committing an operator's word against a halt: an empty snapshot that changes the table's position, and says why.
//!
//! What changes is decided by `protocol::overrule`; here it is brought into the table by the same kind of commit as rows
//! are: on the base that was looked at, sent once, looked up again when the answer is not clear. Token and reason stand in
//! the snapshot's summary. A call that finds its word in the table's history already changes nothing. Called by
//! `catalog-sync override` and by the connector's demo.

use std::collections::BTreeMap;

use iceberg::TableIdent;
use protocol::overrule::{OverruleError, Overruled, overrule as decide};
use protocol::{Outcome, Position};

use crate::catalog::{CatalogClient, CatalogError, backoff};
use crate::commit::identity;
use crate::snapshot;
use crate::storage::StorageError;
use crate::verify::{self, VerifyError, Walk, overrides};

/// Summary key of the halt that an operator overruled, as its token.
pub const OVERRIDE_KEY: &str = "kafka.override";
/// Summary key of the operator's reason.
pub const OVERRIDE_REASON_KEY: &str = "kafka.override-reason";

/// Commits of the table to look back at, for a word that was given before and for a position that could be read.
const HISTORY: usize = 200;

/// Tries before giving up; each is lost only to another commit, or to a catalog that does not answer.
const ATTEMPTS: u32 = 10;

/// The position was not changed, or it is not known whether it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The token does not fit the table.
    #[error(transparent)]
    Decision(#[from] OverruleError),
    /// The table cannot be loaded.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The table's history cannot be read.
    #[error(transparent)]
    History(#[from] VerifyError),
    /// The object store cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The snapshot's manifest list cannot be written.
    #[error("cannot write the snapshot's files: {0}")]
    Iceberg(#[from] iceberg::Error),
    /// The catalog does not take the commit.
    #[error("the catalog does not take the commit: {0}")]
    Refused(String),
    /// Others commit all the time, or the catalog does not answer.
    #[error("not settled after {ATTEMPTS} attempts: {0}; run it again, it changes nothing twice")]
    Unsettled(String),
}

/// What an operator's word led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The position before; none if it could not be read.
    pub before: Option<Position>,
    /// The position afterwards.
    pub after: Position,
    /// The snapshot that says so.
    pub snapshot_id: i64,
    /// It was there before this call.
    pub already: bool,
}

/// Commits the change. Idempotent: a second call changes nothing and finds what the first one did.
///
/// # Errors
/// [`Error`].
pub async fn overrule(
    client: &CatalogClient,
    ident: &TableIdent,
    token: &str,
    reason: &str,
    replacement: Option<Position>,
) -> Result<Done, Error> {
    let overruled: Overruled = token.parse()?;
    let mut last = String::new();
    for attempt in 1..=ATTEMPTS {
        let loaded = client.load_table(ident).await?;
        let found = loaded.found();
        let plan = match decide(&found, &overruled, replacement.clone()) {
            Ok(plan) => plan,
            // Done before, by another call or by an attempt whose answer was lost.
            Err(OverruleError::Differs(why)) => {
                let earlier = overrides::find(&history(client, ident).await?, token, replacement.as_ref());
                return earlier.ok_or(OverruleError::Differs(why).into());
            }
            Err(error) => return Err(error.into()),
        };
        let mut summary = BTreeMap::from(identity());
        summary.insert(OVERRIDE_KEY.to_owned(), token.to_owned());
        summary.insert(OVERRIDE_REASON_KEY.to_owned(), reason.to_owned());
        let store = loaded.store(&client.config().storage)?;
        let (commit, snapshot_id) = snapshot::append(&loaded, &store, &plan, &[], summary).await?;
        match client.commit_on(&loaded, &commit).await {
            Outcome::Committed => {
                tracing::info!(table = %ident, snapshot_id, token, reason, "an operator overruled a halt");
                let (before, after) = (found.position.ok(), plan.position().clone());
                return Ok(Done { before, after, snapshot_id, already: false });
            }
            Outcome::Refused(said) => return Err(Error::Refused(said)),
            Outcome::Conflict(said) | Outcome::Unknown(said) => last = said,
        }
        tokio::time::sleep(backoff(attempt)).await;
    }
    Err(Error::Unsettled(last))
}

/// The last position in the table's history that can be read, in its text form, and where it stands.
///
/// # Errors
/// [`Error`].
pub async fn last_readable(client: &CatalogClient, ident: &TableIdent) -> Result<Option<(String, String)>, Error> {
    Ok(overrides::last_readable(&history(client, ident).await?))
}

async fn history(client: &CatalogClient, ident: &TableIdent) -> Result<Walk, Error> {
    Ok(verify::walk(client, ident, HISTORY).await?)
}
