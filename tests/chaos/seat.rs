//! One worker, its proxies, and what befalls it: killed at random and at each boundary between two of its requests,
//! stopped until others have its partitions, left with a request that arrives late, sent away and taken back.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use it::proxy::gate::Gate;
use it::proxy::http::HttpProxy;
use it::proxy::requests::{commits, data_files, deletions_and_listings, manifests};
use it::proxy::rule::{Fault, Matcher, Rule, When};
use it::proxy::tcp::TcpProxy;
use it::trial::Trial;
use it::wait::say;
use it::worker::{Options, Worker};
use rand::Rng;
use rand::rngs::StdRng;

use crate::drizzle;
use crate::tally::Tally;

/// Milliseconds between two misfortunes. A killed member holds up the whole group for as long as its session lasts: with
/// less of a pause nobody would ever commit.
const PAUSE_MS: std::ops::Range<u64> = 3_000..11_000;
/// Longest wait for a request to come by.
const COMES_BY: Duration = Duration::from_secs(10);
/// The client's time-out for a commit, in the registration.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(4);
/// Longer than the session of a consumer in the registration of a trial: its partitions are another's by then.
const SESSION_OVER: Duration = Duration::from_secs(9);

/// A worker's place.
pub(crate) struct Seat {
    number: usize,
    name: String,
    table: String,
    brokers: String,
    dir: PathBuf,
    catalog: HttpProxy,
    store: HttpProxy,
    drizzle: (Vec<Rule>, Vec<Rule>),
    /// Deletions and listings, none of which may ever come by.
    forbidden: Rule,
    worker: Option<Worker>,
    trial_catalog: it::catalog::Catalog,
    tally: Tally,
}

/// The boundary at which a worker is caught: before this arrives.
#[derive(Debug, Clone, Copy)]
enum Point {
    Upload,
    Manifest,
    Commit,
    Answer,
}

impl Point {
    const ALL: [Self; 4] = [Self::Upload, Self::Manifest, Self::Commit, Self::Answer];

    fn name(self) -> &'static str {
        match self {
            Self::Upload => "kill -9 before an upload arrives",
            Self::Manifest => "kill -9 before a manifest arrives",
            Self::Commit => "kill -9 before a commit arrives",
            Self::Answer => "kill -9 between commit and answer",
        }
    }
}

impl Seat {
    /// Starts the worker, registers the connector on it, and lets it drizzle.
    pub(crate) async fn take(number: usize, trial: &Trial, kafka: &TcpProxy, tally: &Tally) -> Result<Self> {
        let catalog = HttpProxy::start(&trial.stack.catalog).await?;
        let store = HttpProxy::start(&trial.stack.s3).await?;
        let timeout = COMMIT_TIMEOUT.as_millis().to_string();
        let registration = trial.registration(&[
            ("iceberg.catalog.uri", &catalog.uri()),
            ("iceberg.catalog.s3.endpoint", &store.uri()),
            ("commit.timeout.ms", &timeout),
            ("commit.interval.ms", "500"),
        ])?;
        let mut seat = Self {
            number,
            name: trial.name.clone(),
            table: trial.table.clone(),
            brokers: kafka.address(),
            dir: trial.dir.join(format!("worker-{number}")),
            drizzle: (Vec::new(), Vec::new()),
            // Hits nothing, and counts.
            forbidden: store.inject(deletions_and_listings(), When::First(0), Fault::Refuse),
            catalog,
            store,
            worker: None,
            trial_catalog: trial.catalog.clone(),
            tally: tally.clone(),
        };
        seat.start().await?;
        seat.worker()?.register(&registration).await?;
        let seed = u64::try_from(number)?;
        seat.drizzle = drizzle::start(&seat.catalog, &seat.store, &trial.table, seed, tally);
        Ok(seat)
    }

    fn worker(&self) -> Result<&Worker> {
        self.worker.as_ref().with_context(|| format!("seat {} is empty", self.number))
    }

    async fn start(&mut self) -> Result<()> {
        let options = Options { brokers: self.brokers.clone(), ..Options::default() };
        self.worker = Some(Worker::start_with(&options, &self.dir).await?);
        Ok(())
    }

    async fn kill(&mut self) -> Result<()> {
        self.worker.take().context("nobody to kill")?.kill().await
    }

    /// One misfortune after another until the time is over; then everything is lifted, and the worker runs.
    pub(crate) async fn suffer(mut self, end: Instant, mut rng: StdRng) -> Result<Self> {
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(rng.random_range(PAUSE_MS))).await;
            let befallen = match rng.random_range(0..10) {
                0..3 => self.killed(&mut rng).await,
                3..6 => self.killed_at(Point::ALL[rng.random_range(0..4)], &mut rng).await,
                6 => self.stopped().await,
                7 => self.stopped_with_a_commit_on_its_way().await,
                8 => self.late_twin().await,
                _ => self.leaves_and_joins(&mut rng).await,
            };
            befallen.with_context(|| format!("worker {}", self.number))?;
        }
        self.drizzle.0.iter().for_each(|rule| self.catalog.lift(rule));
        self.drizzle.1.iter().for_each(|rule| self.store.lift(rule));
        Ok(self)
    }

    async fn killed(&mut self, rng: &mut StdRng) -> Result<()> {
        self.kill().await?;
        self.tally.count("kill -9 at a random moment");
        self.back(rng).await
    }

    /// Starts the worker again, and measures how long the table waits for its next commit.
    async fn back(&mut self, rng: &mut StdRng) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..2_000))).await;
        let passed = self.passed().await;
        let began = Instant::now();
        self.start().await?;
        if let Some(passed) = passed {
            let deadline = began + Duration::from_secs(30);
            while Instant::now() < deadline {
                if self.passed().await.is_some_and(|now| now > passed) {
                    self.tally.recovery(began.elapsed());
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    /// Offsets in the table; none while the catalog does not say.
    async fn passed(&self) -> Option<u64> {
        Some(self.trial_catalog.position(&self.table).await.ok()?.counts().offsets())
    }

    /// The next request of a kind waits at a gate; true if one came.
    async fn caught(&self, proxy: &HttpProxy, matcher: Matcher) -> (Gate, Rule, bool) {
        let gate = Gate::new("chaos");
        let rule = proxy.inject(matcher, When::First(1), Fault::Hold(gate.clone()));
        let came = gate.arrived(1, COMES_BY).await.is_ok();
        (gate, rule, came)
    }

    async fn killed_at(&mut self, point: Point, rng: &mut StdRng) -> Result<()> {
        let (proxy, matcher) = match point {
            Point::Upload => (&self.store, data_files()),
            Point::Manifest => (&self.store, manifests()),
            Point::Commit | Point::Answer => (&self.catalog, commits(&self.table)),
        };
        let came = if matches!(point, Point::Answer) {
            let rule = proxy.inject(matcher, When::First(1), Fault::DropAnswer);
            let came = arrives(&rule).await;
            proxy.lift(&rule);
            came
        } else {
            let (gate, rule, came) = self.caught(proxy, matcher).await;
            if came {
                // The request outlives its sender: it arrives when nobody waits for the answer any more.
                self.worker.take().context("nobody to kill")?.kill().await?;
            }
            let proxy = if matches!(point, Point::Commit) { &self.catalog } else { &self.store };
            proxy.lift(&rule);
            gate.open();
            came
        };
        if !came {
            // Not its turn: the partitions are with others.
            self.tally.count("nothing came by to be caught");
            return Ok(());
        }
        if self.worker.is_some() {
            self.kill().await?;
        }
        self.tally.count(point.name());
        self.back(rng).await
    }

    /// A zombie: it believes that its partitions are its own when it wakes up.
    async fn stopped(&mut self) -> Result<()> {
        self.worker()?.signal("STOP").await?;
        tokio::time::sleep(SESSION_OVER).await;
        self.worker()?.signal("CONT").await?;
        self.tally.count("SIGSTOP until the session is over");
        Ok(())
    }

    /// A zombie whose commit arrives after others have its partitions.
    async fn stopped_with_a_commit_on_its_way(&mut self) -> Result<()> {
        let (gate, rule, came) = self.caught(&self.catalog, commits(&self.table)).await;
        if came {
            self.worker()?.signal("STOP").await?;
            tokio::time::sleep(SESSION_OVER).await;
            self.tally.count("SIGSTOP with a commit on its way");
        }
        self.catalog.lift(&rule);
        gate.open();
        if came {
            // It finds the answer, or the end of its patience, when it wakes up.
            tokio::time::sleep(Duration::from_millis(500)).await;
            self.worker()?.signal("CONT").await?;
        }
        Ok(())
    }

    /// A commit that arrives after its sender has given it up and asked again.
    async fn late_twin(&mut self) -> Result<()> {
        let (gate, rule, came) = self.caught(&self.catalog, commits(&self.table)).await;
        if came {
            tokio::time::sleep(COMMIT_TIMEOUT + Duration::from_millis(700)).await;
            self.tally.count("commit: applied after the client's time-out");
        }
        self.catalog.lift(&rule);
        gate.open();
        Ok(())
    }

    async fn leaves_and_joins(&mut self, rng: &mut StdRng) -> Result<()> {
        let status = self.worker.take().context("nobody to send away")?.terminate().await?;
        ensure!(status.success(), "a worker ended with {status} after SIGTERM");
        self.tally.count("leave and join (SIGTERM, start)");
        self.back(rng).await
    }

    /// All its tasks run, and it has never deleted or listed anything: files of a commit whose outcome was not known are
    /// left to the sweep, and nothing is concluded from a listing.
    pub(crate) async fn is_well(&self) -> Result<()> {
        self.worker()?.running(&self.name, 2).await.with_context(|| format!("worker {}", self.number))?;
        ensure!(self.forbidden.seen() == 0, "worker {}: {} deletions or listings", self.number, self.forbidden.seen());
        Ok(())
    }

    /// Ends the worker as an operator would.
    pub(crate) async fn leave(mut self) -> Result<()> {
        let status = self.worker.take().context("nobody to send away")?.terminate().await?;
        ensure!(status.success(), "worker {} ended with {status} after SIGTERM", self.number);
        say(format!("worker {} has ended", self.number));
        Ok(())
    }
}

/// Waits until a rule has met a request.
async fn arrives(rule: &Rule) -> bool {
    let deadline = Instant::now() + COMES_BY;
    while rule.hits() == 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rule.hits() > 0
}
