//! Which requests are hit, how often, and by what.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::gate::Gate;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Method.
    pub method: Method,
    /// Path and query, percent-encoded as sent.
    pub path: String,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// An answer, of the server or made up.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Which requests a rule is about.
pub type Matcher = Box<dyn Fn(&Heard) -> bool + Send + Sync>;

/// What answers in the server's place; it sees the request, and nothing is forwarded.
pub type Stand = Box<dyn Fn(&Heard) -> Answer + Send + Sync>;

/// Which of the matching requests are hit.
#[derive(Debug, Clone, Copy)]
pub enum When {
    /// Every one.
    Always,
    /// The nth only, counted from 1.
    Nth(u64),
    /// All up to and with the nth.
    First(u64),
    /// So many of a hundred, chosen by the seed.
    Share {
        /// Percent.
        percent: u32,
        /// The same seed hits the same requests.
        seed: u64,
    },
}

impl When {
    fn hits(self, nth: u64) -> bool {
        match self {
            Self::Always => true,
            Self::Nth(n) => nth == n,
            Self::First(n) => nth <= n,
            Self::Share { percent, seed } => {
                StdRng::seed_from_u64(seed.rotate_left(32) ^ nth).random_range(0..100) < percent
            }
        }
    }
}

/// What is put in the place of a good answer's body.
#[derive(Debug, Clone, Copy)]
pub enum Garbage {
    /// The first half of the true body.
    Cut,
    /// JSON of somebody else.
    Foreign,
    /// Bytes that are no text.
    Binary,
}

/// What happens to a request that is hit.
pub enum Fault {
    /// The server does it, and the client's connection is closed without an answer.
    DropAnswer,
    /// The client's connection is closed; the server hears nothing.
    Refuse,
    /// This status, with the header `Retry-After` if given; the server hears nothing.
    StatusBefore(u16, Option<u32>),
    /// The server does it; the client is told this status.
    StatusAfter(u16),
    /// The request waits at the gate before it is forwarded. It is forwarded even if the client has given up by then:
    /// a gate that is opened after the client's time-out makes a late twin.
    Hold(Gate),
    /// The server gets it twice; the client gets the second answer.
    Duplicate,
    /// The server does it; the client gets status 200 and a body that is no answer.
    Garble(Garbage),
    /// Forwarded after this time.
    Delay(Duration),
    /// One bit in the middle of the request's body is flipped on the way to the server.
    Flip,
    /// Something else answers, and the server hears nothing.
    Instead(Stand),
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DropAnswer => f.write_str("DropAnswer"),
            Self::Refuse => f.write_str("Refuse"),
            Self::StatusBefore(status, _) => write!(f, "StatusBefore({status})"),
            Self::StatusAfter(status) => write!(f, "StatusAfter({status})"),
            Self::Hold(gate) => write!(f, "Hold({gate:?})"),
            Self::Duplicate => f.write_str("Duplicate"),
            Self::Garble(garbage) => write!(f, "Garble({garbage:?})"),
            Self::Delay(time) => write!(f, "Delay({time:?})"),
            Self::Flip => f.write_str("Flip"),
            Self::Instead(_) => f.write_str("Instead"),
        }
    }
}

/// A rule in force, and its counters. Clones are the same rule; it stays in force when they are gone.
#[derive(Clone)]
pub struct Rule(Arc<Inner>);

struct Inner {
    matcher: Matcher,
    when: When,
    fault: Fault,
    seen: AtomicU64,
    hits: AtomicU64,
    answers: Mutex<Vec<u16>>,
}

impl Rule {
    pub(super) fn new(matcher: Matcher, when: When, fault: Fault) -> Self {
        let (seen, hits) = (AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Inner { matcher, when, fault, seen, hits, answers: Mutex::default() }))
    }

    /// Matching requests so far, hit or not.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.0.seen.load(Ordering::SeqCst)
    }

    /// Requests that were hit so far.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.0.hits.load(Ordering::SeqCst)
    }

    /// What the server answered to the requests that were hit, in order; for most faults the client never heard it.
    #[must_use]
    pub fn answers(&self) -> Vec<u16> {
        self.0.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn fault(&self) -> &Fault {
        &self.0.fault
    }

    /// Counts the request if it matches; true if it is hit.
    pub(super) fn hit_by(&self, request: &Heard) -> bool {
        if !(self.0.matcher)(request) {
            return false;
        }
        let hit = self.0.when.hits(self.0.seen.fetch_add(1, Ordering::SeqCst) + 1);
        if hit {
            self.0.hits.fetch_add(1, Ordering::SeqCst);
        }
        hit
    }

    pub(super) fn answered(&self, status: StatusCode) {
        self.0.answers.lock().unwrap_or_else(PoisonError::into_inner).push(status.as_u16());
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}: {} seen, {} hit", self.0.fault, self.0.when, self.seen(), self.hits())
    }
}
