//! `catalog-sync sweep`: what nobody needs, what of it is deleted, and what waits.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{CliError, TableArgs, columns, tell};
use crate::reach::cutoff::Cutoffs;
use crate::sweep::options::Options;
use crate::sweep::{Count, Left, Report, Verdict, sweep};

const EXAMPLES: &str = "\
Files of a table's folder that no snapshot, no branch, no tag and no retained commit needs: what writers left that died, what
lost races, what was compacted and has expired. Found files wait (--quarantine), and a later run deletes those that still nobody
needs. Before anything is set down to be deleted, an empty snapshot is committed: a connector or a compaction that has begun files
before it starts them anew, so that no file is deleted that is about to be committed, however slow its writer is. Other
engines know nothing of that; for them there is --older-than.

On Nessie all branches and tags are looked at, and of each the commits since its cut-off, and the state at the cut-off.

It refuses to work if the folder is not the table's alone. Left alone are files of names that no table writes, and metadata and
statistics that are not proven to be the table's. Memory: some 16 bytes for each file that is needed, 300 for each that is not.

Exit code: 0 done, also when there is nothing to do; 1 failed, or files could not be deleted; 2 wrong usage.

Examples:
  catalog-sync sweep --config connector.json --dry-run
  catalog-sync sweep --config connector.json --cutoff main=7d --cutoff '*=1d' --allow-gc-disabled
  catalog-sync sweep analytics.clickstream --quarantine 0s --json";

/// What to sweep.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SweepArgs {
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    table: TableArgs,
}

/// Which files may go, and when.
#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
    /// Leave files alone that were written later than so long ago
    #[arg(long, default_value = "3d", value_parser = humantime::parse_duration)]
    older_than: Duration,
    /// Wait so long between finding a file and deleting it; 0s deletes at once
    #[arg(long, default_value = "1d", value_parser = humantime::parse_duration)]
    quarantine: Duration,
    /// On Nessie, how far back the history of a reference counts: [PATTERN=]7d, a number of commits, or never; the first pattern
    /// that fits decides, and a day is for the others
    #[arg(long, value_name = "[PATTERN=]CUTOFF")]
    cutoff: Vec<String>,
    /// Go on although the table says gc.enabled=false, as Nessie says of every table
    #[arg(long)]
    allow_gc_disabled: bool,
    /// Nobody but the connector and catalog-sync writes files here: allows an --older-than below a day
    #[arg(long)]
    only_fenced_writers: bool,
    /// Files that one run finds at most
    #[arg(long, default_value_t = Options::default().max_files)]
    max_files: usize,
}

impl FileArgs {
    pub(super) fn options(&self) -> Result<Options, CliError> {
        let options = Options {
            dry_run: self.dry_run,
            older_than: self.older_than,
            quarantine: self.quarantine,
            cutoffs: Cutoffs::parse(self.cutoff.iter().map(String::as_str)).map_err(CliError::Usage)?,
            allow_gc_disabled: self.allow_gc_disabled,
            only_fenced_writers: self.only_fenced_writers,
            max_files: self.max_files,
        };
        options.check().map_err(CliError::Usage)?;
        Ok(options)
    }
}

/// Sweeps and prints.
pub(super) async fn run(args: SweepArgs) -> Result<ExitCode, CliError> {
    let (as_json, options) = (args.table.json, args.files.options()?);
    let (client, ident) = args.table.connect().await?;
    let report = sweep(&client, &ident, &options).await?;
    tell(as_json, &report, text)?;
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A sweep in words.
pub(super) fn text(report: &Report) -> String {
    let table = &report.table;
    let Count { files, .. } = report.deleted;
    let found = report.quarantined.files;
    let mut out = match report.verdict {
        Verdict::NothingToDo => format!("{table}: nothing to delete, nothing was changed\n"),
        Verdict::Planned => {
            format!("{table}: {files} files would be deleted, {found} would wait; nothing was changed\n")
        }
        Verdict::Swept => format!("{table}: {files} files were deleted, {found} wait from now on\n"),
    };
    let row = |name: &str, count: Count| vec![name.to_owned(), count.files.to_string(), count.bytes.to_string()];
    let rows = [
        row("in the folder", report.listed),
        row("deleted", report.deleted),
        row("found now, to wait", report.quarantined),
        row("waiting since earlier", report.waiting),
    ];
    out.push_str(&columns(&["", "files", "bytes"], &rows, &[1, 2]));
    out.push_str(&format!(
        " {} files are needed, by {} references and {} states of the table\n",
        report.reached, report.references, report.states
    ));
    let Left { young, unknown, unproven, too_many } = report.left;
    let left = [
        (young, "they are too young"),
        (unknown, "no table writes files of such names"),
        (unproven, "metadata or statistics that are not proven to be this table's"),
        (too_many, "more than one run takes; run it again"),
        (report.revived, "somebody came to need them"),
    ];
    for (count, why) in left.iter().filter(|(count, _)| *count > 0) {
        out.push_str(&format!(" {count} files are left alone: {why}\n"));
    }
    if report.gone > 0 {
        out.push_str(&format!(" {} files of former states are gone already\n", report.gone));
    }
    if let Some(why) = &report.why_failed {
        out.push_str(&format!(" {} files could not be deleted: {why}\n", report.failed));
    }
    report.some.iter().for_each(|location| out.push_str(&format!("   {location}\n")));
    out
}
