//! A trial whose worker reaches the catalog, the object store and Kafka through a proxy each, and that produces little
//! by little, so that each fault meets a commit of its own.
//!
//! What the catalog says of itself and of the object store does not lead around the proxies: the connector follows its
//! own settings. One scene at a time: Kafka's proxy listens where the broker says it does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use protocol::Counts;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use crate::events::{Plan, Sent};
use crate::proxy::http::HttpProxy;
use crate::proxy::rule::{Fault, Matcher, Rule, When};
use crate::proxy::tcp::TcpProxy;
use crate::trial::Trial;
use crate::wait::{Look, say, until};
use crate::worker::{Options, Worker};

/// Events that are produced at a time.
const PORTION: u64 = 400;
/// Longest wait until a fault has met a request.
const MET: Duration = Duration::from_secs(60);

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A trial with proxies.
#[derive(Debug)]
pub struct Scene {
    /// The trial.
    pub trial: Trial,
    /// Before the catalog.
    pub catalog: HttpProxy,
    /// Before the object store.
    pub store: HttpProxy,
    /// Before Kafka.
    pub kafka: TcpProxy,
    /// What was produced.
    pub sent: Sent,
    seed: u64,
    _alone: MutexGuard<'static, ()>,
}

impl Scene {
    /// Topics, proxies, and nothing else yet.
    ///
    /// # Errors
    /// There is no stack, or it does not answer.
    pub async fn begin(test: &str, partitions: &[i32]) -> Result<Self> {
        let alone = ONE_AT_A_TIME.lock().await;
        let trial = Trial::begin(test, partitions).await?;
        let catalog = HttpProxy::start(&trial.stack.catalog).await?;
        let store = HttpProxy::start(&trial.stack.s3).await?;
        let kafka = TcpProxy::start(trial.stack.brokers_advertised_port, &trial.stack.brokers_behind).await?;
        Ok(Self { trial, catalog, store, kafka, sent: Sent::default(), seed: 0, _alone: alone })
    }

    /// The registration: one task, everything through the proxies, commits soon.
    ///
    /// # Errors
    /// As [`Trial::registration`].
    pub fn registration(&self, changes: &[(&str, &str)]) -> Result<Value> {
        let (catalog, store) = (self.catalog.uri(), self.store.uri());
        let own = [
            ("iceberg.catalog.uri", catalog.as_str()),
            ("iceberg.catalog.s3.endpoint", &store),
            ("tasks.max", "1"),
            ("commit.interval.ms", "300"),
            ("commit.timeout.ms", "5000"),
        ];
        self.trial.registration(&own.iter().chain(changes).copied().collect::<Vec<_>>())
    }

    /// A worker that reaches Kafka through the proxy.
    ///
    /// # Errors
    /// It does not start.
    pub async fn worker(&self, options: Options) -> Result<Worker> {
        let options = Options { brokers: self.kafka.address(), ..options };
        Worker::start_with(&options, &self.trial.dir).await
    }

    /// A worker with the connector registered, and a first portion in the table.
    ///
    /// # Errors
    /// It does not come to that.
    pub async fn running(&mut self, changes: &[(&str, &str)]) -> Result<Worker> {
        let worker = self.worker(Options::default()).await?;
        self.produce(PORTION)?;
        worker.register(&self.registration(changes)?).await?;
        self.trial.ingested().await?;
        Ok(worker)
    }

    /// Produces events that nothing else has to the first topic.
    ///
    /// # Errors
    /// A record was not acknowledged.
    pub fn produce(&mut self, events: u64) -> Result<()> {
        let topic = self.trial.topics.first().context("a scene has a topic")?.clone();
        self.produce_to(&topic, Plan { days: 1, ..Plan::events(0, events) })
    }

    /// Produces a plan with a seed of its own.
    ///
    /// # Errors
    /// A record was not acknowledged.
    pub fn produce_to(&mut self, topic: &str, plan: Plan) -> Result<()> {
        self.seed += 1;
        let plan = Plan { seed: self.seed, ..plan };
        self.sent.add(tokio::task::block_in_place(|| plan.produce(&self.trial.kafka, topic))?);
        Ok(())
    }

    /// One fault at one request: produces a portion, waits until the fault has met a request and the table stands where
    /// the topics end, and counts the rows by the table's own summary. Returns the rule, which is out of force then.
    ///
    /// # Errors
    /// The fault met nothing, or the table is not what was produced.
    pub async fn strike(&mut self, on: Wire, matcher: Matcher, when: When, fault: Fault) -> Result<Rule> {
        let proxy = match on {
            Wire::Catalog => &self.catalog,
            Wire::Store => &self.store,
        };
        let rule = proxy.inject(matcher, when, fault);
        self.produce(PORTION)?;
        self.met(&rule, 1).await?;
        self.settled().await.with_context(|| format!("after {rule:?}"))?;
        match on {
            Wire::Catalog => self.catalog.lift(&rule),
            Wire::Store => self.store.lift(&rule),
        }
        say(format!("{}: {rule:?}, the server answered {:?}", self.trial.name, rule.answers()));
        Ok(rule)
    }

    /// Waits until a rule has hit so many requests.
    ///
    /// # Errors
    /// Not in time.
    pub async fn met(&self, rule: &Rule, hits: u64) -> Result<()> {
        until(&format!("{rule:?} has met {hits}"), MET, async || Ok(Look::holds(rule.hits() >= hits, rule.hits())))
            .await
    }

    /// Waits until the table stands where the topics end; it must have as many rows as were produced then.
    ///
    /// # Errors
    /// Not in time, or other rows.
    pub async fn settled(&self) -> Result<()> {
        self.trial.ingested().await?;
        let summary = self.trial.catalog.summary(&self.trial.table).await?;
        let rows = summary.get("total-records").cloned().unwrap_or_default();
        ensure!(rows == self.sent.events.to_string(), "{rows} rows in the table, {} produced", self.sent.events);
        Ok(())
    }

    /// As [`Trial::exact_by_pyiceberg`], for all that was produced.
    ///
    /// # Errors
    /// A difference.
    pub async fn exact(&self, skipped: u64) -> Result<()> {
        self.trial.ingested().await?;
        self.trial.exact_by_pyiceberg(Counts { skipped, ..self.sent.counts() }).await
    }
}

/// Which proxy a fault is put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Before the catalog.
    Catalog,
    /// Before the object store.
    Store,
}
