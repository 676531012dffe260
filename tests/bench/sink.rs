//! The Apache Iceberg sink, in a Kafka Connect worker of one process.
//!
//! The worker is started as Kafka's own `connect-standalone.sh` would, with its heap of 2 GB and its collector. `tests/run`
//! says where the parts are: `KAFKA_LIBS`, the class path; `ICEBERG_SINK`, the folder above the plug-in's; `KAFKA_JAVA`, the
//! program; `KAFKA_LOGGING`, the configuration of its log; `ICEBERG_VERSION` and `KAFKA_VERSION`.

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use it::worker::free_port;
use tokio::process::Command;

use crate::compare::{Run, Task, variable};
use crate::measure::Meter;
use crate::process::Process;
use crate::table::Table;

/// What the scripts of Kafka give to Java.
const JAVA_OPTIONS: [&str; 8] = [
    "-Xms256m",
    "-Xmx2g",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];

/// Fails if a part is missing, before anything is measured.
pub(crate) fn available() -> Result<()> {
    for name in ["KAFKA_LIBS", "ICEBERG_SINK", "KAFKA_LOGGING"] {
        let path = variable(name)?;
        ensure!(Path::new(&path).exists(), "{name}: {path} does not exist; compose/local/fetch iceberg-sink brings it");
    }
    Ok(())
}

pub(crate) async fn run(task: &Task<'_>) -> Result<Run> {
    let trial = task.trial;
    let table = Table::make(trial, "sink").await?;
    // A name of its own: by it goes the consumer group, whose offsets the connector has moved to the end.
    let name = format!("{}_sink", trial.name);
    let control = format!("{name}_control");
    trial.kafka.fresh_topic(&control, 1).await?;
    let rest = format!("http://127.0.0.1:{}", free_port()?);
    let (worker_file, sink_file) = (trial.dir.join("connect.properties"), trial.dir.join("sink.properties"));
    std::fs::write(&worker_file, properties(&worker_properties(task, &rest)?))?;
    std::fs::write(&sink_file, properties(&sink_properties(task, &name, &table.name, &control)))?;

    let began = Instant::now();
    let mut command = Command::new(variable("KAFKA_JAVA")?);
    command
        .args(JAVA_OPTIONS)
        .arg(format!("-Dlog4j2.configurationFile={}", variable("KAFKA_LOGGING")?))
        .args(["-cp", &format!("{}/*", variable("KAFKA_LIBS")?), "org.apache.kafka.connect.cli.ConnectStandalone"])
        .args([&worker_file, &sink_file]);
    let mut worker = Process::start(&mut command, &trial.dir.join("connect.log"))?;
    let meter = Meter::start(worker.pid()?);
    let (http, status_url) = (reqwest::Client::new(), format!("{rest}/connectors/{name}/status"));
    let progress = task
        .done(&table, async || {
            worker.alive()?;
            // The worker answers when it has loaded its plug-ins.
            let Ok(answer) = http.get(&status_url).send().await else { return Ok(()) };
            let status = answer.text().await?;
            ensure!(!status.contains("FAILED"), "the sink failed: {status}\n{}", worker.log_tail());
            Ok(())
        })
        .await?;
    let (wall, usage) = (began.elapsed(), meter.stop()?);
    worker.terminate().await?;
    let versions = (variable("ICEBERG_VERSION")?, variable("KAFKA_VERSION")?);
    let title = format!("Apache Iceberg sink {}, Kafka Connect {}", versions.0, versions.1);
    let contents = table.contents(trial, task.events).await?;
    Ok(Run { table: table.name, title, wall, warm: progress.warm(), usage, contents })
}

fn worker_properties(task: &Task<'_>, rest: &str) -> Result<Vec<(&'static str, String)>> {
    let offsets = task.trial.dir.join("connect.offsets");
    Ok(vec![
        ("bootstrap.servers", task.trial.stack.brokers.clone()),
        ("listeners", rest.to_owned()),
        ("plugin.path", variable("ICEBERG_SINK")?),
        // Without it the worker looks into every class of every jar first, for 17 seconds on two cores.
        ("plugin.discovery", "service_load".to_owned()),
        ("offset.storage.file.filename", offsets.to_str().context("a path in UTF-8")?.to_owned()),
        // At the end of a topic the worker calls a sink once in so long only, and a sink commits when it is called: with the
        // default of a minute the last events would wait for it.
        ("offset.flush.interval.ms", task.wanted.commit_ms.to_string()),
        ("key.converter", "org.apache.kafka.connect.storage.StringConverter".to_owned()),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter".to_owned()),
        ("value.converter.schemas.enable", "false".to_owned()),
    ])
}

/// As an operator would have it for this table. Nessie vends no keys, and Iceberg's client asks for remote signing, which
/// this Nessie does not have, unless it asks for keys.
fn sink_properties(task: &Task<'_>, name: &str, table: &str, control: &str) -> Vec<(&'static str, String)> {
    let (trial, stack) = (task.trial, &task.trial.stack);
    vec![
        ("name", name.to_owned()),
        ("connector.class", "org.apache.iceberg.connect.IcebergSinkConnector".to_owned()),
        ("tasks.max", "2".to_owned()),
        ("topics", trial.topics.join(",")),
        ("iceberg.tables", table.to_owned()),
        ("iceberg.control.topic", control.to_owned()),
        ("iceberg.control.commit.interval-ms", task.wanted.commit_ms.to_string()),
        ("iceberg.kafka.bootstrap.servers", stack.brokers.clone()),
        ("iceberg.catalog.type", "rest".to_owned()),
        ("iceberg.catalog.uri", stack.catalog.clone()),
        ("iceberg.catalog.warehouse", "warehouse".to_owned()),
        ("iceberg.catalog.header.X-Iceberg-Access-Delegation", "vended-credentials".to_owned()),
        ("iceberg.catalog.io-impl", "org.apache.iceberg.aws.s3.S3FileIO".to_owned()),
        ("iceberg.catalog.client.region", "us-east-1".to_owned()),
        ("iceberg.catalog.s3.endpoint", stack.s3.clone()),
        ("iceberg.catalog.s3.path-style-access", "true".to_owned()),
        ("iceberg.catalog.s3.access-key-id", stack.s3_access_key.clone()),
        ("iceberg.catalog.s3.secret-access-key", stack.s3_secret_key.clone()),
        ("transforms", "ingested".to_owned()),
        ("transforms.ingested.type", "org.apache.kafka.connect.transforms.InsertField$Value".to_owned()),
        ("transforms.ingested.timestamp.field", "ingestion_timestamp".to_owned()),
    ]
}

/// A file of Java properties.
fn properties(pairs: &[(&str, String)]) -> String {
    pairs.iter().fold(String::new(), |mut file, (key, value)| {
        // Writing to a String does not fail.
        let _ = writeln!(file, "{key}={}", value.replace('\\', "\\\\"));
        file
    })
}
