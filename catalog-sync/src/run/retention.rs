//! The part of `maintenance.json` that deletes: off until somebody turns it on. Pure. Called by [`super::config`].

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::expire::options::Options as ExpireOptions;
use crate::expire::tiers::Tiers;
use crate::reach::cutoff::Cutoffs;
use crate::sweep::options::Options as SweepOptions;

/// When and how snapshots expire; on Nessie tags, and a sweep up to the cut-off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expire {
    /// Whether this is done at all.
    pub enabled: bool,
    /// When, as in crontab, in UTC.
    #[schemars(extend("format" = "cron"))]
    pub cron: String,
    /// Which snapshots are kept on a catalog with history, AGE or AGE/SPAN: all up to an age, or one of each span.
    #[schemars(extend("format" = "tiers"))]
    pub tiers: String,
    /// Snapshots of each branch that are kept whatever their age, on a catalog with history.
    #[schemars(range(min = 1))]
    pub retain_last: u32,
    /// Days for which a tag is made and kept on Nessie; 0 leaves all tags alone.
    pub keep_daily_tags: u32,
    /// Which files may go.
    pub files: Files,
}

/// When and how files are deleted that nobody needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sweep {
    /// Whether this is done at all.
    pub enabled: bool,
    /// When, as in crontab, in UTC.
    #[schemars(extend("format" = "cron"))]
    pub cron: String,
    /// Which files may go.
    pub files: Files,
}

/// Which files may go, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Files {
    /// Younger files are left alone, in milliseconds; a day or more, unless only-fenced-writers.
    pub older_than_ms: u64,
    /// Time between being found and being deleted, in milliseconds; 0 deletes at once.
    pub quarantine_ms: u64,
    /// How far back the history of a reference counts on Nessie, PATTERN=AGE; the first that fits, a day for the others.
    #[schemars(extend("items" = {"type": "string", "format": "cutoff"}))]
    pub cutoffs: Vec<String>,
    /// Go on although the table says gc.enabled=false, as Nessie says of every table.
    pub allow_gc_disabled: bool,
    /// Nobody but the connector and catalog-sync writes files here.
    pub only_fenced_writers: bool,
    /// Files that one run finds at most.
    #[schemars(range(min = 1))]
    pub max_files: u64,
}

impl Default for Expire {
    fn default() -> Self {
        let options = ExpireOptions::default();
        Self {
            enabled: false,
            cron: "0 2 * * *".to_owned(),
            tiers: "1h,24h/1h,30d/1d".to_owned(),
            retain_last: u32::try_from(options.retain_last).unwrap_or(1),
            keep_daily_tags: options.keep_daily_tags,
            files: Files::default(),
        }
    }
}

impl Default for Sweep {
    fn default() -> Self {
        Self { enabled: false, cron: "0 3 * * 0".to_owned(), files: Files::default() }
    }
}

impl Default for Files {
    fn default() -> Self {
        let options = SweepOptions::default();
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            older_than_ms: ms(options.older_than),
            quarantine_ms: ms(options.quarantine),
            cutoffs: Vec::new(),
            allow_gc_disabled: options.allow_gc_disabled,
            only_fenced_writers: options.only_fenced_writers,
            max_files: options.max_files as u64,
        }
    }
}

impl Expire {
    /// The same, as an expiry takes it.
    ///
    /// # Errors
    /// Tiers or cut-offs that are none, which a file that was parsed does not have.
    pub fn options(&self, dry_run: bool) -> Result<ExpireOptions, String> {
        Ok(ExpireOptions {
            tiers: Some(self.tiers.parse::<Tiers>()?).filter(|tiers| *tiers != Tiers::default()),
            retain_last: self.retain_last as usize,
            keep_daily_tags: self.keep_daily_tags,
            sweep: self.files.options(dry_run)?,
            ..ExpireOptions::default()
        })
    }
}

impl Files {
    /// The same, as a sweep takes it.
    ///
    /// # Errors
    /// Cut-offs that are none, which a file that was parsed does not have.
    pub fn options(&self, dry_run: bool) -> Result<SweepOptions, String> {
        Ok(SweepOptions {
            dry_run,
            older_than: Duration::from_millis(self.older_than_ms),
            quarantine: Duration::from_millis(self.quarantine_ms),
            cutoffs: Cutoffs::parse(self.cutoffs.iter().map(String::as_str))?,
            allow_gc_disabled: self.allow_gc_disabled,
            only_fenced_writers: self.only_fenced_writers,
            max_files: usize::try_from(self.max_files).unwrap_or(usize::MAX),
        })
    }
}
