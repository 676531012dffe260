//! `catalog-sync serve` as a process: a catalog that shows every snapshot, unlike Nessie's.

use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

use crate::program;
use crate::stack::Stack;
use crate::wait::{Look, until};
use crate::worker::free_port;

/// A catalog process. It is killed when dropped.
#[derive(Debug)]
pub struct Embedded {
    child: Child,
    /// Its address.
    pub uri: String,
}

impl Embedded {
    /// Serves the catalog in a folder; its tables live there too, or below `warehouse` in the stack's object store.
    ///
    /// # Errors
    /// It does not start.
    pub async fn serve(dir: &Path, warehouse: Option<(&str, &Stack)>) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut command = Command::new(program::path("catalog-sync")?);
        command.args(["serve", "--listen", &address, "--dir"]).arg(dir);
        if let Some((warehouse, stack)) = warehouse {
            command
                .args(["--warehouse", warehouse, "--s3-endpoint", &stack.s3, "--s3-path-style-access", "true"])
                .args(["--region", "us-east-1"])
                .env("ICEBERG_CATALOG_S3_ACCESS_KEY_ID", &stack.s3_access_key)
                .env("ICEBERG_CATALOG_S3_SECRET_ACCESS_KEY", &stack.s3_secret_key);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("start catalog-sync serve")?;
        let mut served = Self { child, uri: format!("http://{address}") };
        until("the embedded catalog listens", Duration::from_secs(20), async || {
            if let Some(status) = served.child.try_wait()? {
                bail!("catalog-sync serve ended with {status}");
            }
            Ok(Look::holds(TcpStream::connect(&address).is_ok(), "no connection"))
        })
        .await?;
        Ok(served)
    }

    /// Ends the process.
    ///
    /// # Errors
    /// It had ended by itself.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("end catalog-sync serve")
    }
}
