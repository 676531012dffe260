//! Events that go on coming while something else happens, with an account of all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinHandle;

use crate::events::{Plan, Sent};
use crate::kafka::Kafka;

/// Pause between two portions.
const PAUSE: Duration = Duration::from_millis(200);

/// A producer that goes on until it is stopped, or dropped.
#[derive(Debug)]
pub struct Steady {
    stopped: Arc<AtomicBool>,
    producing: JoinHandle<Result<Sent>>,
}

impl Steady {
    /// Begins: a portion of so many events five times a second, with a malformed record after each so many events. Needs
    /// a runtime of several threads.
    #[must_use]
    pub fn begin(kafka: &Kafka, topic: &str, portion: u64, malformed_every: u64) -> Self {
        let (kafka, topic, stopped) = (kafka.clone(), topic.to_owned(), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&stopped);
        let producing = tokio::spawn(async move {
            let mut sent = Sent::default();
            for seed in 100.. {
                let plan = Plan { malformed_every, ..Plan::events(seed, portion) };
                sent.add(tokio::task::block_in_place(|| plan.produce(&kafka, &topic))?);
                if told.load(Ordering::Relaxed) {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
            Ok(sent)
        });
        Self { stopped, producing }
    }

    /// Ends after the portion that is under way, and tells what was produced.
    ///
    /// # Errors
    /// A record was not acknowledged.
    pub async fn stop(mut self) -> Result<Sent> {
        self.stopped.store(true, Ordering::Relaxed);
        (&mut self.producing).await.context("the producer ended in a panic")?
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}
