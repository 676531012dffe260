//! `catalog-sync expire`: which snapshots and tags went, and what was deleted with them.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::sweep::{FileArgs, text as sweep_text};
use super::{CliError, TableArgs, tell};
use crate::expire::options::Options;
use crate::expire::tiers::Tiers;
use crate::expire::{Report, Verdict, expire};

const EXAMPLES: &str = "\
On a catalog that keeps a table's history in its metadata, snapshots are removed by tiers: all stay for an hour, one an hour for a
day, one a day for 30 days. What a branch or a tag of the table names stays, with the branch's own settings, and so does the
snapshot that bears the Kafka position. Then the files are deleted that no snapshot has any more.

Nessie keeps one snapshot in the metadata and the history in its commits. There a tag is made for each day that is over, tags are
retired after --keep-daily-tags days, and the files are swept that no branch, no tag and no commit since the --cutoff needs:
see `catalog-sync sweep --help` for what that takes. Commits before the cut-off stay in Nessie's log, but the table cannot be
read there any more unless a tag keeps it.

Exit code: 0 done, also when there is nothing to do; 1 failed, or files could not be deleted; 2 wrong usage.

Examples:
  catalog-sync expire --config connector.json --dry-run
  catalog-sync expire --config connector.json --tiers 2h,2d/1h,90d/1d
  catalog-sync expire --config connector.json --cutoff main=1d --keep-daily-tags 30 --allow-gc-disabled";

/// What to expire.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExpireArgs {
    #[command(flatten)]
    snapshots: SnapshotArgs,
    /// With Nessie: days for which a tag is made and kept, 0 leaves all tags alone
    #[arg(long, default_value_t = Options::default().keep_daily_tags)]
    keep_daily_tags: u32,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    table: TableArgs,
}

/// What stays on a catalog with history.
#[derive(Debug, Args)]
struct SnapshotArgs {
    /// What is kept up to which age: all, or one of each span [default: 1h,24h/1h,30d/1d]
    #[arg(long, value_name = "AGE[/SPAN],...")]
    tiers: Option<Tiers>,
    /// Instead of tiers: remove snapshots that are older
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration, conflicts_with = "tiers")]
    snapshots_older_than: Option<Duration>,
    /// Keep so many snapshots of each branch, whatever their age
    #[arg(long, default_value_t = Options::default().retain_last)]
    retain_last: usize,
    /// Instead of tiers: remove this snapshot; may be given several times
    #[arg(long, value_name = "ID", conflicts_with_all = ["tiers", "snapshots_older_than"])]
    snapshot_id: Vec<i64>,
    /// Leave the files for a sweep
    #[arg(long)]
    keep_files: bool,
}

/// Expires and prints.
pub(super) async fn run(args: ExpireArgs) -> Result<ExitCode, CliError> {
    let as_json = args.table.json;
    let options = Options {
        older_than: args.snapshots.snapshots_older_than,
        retain_last: args.snapshots.retain_last,
        snapshot_ids: args.snapshots.snapshot_id,
        tiers: args.snapshots.tiers,
        delete_files: !args.snapshots.keep_files,
        keep_daily_tags: args.keep_daily_tags,
        sweep: args.files.options()?,
    };
    let (client, ident) = args.table.connect().await?;
    let report = expire(&client, &ident, &options).await?;
    tell(as_json, &report, text)?;
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(report: &Report) -> String {
    let Report { table, before, .. } = report;
    if let Some(swept) = &report.sweep {
        let would = if report.verdict == Verdict::Planned { "would be " } else { "" };
        let tags = |what: &str, names: &[String]| match names {
            [] => String::new(),
            names => format!("{table}: {would}{what}: tag {}\n", names.join(", ")),
        };
        return format!(
            "{}{}{}",
            tags("made", &report.tags.made),
            tags("retired", &report.tags.retired),
            sweep_text(swept)
        );
    }
    let (snapshots, refs) = (report.snapshots.len(), &report.refs);
    let named = if refs.is_empty() { String::new() } else { format!(", and references {}", refs.join(", ")) };
    match report.verdict {
        Verdict::NothingToDo => format!("{table}: all {before} snapshots are wanted, nothing was changed\n"),
        Verdict::Planned => {
            format!("{table}: {snapshots} of {before} snapshots would be removed{named}; nothing was changed\n")
        }
        Verdict::Expired => {
            let files = report.deleted.files;
            let failed = match report.failed {
                0 => String::new(),
                failed => format!("; {failed} files could not be deleted, a sweep will find them"),
            };
            format!("{table}: {snapshots} of {before} snapshots were removed{named}, {files} files deleted{failed}\n")
        }
    }
}
