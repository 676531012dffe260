//! Tables of times, and the calendar against itself over eight thousand years.

use super::*;

const NOON_MARCH_3: i64 = 1_772_539_200_000_000; // 2026-03-03T12:00:00Z

#[test]
fn accepted_forms_name_the_right_moment() {
    let table: &[(&str, i64)] = &[
        ("2026-03-03T12:00:00Z", NOON_MARCH_3),
        ("2026-03-03t12:00:00z", NOON_MARCH_3),
        ("2026-03-03 12:00:00", NOON_MARCH_3),
        ("2026-03-03T12:00", NOON_MARCH_3),
        ("2026-03-03T12:00Z", NOON_MARCH_3),
        ("2026-03-03T12:00:00.", NOON_MARCH_3),
        ("2026-03-03T14:00:00+02:00", NOON_MARCH_3),
        ("2026-03-03T14:00:00+0200", NOON_MARCH_3),
        ("2026-03-03T07:00-05:00", NOON_MARCH_3),
        ("2026-03-03T17:45:00+05:45", NOON_MARCH_3),
        ("2026-03-03T12:00:00-00:00", NOON_MARCH_3),
        ("2026-03-04T11:59:00+23:59", NOON_MARCH_3),
        ("2026-03-03T12:00:00.5", NOON_MARCH_3 + 500_000),
        ("2026-03-03T12:00:00.123Z", NOON_MARCH_3 + 123_000),
        ("2026-03-03T12:00:00.123456", NOON_MARCH_3 + 123_456),
        ("2026-03-03T12:00:00.1234567", NOON_MARCH_3 + 123_456),
        ("2026-03-03T12:00:00.999999999Z", NOON_MARCH_3 + 999_999),
        ("2026-03-03", NOON_MARCH_3 - MICROS_PER_DAY / 2),
        ("2024-02-29", 19_782 * MICROS_PER_DAY),
        ("2000-02-29", 11_016 * MICROS_PER_DAY),
        ("1970-01-01", 0),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("1969-12-31T23:59:59.9999999Z", -1),
        ("0001-01-01", -719_162 * MICROS_PER_DAY),
        ("0000-03-01", -719_468 * MICROS_PER_DAY),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
    ];
    for (text, micros) in table {
        assert_eq!(parse_iso8601(text), Some(*micros), "{text}");
    }
}

#[test]
fn other_forms_are_refused() {
    let table = [
        "",
        " ",
        "now",
        "2026",
        "2026-03",
        "2026-3-3",
        "2026-03-3",
        "20260303",
        "2026-03-03T",
        "2026-03-03T12",
        "2026-03-03T12:",
        "2026-03-03T12:00:",
        "2026-03-03T12:0",
        "2026-03-03T12:00:0",
        "2026-03-03T12:00:60Z",
        "2026-03-03T23:59:60Z",
        "2026-03-03T24:00:00Z",
        "2026-03-03T12:60:00Z",
        "2026-02-29",
        "2026-13-01",
        "2026-00-01",
        "2026-01-00",
        "2026-04-31",
        "1900-02-29",
        "2026-03-03T12:00:00.1234567890",
        "2026-03-03T12:00:00,5",
        "2026-03-03T12:00.5",
        "2026-03-03Z",
        "2026-03-03T12:00:00+02",
        "2026-03-03T12:00:00+2:00",
        "2026-03-03T12:00:00+24:00",
        "2026-03-03T12:00:00+00:60",
        "2026-03-03T12:00:00 Z",
        "2026-03-03T12:00:00ZZ",
        " 2026-03-03",
        "2026-03-03 ",
        "2026-03-03  12:00",
        "2026-03-03_12:00",
        "1772539200000",
        "1772539200",
        "+2026-03-03",
        "-2026-03-03",
        "12026-03-03",
        "2026/03/03",
        "03-03-2026",
        "２026-03-03",
        "2026-03-03T12:00:00Z\0",
        "2026-03-03T12:00:00 UTC",
        "Tue, 03 Mar 2026 12:00:00 GMT",
    ];
    for text in table {
        assert_eq!(parse_iso8601(text), None, "{text:?}");
    }
}

#[test]
fn the_usual_form_is_read_as_any_other_or_left_to_it() {
    let mut usual = 0;
    let mut compare = |bytes: &[u8]| {
        if let Some(micros) = usual_form(bytes) {
            assert_eq!(any_form(bytes), Some(micros), "{}", String::from_utf8_lossy(bytes));
            usual += 1;
        }
    };
    let whole = b"2024-02-29T09:18:07.123456Z";
    let others = b"0123456789-:.TtZz +\0\x2f\x3a\xff";
    for length in 0..=whole.len() {
        for zone in [&b""[..], b"Z"] {
            let text = [&whole[..length], zone].concat();
            compare(&text);
            for (first, byte) in (0..text.len()).flat_map(|at| others.map(|byte| (at, byte))) {
                let mut damaged = text.clone();
                damaged[first] = byte;
                compare(&damaged);
                for second in first + 1..text.len().min(first + 3) {
                    for byte in others {
                        damaged[second] = *byte;
                        compare(&damaged);
                    }
                    damaged[second] = text[second];
                }
            }
        }
    }
    assert!(usual > 20_000, "{usual} of the usual form");
    assert_eq!(usual_form(b"2026-03-03T12:00:00."), any_form(b"2026-03-03T12:00:00."));
    assert_eq!(usual_form(b"2026-03-03T12:00:00.000001Z"), Some(NOON_MARCH_3 + 1));
}

#[test]
fn epoch_milliseconds_are_exact_and_cut_downwards() {
    let table: &[(&str, Option<i64>)] = &[
        ("0", Some(0)),
        ("-0", Some(0)),
        ("1772539200000", Some(NOON_MARCH_3)),
        ("1772539200000.0", Some(NOON_MARCH_3)),
        ("1772539200000.5", Some(NOON_MARCH_3 + 500)),
        ("1772539200000.123", Some(NOON_MARCH_3 + 123)),
        ("1772539200000.1239999999", Some(NOON_MARCH_3 + 123)),
        ("1772539200000.99999999999999999999", Some(NOON_MARCH_3 + 999)),
        ("1.7725392e12", Some(NOON_MARCH_3)),
        ("17725392E5", Some(NOON_MARCH_3)),
        ("-1", Some(-1_000)),
        ("-0.5", Some(-500)),
        ("-0.0001", Some(-1)),
        ("-5e-4", Some(-1)),
        ("9223372036854775", Some(9_223_372_036_854_775_000)),
        ("9223372036854776", None),
        ("99999999999999999999999", None),
        ("1e400", None),
        ("-1e400", None),
        ("1e16", None),
    ];
    for (number, micros) in table {
        assert_eq!(parse_epoch_millis(number), *micros, "{number}");
    }
}

#[test]
fn every_day_from_year_0_to_8000_survives_the_way_there_and_back() {
    let mut expected = (0, 1, 1);
    for days in days_from_civil(0, 1, 1)..days_from_civil(8000, 1, 1) {
        assert_eq!(civil_from_days(days), expected);
        let (year, month, day) = expected;
        assert_eq!(days_from_civil(year, month, day), days);
        expected = match (month, day < days_in_month(year, month)) {
            (_, true) => (year, month, day + 1),
            (12, false) => (year + 1, 1, 1),
            (_, false) => (year, month + 1, 1),
        };
    }
}

#[test]
fn formatted_times_are_read_back() {
    for micros in [0, -1, NOON_MARCH_3 + 1, -62_135_596_800_000_000, 253_402_300_799_999_999] {
        assert_eq!(parse_iso8601(&format_micros(micros)), Some(micros));
    }
    assert_eq!(format_micros(NOON_MARCH_3 + 7), "2026-03-03T12:00:00.000007Z");
    assert_eq!(format_day(-1), "1969-12-31");
    // Beyond four digits only the printed form is promised.
    assert_eq!(format_micros(i64::MAX), "294247-01-10T04:00:54.775807Z");
}
