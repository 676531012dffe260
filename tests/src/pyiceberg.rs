//! PyIceberg, the second foreign reader: another implementation of manifests, statistics and Parquet.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::program;
use crate::stack::Stack;

const SCRIPT: &str = include_str!("read_table.py");
const ROW_GROUPS: &str = include_str!("row_groups.py");
const FOREIGN_APPEND: &str = include_str!("foreign_append.py");

/// What PyIceberg finds in a table of clicks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Rows.
    pub rows: u64,
    /// Distinct event ids.
    pub distinct: u64,
    /// Column -> Iceberg type.
    pub columns: BTreeMap<String, String>,
}

/// Reads `table` through the REST catalog of the stack.
///
/// # Errors
/// PyIceberg cannot read it.
pub async fn read(stack: &Stack, table: &str) -> Result<Found> {
    read_from(stack, &catalog(stack), table).await
}

/// Path of each data file of `table` -> row groups in it, by a look into the file.
///
/// # Errors
/// PyIceberg cannot read it.
pub async fn row_groups(stack: &Stack, table: &str) -> Result<BTreeMap<String, u64>> {
    let request = json!({"catalog": catalog(stack), "table": table}).to_string();
    let mut command = Command::new(&stack.python);
    command.args(["-c", ROW_GROUPS, &request]);
    let answer = program::run(&mut command, Duration::from_secs(180)).await?.json().context("pyiceberg")?;
    Ok(serde_json::from_value(answer)?)
}

/// Adds an empty snapshot to `table`, as a writer would that knows of no position; `summary` goes into the snapshot's.
///
/// # Errors
/// The catalog refuses it.
pub async fn foreign_append(stack: &Stack, table: &str, summary: &BTreeMap<&str, &str>) -> Result<()> {
    let request = json!({"catalog": catalog(stack), "table": table, "summary": summary}).to_string();
    let mut command = Command::new(&stack.python);
    command.args(["-c", FOREIGN_APPEND, &request]);
    program::run(&mut command, Duration::from_secs(180)).await?.json().context("pyiceberg")?;
    Ok(())
}

/// PyIceberg's properties of the stack's catalog.
#[must_use]
pub fn catalog(stack: &Stack) -> Value {
    json!({
        "uri": stack.catalog,
        "warehouse": "warehouse",
        "s3.endpoint": stack.s3,
        "s3.path-style-access": "true",
        "s3.region": "us-east-1",
        "s3.access-key-id": stack.s3_access_key,
        "s3.secret-access-key": stack.s3_secret_key,
    })
}

/// Reads `table` through any REST catalog, given by PyIceberg's properties.
///
/// # Errors
/// PyIceberg cannot read it.
pub async fn read_from(stack: &Stack, catalog: &Value, table: &str) -> Result<Found> {
    let request = json!({"catalog": catalog, "table": table}).to_string();
    let mut command = Command::new(&stack.python);
    command.args(["-c", SCRIPT, &request]);
    let answer = program::run(&mut command, Duration::from_secs(180)).await?.json().context("pyiceberg")?;
    let number = |key: &str| answer[key].as_u64().with_context(|| format!("{answer} has no number {key}"));
    let columns = answer["columns"].as_object().into_iter().flatten();
    let columns = columns.map(|(name, kind)| (name.clone(), kind.as_str().unwrap_or_default().to_owned())).collect();
    Ok(Found { rows: number("rows")?, distinct: number("distinct")?, columns })
}
