//! What a user says about an expiry.

use std::time::Duration;

use super::Error;
use super::plan::Retention;
use super::tiers::Tiers;
use crate::sweep;

/// How snapshots expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Remove snapshots that are older; else by tiers. For catalogs with history.
    pub older_than: Option<Duration>,
    /// Keep so many snapshots of each branch, whatever their age. For catalogs with history.
    pub retain_last: usize,
    /// Remove these and no others. For catalogs with history.
    pub snapshot_ids: Vec<i64>,
    /// Which snapshots are kept. For catalogs with history.
    pub tiers: Option<Tiers>,
    /// Delete the files that nothing reaches any more. For catalogs with history; on Nessie there is nothing else to do.
    pub delete_files: bool,
    /// Daily tags that are made and kept, 0 for none. For Nessie.
    pub keep_daily_tags: u32,
    /// Dry run, `gc.enabled`; and for Nessie all of it, since there the sweep is the expiry.
    pub sweep: sweep::options::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            older_than: None,
            retain_last: 1,
            snapshot_ids: Vec::new(),
            tiers: None,
            delete_files: true,
            keep_daily_tags: 30,
            sweep: sweep::options::Options::default(),
        }
    }
}

impl Options {
    /// What is to be kept.
    ///
    /// # Errors
    /// More than one way is named.
    pub(super) fn retention(&self) -> Result<Retention, Error> {
        match (self.older_than, &self.tiers, self.snapshot_ids.as_slice()) {
            (None, tiers, []) => Ok(Retention::Tiers(tiers.clone().unwrap_or_default())),
            (Some(age), None, []) => Ok(Retention::Age(age)),
            (None, None, ids) => Ok(Retention::AllBut(ids.to_vec())),
            _ => Err(Error::Options("older-than, tiers and snapshot-id exclude each other".to_owned())),
        }
    }

    /// What is said that Nessie has no use for.
    pub(super) fn only_with_history(&self) -> Option<&'static str> {
        match self {
            Self { older_than: Some(_), .. } => Some("older-than of snapshots"),
            Self { tiers: Some(_), .. } => Some("tiers"),
            Self { snapshot_ids, .. } if !snapshot_ids.is_empty() => Some("snapshot-id"),
            Self { retain_last, .. } if *retain_last != 1 => Some("retain-last"),
            _ => None,
        }
    }
}
