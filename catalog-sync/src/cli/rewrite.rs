//! `catalog-sync rewrite-manifests`: what there was, what there is, and by which snapshot.

use std::process::ExitCode;

use clap::Args;

use super::{CliError, TableArgs, columns, tell};
use crate::rewrite::{Counts, Report, Verdict, rewrite_manifests};

const EXAMPLES: &str = "\
Each commit adds a manifest, and whoever plans a query or commits reads the list of all of them. The small ones are written
anew, sorted by day, in one commit that holds the same files and the same position. It may run while the table is being
written: it is tried again on each new base, and gives up after 20 lost races. Expire snapshots to be rid of the old manifests.

A manifest holds 1000 files at most, and about as many bytes as the table property commit.manifest.target-size-bytes says
(8 MiB when it is not set).

Exit code: 0 done, also when there is nothing to gain; 1 failed, or ingestion is too fast; 2 wrong usage.

Examples:
  catalog-sync rewrite-manifests --config connector.json --dry-run
  catalog-sync rewrite-manifests analytics.clickstream --json";

/// What to rewrite.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RewriteArgs {
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    table: TableArgs,
}

/// Rewrites and prints.
pub(super) async fn run(args: RewriteArgs) -> Result<ExitCode, CliError> {
    let as_json = args.table.json;
    let (client, ident) = args.table.connect().await?;
    let report = rewrite_manifests(&client, &ident, args.dry_run).await?;
    tell(as_json, &report, text)
}

fn text(report: &Report) -> String {
    let Report { table, replaced, created, .. } = report;
    let mut out = match (report.verdict, report.snapshot_id) {
        (Verdict::NothingToGain, _) => format!("{table}: nothing to gain, nothing was changed\n"),
        (Verdict::Planned, _) => {
            format!("{table}: about {created} manifests would take the place of {replaced}; nothing was changed\n")
        }
        (Verdict::Committed, id) => {
            let id = id.map_or_else(String::new, |id| format!("snapshot {id}: "));
            format!("{table}: {id}{created} manifests took the place of {replaced}\n")
        }
    };
    let row = |name: &str, of: fn(&Counts) -> Option<u64>| {
        let cell = |counts: &Counts| of(counts).map_or("-".to_owned(), |count| count.to_string());
        vec![name.to_owned(), cell(&report.before), cell(&report.after)]
    };
    let rows = [
        row("data manifests", |counts| Some(counts.data_manifests)),
        row("delete manifests", |counts| Some(counts.delete_manifests)),
        row("bytes of manifests", |counts| counts.bytes),
        row("data files", |counts| Some(counts.data_files)),
    ];
    out.push_str(&columns(&["", "before", "after"], &rows, &[1, 2]));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdict: Verdict) -> Report {
        let before = Counts { data_manifests: 30, delete_manifests: 1, bytes: Some(90_000), data_files: 31 };
        let after = Counts { data_manifests: 2, bytes: (verdict == Verdict::Committed).then_some(9_000), ..before };
        let snapshot_id = (verdict == Verdict::Committed).then_some(7);
        Report { table: "a.t".into(), verdict, snapshot_id, replaced: 29, created: 1, attempts: 1, before, after }
    }

    #[test]
    fn what_there_was_and_what_there_is_stand_side_by_side() {
        let printed = text(&report(Verdict::Committed));
        assert!(printed.starts_with("a.t: snapshot 7: 1 manifests took the place of 29\n"), "{printed}");
        let cells: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(cells.contains(&vec!["data", "manifests", "30", "2"]), "{printed}");
        assert!(cells.contains(&vec!["bytes", "of", "manifests", "90000", "9000"]), "{printed}");
        let printed = text(&report(Verdict::Planned));
        assert!(printed.contains("would take the place of 29; nothing was changed\n"), "{printed}");
        assert!(printed.lines().any(|line| line.trim_end().ends_with('-')), "{printed}");
        assert!(text(&report(Verdict::NothingToGain)).contains("nothing to gain"));
    }
}
