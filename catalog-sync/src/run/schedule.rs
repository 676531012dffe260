//! When a job of a table may run: by the clock, or whenever it has something to do; after errors later and later. Pure: the time is
//! an argument. Called by [`super::watch`].

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::cron::Cron;

/// The wait after the first error; it doubles from there.
const BACKOFF_MIN: Duration = Duration::from_secs(5);

/// What a job waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Schedule {
    /// Something to do, and this time since the last run.
    Continuous {
        /// From end to begin.
        min_interval: Duration,
    },
    /// The clock.
    Clock(Box<Cron>),
}

/// A moment by both clocks: one for waits, which is never put back, and one for calendars.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) utc: DateTime<Utc>,
}

impl Now {
    pub(super) fn get() -> Self {
        Self { instant: Instant::now(), utc: Utc::now() }
    }
}

/// Whether it is a job's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// Not yet.
    No,
    /// If it has something to do.
    IfWanted,
    /// In any case, by this line of a crontab.
    Now(String),
}

/// One job of one table.
#[derive(Debug, Clone)]
pub(super) struct Timer {
    schedule: Schedule,
    /// By the clock: when next.
    next: Option<DateTime<Utc>>,
    /// Errors in a row.
    failures: u32,
    rests_until: Option<Instant>,
}

impl Timer {
    /// Nothing has run yet. What the clock would have asked for before is not made up for.
    pub(super) fn new(schedule: Schedule, now: Now) -> Self {
        let next = match &schedule {
            Schedule::Continuous { .. } => None,
            Schedule::Clock(cron) => cron.after(now.utc),
        };
        Self { schedule, next, failures: 0, rests_until: None }
    }

    pub(super) fn turn(&self, now: Now) -> Turn {
        if self.rests_until.is_some_and(|until| now.instant < until) {
            return Turn::No;
        }
        match &self.schedule {
            Schedule::Continuous { .. } => Turn::IfWanted,
            Schedule::Clock(cron) => match self.failures > 0 || self.next.is_some_and(|next| now.utc >= next) {
                true => Turn::Now(cron.to_string()),
                false => Turn::No,
            },
        }
    }

    /// It has run and ended now. `jitter` is between 0 and 1.
    pub(super) fn ran(&mut self, is_failed: bool, now: Now, backoff_max: Duration, jitter: f64) {
        self.failures = if is_failed { self.failures.saturating_add(1) } else { 0 };
        let rest = match &self.schedule {
            Schedule::Continuous { min_interval } => *min_interval,
            Schedule::Clock(cron) => {
                self.next = cron.after(now.utc);
                Duration::ZERO
            }
        };
        let rest = if is_failed { rest.max(backoff(self.failures, backoff_max, jitter)) } else { rest };
        self.rests_until = now.instant.checked_add(rest);
    }
}

/// The wait after so many errors in a row: doubling, up to the longest, and up to a half shorter by `jitter` (0 to 1), so that
/// two of a kind do not go on together.
pub(super) fn backoff(failures: u32, max: Duration, jitter: f64) -> Duration {
    let full = BACKOFF_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(max);
    full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(60);

    fn now() -> Now {
        Now { instant: Instant::now(), utc: "2026-11-28T01:59:30Z".parse().unwrap() }
    }

    fn later(now: Now, seconds: u64) -> Now {
        let step = Duration::from_secs(seconds);
        Now { instant: now.instant + step, utc: now.utc + step }
    }

    #[test]
    fn a_continuous_job_may_run_at_once_and_then_not_before_its_interval() {
        let now = now();
        let mut timer = Timer::new(Schedule::Continuous { min_interval: Duration::from_secs(10) }, now);
        assert_eq!(timer.turn(now), Turn::IfWanted);
        timer.ran(false, now, MAX, 0.5);
        assert_eq!(timer.turn(later(now, 9)), Turn::No);
        assert_eq!(timer.turn(later(now, 10)), Turn::IfWanted);
    }

    #[test]
    fn a_job_by_the_clock_runs_once_a_line_and_what_was_missed_is_not_made_up_for() {
        let now = now();
        let mut timer = Timer::new(Schedule::Clock(Box::new(Cron::parse("0 2 * * *").unwrap())), now);
        assert_eq!(timer.turn(later(now, 29)), Turn::No);
        assert_eq!(timer.turn(later(now, 30)), Turn::Now("0 2 * * *".to_owned()));
        timer.ran(false, later(now, 60), MAX, 0.0);
        assert_eq!(timer.turn(later(now, 61)), Turn::No);
        let two_days = later(now, 2 * 86_400 + 60);
        assert_ne!(timer.turn(two_days), Turn::No);
        timer.ran(false, two_days, MAX, 0.0);
        assert_eq!(timer.turn(later(two_days, 1)), Turn::No);
    }

    #[test]
    fn after_errors_it_is_tried_again_later_and_later_and_a_success_ends_that() {
        let now = now();
        let clock = Schedule::Clock(Box::new(Cron::parse("0 2 * * *").unwrap()));
        for schedule in [clock, Schedule::Continuous { min_interval: Duration::ZERO }] {
            let mut timer = Timer::new(schedule.clone(), now);
            let due = later(now, 30);
            timer.ran(true, due, MAX, 0.0);
            assert_eq!(timer.turn(later(due, 4)), Turn::No, "{schedule:?}");
            assert_ne!(timer.turn(later(due, 5)), Turn::No, "{schedule:?}");
            timer.ran(true, due, MAX, 0.0);
            assert_eq!(timer.turn(later(due, 9)), Turn::No, "{schedule:?}");
            timer.ran(false, due, MAX, 0.0);
            let expected = if matches!(schedule, Schedule::Clock(_)) { Turn::No } else { Turn::IfWanted };
            assert_eq!(timer.turn(later(due, 1)), expected);
        }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_jitter_halves_them_at_most() {
        let waits = [1, 2, 3, 4, 5, 99].map(|failures| backoff(failures, MAX, 0.0).as_secs());
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
        assert_eq!(backoff(4, MAX, 1.0), Duration::from_secs(20));
        assert_eq!(backoff(u32::MAX, Duration::from_secs(1), 0.0), Duration::from_secs(1));
    }
}
