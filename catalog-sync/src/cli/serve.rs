//! `catalog-sync serve`: the embedded catalog as a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::connection::StorageArgs;
use super::{CliError, print};
use crate::embedded::{EmbeddedCatalog, EmbeddedOptions};

const EXAMPLES: &str = "\
Examples:
  catalog-sync serve --dir ./catalog
  catalog-sync serve --dir ./catalog --warehouse s3://lake/warehouse --s3-endpoint http://127.0.0.1:9000

There is no log-in: leave it on the loopback interface. Engines attach to the printed address as to any Iceberg REST
catalog. SIGTERM or Ctrl-C ends it after the requests under way.";

/// Where to keep the catalog and where to listen.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArgs {
    /// Folder of the catalog's database, made when missing; several processes may share it
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Address to listen on; port 0 takes any free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8181")]
    listen: SocketAddr,
    /// Location that tables live below: s3://bucket/path or file:///path [default: DIR/warehouse]
    #[arg(long, value_name = "LOCATION")]
    warehouse: Option<String>,
    #[command(flatten)]
    storage: StorageArgs,
}

/// Serves until SIGTERM or SIGINT.
pub(super) async fn run(args: ServeArgs) -> Result<ExitCode, CliError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (dir, warehouse, listen) = (args.dir, args.warehouse, args.listen);
    let catalog =
        EmbeddedCatalog::start(EmbeddedOptions { dir, warehouse, storage: args.storage.alone()?, listen }).await?;
    print(&format!("{}\n", catalog.uri()))?;
    tokio::select! {
        _ = terminate.recv() => {},
        _ = interrupt.recv() => {},
    }
    catalog.stop().await;
    Ok(ExitCode::SUCCESS)
}
