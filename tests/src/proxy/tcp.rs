//! A proxy for TCP connections that does to all of them what a bad network would; for Kafka.
//!
//! What it does can be changed at any moment and takes hold of the connections that exist. A connection from which bytes
//! were swallowed can never be made whole again: it stays silent until its client gives it up, whatever the mode is later.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// What happens to the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bytes go through.
    Pass,
    /// Every connection is reset, and every new one, too.
    Cut,
    /// Connections are accepted and nothing is read from them; all of it arrives once the mode is `Pass` again.
    Stall,
    /// Half-open: what is sent is taken and lost, and nobody is told.
    Swallow,
    /// Bytes arrive after this time.
    Delay(Duration),
}

/// What has happened so far.
#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicU64,
    cut: AtomicU64,
    stalled: AtomicU64,
    swallowed: AtomicU64,
}

/// A proxy in front of one server. It ends when dropped, with all its connections.
#[derive(Debug)]
pub struct TcpProxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    counters: Arc<Counters>,
    serving: AbortHandle,
}

impl TcpProxy {
    /// A proxy on a port (0 for any) before the server at `host:port`.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn start(port: u16, server: &str) -> Result<Self> {
        let listener =
            TcpListener::bind(("127.0.0.1", port)).await.with_context(|| format!("listen on port {port}"))?;
        let address = listener.local_addr()?;
        let mode = watch::Sender::new(Mode::Pass);
        let counters = Arc::new(Counters::default());
        let line = Line { mode: mode.subscribe(), counters: Arc::clone(&counters) };
        let serving = tokio::spawn(serve(listener, server.to_owned(), line)).abort_handle();
        Ok(Self { address, mode, counters, serving })
    }

    /// What a client is to be given in place of the server's address, `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Changes what happens, from now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Connections that were accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.counters.accepted.load(Ordering::SeqCst)
    }

    /// Connections that were reset.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.counters.cut.load(Ordering::SeqCst)
    }

    /// Connections that stood still.
    #[must_use]
    pub fn stalled(&self) -> u64 {
        self.counters.stalled.load(Ordering::SeqCst)
    }

    /// Bytes that were swallowed.
    #[must_use]
    pub fn swallowed(&self) -> u64 {
        self.counters.swallowed.load(Ordering::SeqCst)
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What every connection follows.
#[derive(Clone)]
struct Line {
    mode: watch::Receiver<Mode>,
    counters: Arc<Counters>,
}

async fn serve(listener: TcpListener, server: String, line: Line) {
    // Dropped with this future, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                line.counters.accepted.fetch_add(1, Ordering::SeqCst);
                connections.spawn(connection(client, server.clone(), line.clone()));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(mut client: TcpStream, server: String, mut line: Line) {
    // A server that is down is told to the client by an end of the connection, as the server itself would.
    let Ok(mut upstream) = TcpStream::connect(server).await else { return };
    let cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = upstream.split();
        let (there, back) = (pump(from_client, to_server, line.clone()), pump(from_server, to_client, line.clone()));
        tokio::select! {
            // Either side that ends, ends both: Kafka's connections are not used in one direction only.
            () = there => false,
            () = back => false,
            () = until(&mut line.mode, |mode| mode == Mode::Cut) => true,
        }
    };
    // With this, closing is a reset.
    if cut && client.set_zero_linger().is_ok() {
        line.counters.cut.fetch_add(1, Ordering::SeqCst);
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut line: Line) {
    let mut buffer = vec![0; 64 * 1024];
    let mut lost = false;
    loop {
        if *line.mode.borrow() == Mode::Stall {
            line.counters.stalled.fetch_add(1, Ordering::SeqCst);
            until(&mut line.mode, |mode| mode != Mode::Stall).await;
        }
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            () = until(&mut line.mode, |mode| mode == Mode::Stall) => continue,
        };
        let mode = *line.mode.borrow();
        lost = lost || mode == Mode::Swallow;
        match read {
            // The end of a half-open connection is not told either.
            Ok(0) | Err(_) if lost => return std::future::pending().await,
            Ok(0) | Err(_) => return,
            Ok(length) if lost => {
                line.counters.swallowed.fetch_add(length as u64, Ordering::SeqCst);
            }
            Ok(length) => {
                if let Mode::Delay(time) = mode {
                    tokio::time::sleep(time).await;
                }
                if to.write_all(buffer.get(..length).unwrap_or_default()).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Ready when the mode is such; never when the proxy is gone, since its connections go with it.
async fn until(mode: &mut watch::Receiver<Mode>, wanted: impl Fn(Mode) -> bool) {
    if mode.wait_for(|mode| wanted(*mode)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;
