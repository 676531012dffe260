//! `catalog-sync compact`: what there was, what there is, and by which snapshots.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::engine::{self, EngineArgs};
use super::select::{SelectArgs, at_least_one};
use super::{CliError, TableArgs, columns, tell};
use crate::compact::options::Options;
use crate::compact::{Failed, Report, Rewritten, Skipped, Verdict, compact};

const EXAMPLES: &str = "\
Each commit of the connector adds small files, and each query opens them all. Per partition, small files are packed into
files of about the target size, row for row the same: the rows are counted and hashed on both sides, and files whose rows
differ stay as they are. It may run while the table is being written: ingestion goes first, and what somebody else has
rewritten or removed meanwhile is given up and found again by the next run.

Rows that position deletes have deleted (Trino's DELETE and UPDATE) are left out, and delete files that delete nothing any
more are removed with the same commit. Files that equality deletes may concern are left alone.

--strategy sort sorts the rows across all files that are rewritten together, in bounded memory. Files say so if it is the
table's own sort order; only then are files taken because they are not sorted, and left alone when they are.

--dedupe event_id leaves out what an at-least-once producer sent twice: of the rows of a partition (day and event type) with
one id the one with the lowest ingestion_timestamp stays. All files of the partition are looked at, in the order in which
the table lists them, as many together as --max-file-group-size-bytes says: repeats that lie further apart stay, as do those
in different partitions, and rows without an id. The snapshot is an overwrite that says how many rows went, and `verify`
counts them.

Files are written as the table's properties say (write.*); a connector's own iceberg.tables.write-props.* are not looked at.
Memory: for each group that is rewritten at once about four files of the target size, and --sort-memory-bytes if it is
sorted; some hundred bytes for each file of the table; about two bytes for each deleted or repeated row. The replaced files
stay in the object store, for snapshots that refer to them.

Past one machine: --engine trino has Trino rewrite the files of the same plan, a statement and a commit for each partition, and
looks after each whether the table's position has survived; --engine spark prints statements to paste. Options of commits and of
memory are then the engine's own.

Exit code: 0 done, also when there is nothing to gain or others were faster; 1 failed, if only in some partitions; 2 wrong
usage.

Examples:
  catalog-sync compact --config connector.json --dry-run
  catalog-sync compact analytics.clickstream --min-input-files 20 --json
  catalog-sync compact --config connector.json --engine trino --trino-uri http://127.0.0.1:8080
  catalog-sync compact --config connector.json --engine spark > compact.sql
  catalog-sync compact --strategy sort --sort-order 'user_id, event_timestamp DESC'
  catalog-sync compact --dedupe event_id --where \"event_timestamp_day = '2026-11-01'\" --dry-run
  catalog-sync compact --where \"event_timestamp_day < '2026-11-01'\" --delete-file-threshold 1";

/// What to rewrite.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompactArgs {
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    select: SelectArgs,
    /// Memory of each sort, in bytes; what does not fit waits in the temporary directory
    #[arg(long, default_value_t = Options::default().sort_memory_bytes)]
    sort_memory_bytes: u64,
    /// Leave out rows that repeat an event: rows of a partition with the same value in this column
    #[arg(long, value_enum, value_name = "COLUMN")]
    dedupe: Option<Dedupe>,
    /// Groups of files that are rewritten at once; each takes the memory of one
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    max_concurrent_file_group_rewrites: usize,
    /// Commit when all is done, not in parts
    #[arg(long)]
    no_partial_progress: bool,
    /// Commits at most, when it is done in parts
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    partial_progress_max_commits: usize,
    /// Commits that may fail against others or an unclear answer, before the rest is left; what they were to bring is told as failed
    #[arg(long, default_value_t = 0)]
    partial_progress_max_failed_commits: usize,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    table: TableArgs,
}

/// Columns by which events are told apart.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Dedupe {
    /// The id that the producer gave the event
    EventId,
}

/// Compacts and prints.
pub(super) async fn run(args: CompactArgs) -> Result<ExitCode, CliError> {
    let as_json = args.table.json;
    let options = Options {
        dry_run: args.dry_run,
        partial_progress: !args.no_partial_progress,
        max_commits: args.partial_progress_max_commits,
        max_failed_commits: args.partial_progress_max_failed_commits,
        sort_memory_bytes: args.sort_memory_bytes,
        dedupe: args.dedupe.is_some(),
        max_concurrent_rewrites: args.max_concurrent_file_group_rewrites,
        ..args.select.options()
    };
    let (client, ident) = args.table.connect().await?;
    if let Some(code) = engine::run(args.engine, &client, &ident, &options, as_json).await? {
        return Ok(code);
    }
    let report = compact(&client, &ident, &options).await?;
    tell(as_json, &report, text)?;
    Ok(if report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(report: &Report) -> String {
    let Report { table, planned, done, .. } = report;
    let mut out = match report.verdict {
        Verdict::NothingToGain => format!("{table}: nothing to gain, nothing was changed\n"),
        Verdict::Planned => {
            let Rewritten { files_before, files_after, .. } = planned;
            format!("{table}: about {files_after} files would take the place of {files_before}; nothing was changed\n")
        }
        Verdict::Committed => {
            let Rewritten { files_before, files_after, .. } = done;
            let commits = report.snapshot_ids.len();
            format!("{table}: {files_after} files took the place of {files_before}, in {commits} commits\n")
        }
        Verdict::Yielded => format!("{table}: others were faster, nothing was changed; run it again\n"),
        Verdict::Failed => format!("{table}: failed, nothing was changed\n"),
    };
    let number = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
    let row =
        |name: &str, of: fn(&Rewritten) -> Option<u64>| vec![name.to_owned(), number(of(planned)), number(of(done))];
    let rows = [
        row("groups of files", |it| Some(it.groups)),
        row("files before", |it| Some(it.files_before)),
        row("files afterwards", |it| Some(it.files_after)),
        row("bytes before", |it| Some(it.bytes_before)),
        row("bytes afterwards", |it| it.bytes_after),
        row("rows before", |it| Some(it.rows)),
        row("deleted rows left out", |it| Some(it.deleted_rows)),
        row("repeats left out", |it| Some(it.repeats)),
        row("delete files removed", |it| Some(it.delete_files)),
    ];
    out.push_str(&columns(&["", "planned", "done"], &rows, &[1, 2]));
    if report.yielded > 0 {
        out.push_str(&format!(" {} groups were given up: others were faster\n", report.yielded));
    }
    for Failed { partition, files, first_file, why } in &report.failed {
        out.push_str(&format!(" {partition}: {files} files, as {first_file}, stay as they are: {why}\n"));
    }
    let Skipped { with_deletes, of_other_spec, of_other_format, of_odd_manifest } = report.skipped;
    let left = [
        (with_deletes, "rows of them may be deleted by what is no position delete file, or cannot be read"),
        (of_other_spec, "they have another partition spec"),
        (of_other_format, "they are no Parquet"),
        (of_odd_manifest, "they are listed twice, or their manifest cannot be written anew"),
    ];
    for (count, why) in left.iter().filter(|(count, _)| *count > 0) {
        out.push_str(&format!(" {count} files are left alone: {why}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdict: Verdict) -> Report {
        let rewritten = Rewritten {
            groups: 2,
            files_before: 30,
            files_after: 3,
            bytes_before: 9_000,
            rows: 77,
            deleted_rows: 4,
            repeats: 6,
            delete_files: 1,
            ..Rewritten::default()
        };
        let is_done = verdict == Verdict::Committed;
        let failed = Failed { partition: "p".into(), files: 5, first_file: "f".into(), why: "w".into() };
        Report {
            table: "a.t".into(),
            verdict,
            files: 40,
            skipped: Skipped { with_deletes: 4, ..Skipped::default() },
            planned: rewritten,
            done: if is_done { Rewritten { bytes_after: Some(8_000), ..rewritten } } else { Rewritten::default() },
            yielded: u64::from(is_done),
            failed: if is_done { vec![failed] } else { Vec::new() },
            snapshot_ids: if is_done { vec![7] } else { Vec::new() },
        }
    }

    #[test]
    fn what_was_planned_and_what_was_done_stand_side_by_side() {
        let printed = text(&report(Verdict::Committed));
        assert!(printed.starts_with("a.t: 3 files took the place of 30, in 1 commits\n"), "{printed}");
        let cells: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(cells.contains(&vec!["files", "before", "30", "30"]), "{printed}");
        assert!(cells.contains(&vec!["bytes", "afterwards", "-", "8000"]), "{printed}");
        assert!(printed.contains("1 groups were given up"), "{printed}");
        assert!(printed.contains(" p: 5 files, as f, stay as they are: w\n"), "{printed}");
        assert!(printed.contains("4 files are left alone: rows of them may be deleted by "), "{printed}");
        assert!(cells.contains(&vec!["delete", "files", "removed", "1", "1"]), "{printed}");
        let printed = text(&report(Verdict::Planned));
        assert!(printed.contains("would take the place of 30; nothing was changed\n"), "{printed}");
        assert!(text(&report(Verdict::NothingToGain)).contains("nothing to gain"));
        assert!(text(&report(Verdict::Yielded)).contains("others were faster"));
    }
}
