//! A named place where requests wait until the test lets them pass.
//!
//! Used by [`Fault::Hold`](super::rule::Fault::Hold): the test waits until a request has arrived, does what must happen
//! in between, and opens the gate for good.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;

/// A gate, closed at first. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    name: Arc<str>,
    arrived: watch::Sender<u64>,
    open: watch::Sender<bool>,
}

impl Gate {
    /// A closed gate; the name is for messages.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), arrived: watch::Sender::new(0), open: watch::Sender::new(false) }
    }

    /// Waits until so many requests have arrived, whether they still wait or not.
    ///
    /// # Errors
    /// They did not within the time.
    pub async fn arrived(&self, requests: u64, within: Duration) -> Result<()> {
        let mut arrived = self.arrived.subscribe();
        let waited = tokio::time::timeout(within, arrived.wait_for(|seen| *seen >= requests)).await;
        let seen = *self.arrived.borrow();
        waited.map(drop).with_context(|| {
            format!("gate {}: {seen} of {requests} requests arrived within {} s", self.name, within.as_secs())
        })
    }

    /// Lets everything pass, what waits and what comes later.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Arrives, and waits until the gate is open.
    pub(super) async fn pass(&self) {
        self.arrived.send_modify(|seen| *seen += 1);
        // The sender is in `self`, so that waiting cannot fail.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}
