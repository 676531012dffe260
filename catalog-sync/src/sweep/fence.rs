//! The fence: an empty snapshot that begins a new sweep epoch.
//!
//! Whoever has begun files before it, and has not committed them, is refused by `protocol::decide` when he comes to commit
//! them; and since it is a snapshot, a commit that is on its way already finds another base. So it does not matter how slow a
//! writer is or what its clock says (rule R9). Called by [`super`], for every branch that has the table.

use std::collections::{BTreeMap, HashMap, HashSet};

use iceberg::TableIdent;
use protocol::decide::SWEEP_EPOCH_KEY;

use crate::catalog::CatalogClient;
use crate::replace::stage::Staged;
use crate::replace::{self, Base, Work, settle};
use crate::snapshot::new_snapshot_id;

struct Fence<'a> {
    epoch: &'a str,
}

/// Begins an epoch; one that has begun already is left as it is.
///
/// # Errors
/// [`replace::Error`].
pub(super) async fn fence(client: &CatalogClient, ident: &TableIdent, epoch: &str) -> Result<(), replace::Error> {
    let settled = settle(client, ident, None, &mut Fence { epoch }).await?;
    if let Some(commit) = settled.commit {
        tracing::info!(table = %ident, branch = client.branch(), epoch, snapshot_id = commit.snapshot_id, "fenced");
    }
    Ok(())
}

impl Work for Fence<'_> {
    type Error = replace::Error;

    async fn stage(&mut self, base: &Base) -> Result<Option<Staged>, replace::Error> {
        if base.facts.sweep_epoch == self.epoch {
            return Ok(None);
        }
        Ok(Some(Staged {
            snapshot_id: new_snapshot_id(base.loaded.metadata()),
            sweep_epoch: base.facts.sweep_epoch.clone(),
            deletes: None,
            replaced: HashSet::new(),
            beside: HashSet::new(),
            created: Vec::new(),
            files: 0,
        }))
    }

    fn summary(&self, _staged: &Staged) -> BTreeMap<String, String> {
        BTreeMap::from([(SWEEP_EPOCH_KEY.to_owned(), self.epoch.to_owned())])
    }

    fn properties(&self) -> HashMap<String, String> {
        HashMap::from([(SWEEP_EPOCH_KEY.to_owned(), self.epoch.to_owned())])
    }
}
