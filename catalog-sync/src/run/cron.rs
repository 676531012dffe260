//! A line of a crontab, in UTC: five fields, as cron(8) reads them. Pure. Called by [`super::check`] and by [`super::schedule`],
//! which asks when it comes next.

use std::fmt;

use chrono::{DateTime, Utc};
use croner::parser::{CronParser, Seconds, Year};

/// Times at which something is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cron {
    text: String,
    times: croner::Cron,
}

impl Cron {
    /// Reads minute, hour, day of the month, month and day of the week; `@daily` and its like are known.
    ///
    /// # Errors
    /// What is wrong with it, also if it never comes, such as the 30th of February.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let times = parser.parse(text).map_err(|error| error.to_string())?;
        let parsed = Self { text: text.trim().to_owned(), times };
        let ever = parsed.after(DateTime::UNIX_EPOCH).map(|_| parsed);
        ever.ok_or_else(|| "never comes".to_owned())
    }

    /// The first time after this one; none only beyond the calendar.
    pub(super) fn after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.times.find_next_occurrence(&time, false).ok()
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_next_time_is_after_now_and_in_utc() {
        let next = |cron: &str, now: &str| Cron::parse(cron).unwrap().after(time(now)).unwrap();
        assert_eq!(next("0 2 * * *", "2026-11-28T01:59:59Z"), time("2026-11-28T02:00:00Z"));
        assert_eq!(next("0 2 * * *", "2026-11-28T02:00:00Z"), time("2026-11-29T02:00:00Z"));
        // 2026-11-29 is a Sunday.
        assert_eq!(next("0 3 * * 0", "2026-11-28T03:00:00Z"), time("2026-11-29T03:00:00Z"));
        assert_eq!(next("*/15 * * * *", "2026-12-31T23:50:00Z"), time("2027-01-01T00:00:00Z"));
        assert_eq!(next("@daily", "2026-11-28T12:00:00Z"), time("2026-11-29T00:00:00Z"));
        // Day of the month or day of the week, as cron has it when both are said.
        assert_eq!(next("0 0 1 * 1", "2026-11-28T00:00:00Z"), time("2026-11-30T00:00:00Z"));
    }

    #[test]
    fn what_is_no_crontab_line_is_refused() {
        for text in ["", "now", "0 2 * *", "0 0 2 * * *", "60 2 * * *", "0 0 30 2 *"] {
            assert!(Cron::parse(text).is_err(), "{text:?}");
        }
    }
}
