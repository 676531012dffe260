//! The commands of `catalog-sync`: arguments, what is printed, exit codes.
//!
//! Exit codes: 0 done and, for `verify`, complete; 1 failed or not complete; 2 wrong usage. Results go to standard
//! output, errors and logs to standard error; with `--json` the output is one JSON document.

mod compact;
mod connection;
mod engine;
mod expire;
mod overrule;
mod plan;
mod position;
mod rewrite;
mod run;
mod select;
mod serve;
mod sweep;
mod table;
mod verify;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};
use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Table};
use iceberg::TableIdent;
use serde::Serialize;

pub use connection::ConnectionArgs;

use crate::catalog::{CatalogClient, CatalogError, LoadedTable, parse_table};
use crate::embedded::EmbeddedError;
use crate::verify::VerifyError;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  catalog-sync verify --catalog-uri http://127.0.0.1:19120/iceberg/ --warehouse warehouse
  catalog-sync position --config connector.json --json
  catalog-sync table show analytics.clickstream
  catalog-sync override 'gap:clicks-0:120..150' --reason 'ticket 4711' --config connector.json
  catalog-sync plan --config connector.json
  catalog-sync compact --config connector.json
  catalog-sync rewrite-manifests --config connector.json
  catalog-sync expire --config connector.json --dry-run
  catalog-sync sweep --config connector.json --dry-run
  catalog-sync run --config maintenance.json
  catalog-sync serve --dir ./catalog

Every option of the connection can be set in the environment; secrets should be.";

/// Looks at the Iceberg table that the connector feeds, proves it complete, overrules its halts, keeps its files few
/// and its metadata small, and serves a catalog of its own.
#[derive(Debug, Parser)]
#[command(name = "catalog-sync", version, styles = STYLES, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What a table is
    #[command(subcommand)]
    Table(TableCommand),
    /// How far a table has got in Kafka, and what became of the records
    Position(TableArgs),
    /// Prove that a table is complete: every offset once, every file there
    Verify(verify::VerifyArgs),
    /// Change a table's position so that a halt ends, and have the table remember it
    Override(overrule::OverrideArgs),
    /// How a table is, and what maintenance would do for it
    Plan(plan::PlanArgs),
    /// Write many small data files anew as few, row for row the same
    Compact(compact::CompactArgs),
    /// Write many small manifests anew as few; the files stay as they are
    RewriteManifests(rewrite::RewriteArgs),
    /// Remove snapshots that are no longer wanted, and the files that only they had; on Nessie, by tags and a cut-off
    Expire(expire::ExpireArgs),
    /// Delete files that no snapshot, branch, tag or retained commit needs
    Sweep(sweep::SweepArgs),
    /// Look after tables: compact them and rewrite their manifests when it is time, until told to stop
    Run(run::RunArgs),
    /// Serve an Iceberg REST catalog out of a folder
    Serve(serve::ServeArgs),
}

#[derive(Debug, Subcommand)]
enum TableCommand {
    /// Columns, partition spec, sort order, properties, current snapshot
    Show(TableArgs),
}

/// A table of a catalog.
#[derive(Debug, Args)]
pub struct TableArgs {
    /// The table, `namespace.table`; else `iceberg.tables` of --config, else analytics.clickstream
    #[arg(value_parser = parse_table)]
    table: Option<TableIdent>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The arguments, the environment or the configuration file are wrong.
    #[error("{0}")]
    Usage(String),
    /// The catalog did not answer as it should.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Verification could not be carried out.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A halt was not overruled.
    #[error(transparent)]
    Overrule(#[from] crate::overrule::Error),
    /// Data files were not rewritten, or only in part.
    #[error(transparent)]
    Compact(crate::compact::Error),
    /// An engine was not asked to the end.
    #[error(transparent)]
    Engine(crate::engine::trino::Error),
    /// Manifests were not rewritten.
    #[error(transparent)]
    Rewrite(#[from] crate::rewrite::Error),
    /// Snapshots did not expire, or not all.
    #[error(transparent)]
    Expire(crate::expire::Error),
    /// Files were not deleted, or not all.
    #[error(transparent)]
    Sweep(crate::sweep::Error),
    /// Maintenance did not begin.
    #[error(transparent)]
    Run(#[from] crate::run::RunError),
    /// The embedded catalog did not start.
    #[error(transparent)]
    Serve(#[from] EmbeddedError),
    /// The table's position cannot be read.
    #[error("{code}: {text}")]
    Halted {
        /// Stable name, as in the runbook.
        code: &'static str,
        /// What is wrong.
        text: String,
    },
    /// The result cannot be printed, or a signal cannot be waited for.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<crate::compact::Error> for CliError {
    fn from(error: crate::compact::Error) -> Self {
        match error {
            crate::compact::Error::Options(text) => Self::Usage(text),
            error => Self::Compact(error),
        }
    }
}

impl From<crate::sweep::Error> for CliError {
    fn from(error: crate::sweep::Error) -> Self {
        match error {
            crate::sweep::Error::Options(text) => Self::Usage(text),
            error => Self::Sweep(error),
        }
    }
}

impl From<crate::expire::Error> for CliError {
    fn from(error: crate::expire::Error) -> Self {
        match error {
            crate::expire::Error::Options(text) => Self::Usage(text),
            crate::expire::Error::Sweep(error) => error.into(),
            error => Self::Expire(error),
        }
    }
}

impl CliError {
    /// 2 for wrong usage, 1 for anything else.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

impl Cli {
    /// What is logged unless `RUST_LOG` says otherwise: warnings; for the server, that it is ready.
    #[must_use]
    pub fn default_log_level(&self) -> &'static str {
        match self.command {
            Command::Serve(_) | Command::Run(_) => "info",
            Command::Compact(_) | Command::Expire(_) | Command::Sweep(_) => "info",
            _ => "warn",
        }
    }
}

/// Runs the command.
///
/// # Errors
/// [`CliError`], to be printed as one line.
pub async fn run(cli: Cli) -> Result<ExitCode, CliError> {
    match cli.command {
        Command::Table(TableCommand::Show(args)) => table::show(args).await,
        Command::Position(args) => position::show(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Override(args) => overrule::run(args).await,
        Command::Plan(args) => plan::run(args).await,
        Command::Compact(args) => compact::run(args).await,
        Command::RewriteManifests(args) => rewrite::run(args).await,
        Command::Expire(args) => expire::run(args).await,
        Command::Sweep(args) => sweep::run(args).await,
        Command::Run(args) => run::run(args).await,
        Command::Serve(args) => serve::run(args).await,
    }
}

impl TableArgs {
    async fn connect(self) -> Result<(CatalogClient, TableIdent), CliError> {
        let (config, configured) = self.connection.resolve()?;
        let ident = match (self.table, configured) {
            (Some(ident), _) => ident,
            (None, Some(name)) => {
                parse_table(&name).map_err(|why| CliError::Usage(format!("iceberg.tables: {name:?}: {why}")))?
            }
            (None, None) => parse_table("analytics.clickstream").map_err(CliError::Usage)?,
        };
        Ok((CatalogClient::connect(config).await?, ident))
    }

    async fn load(self) -> Result<LoadedTable, CliError> {
        let (client, ident) = self.connect().await?;
        Ok(client.load_table(&ident).await?)
    }
}

/// Prints to standard output. A reader that went away (`| head`) is no error.
fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn print_json<T: Serialize>(value: &T) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    print(&format!("{text}\n"))
}

/// Prints a report, for machines or for people.
fn tell<T: Serialize>(as_json: bool, report: &T, text: impl FnOnce(&T) -> String) -> Result<ExitCode, CliError> {
    match as_json {
        true => print_json(report)?,
        false => print(&text(report))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether standard output is a terminal that takes colours.
fn styled() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|text| text.is_empty())
}

/// Rows of cells in columns, two spaces in; numbers are to the right where `right` names the column.
fn columns(headings: &[&str], rows: &[Vec<String>], right: &[usize]) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).force_no_tty();
    let styled = styled();
    if styled {
        table.enforce_styling();
    }
    let cell = |index: usize, text: &str| {
        let side = if right.contains(&index) { CellAlignment::Right } else { CellAlignment::Left };
        Cell::new(text).set_alignment(side)
    };
    if !headings.is_empty() {
        let heading = |(index, text): (usize, &&str)| {
            let cell = cell(index, text);
            if styled { cell.add_attribute(Attribute::Bold) } else { cell }
        };
        table.set_header(headings.iter().enumerate().map(heading));
    }
    for row in rows {
        table.add_row(row.iter().enumerate().map(|(index, text)| cell(index, text)));
    }
    let lines: Vec<String> = table.lines().map(|line| format!(" {}\n", line.trim_end())).collect();
    lines.concat()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_secret_of_the_environment_is_shown_in_the_help() {
        let maintenance = ["plan", "compact", "rewrite-manifests", "expire", "sweep", "run"];
        for name in ["table", "position", "verify", "override"].into_iter().chain(maintenance) {
            let mut command = Cli::command();
            let mut sub = command.find_subcommand_mut(name).unwrap();
            if name == "table" {
                sub = sub.find_subcommand_mut("show").unwrap();
            }
            for arg in sub.get_arguments() {
                let secret =
                    ["secret", "token", "key", "password"].iter().any(|word| arg.get_id().as_str().contains(word));
                assert_eq!(arg.is_hide_env_values_set(), secret, "{}", arg.get_id());
            }
        }
    }
}
