//! `catalog-sync plan`: how a table is, and what each kind of maintenance would do for it.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::select::SelectArgs;
use super::{CliError, TableArgs, columns, tell};
use crate::compact;
use crate::compact::plan::Health;
use crate::rewrite::{Report, rewrite_manifests};

const EXAMPLES: &str = "\
Reads metadata and position delete files, and changes nothing. Small files are those that `catalog-sync compact` would pack,
if enough of them are in one partition.

Examples:
  catalog-sync plan --config connector.json
  catalog-sync plan analytics.clickstream --json";

/// Partitions that are printed; JSON has them all.
const PRINTED: usize = 20;

/// What to look at.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    table: TableArgs,
}

/// What would be done.
#[derive(Debug, Serialize)]
struct Plan {
    compact: compact::Report,
    rewrite_manifests: Report,
    partitions: Vec<Health>,
}

/// Plans and prints.
pub(super) async fn run(args: PlanArgs) -> Result<ExitCode, CliError> {
    let as_json = args.table.json;
    let options = args.select.options();
    let (client, ident) = args.table.connect().await?;
    let compact::Plan { compaction, partitions } = compact::plan(&client, &ident, &options).await?;
    let rewrite_manifests = rewrite_manifests(&client, &ident, true).await?;
    let plan = Plan { compact: compaction, rewrite_manifests, partitions };
    tell(as_json, &plan, text)
}

fn text(plan: &Plan) -> String {
    let (compact, manifests) = (&plan.compact.planned, &plan.rewrite_manifests);
    let sum = |of: fn(&Health) -> u64| plan.partitions.iter().map(of).sum::<u64>();
    let (files, bytes, partitions) = (sum(|it| it.files), sum(|it| it.bytes), plan.partitions.len());
    let mut out = format!("{}: {files} files, {bytes} bytes, {partitions} partitions\n", plan.compact.table);
    let rows = [
        (
            "compact",
            format!(
                "{} files become {}, {} bytes; {} delete files go",
                compact.files_before, compact.files_after, compact.bytes_before, compact.delete_files
            ),
            compact.groups > 0 || compact.delete_files > 0,
        ),
        (
            "rewrite-manifests",
            format!("{} manifests become {}", manifests.replaced, manifests.created),
            manifests.replaced > 0,
        ),
    ];
    let row = |(name, text, is_worth_it): (&str, String, bool)| {
        vec![name.to_owned(), if is_worth_it { text } else { "nothing to gain".to_owned() }]
    };
    out.push_str(&columns(&[], &rows.map(row), &[]));
    out.push('\n');
    let row = |it: &Health| {
        let numbers = [
            it.files,
            it.bytes,
            it.average(),
            it.small_files,
            it.large_files,
            it.rows,
            it.delete_files,
            it.sorted_files,
        ];
        [it.partition.clone()].into_iter().chain(numbers.map(|number| number.to_string())).collect()
    };
    let rows: Vec<Vec<String>> = plan.partitions.iter().take(PRINTED).map(row).collect();
    let headings = ["partition", "files", "bytes", "bytes a file", "small", "large", "rows", "delete files", "sorted"];
    out.push_str(&columns(&headings, &rows, &[1, 2, 3, 4, 5, 6, 7, 8]));
    if partitions > PRINTED {
        out.push_str(&format!(" … and {} more; --json has them all\n", partitions - PRINTED));
    }
    out
}
