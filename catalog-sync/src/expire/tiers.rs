//! Tiered retention: all snapshots for a while, then one an hour, then one a day. Pure. Called by [`super::plan`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// One age and what is kept up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tier {
    /// Up to this age.
    until: Duration,
    /// The newest of each span of this length; all if none.
    every: Option<Duration>,
}

/// Ages, and what is kept up to each; nothing beyond the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiers(Vec<Tier>);

impl Default for Tiers {
    /// All for an hour, one an hour for a day, one a day for 30 days.
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3_600);
        const DAY: Duration = Duration::from_secs(86_400);
        let tier = |until, every| Tier { until, every };
        Self(vec![tier(HOUR, None), tier(DAY, Some(HOUR)), tier(30 * DAY, Some(DAY))])
    }
}

impl FromStr for Tiers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = |text: &str| {
            let span = humantime::parse_duration(text.trim()).ok().filter(|span| span.as_millis() > 0);
            span.ok_or_else(|| format!("{text:?} is no span of time, as 1h or 30d"))
        };
        let tier = |text: &str| match text.split_once('/') {
            Some((until, every)) => Ok(Tier { until: span(until)?, every: Some(span(every)?) }),
            None => Ok(Tier { until: span(text)?, every: None }),
        };
        let tiers = text.split(',').map(tier).collect::<Result<Vec<_>, String>>()?;
        match tiers.is_sorted_by(|a, b| a.until < b.until) {
            true => Ok(Self(tiers)),
            false => Err(format!("{text:?}: each tier must reach further back than the one before")),
        }
    }
}

impl fmt::Display for Tiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, tier) in self.0.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            write!(f, "{comma}{}", humantime::format_duration(tier.until))?;
            if let Some(every) = tier.every {
                write!(f, "/{}", humantime::format_duration(every))?;
            }
        }
        Ok(())
    }
}

impl Tiers {
    /// Whether a snapshot is kept: `next` is the time of the one after it, none for the newest. Times in milliseconds since
    /// 1970. What is the newest of its span stays so, however often it is asked.
    pub(super) fn keep(&self, time: i64, next: Option<i64>, now: i64) -> bool {
        let age = u128::try_from(now.saturating_sub(time)).unwrap_or(0);
        let Some(tier) = self.0.iter().find(|tier| age <= tier.until.as_millis()) else { return false };
        let Some(every) = tier.every.and_then(|every| i64::try_from(every.as_millis()).ok()) else { return true };
        next.is_none_or(|next| next.div_euclid(every) > time.div_euclid(every))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn texts_are_read_and_written_alike() {
        assert_eq!("1h,24h/1h,30d/1d".parse::<Tiers>().unwrap(), Tiers::default());
        assert_eq!(Tiers::default().to_string(), "1h,1day/1h,30days/1day");
        for text in ["", "1h,", "1d,1h", "1h,1h/1m", "0s", "soon", "1d/0s"] {
            assert!(text.parse::<Tiers>().is_err(), "{text}");
        }
    }

    #[test]
    fn all_for_an_hour_then_one_an_hour_then_one_a_day_then_none() {
        let now = 1_000 * 24 * HOUR;
        // One every ten minutes for 40 days.
        let times: Vec<i64> = (0..40 * 144).map(|number| now - number * HOUR / 6).collect();
        let tiers = Tiers::default();
        let next = |at: usize| at.checked_sub(1).map(|at| times[at]);
        let kept: Vec<i64> =
            (0..times.len()).filter(|&at| tiers.keep(times[at], next(at), now)).map(|at| now - times[at]).collect();
        let between = |from: i64, to: i64| kept.iter().filter(|&&age| age > from && age <= to).count();
        assert_eq!(between(-1, HOUR), 7);
        assert_eq!(between(HOUR, 24 * HOUR), 23);
        assert_eq!(between(24 * HOUR, 30 * 24 * HOUR), 29);
        assert_eq!(between(30 * 24 * HOUR, i64::MAX), 0);
    }
}
