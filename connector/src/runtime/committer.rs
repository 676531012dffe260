//! One committer for all tasks of a connector: batches that wait at the same time go into one snapshot, so that the
//! number of commits does not grow with the number of tasks.
//!
//! Fed by [`super::flight`] through a channel; each batch gets its verdict through the channel that came with it.

use std::time::Duration;

use catalog_sync::commit::{Committer, Staged};
use protocol::Landed;
use tokio::sync::{mpsc, oneshot};

/// How long the first batch waits for those of the other tasks. Tasks seal on the same ticks, so this covers the
/// spread of their uploads and no more.
const GATHER: Duration = Duration::from_millis(100);

/// A batch that wants to be committed, and where to send the verdict.
pub(crate) struct Request {
    pub(crate) staged: Staged,
    pub(crate) verdict: oneshot::Sender<Landed>,
}

/// Commits until every sender is gone. `tasks` is the most batches that can wait at the same time.
pub(crate) async fn run(committer: Committer, tasks: usize, mut requests: mpsc::Receiver<Request>) {
    while let Some(first) = requests.recv().await {
        let round = gather(first, tasks, &mut requests).await;
        let (staged, verdicts): (Vec<_>, Vec<_>) = round.into_iter().map(|r| (r.staged, r.verdict)).unzip();
        for (landed, verdict) in committer.commit(&staged).await.into_iter().zip(verdicts) {
            // A task that was stopped in the meantime does not listen; the table knows what became of its batch.
            let _ = verdict.send(landed);
        }
    }
}

async fn gather(first: Request, tasks: usize, requests: &mut mpsc::Receiver<Request>) -> Vec<Request> {
    let mut round = vec![first];
    let deadline = tokio::time::Instant::now() + GATHER;
    while round.len() < tasks {
        match tokio::time::timeout_at(deadline, requests.recv()).await {
            Ok(Some(request)) => round.push(request),
            Ok(None) | Err(_) => break,
        }
    }
    round
}
