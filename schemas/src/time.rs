//! Times as clicks write them: ISO-8601 text or epoch milliseconds, to microseconds since 1970 in UTC and back.
//!
//! Accepted text: `YYYY-MM-DD`, or that and `T`, `t` or a space, `HH:MM`, `:SS`, a point with up to nine digits, and `Z`, `z`,
//! `±HH:MM` or `±HHMM`. Without a zone the time is UTC, a date alone is its midnight, and digits past the microsecond are cut
//! off, not rounded, so that a time never moves into the next day. A leap second (`:60`) is refused: microseconds since 1970
//! cannot hold it. The calendar is the proleptic Gregorian one. Called by the decoder, and by whoever prints a time.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Microseconds in a day.
pub const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;

/// Reads an ISO-8601 time of the accepted form. `None` if the text has another form or names no real moment.
#[must_use]
pub fn parse_iso8601(text: &str) -> Option<i64> {
    usual_form(text.as_bytes()).or_else(|| any_form(text.as_bytes()))
}

/// What nearly all producers write, in a few steps of fixed width: `YYYY-MM-DDTHH:MM:SS`, up to six digits of a fraction, `Z`
/// or nothing. `None` for every other form, right or wrong.
fn usual_form(bytes: &[u8]) -> Option<i64> {
    let (head, tail) = bytes.split_first_chunk::<19>()?;
    let form = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if form.iter().any(|(at, byte)| head[*at] != *byte) {
        return None;
    }
    let digit = |at: usize| head[at].wrapping_sub(b'0');
    // 100 where there is no digit, which is too much for each part of a time.
    let pair = |at| match (digit(at), digit(at + 1)) {
        (tens @ 0..10, ones @ 0..10) => i64::from(tens * 10 + ones),
        _ => 100,
    };
    let (century, of_century, month, day) = (pair(0), pair(2), pair(5), pair(8));
    let (hour, minute, second) = (pair(11), pair(14), pair(17));
    let year = century * 100 + of_century;
    let is_time = hour < 24 && minute < 60 && second < 60 && century < 100 && of_century < 100;
    if !is_time || !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let micros = match tail.strip_suffix(b"Z").unwrap_or(tail) {
        [] => 0,
        [b'.', digits @ ..] if digits.len() <= 6 => {
            Cursor { bytes: digits }.number(digits.len())? * 10_i64.pow(6 - digits.len() as u32)
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second;
    Some(seconds * MICROS_PER_SECOND + micros)
}

/// All forms that are accepted, one part after the other.
fn any_form(bytes: &[u8]) -> Option<i64> {
    let mut rest = Cursor { bytes };
    let days = date(&mut rest)?;
    if rest.bytes.is_empty() {
        return Some(days * MICROS_PER_DAY);
    }
    if !rest.eat(b'T') && !rest.eat(b't') && !rest.eat(b' ') {
        return None;
    }
    let hour = rest.number(2).filter(|hour| *hour < 24)?;
    rest.expect(b':')?;
    let minute = rest.number(2).filter(|minute| *minute < 60)?;
    let (mut second, mut micros) = (0, 0);
    if rest.eat(b':') {
        second = rest.number(2).filter(|second| *second < 60)?;
        if rest.eat(b'.') {
            micros = rest.fraction()?;
        }
    }
    let offset_minutes = zone(&mut rest)?;
    let seconds = days * SECONDS_PER_DAY + hour * 3_600 + (minute - offset_minutes) * 60 + second;
    rest.bytes.is_empty().then_some(seconds * MICROS_PER_SECOND + micros)
}

/// Reads a JSON number as milliseconds since 1970, with a fraction cut down to the microsecond. `None` if it does not fit.
///
/// Exact but for the exponent form (`1.7e12`), which goes through a double.
#[must_use]
pub fn parse_epoch_millis(number: &str) -> Option<i64> {
    if number.bytes().any(|b| matches!(b, b'e' | b'E')) {
        let micros = (number.parse::<f64>().ok()? * 1_000.0).floor();
        // Both bounds are exact doubles, and NaN fails the comparison.
        return (micros.abs() < 9.0e18).then_some(micros as i64);
    }
    let (negative, magnitude) = match number.strip_prefix('-') {
        Some(magnitude) => (true, magnitude),
        None => (false, number),
    };
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let (mut micros, mut cut_off) = (0, false);
    for position in 0..fraction.len().max(3) {
        let digit = i64::from(fraction.as_bytes().get(position).map_or(0, |b| b - b'0'));
        if position < 3 {
            micros = micros * 10 + digit;
        } else {
            cut_off |= digit != 0;
        }
    }
    let micros = whole.parse::<i64>().ok()?.checked_mul(1_000)?.checked_add(micros)?;
    Some(if negative { -micros - i64::from(cut_off) } else { micros })
}

/// Writes a time as `YYYY-MM-DDTHH:MM:SS.ffffffZ`, which [`parse_iso8601`] reads back for the years 0 to 9999.
#[must_use]
pub fn format_micros(micros: i64) -> String {
    let (day, of_day) = (micros.div_euclid(MICROS_PER_DAY), micros.rem_euclid(MICROS_PER_DAY));
    let (year, month, day) = civil_from_days(day);
    let (second, fraction) = (of_day / MICROS_PER_SECOND, of_day % MICROS_PER_SECOND);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

/// Writes a day, counted from 1970-01-01, as `YYYY-MM-DD`.
#[must_use]
pub fn format_day(day: i32) -> String {
    let (year, month, day) = civil_from_days(i64::from(day));
    format!("{year:04}-{month:02}-{day:02}")
}

struct Cursor<'a> {
    bytes: &'a [u8],
}

impl Cursor<'_> {
    fn eat(&mut self, wanted: u8) -> bool {
        let found = self.bytes.first() == Some(&wanted);
        if found {
            self.bytes = &self.bytes[1..];
        }
        found
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        self.eat(wanted).then_some(())
    }

    /// Exactly `width` digits.
    fn number(&mut self, width: usize) -> Option<i64> {
        let (digits, rest) = self.bytes.split_at_checked(width)?;
        self.bytes = rest;
        digits.iter().try_fold(0, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
    }

    /// Zero to nine digits after the point, in microseconds.
    fn fraction(&mut self) -> Option<i64> {
        let width = self.bytes.iter().take_while(|b| b.is_ascii_digit()).count();
        let kept = self.number(width.min(6))? * 10_i64.pow(6 - width.min(6) as u32);
        self.bytes = &self.bytes[width.saturating_sub(6)..];
        (width <= 9).then_some(kept)
    }
}

/// `YYYY-MM-DD` in days since 1970-01-01.
fn date(rest: &mut Cursor<'_>) -> Option<i64> {
    let year = rest.number(4)?;
    rest.expect(b'-')?;
    let month = rest.number(2).filter(|month| (1..=12).contains(month))?;
    rest.expect(b'-')?;
    let day = rest.number(2).filter(|day| (1..=days_in_month(year, month)).contains(day))?;
    Some(days_from_civil(year, month, day))
}

/// `Z`, `±HH:MM`, `±HHMM` or nothing, in minutes east of UTC.
fn zone(rest: &mut Cursor<'_>) -> Option<i64> {
    if rest.bytes.is_empty() || rest.eat(b'Z') || rest.eat(b'z') {
        return Some(0);
    }
    let sign = if rest.eat(b'-') {
        -1
    } else {
        rest.expect(b'+')?;
        1
    };
    let hours = rest.number(2).filter(|hours| *hours < 24)?;
    rest.eat(b':');
    let minutes = rest.number(2).filter(|minutes| *minutes < 60)?;
    Some(sign * (hours * 60 + minutes))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01. Years are counted from March, so that the leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
#[path = "time_tests.rs"]
mod tests;
