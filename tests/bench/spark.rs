//! The Spark job that this project replaces, `spark_job.py`, on a driver with its executors in one process.
//!
//! `tests/run` says where the parts are: `SPARK_PYTHON`, a Python with PySpark; `SPARK_JARS`, a folder with Iceberg's
//! runtime for Spark and Spark's source for Kafka; `KAFKA_JAVA`, a JDK that serves Spark too; `SPARK_VERSION`.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::process::Command;

use crate::compare::{Run, Task, variable};
use crate::measure::Meter;
use crate::process::Process;
use crate::table::Table;

const SCRIPT: &str = include_str!("spark_job.py");

/// Fails if a part is missing, before anything is measured.
pub(crate) fn available() -> Result<()> {
    for name in ["SPARK_PYTHON", "SPARK_JARS"] {
        let path = variable(name)?;
        ensure!(Path::new(&path).exists(), "{name}: {path} does not exist; compose/local/fetch spark brings it");
    }
    Ok(())
}

pub(crate) async fn run(task: &Task<'_>) -> Result<Run> {
    let (trial, stack) = (task.trial, &task.trial.stack);
    let table = Table::make(trial, "spark").await?;
    let (nessie, _) = stack.catalog.split_once("/iceberg").context("the stack's catalog is Nessie")?;
    let request = json!({
        "brokers": stack.brokers,
        "topic": trial.topics.first().context("a trial has a topic")?,
        "table": table.name,
        "nessie": format!("{nessie}/api/v2"),
        "s3": stack.s3,
        "s3_access_key": stack.s3_access_key,
        "s3_secret_key": stack.s3_secret_key,
        "jars": variable("SPARK_JARS")?,
        "state": trial.dir,
        "trigger_ms": task.wanted.commit_ms,
    });
    let java = variable("KAFKA_JAVA")?;
    let home = Path::new(&java).parent().and_then(Path::parent).context("java is in a bin folder")?;

    let began = Instant::now();
    let mut command = Command::new(variable("SPARK_PYTHON")?);
    // Spark's scratch files stay with the run.
    command.args(["-c", SCRIPT, &request.to_string()]).env("JAVA_HOME", home).env("SPARK_LOCAL_DIRS", &trial.dir);
    let mut job = Process::start(&mut command, &trial.dir.join("spark.log"))?;
    let meter = Meter::start(job.pid()?);
    let progress = task.done(&table, async || job.alive()).await?;
    let (wall, usage) = (began.elapsed(), meter.stop()?);
    job.terminate().await?;
    let title = format!("Spark job {}", variable("SPARK_VERSION")?);
    let contents = table.contents(trial, task.events).await?;
    Ok(Run { table: table.name, title, wall, warm: progress.warm(), usage, contents })
}
