//! What a user says about a sweep.

use std::time::Duration;

use crate::reach::cutoff::Cutoffs;

const DAY: Duration = Duration::from_secs(86_400);

/// Younger files are nobody's but a writer's, who may not be one that the fence stops.
pub const FLOOR: Duration = DAY;

/// How a table's folder is swept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Only tell what would be done.
    pub dry_run: bool,
    /// Files that were written later are left alone.
    pub older_than: Duration,
    /// How long files wait between being found and being deleted; zero deletes at once.
    pub quarantine: Duration,
    /// How far back the history of each reference counts, on a catalog with references.
    pub cutoffs: Cutoffs,
    /// Go on although the table says `gc.enabled=false`.
    pub allow_gc_disabled: bool,
    /// Nobody but the connector and this program writes files here, so that younger files than [`FLOOR`] may go.
    pub only_fenced_writers: bool,
    /// Files that one sweep finds at most; it bounds memory, some 300 bytes each.
    pub max_files: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dry_run: false,
            older_than: 3 * DAY,
            quarantine: DAY,
            cutoffs: Cutoffs::default(),
            allow_gc_disabled: false,
            only_fenced_writers: false,
            max_files: 500_000,
        }
    }
}

impl Options {
    /// Whether they make sense.
    ///
    /// # Errors
    /// A sentence about what does not.
    pub fn check(&self) -> Result<(), String> {
        if self.older_than >= FLOOR || self.only_fenced_writers {
            return Ok(());
        }
        Err(format!(
            "older-than {} is below a day: a file that Trino, Spark or another engine has just written, and not committed \
             yet, would be deleted; if nobody but the connector and catalog-sync writes to this table, say \
             only-fenced-writers",
            humantime::format_duration(self.older_than)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_a_day_is_for_those_who_know_their_writers() {
        let young = Options { older_than: Duration::from_secs(3_600), ..Options::default() };
        assert!(Options::default().check().is_ok());
        assert!(young.check().is_err_and(|why| why.contains("only-fenced-writers")));
        assert!(Options { only_fenced_writers: true, ..young }.check().is_ok());
    }
}
