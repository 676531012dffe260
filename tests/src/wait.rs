//! Waiting on a condition with a deadline, and progress lines with the time since the test program began.

use std::fmt::Display;
use std::io::Write;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(200);

/// What a look at a condition finds.
#[derive(Debug)]
pub enum Look<T> {
    /// It holds.
    Done(T),
    /// It does not hold yet; what was seen instead.
    NotYet(String),
}

impl Look<()> {
    /// Done if `holds`, else what was seen.
    pub fn holds(holds: bool, seen: impl Display) -> Self {
        if holds { Self::Done(()) } else { Self::NotYet(seen.to_string()) }
    }
}

/// Looks again and again until the condition holds.
///
/// # Errors
/// The condition did not hold within the time, with what was seen last; or `look` failed, which ends the wait at once.
pub async fn until<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Result<Look<T>>) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        let seen = match look().await? {
            Look::Done(found) => return Ok(found),
            Look::NotYet(seen) => seen,
        };
        if Instant::now() >= deadline {
            bail!("{what}: not within {} s; last seen: {seen}", within.as_secs());
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Writes a progress line. It is not held back by the test harness, so that a long run can be watched.
pub fn say(text: impl Display) {
    let line = format!("[{:7.1} s] {text}\n", BEGAN.elapsed().as_secs_f64());
    // Nothing can be done about a closed standard error, and no test depends on it.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_is_looked_at_until_it_holds() {
        let mut looks = 0;
        let found = until("three looks", Duration::from_secs(5), async || {
            looks += 1;
            Ok(if looks == 3 { Look::Done(looks) } else { Look::NotYet(looks.to_string()) })
        });
        assert_eq!(found.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_wait_that_is_in_vain_tells_what_was_seen_last() {
        let vain = until("rows", Duration::ZERO, async || Ok(Look::holds(false, "7 rows"))).await;
        assert_eq!(vain.unwrap_err().to_string(), "rows: not within 0 s; last seen: 7 rows");
    }
}
