//! The one-command demo, on nothing but this machine, and its table read by a stranger.
//!
//! Goal: `connector demo` reports right figures, a second run in the same folder goes on where the first stopped, and the
//! embedded catalog is one that others can read. Method: the report is held against PyIceberg through
//! `catalog-sync serve`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use it::embedded::Embedded;
use it::stack::Stack;
use it::wait::say;
use it::{program, pyiceberg};
use serde_json::{Value, json};
use tokio::process::Command;

const EVENTS: u64 = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_counts_right_goes_on_and_is_read_by_pyiceberg() -> Result<()> {
    let stack = Stack::of_env()?;
    let dir = tempfile::tempdir()?;
    let mut rows = 0;
    for run in 1..=2 {
        let report = demo(dir.path()).await?;
        say(format!("demo, run {run}: {report}"));
        let figure = |key: &str| report[key].as_u64().with_context(|| format!("no {key} in {report}"));
        // Some of the demo's records are malformed on purpose; the broker forgets its topics when the demo ends.
        ensure!(figure("produced")? == EVENTS, "produced {report}");
        let landed = figure("produced")? - figure("dead_letters")?;
        ensure!(landed > EVENTS * 9 / 10, "run {run}: {report}");
        rows += landed;
        ensure!((figure("rows")?, figure("distinct_event_ids")?) == (rows, rows), "run {run}: {rows} rows, {report}");
        ensure!(figure("commits")? > 0 && figure("data_files")? > 0, "run {run}: {report}");
        ensure!(report["seconds"].as_f64().is_some_and(|seconds| seconds < 60.0), "run {run}: {report}");
    }
    let served = Embedded::serve(dir.path(), None).await?;
    let found = pyiceberg::read_from(&stack, &json!({"uri": served.uri}), "analytics.clickstream").await;
    served.kill().await?;
    let found = found?;
    say(format!("pyiceberg reads the demo's table: {} rows, {} distinct", found.rows, found.distinct));
    ensure!((found.rows, found.distinct) == (rows, rows), "pyiceberg found {found:?}");
    ensure!(found.columns.len() == 26, "{:?}", found.columns);
    Ok(())
}

async fn demo(dir: &Path) -> Result<Value> {
    let mut command = Command::new(program::path("connector")?);
    command.args(["demo", "--events", &EVENTS.to_string(), "--once", "--json", "--dir"]).arg(dir);
    program::run(&mut command, Duration::from_secs(180)).await?.json()
}
