//! `catalog-sync verify`: the report of [`crate::verify`] for a person or a program.

use std::process::ExitCode;

use clap::Args;

use super::{CliError, TableArgs, print, print_json, styled};
use crate::verify::overrides::Override;
use crate::verify::{Report, VerifyOptions};

/// Problems of one check that are printed; `--json` has all.
const PROBLEMS_SHOWN: usize = 20;

const EXAMPLES: &str = "\
Checks:
  position   it can be read, the table was not rolled back under it; offsets = rows + rejects + skipped + lost
  manifests  manifest list and manifests are there and agree with their entries
  files      every data and delete file is there with its size, and is referred to once
  totals     totals in the snapshot summary = sums over the live entries
  rows       rows by the position = rows in live data files less those that position delete files delete, and those that
             `compact --dedupe` left out
  ranges     each ingest snapshot begins where the table stood and ends at its own position: every offset once; an
             operator's word (`override`) moves the position by exactly what its token says
  foreign    nobody else added or removed rows (compaction by any engine is fine)

What operators gave up is listed and counted, and is no fault: the table is then complete but for that.

Exit code: 0 complete, 1 not complete or not verifiable, 2 wrong usage. Data files are not opened.

Examples:
  catalog-sync verify --config connector.json
  catalog-sync verify analytics.clickstream --history 100 --json
  catalog-sync verify --allow-foreign-changes      after a deletion on request";

/// What to verify.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct VerifyArgs {
    /// Commits of the table to walk back at most; 0 leaves the history out
    #[arg(long, value_name = "N", default_value_t = VerifyOptions::default().history)]
    history: usize,
    /// Accept rows that others added or removed, if their commits account for them exactly
    #[arg(long)]
    allow_foreign_changes: bool,
    #[command(flatten)]
    table: TableArgs,
}

/// Verifies, prints, and fails when the table is not complete.
pub(super) async fn run(args: VerifyArgs) -> Result<ExitCode, CliError> {
    let options = VerifyOptions { history: args.history, allow_foreign_changes: args.allow_foreign_changes };
    let json = args.table.json;
    let (client, ident) = args.table.connect().await?;
    let report = crate::verify::verify(&client, &ident, options).await?;
    if json {
        print_json(&report)?;
    } else {
        print(&text(&report, styled()))?;
    }
    Ok(if report.complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(report: &Report, styled: bool) -> String {
    let paint = |good: bool, text: &str| match (styled, good) {
        (false, _) => text.to_owned(),
        (true, true) => format!("\u{1b}[32m{text}\u{1b}[0m"),
        (true, false) => format!("\u{1b}[1;31m{text}\u{1b}[0m"),
    };
    let snapshot = report.snapshot_id.map_or("no snapshot".to_owned(), |id| format!("snapshot {id}"));
    let mut out = format!("{}, {snapshot}, sequence number {}\n", report.table, report.sequence_number);
    for check in &report.checks {
        let verdict = paint(check.ok, if check.ok { "ok    " } else { "FAILED" });
        out.push_str(&format!("  {verdict}  {:<9}  {}\n", check.name, check.detail));
        for problem in check.problems.iter().take(PROBLEMS_SHOWN) {
            out.push_str(&format!("            - {problem}\n"));
        }
        if check.problems.len() > PROBLEMS_SHOWN {
            out.push_str(&format!("            - and {} more, see --json\n", check.problems.len() - PROBLEMS_SHOWN));
        }
    }
    for said in &report.overrides {
        let (token, snapshot, reason) = (&said.token, said.snapshot_id, &said.reason);
        out.push_str(&format!("  override  {token} by snapshot {snapshot}: {reason:?}{}\n", given_up(said)));
    }
    for note in &report.notes {
        out.push_str(&format!("  note    {note}\n"));
    }
    out.push_str(&paint(report.complete, &verdict(report)));
    out.push('\n');
    out
}

fn verdict(report: &Report) -> String {
    let (offsets, rows) = (report.lost_offsets, report.rows_given_up);
    match (report.complete, offsets, rows) {
        (false, ..) => "NOT COMPLETE".to_owned(),
        (true, 0, 0) => "complete".to_owned(),
        (true, offsets, 0) => format!("complete, but for {offsets} offsets given up by an operator"),
        (true, 0, rows) => format!("complete, but for {rows} rows given up by an operator"),
        (true, offsets, rows) => {
            format!("complete, but for {offsets} offsets and {rows} rows given up by an operator")
        }
    }
}

fn given_up(said: &Override) -> String {
    match (said.lost_offsets, said.rows_given_up) {
        (0, 0) => String::new(),
        (offsets, 0) => format!(", {offsets} offsets given up"),
        (_, rows) => format!(", {rows} rows given up"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Check;

    #[test]
    fn the_report_ends_with_the_verdict_and_is_plain_off_a_terminal() {
        let problems = (0..25).map(|n| format!("file {n} is missing")).collect();
        let said = Override {
            token: "gap:t-0:1..31".into(),
            reason: "why".into(),
            snapshot_id: 6,
            lost_offsets: 30,
            rows_given_up: 0,
        };
        let mut report = Report {
            table: "a.t".into(),
            uuid: "u".into(),
            snapshot_id: Some(7),
            sequence_number: 3,
            complete: false,
            lost_offsets: 30,
            rows_deduplicated: 0,
            rows_given_up: 0,
            overrides: vec![said],
            checks: vec![Check::new("rows", "7 rows", Vec::new()), Check::new("files", "25 data files", problems)],
            notes: vec!["by the way".into()],
        };
        let printed = text(&report, false);
        assert!(printed.starts_with("a.t, snapshot 7, sequence number 3\n  ok      rows       7 rows\n"), "{printed}");
        assert!(printed.contains("FAILED  files      25 data files\n            - file 0 is missing\n"), "{printed}");
        assert!(printed.contains("- and 5 more, see --json\n  override  gap:t-0:1..31"), "{printed}");
        let end = "by snapshot 6: \"why\", 30 offsets given up\n  note    by the way\nNOT COMPLETE\n";
        assert!(printed.ends_with(end), "{printed}");
        report.complete = true;
        assert!(text(&report, false).ends_with("\ncomplete, but for 30 offsets given up by an operator\n"));
        assert!(!printed.contains('\u{1b}'));
    }
}
