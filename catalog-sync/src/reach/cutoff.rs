//! How far back the history of a reference counts, by patterns of names. Pure. Called by [`super::retained`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// A day.
const DEFAULT: Cutoff = Cutoff::Age(Duration::from_secs(86_400));

/// What counts of a history. The state at the cut-off counts, and so what was to be seen at any moment since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cutoff {
    /// Commits that are not older.
    Age(Duration),
    /// So many commits.
    Commits(u64),
    /// All of it.
    Never,
}

impl Cutoff {
    /// Whether a commit counts, `place` being its place in the history, 0 the newest.
    #[must_use]
    pub fn keeps(self, time: DateTime<Utc>, place: u64, now: DateTime<Utc>) -> bool {
        match self {
            Self::Age(age) => age_of(time, now) <= age,
            Self::Commits(count) => place < count,
            Self::Never => true,
        }
    }
}

/// How old something is; what is younger than now has no age.
pub(crate) fn age_of(time: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (now - time).to_std().unwrap_or(Duration::ZERO)
}

impl FromStr for Cutoff {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Ok(count) = text.parse() {
            return if count == 0 { Err("a history of no commit".to_owned()) } else { Ok(Self::Commits(count)) };
        }
        let age = humantime::parse_duration(text);
        age.map(Self::Age).map_err(|_| format!("{text:?} is no age (7d, 12h), no number of commits and not `never`"))
    }
}

/// For each reference its cut-off: the first pattern that fits its name, else a day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cutoffs(Vec<(Pattern, Cutoff)>);

impl Cutoffs {
    /// Patterns, the first that fits decides.
    ///
    /// # Errors
    /// A sentence about a text that is not `[PATTERN=]CUTOFF`.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let parse = |text: &'a str| {
            let (pattern, cutoff) = text.rsplit_once('=').unwrap_or(("*", text));
            Ok((Pattern(pattern.to_owned()), cutoff.parse().map_err(|why| format!("cut-off {text:?}: {why}"))?))
        };
        texts.into_iter().map(parse).collect::<Result<_, String>>().map(Self)
    }

    /// The cut-off of a reference.
    #[must_use]
    pub fn of(&self, reference: &str) -> Cutoff {
        self.0.iter().find(|(pattern, _)| pattern.fits(reference)).map_or(DEFAULT, |(_, cutoff)| *cutoff)
    }
}

/// A name with stars in it, each for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern(String);

impl Pattern {
    fn fits(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut left) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
        let mut parts: Vec<&str> = parts.collect();
        let Some(last) = parts.pop() else { return left.is_empty() };
        for part in parts {
            match left.find(part) {
                Some(at) => left = &left[at + part.len()..],
                None => return false,
            }
        }
        left.ends_with(last)
    }
}

impl fmt::Display for Cutoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Age(age) => write!(f, "{}", humantime::format_duration(*age)),
            Self::Commits(count) => write!(f, "{count}"),
            Self::Never => f.write_str("never"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn the_first_pattern_that_fits_decides_and_a_day_is_what_others_have() {
        let cutoffs = Cutoffs::parse(["main=7d", "dev/*=10", "*-daily-*=never"]).unwrap();
        let of: Vec<Cutoff> =
            ["main", "dev/x", "clicks-daily-2026-01-01", "maint"].map(|name| cutoffs.of(name)).to_vec();
        assert_eq!(of, [Cutoff::Age(7 * DAY), Cutoff::Commits(10), Cutoff::Never, Cutoff::Age(DAY)]);
        assert_eq!(Cutoffs::parse(["12h"]).unwrap().of("any"), Cutoff::Age(DAY / 2));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "main=", "main=0", "main=-1", "a=b=soon"] {
            assert!(Cutoffs::parse([text]).unwrap_err().contains("cut-off"), "{text}");
        }
    }

    #[test]
    fn stars_stand_for_any_text_and_nothing_else_does() {
        let fits = |pattern: &str, name: &str| Pattern(pattern.to_owned()).fits(name);
        for (pattern, name) in [("*", ""), ("a*c", "abc"), ("a*c", "ac"), ("*b*", "abc"), ("a*b*b", "abb"), ("a", "a")]
        {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a*c", "abcd"), ("a*b*b", "ab"), ("", "a"), ("a.c", "abc")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_of_the_future_is_young() {
        let now = DateTime::UNIX_EPOCH + chrono::Duration::days(3);
        let keeps =
            |cutoff: Cutoff, days: i64| cutoff.keeps(DateTime::UNIX_EPOCH + chrono::Duration::days(days), 4, now);
        assert!(keeps(Cutoff::Age(DAY), 5) && keeps(Cutoff::Age(DAY), 2) && !keeps(Cutoff::Age(DAY), 1));
        assert!(keeps(Cutoff::Commits(5), 0) && !keeps(Cutoff::Commits(4), 5) && keeps(Cutoff::Never, 0));
    }
}
