//! Spark, on a driver with its executors in one process: `spark_session.py` starts it, and goes on with `spark_job.py`, the job
//! that this project replaces, or with a script of [`crate::engine`]'s.
//!
//! `tests/run` says where the parts are: `SPARK_PYTHON`, a Python with PySpark; `SPARK_JARS`, a folder with Iceberg's
//! runtime for Spark and Spark's source for Kafka; `KAFKA_JAVA`, a JDK that serves Spark too; `SPARK_VERSION`.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use it::trial::Trial;
use serde_json::{Value, json};

use crate::compare::{Run, Task, variable};
use crate::measure::Meter;
use crate::process::Process;
use crate::table::Table;

const SESSION: &str = include_str!("spark_session.py");
const JOB: &str = include_str!("spark_job.py");

/// Fails if a part is missing, before anything is measured.
pub(crate) fn available() -> Result<()> {
    for name in ["SPARK_PYTHON", "SPARK_JARS"] {
        let path = variable(name)?;
        ensure!(Path::new(&path).exists(), "{name}: {path} does not exist; compose/local/fetch spark brings it");
    }
    Ok(())
}

/// A script behind the one that starts Spark; `more` goes into the request that both read.
pub(crate) fn job(trial: &Trial, script: &str, table: &str, more: Value) -> Result<Command> {
    let stack = &trial.stack;
    let (nessie, _) = stack.catalog.split_once("/iceberg").context("the stack's catalog is Nessie")?;
    let mut request = json!({
        "table": table,
        "nessie": format!("{nessie}/api/v2"),
        "s3": stack.s3,
        "s3_access_key": stack.s3_access_key,
        "s3_secret_key": stack.s3_secret_key,
        "jars": variable("SPARK_JARS")?,
    });
    if let (Some(request), Value::Object(more)) = (request.as_object_mut(), more) {
        request.extend(more);
    }
    let java = variable("KAFKA_JAVA")?;
    let home = Path::new(&java).parent().and_then(Path::parent).context("java is in a bin folder")?;
    let mut command = Command::new(variable("SPARK_PYTHON")?);
    // Spark's scratch files stay with the run.
    command
        .args(["-c", &format!("{SESSION}\n{script}"), &request.to_string()])
        .env("JAVA_HOME", home)
        .env("SPARK_LOCAL_DIRS", &trial.dir);
    Ok(command)
}

pub(crate) async fn run(task: &Task<'_>) -> Result<Run> {
    let trial = task.trial;
    let table = Table::make(trial, "spark").await?;
    let more = json!({
        "brokers": trial.stack.brokers,
        "topic": trial.topics.first().context("a trial has a topic")?,
        "state": trial.dir,
        "trigger_ms": task.wanted.commit_ms,
    });
    let began = Instant::now();
    let mut command = job(trial, JOB, &table.name, more)?.into();
    let mut job = Process::start(&mut command, &trial.dir.join("spark.log"))?;
    let meter = Meter::start(job.pid()?);
    let progress = task.done(&table, async || job.alive()).await?;
    let (wall, usage) = (began.elapsed(), meter.stop()?);
    job.terminate().await?;
    let title = format!("Spark job {}", variable("SPARK_VERSION")?);
    let contents = table.contents(trial, task.events).await?;
    Ok(Run { table: table.name, title, wall, warm: progress.warm(), usage, contents })
}
