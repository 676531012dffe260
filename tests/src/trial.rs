//! One test's topics, table and checks: names that nobody had before, so that tests neither meet each other nor what
//! an earlier run left.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use protocol::Counts;
use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

use crate::catalog::Catalog;
use crate::events::Sent;
use crate::kafka::Kafka;
use crate::program::{self, Said};
use crate::pyiceberg;
use crate::stack::Stack;
use crate::trino::{Trino, query_error};
use crate::wait::{Look, say, until};
use crate::worker::Worker;

const REGISTRATION: &str = include_str!("../../compose/config/connector.json");

/// How long ingestion may take to reach the end of the topics.
const INGESTED: Duration = Duration::from_secs(240);

/// A test at work.
#[derive(Debug)]
pub struct Trial {
    /// Where the servers are.
    pub stack: Stack,
    /// The brokers.
    pub kafka: Kafka,
    /// The catalog, as a stranger sees it.
    pub catalog: Catalog,
    /// The reader.
    pub trino: Trino,
    /// Name of the connector, and part of all other names.
    pub name: String,
    /// The table, `analytics.…`.
    pub table: String,
    /// The topics that the connector reads.
    pub topics: Vec<String>,
    /// The dead letter topic.
    pub rejects: String,
    /// Where workers keep registrations and logs; kept after the test.
    pub dir: PathBuf,
}

impl Trial {
    /// Connects to the stack, and makes a topic for each number of partitions.
    ///
    /// # Errors
    /// There is no stack, or it does not answer.
    pub async fn begin(test: &str, partitions: &[i32]) -> Result<Self> {
        let stack = Stack::of_env()?;
        let id = Uuid::new_v4().simple().to_string();
        let name = format!("{test}_{}", id.get(..8).unwrap_or(&id));
        let trial = Self {
            kafka: Kafka::new(&stack.brokers),
            catalog: Catalog::connect(&stack).await?,
            trino: Trino::new(&stack.trino),
            table: format!("analytics.{name}"),
            topics: (0..partitions.len()).map(|n| format!("{name}_{n}")).collect(),
            rejects: format!("{name}_rejects"),
            dir: program::build_folder()?.join("e2e").join(&name),
            stack,
            name,
        };
        std::fs::create_dir_all(&trial.dir)?;
        for (topic, partitions) in trial.topics.iter().zip(partitions) {
            trial.kafka.fresh_topic(topic, *partitions).await?;
        }
        say(format!("{}: table {}, topics {:?}, logs {}", test, trial.table, trial.topics, trial.dir.display()));
        Ok(trial)
    }

    /// The registration that the README shows, with this trial's names and this stack's addresses. A change of `""`
    /// removes the key. A second is enough between commits here, and a killed worker's partitions are free after six.
    ///
    /// # Errors
    /// The file in `compose/config` has another form.
    pub fn registration(&self, changes: &[(&str, &str)]) -> Result<Value> {
        let mut registration: Value = serde_json::from_str(REGISTRATION)?;
        registration["name"] = json!(self.name);
        let config = registration["config"].as_object_mut().context("connector.json has a config")?;
        let topics = self.topics.join(",");
        let own = [
            ("topics", topics.as_str()),
            ("iceberg.tables", &self.table),
            ("iceberg.catalog.uri", &self.stack.catalog),
            ("iceberg.catalog.s3.endpoint", &self.stack.s3),
            ("iceberg.catalog.s3.access-key-id", &self.stack.s3_access_key),
            ("iceberg.catalog.s3.secret-access-key", &self.stack.s3_secret_key),
            ("errors.deadletterqueue.topic.name", &self.rejects),
            ("commit.interval.ms", "1000"),
            ("consumer.override.session.timeout.ms", "6000"),
            ("consumer.override.heartbeat.interval.ms", "1000"),
        ];
        for (key, value) in own.iter().chain(changes) {
            if value.is_empty() {
                config.remove(*key);
            } else {
                config.insert((*key).to_owned(), json!(value));
            }
        }
        Ok(registration)
    }

    /// A worker in this trial's folder.
    ///
    /// # Errors
    /// It does not start.
    pub async fn worker(&self) -> Result<Worker> {
        Worker::start(&self.stack.brokers, &self.dir).await
    }

    /// What became of the offsets that the table has passed.
    ///
    /// # Errors
    /// The catalog cannot say.
    pub async fn counts(&self) -> Result<Counts> {
        Ok(self.catalog.position(&self.table).await?.counts())
    }

    /// Waits until the table has passed at least so many offsets.
    ///
    /// # Errors
    /// Not in time.
    pub async fn passed(&self, offsets: u64) -> Result<()> {
        until(&format!("{} has passed {offsets} offsets", self.table), INGESTED, async || {
            let passed = self.counts().await?.offsets();
            Ok(Look::holds(passed >= offsets, passed))
        })
        .await
    }

    /// Waits until the table stands where the topics end, each partition by itself: that no topic's offsets are taken
    /// for another's follows from the number of partitions and of records being different.
    ///
    /// # Errors
    /// Not in time, or a partition is not the one that Kafka has.
    pub async fn ingested(&self) -> Result<()> {
        let began = Instant::now();
        let mut ends = BTreeMap::new();
        for topic in &self.topics {
            let all = self.kafka.ends(topic)?;
            ends.extend(all.into_iter().filter(|(_, end)| *end > 0).map(|(p, end)| ((topic.clone(), p), end)));
        }
        until(&format!("{} stands where the topics end", self.table), INGESTED, async || {
            let position = self.catalog.position(&self.table).await?;
            let mut stands = BTreeMap::new();
            for (topic, at) in &position.topics {
                let parts = at.partitions.iter().filter(|(_, at)| at.next.get() > 0);
                stands.extend(parts.map(|(p, at)| ((topic.clone(), *p), at.next.get())));
            }
            Ok(Look::holds(stands == ends, format!("{stands:?}, the topics end at {ends:?}")))
        })
        .await?;
        say(format!("{}: the table stands where the topics end, {:.1} s", self.name, began.elapsed().as_secs_f64()));
        Ok(())
    }

    /// The table's name in Trino's SQL.
    #[must_use]
    pub fn sql_name(&self) -> String {
        format!("lakehouse.{}", self.table)
    }

    /// The table's name in Trino's SQL as a reference of Nessie has it: by a catalog of its own, since a catalog is at one
    /// reference.
    ///
    /// # Errors
    /// Trino makes no such catalog.
    pub async fn sql_name_at(&self, reference: &str) -> Result<String> {
        let catalog = format!("at_{}", Uuid::new_v4().simple());
        let Stack { catalog: root, s3, s3_access_key, s3_secret_key, .. } = &self.stack;
        let properties = [
            ("iceberg.catalog.type", "rest"),
            ("iceberg.rest-catalog.uri", &format!("{root}{reference}/")),
            ("iceberg.rest-catalog.warehouse", "warehouse"),
            ("fs.native-s3.enabled", "true"),
            ("s3.endpoint", s3),
            ("s3.region", "us-east-1"),
            ("s3.path-style-access", "true"),
            ("s3.aws-access-key", s3_access_key),
            ("s3.aws-secret-key", s3_secret_key),
        ];
        let properties = properties.map(|(key, value)| format!("\"{key}\" = '{value}'")).join(", ");
        self.trino.query(&format!("CREATE CATALOG {catalog} USING iceberg WITH ({properties})")).await?;
        Ok(format!("{catalog}.{}", self.table))
    }

    /// Holds the table, read by Trino, against what was produced: rows, distinct event ids, rows of each type. The
    /// position must give the same account, and `catalog-sync verify` must find the table complete.
    ///
    /// # Errors
    /// A difference.
    pub async fn exact(&self, sent: &Sent) -> Result<()> {
        let table = self.sql_name();
        let rows = self.trino.query(&format!("SELECT count(*), count(DISTINCT event_id) FROM {table}")).await?;
        say(format!("{}: produced {}, trino says [rows, distinct] = {:?}", self.name, sent.events, rows.first()));
        ensure!(rows == [vec![json!(sent.events), json!(sent.events)]], "{rows:?} rows for {} events", sent.events);
        let rows = self.trino.query(&format!("SELECT event_type, count(*) FROM {table} GROUP BY 1")).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let by_type: BTreeMap<String, u64> =
            rows.iter().map(|row| (text(&row[0]), row[1].as_u64().unwrap_or_default())).collect();
        ensure!(by_type == sent.by_type, "rows by type {by_type:?}, produced {:?}", sent.by_type);
        let rows = self
            .trino
            .query(&format!(
                "SELECT DISTINCT cast(date(event_timestamp AT TIME ZONE 'UTC') AS varchar), event_type FROM {table}"
            ))
            .await?;
        let found: BTreeSet<(String, String)> = rows.iter().map(|row| (text(&row[0]), text(&row[1]))).collect();
        ensure!(found == sent.partitions, "days and types {found:?}, produced {:?}", sent.partitions);
        let counts = self.counts().await?;
        let expected = Counts { rows: sent.events, rejects: sent.malformed_count(), ..Counts::default() };
        ensure!(counts == expected, "the position accounts for {counts:?}, produced {expected:?}");
        self.verified().await
    }

    /// Holds the table, read by PyIceberg, against what was produced, and the position against the same account: faster
    /// than [`Self::exact`], for tests that need no second reader.
    ///
    /// # Errors
    /// A difference.
    pub async fn exact_by_pyiceberg(&self, expected: Counts) -> Result<()> {
        let found = pyiceberg::read(&self.stack, &self.table).await?;
        say(format!("{}: produced {}, pyiceberg finds {} rows", self.name, expected.rows, found.rows));
        let (rows, distinct) = (found.rows, found.distinct);
        ensure!(
            (rows, distinct) == (expected.rows, expected.rows),
            "{rows} rows, {distinct} distinct, of {}",
            expected.rows
        );
        let counts = self.counts().await?;
        ensure!(counts == expected, "the position accounts for {counts:?}, produced {expected:?}");
        self.verified().await
    }

    /// Holds the table, read by PyIceberg, against what was produced: rows and distinct event ids. The position must give
    /// the same account, and `catalog-sync verify` must find the table complete. For tests that want no Trino.
    ///
    /// # Errors
    /// A difference.
    pub async fn counted(&self, sent: &Sent) -> Result<()> {
        let found = pyiceberg::read(&self.stack, &self.table).await?;
        let (rows, distinct) = (found.rows, found.distinct);
        say(format!("{}: produced {}, pyiceberg finds {rows} rows, {distinct} distinct", self.name, sent.events));
        ensure!((rows, distinct) == (sent.events, sent.events), "{rows} rows, {distinct} distinct of {}", sent.events);
        let counts = self.counts().await?;
        let expected = Counts { rows: sent.events, rejects: sent.malformed_count(), ..Counts::default() };
        ensure!(counts == expected, "the position accounts for {counts:?}, produced {expected:?}");
        self.verified().await
    }

    /// Waits until so many snapshots more are in the table, whoever commits them.
    ///
    /// # Errors
    /// They are not within two minutes.
    pub async fn committed(&self, snapshots: u64) -> Result<()> {
        let before = self.sequence_number().await?;
        until("some commits", Duration::from_secs(120), async || {
            let now = self.sequence_number().await?;
            Ok(Look::holds(now >= before + snapshots, format!("{now}, was {before}")))
        })
        .await
    }

    async fn sequence_number(&self) -> Result<u64> {
        let metadata = self.catalog.table(&self.table).await?.unwrap_or_default();
        Ok(metadata["last-sequence-number"].as_u64().unwrap_or_default())
    }

    /// Data files of the table, as Trino counts them.
    ///
    /// # Errors
    /// Trino's.
    pub async fn files(&self) -> Result<u64> {
        let (namespace, table) = self.table.split_once('.').unwrap_or_default();
        let sql = format!("SELECT count(*) FROM lakehouse.{namespace}.\"{table}$files\" WHERE content = 0");
        Ok(self.trino.number(&sql).await?.unwrap_or_default())
    }

    /// `catalog-sync verify` must say that the table is complete.
    ///
    /// # Errors
    /// It says otherwise.
    pub async fn verified(&self) -> Result<()> {
        let report = self.catalog_sync(&["verify", &self.table, "--json"]).await?.json()?;
        ensure!(report["complete"] == true, "verify: {report}");
        say(format!("{}: catalog-sync verify says complete", self.name));
        Ok(())
    }

    /// Runs `catalog-sync` with the connector's own configuration file.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn catalog_sync(&self, arguments: &[&str]) -> Result<Said> {
        let file = self.dir.join("connector.json");
        std::fs::write(&file, self.registration(&[])?.to_string())?;
        let mut command = Command::new(program::path("catalog-sync")?);
        command.args(arguments).arg("--config").arg(file);
        program::run(&mut command, Duration::from_secs(120)).await
    }

    /// How long it takes until Trino shows an event, from now.
    ///
    /// # Errors
    /// It does not within two minutes.
    pub async fn visible(&self, event_id: &str) -> Result<Duration> {
        let began = Instant::now();
        let sql = format!("SELECT count(*) FROM {} WHERE event_id = '{event_id}'", self.sql_name());
        until(&format!("trino shows event {event_id}"), Duration::from_secs(120), async || {
            match self.trino.number(&sql).await {
                Ok(rows) => Ok(Look::holds(rows == Some(1), format!("{rows:?} rows"))),
                // A table that is just being made.
                Err(error) if query_error(&error).is_some_and(|e| e.name == "TABLE_NOT_FOUND") => {
                    Ok(Look::NotYet(error.to_string()))
                }
                Err(error) => Err(error),
            }
        })
        .await?;
        Ok(began.elapsed())
    }
}
