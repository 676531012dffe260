//! The day transform against the vectors of the Iceberg specification, and paths.

use super::*;

const DAY: i64 = time::MICROS_PER_DAY;

#[test]
fn day_transform_agrees_with_the_iceberg_specification() {
    // 2017-11-16T22:31:08 is the specification's example of a timestamp; its day is 17,486.
    assert_eq!(day_of(1_510_871_468_000_000), 17_486);
    assert_eq!(day_of(0), 0);
    assert_eq!(day_of(-1), -1);
    assert_eq!(day_of(DAY - 1), 0);
    assert_eq!(day_of(DAY), 1);
    assert_eq!(day_of(-DAY), -1);
    assert_eq!(day_of(-DAY - 1), -2);
    assert_eq!(day_of(i64::MAX), 106_751_991);
    assert_eq!(day_of(i64::MIN), -106_751_992);
}

#[test]
fn the_path_of_a_key_is_safe_in_a_url() {
    let path = |event_type: &str| PartitionKey { day: 20_515, event_type: event_type.into() }.to_string();
    assert_eq!(path("click"), "event_timestamp_day=2026-03-03/event_type=click");
    assert_eq!(path("Page View/é?=#"), "event_timestamp_day=2026-03-03/event_type=Page%20View%2F%C3%A9%3F%3D%23");
    assert_eq!(path("../x"), "event_timestamp_day=2026-03-03/event_type=..%2Fx");
}
