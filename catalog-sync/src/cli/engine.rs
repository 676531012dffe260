//! `catalog-sync compact --engine`: a plan for Trino to carry out, or for Spark to paste.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use iceberg::TableIdent;
use serde::Serialize;

use super::connection::secret;
use super::{CliError, columns, tell};
use crate::catalog::CatalogClient;
use crate::compact;
use crate::compact::options::{Options, Strategy};
use crate::engine::client::{Server, TrinoError};
use crate::engine::trino::{Error, Report, Statement, Verdict, optimize};
use crate::engine::{orders, spark};
use crate::secret::Secret;

/// Statements that are printed; JSON has them all.
const PRINTED: usize = 20;

/// Who rewrites.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// This program
    #[default]
    Native,
    /// Trino, by ALTER TABLE … EXECUTE optimize, a commit for each partition
    Trino,
    /// Nobody yet: statements for Spark are printed, CALL … rewrite_data_files
    Spark,
}

/// Who rewrites, and where they are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Engine")]
pub(super) struct EngineArgs {
    /// Who rewrites the files of the plan
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
    /// Name that the engine has for the table's catalog
    #[arg(long, value_name = "NAME", default_value = "lakehouse")]
    engine_catalog: String,
    /// Address of Trino, http://host:port or https://…
    #[arg(long, value_name = "URI", env = "TRINO_URI", required_if_eq("engine", "trino"))]
    trino_uri: Option<String>,
    /// User for Trino
    #[arg(long, value_name = "NAME", env = "TRINO_USER", default_value = "catalog-sync")]
    trino_user: String,
    /// Password for Trino, over HTTPS only; better set in the environment
    #[arg(long, value_name = "PASSWORD", env = "TRINO_PASSWORD", hide_env_values = true, value_parser = secret)]
    trino_password: Option<Secret>,
    /// Longest time for one statement of Trino, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    trino_timeout_seconds: u64,
}

/// What Spark is to run.
#[derive(Debug, Serialize)]
struct ForSpark {
    table: String,
    statements: Vec<String>,
}

/// Hands the plan over and prints; none if this program is to rewrite.
pub(super) async fn run(
    args: EngineArgs,
    client: &CatalogClient,
    ident: &TableIdent,
    options: &Options,
    as_json: bool,
) -> Result<Option<ExitCode>, CliError> {
    if args.engine != Engine::Native && (options.dedupe || options.strategy != Strategy::default()) {
        let text = "--strategy sort and --dedupe are this program's own: leave out --engine, or leave them out";
        return Err(CliError::Usage(text.to_owned()));
    }
    match args.engine {
        Engine::Native => Ok(None),
        Engine::Trino => {
            let server = Server {
                uri: args.trino_uri.unwrap_or_default(),
                user: args.trino_user,
                password: args.trino_password,
                statement_timeout: Duration::from_secs(args.trino_timeout_seconds),
            };
            let report = optimize(client, ident, options, server, &args.engine_catalog).await?;
            tell(as_json, &report, text)?;
            let is_failed = report.verdict == Verdict::Failed;
            Ok(Some(if is_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }))
        }
        Engine::Spark => {
            let (groups, sizes) = compact::groups(client, ident, options).await?;
            let statements = spark::statements(&args.engine_catalog, ident, &orders(&groups, &sizes), &sizes);
            let plan = ForSpark { table: ident.to_string(), statements };
            tell(as_json, &plan, |plan| match plan.statements.is_empty() {
                true => format!("-- {}: nothing to gain\n", plan.table),
                false => plan.statements.iter().map(|statement| format!("{statement};\n")).collect(),
            })
            .map(Some)
        }
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        match error {
            Error::Plan(error) => error.into(),
            Error::Trino(TrinoError::Config(text)) => Self::Usage(text),
            error => Self::Engine(error),
        }
    }
}

fn text(report: &Report) -> String {
    let Report { table, verdict, statements } = report;
    let count = |of: Verdict| statements.iter().filter(|statement| statement.verdict == of).count();
    let sum = |of: fn(&Statement) -> u64| statements.iter().map(of).sum::<u64>();
    let (before, after) = (sum(|it| it.files_before), sum(|it| it.files_after.unwrap_or(0)));
    let partitions = statements.len();
    if *verdict == Verdict::NothingToGain {
        return format!("{table}: nothing to gain, nothing was changed\n");
    }
    if *verdict == Verdict::Planned {
        let sql = statements.iter().map(|statement| format!("{};\n", statement.sql));
        return sql.collect();
    }
    let (done, yielded, failed) = (count(Verdict::Committed), count(Verdict::Yielded), count(Verdict::Failed));
    let mut out = format!(
        "{table}: of {partitions} partitions trino has optimized {done}; in {yielded} others were faster, {failed} failed; \
         {before} files before, {after} after\n"
    );
    let row = |it: &Statement| {
        let after = it.files_after.map_or("-".to_owned(), |files| files.to_string());
        let why = it.error.clone().unwrap_or_else(|| format!("{:?}", it.verdict).to_lowercase());
        vec![it.partition.clone(), it.files_before.to_string(), after, why]
    };
    let rows: Vec<Vec<String>> = statements.iter().take(PRINTED).map(row).collect();
    out.push_str(&columns(&["partition", "files before", "after", ""], &rows, &[1, 2]));
    if partitions > PRINTED {
        out.push_str(&format!(" … and {} more; --json has them all\n", partitions - PRINTED));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_trino_did_is_told_by_partition() {
        let statement = |verdict, error: Option<&str>| Statement {
            partition: "p".into(),
            sql: "ALTER TABLE t".into(),
            verdict,
            lost: 0,
            files_before: 9,
            files_after: Some(1),
            error: error.map(str::to_owned),
        };
        let statements = vec![statement(Verdict::Committed, None), statement(Verdict::Failed, Some("no memory"))];
        let printed = text(&Report { table: "a.t".into(), verdict: Verdict::Failed, statements });
        assert!(printed.starts_with("a.t: of 2 partitions trino has optimized 1; in 0 others were faster, 1 failed; "));
        assert!(printed.contains("18 files before, 2 after\n") && printed.contains("no memory"), "{printed}");
        let planned = Report {
            table: "a.t".into(),
            verdict: Verdict::Planned,
            statements: vec![statement(Verdict::Planned, None)],
        };
        assert_eq!(text(&planned), "ALTER TABLE t;\n");
    }
}
