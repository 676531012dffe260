//! One table, looked after until told to stop: look, decide, run one job, tell, and look again.
//!
//! Called by [`super::run`].

use std::time::{Duration, Instant};

use iceberg::TableIdent;
use tokio::sync::{Semaphore, watch as stopping};

use super::Runs;
use super::jobs::compact::Rests;
use super::jobs::{Job, Sight, Target, Verdict, Wish};
use super::look::Looker;
use super::report::JobRun;
use super::schedule::{Now, Timer, Turn, backoff};
use crate::catalog::CatalogClient;

/// Somebody who looks after one table.
pub(super) struct Watch<'a> {
    client: &'a CatalogClient,
    ident: TableIdent,
    /// As in reports and metrics.
    name: String,
    runs: &'a Runs<'a>,
    /// A job runs when it has one of these.
    places: &'a Semaphore,
    stop: stopping::Receiver<bool>,
    looker: Looker,
    timers: Vec<(Job, Timer)>,
    rests: Rests,
    /// Looks in a row that failed.
    failures: u32,
    /// Whether it was told that there is no table.
    is_absence_told: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        client: &'a CatalogClient,
        ident: TableIdent,
        runs: &'a Runs<'a>,
        places: &'a Semaphore,
        stop: stopping::Receiver<bool>,
    ) -> Result<Self, String> {
        let (jobs, now, name) = (&runs.config.jobs, Now::get(), ident.to_string());
        let mut timers = Vec::new();
        for job in runs.jobs() {
            timers.push((job, Timer::new(job.schedule(jobs)?, now)));
            runs.metrics.expect(&name, job);
        }
        let looker = Looker::new(jobs.compact.options());
        let rests = Rests::default();
        Ok(Self { client, ident, name, runs, places, stop, looker, timers, rests, failures: 0, is_absence_told: false })
    }

    /// Goes on until told to stop; a job that runs then is not broken off here.
    pub(super) async fn run(mut self) {
        while !*self.stop.borrow() {
            match self.decide().await {
                Ok((job, wish)) => self.perform(job, &wish).await,
                Err(wait) => tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    _ = self.stop.wait_for(|stop| *stop) => return,
                },
            }
        }
    }

    /// Looks at the table: the job to run now, or how long to wait.
    async fn decide(&mut self) -> Result<(Job, Wish), Duration> {
        let now = Now::get();
        let (metrics, now_ms) = (&self.runs.metrics, now.utc.timestamp_millis());
        let picture = match self.looker.look(self.client, &self.ident, now_ms).await {
            Ok(picture) => picture.cloned(),
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                let wait = backoff(self.failures, self.backoff_max(), rand::random());
                tracing::warn!(table = self.name, %error, ?wait, "cannot look at the table");
                metrics.looked(&self.name, None);
                return Err(wait);
            }
        };
        self.failures = 0;
        metrics.looked(&self.name, picture.as_ref());
        let Some(picture) = picture else {
            if !std::mem::replace(&mut self.is_absence_told, true) {
                tracing::info!(table = self.name, "the table does not exist yet, waiting for it");
            }
            return Err(self.check_interval());
        };
        self.is_absence_told = false;
        let sight = Sight { jobs: &self.runs.config.jobs, picture: &picture, moments: self.looker.moments(), now_ms };
        let wished = |(job, timer): &(Job, Timer)| match timer.turn(now) {
            Turn::No => None,
            Turn::IfWanted => job.wanted(&sight, &self.rests).map(|wish| (*job, wish)),
            Turn::Now(why) => Some((*job, Wish { why, partitions: None })),
        };
        self.timers.iter().find_map(wished).ok_or_else(|| self.check_interval())
    }

    /// Runs a job and tells of it.
    async fn perform(&mut self, job: Job, wish: &Wish) {
        let place = tokio::select! {
            place = self.places.acquire() => place,
            _ = self.stop.wait_for(|stop| *stop) => return,
        };
        // The semaphore is never closed.
        let Ok(_place) = place else { return };
        tracing::debug!(table = self.name, %job, why = wish.why, "begins");
        let target = Target { client: self.client, ident: &self.ident, jobs: &self.runs.config.jobs, dry_run: false };
        let (started, began) = (Now::get(), Instant::now());
        let outcome = job.run(target, wish).await;
        let (took, ended) = (began.elapsed(), Now::get());
        if let Ok(done) = &outcome {
            self.rests.learn(wish, done, ended.instant, self.backoff_max(), rand::random());
        }
        // A partition that fails rests by itself, and a table that is not complete is so tomorrow.
        let (is_failed, backoff_max) = (outcome.is_err(), self.backoff_max());
        let run = JobRun::new(&self.name, job, &wish.why, (started.utc, took), outcome);
        if run.verdict == Verdict::Failed {
            tracing::error!(table = self.name, %job, why = run.summary, "failed");
        }
        if let Some((_, timer)) = self.timers.iter_mut().find(|(of, _)| *of == job) {
            timer.ran(is_failed, ended, backoff_max, rand::random());
        }
        self.runs.metrics.ran(&run, ended.utc.timestamp());
        (self.runs.told)(&run);
    }

    fn backoff_max(&self) -> Duration {
        Duration::from_millis(self.runs.config.max_backoff_ms)
    }

    /// A tenth shorter at most, so that two schedulers do not look at the same moment for ever.
    fn check_interval(&self) -> Duration {
        let full = Duration::from_millis(self.runs.config.check_interval_ms);
        full.mul_f64(rand::random_range(0.9..=1.0))
    }
}
