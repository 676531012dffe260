//! What an expiry tells. Pure. Called by [`super`].

use iceberg::TableIdent;
use serde::Serialize;

use super::tags::Tags;
use crate::sweep::{self, Count};

/// What a call led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything is still wanted.
    NothingToDo,
    /// A dry run: so it would be.
    Planned,
    /// So it is.
    Expired,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The table.
    pub table: String,
    /// What became of the call.
    pub verdict: Verdict,
    /// Snapshots before; on Nessie commits of all references that were looked at.
    pub before: u64,
    /// Snapshots that were removed.
    pub snapshots: Vec<i64>,
    /// References of the table that were removed.
    pub refs: Vec<String>,
    /// Tags of Nessie.
    pub tags: Tags,
    /// Files that were deleted; bytes are known on Nessie only.
    pub deleted: Count,
    /// Files that were not deleted, though they were to be.
    pub failed: u64,
    /// The sweep that is the expiry on Nessie.
    pub sweep: Option<sweep::Report>,
}

impl Report {
    pub(super) fn begin(table: &TableIdent, before: u64) -> Self {
        Self {
            table: table.to_string(),
            verdict: Verdict::NothingToDo,
            before,
            snapshots: Vec::new(),
            refs: Vec::new(),
            tags: Tags::default(),
            deleted: Count::default(),
            failed: 0,
            sweep: None,
        }
    }
}
