//! What is wrong is told once, clearly, in the REST answer and in the log, and nothing is lost by it.
//!
//! Goal: each error names the key or the place, and what to do. Method: one thing made wrong at a time, against the real
//! servers; afterwards the same data lands whole.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use it::events::{Plan, Sent};
use it::trial::Trial;
use it::wait::say;
use it::worker::{Worker, free_port};
use reqwest::{Method, StatusCode};

const SOON: Duration = Duration::from_secs(60);

/// Everything that a message must say.
fn says(message: &str, all: &[&str]) -> Result<()> {
    say(format!("told: {}", message.lines().next().unwrap_or_default()));
    for part in all {
        ensure!(message.contains(part), "{part:?} is not in: {message}");
    }
    Ok(())
}

/// The log tells the same, and shows no secret.
fn log_says(worker: &Worker, trial: &Trial, part: &str) -> Result<()> {
    let log = worker.log();
    ensure!(log.contains(part), "{part:?} is not in the log, {}/worker.log", trial.dir.display());
    ensure!(!log.contains(&trial.stack.s3_secret_key), "the log in {} shows the secret key", trial.dir.display());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_refused_with_the_key_and_the_cure() -> Result<()> {
    let trial = Trial::begin("refused", &[1]).await?;
    let worker = trial.worker().await?;
    let cases: [(&str, &str, &[&str]); 6] = [
        ("iceberg.catalog.ur", "x", &["iceberg.catalog.ur", "iceberg.catalog.uri"]),
        (
            "iceberg.tables.write-props.write.parquet.compression-codec",
            "brotly",
            &["iceberg.tables.write-props.write.parquet.compression-codec", "zstd", "snappy"],
        ),
        ("iceberg.catalog.uri", "", &["iceberg.catalog.uri"]),
        ("topics", "", &["topics"]),
        ("tasks.max", "many", &["tasks.max"]),
        ("errors.tolerance", "none", &["errors.deadletterqueue.topic.name", "errors.tolerance"]),
    ];
    for (key, value, told) in cases {
        let message = worker.refused(&trial.registration(&[(key, value)])?).await?;
        says(&message, told).with_context(|| format!("{key}={value}"))?;
        ensure!(!message.contains(&trial.stack.s3_secret_key), "the answer shows the secret key: {message}");
    }
    let (status, names) = worker.ask(Method::GET, "/connectors", None).await?;
    ensure!(status == StatusCode::OK && names == serde_json::json!([]), "something was registered: {names}");
    ensure!(trial.catalog.table(&trial.table).await?.is_none(), "a refused connector made a table");

    worker.register(&trial.registration(&[])?).await?;
    let (status, answer) = worker.ask(Method::POST, "/connectors", Some(&trial.registration(&[])?)).await?;
    ensure!(status == StatusCode::CONFLICT, "the same name twice: {status} {answer}");
    let (_, shown) = worker.ask(Method::GET, &format!("/connectors/{}/config", trial.name), None).await?;
    ensure!(!shown.to_string().contains(&trial.stack.s3_secret_key), "the configuration shows the secret key: {shown}");
    worker.delete(&trial.name).await?;
    let (status, _) = worker.ask(Method::GET, &format!("/connectors/{}", trial.name), None).await?;
    ensure!(status == StatusCode::NOT_FOUND, "a deleted connector is still there: {status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_catalog_is_told_by_key_and_tried_again_until_the_connector_is_deleted() -> Result<()> {
    let trial = Trial::begin("unreachable", &[1]).await?;
    let worker = trial.worker().await?;
    let nowhere = format!("http://127.0.0.1:{}/iceberg/", free_port()?);
    worker.register(&trial.registration(&[("iceberg.catalog.uri", &nowhere)])?).await?;
    let trace = worker.trace(&trial.name, &["RESTARTING", "FAILED"], SOON).await?;
    says(&trace, &["iceberg.catalog.uri", nowhere.trim_end_matches('/')])?;
    log_says(&worker, &trial, "iceberg.catalog.uri")?;
    let began = Instant::now();
    worker.delete(&trial.name).await?;
    ensure!(began.elapsed() < Duration::from_secs(20), "the deletion took {:?}", began.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_does_not_fit_is_left_alone_and_told_by_column() -> Result<()> {
    let trial = Trial::begin("misfit", &[1]).await?;
    trial.catalog.ensure_namespace("analytics").await?;
    let columns =
        "event_id varchar, event_timestamp timestamp(6) with time zone, event_type varchar, screen_width varchar";
    trial.trino.query(&format!("CREATE TABLE {} ({columns})", trial.sql_name())).await?;
    let sent = tokio::task::block_in_place(|| Plan::events(1, 50).produce(&trial.kafka, &trial.topics[0]))?;
    let worker = trial.worker().await?;
    worker.register(&trial.registration(&[])?).await?;
    let trace = worker.trace(&trial.name, &["FAILED"], SOON).await?;
    says(&trace, &["schema-incompatible", "screen_width"])?;
    log_says(&worker, &trial, "schema-incompatible")?;
    let rows = trial.trino.number(&format!("SELECT count(*) FROM {}", trial.sql_name())).await?;
    ensure!(rows == Some(0), "{rows:?} rows in a table that does not fit");

    // The cure: the table goes away, the connector is registered anew, and all is there.
    trial.catalog.drop_table(&trial.table).await?;
    worker.delete(&trial.name).await?;
    worker.register(&trial.registration(&[])?).await?;
    trial.ingested().await?;
    trial.exact(&sent).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_a_row_stops_the_task_and_nothing_is_lost() -> Result<()> {
    let trial = Trial::begin("malformed", &[1]).await?;
    let topic = &trial.topics[0];
    let bad = br#"{"event_id": "e1", "event_timestamp": "2026-03-03T12:00:00Z", "event_type": "click", "screen_width": "wide"}"#;
    let mut sent: Sent = tokio::task::block_in_place(|| Plan::events(1, 300).produce(&trial.kafka, topic))?;
    trial.kafka.produce(topic, [(None, Some(bad.to_vec()))])?;
    sent.add(tokio::task::block_in_place(|| Plan::events(2, 200).produce(&trial.kafka, topic))?);
    sent.malformed.insert("wrong_type".to_owned(), 1);

    let worker = trial.worker().await?;
    let strict = [("errors.tolerance", "none"), ("errors.deadletterqueue.topic.name", ""), ("tasks.max", "1")];
    worker.register(&trial.registration(&strict)?).await?;
    let trace = worker.trace(&trial.name, &["FAILED"], SOON).await?;
    says(&trace, &[&format!("{topic}-0@300"), "wrong_type", "screen_width", "errors.tolerance"])?;
    log_says(&worker, &trial, &format!("{topic}-0@300"))?;
    let passed = trial.counts().await?.offsets();
    ensure!(passed <= 300, "the position went past the record that stopped the task: {passed}");

    worker.delete(&trial.name).await?;
    worker.register(&trial.registration(&[("tasks.max", "1")])?).await?;
    trial.ingested().await?;
    trial.exact(&sent).await?;
    let letters = trial.kafka.read_all(&trial.rejects)?;
    ensure!(letters.len() == 1, "{} dead letters for one bad record", letters.len());
    let letter = &letters[0];
    ensure!(letter.value.as_deref() == Some(bad.as_slice()), "the record was changed: {letter:?}");
    for (header, wanted) in [
        ("clickstream.reject.code", "wrong_type"),
        ("__connect.errors.topic", topic.as_str()),
        ("__connect.errors.partition", "0"),
        ("__connect.errors.offset", "300"),
        ("__connect.errors.connector.name", trial.name.as_str()),
    ] {
        let found = letter.headers.get(header).map(String::as_str);
        ensure!(found == Some(wanted), "header {header} is {found:?}, wanted {wanted}");
    }
    Ok(())
}
