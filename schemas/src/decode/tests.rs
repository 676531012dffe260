//! The promises of the decoder that no golden record can show: policy, state between records, bounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use arrow_array::Array;
use arrow_array::cast::AsArray;

use super::*;
use crate::table;

const CLICK: &[u8] =
    br#"{"event_id":"e-1","event_timestamp":"2026-03-03T10:15:30Z","event_type":"click","city":"Berlin"}"#;

fn code(policy: DecodePolicy, json: &str) -> Option<RejectCode> {
    ClickDecoder::new(policy).decode(Some(json.as_bytes()), 0).err().map(|reject| reject.code)
}

fn click_with(extra: &str) -> String {
    format!(r#"{{"event_id":"e-1","event_timestamp":"2026-03-03T10:15:30Z","event_type":"click"{extra}}}"#)
}

#[test]
fn a_tombstone_is_rejected() {
    let reject = ClickDecoder::default().decode(None, 0).unwrap_err();
    assert_eq!(reject.code, RejectCode::Tombstone);
}

#[test]
fn the_same_event_twice_is_two_rows() {
    let mut decoder = ClickDecoder::default();
    decoder.decode(Some(CLICK), 1).unwrap();
    decoder.decode(Some(CLICK), 2).unwrap();
    assert_eq!(decoder.finish().num_rows(), 2);
}

#[test]
fn rejects_between_rows_leave_the_rows_alone() {
    let mut decoder = ClickDecoder::default();
    for round in 0..100 {
        decoder.decode(Some(CLICK), round).unwrap();
        // Right up to its last field, which is at fault.
        let late = click_with(r#","page_url":"/x","city":true"#);
        assert!(decoder.decode(Some(late.as_bytes()), round).is_err());
        assert!(decoder.decode(None, round).is_err());
    }
    let batch = decoder.finish();
    assert_eq!(batch.num_rows(), 100);
    assert_eq!(batch.column_by_name("page_url").unwrap().null_count(), 100);
    assert!(batch.column_by_name("city").unwrap().as_string::<i32>().iter().all(|city| city == Some("Berlin")));
}

#[test]
fn finish_empties_the_decoder_and_counts_start_again() {
    let mut decoder = ClickDecoder::default();
    assert_eq!((decoder.rows(), decoder.bytes()), (0, 0));
    let empty = decoder.finish();
    assert_eq!((empty.num_rows(), empty.schema()), (0, table::arrow_schema()));

    decoder.decode(Some(CLICK), 0).unwrap();
    // 18 offsets and 6 integers of 4 bytes, 2 times of 8, and the text of three strings.
    assert_eq!((decoder.rows(), decoder.bytes()), (1, 18 * 4 + 6 * 4 + 2 * 8 + "e-1clickBerlin".len()));
    let first = decoder.finish();
    assert_eq!((decoder.rows(), decoder.bytes()), (0, 0));
    decoder.decode(Some(CLICK), 0).unwrap();
    assert_eq!(decoder.finish(), first);
}

#[test]
fn the_policy_decides_on_unknown_fields() {
    let json = click_with(r#","extra":1"#);
    assert_eq!(code(DecodePolicy::default(), &json), None);
    let strict = DecodePolicy { unknown_fields: UnknownFields::Reject, ..DecodePolicy::default() };
    assert_eq!(code(strict.clone(), &json), Some(RejectCode::UnknownField));
    assert_eq!(code(strict, &click_with("")), None);
}

#[test]
fn the_policy_decides_on_event_types() {
    let policy = DecodePolicy { event_types: BTreeSet::from(["play".to_owned()]), ..DecodePolicy::default() };
    assert_eq!(code(policy.clone(), &click_with("")), Some(RejectCode::UnknownEventType));
    assert_eq!(code(policy, &click_with("").replace("click", "play")), None);
}

#[test]
fn the_policy_decides_on_required_fields_but_not_on_partition_sources() {
    let json = |id: &str| format!(r#"{{"event_timestamp":"2026-03-03","event_type":"click"{id}}}"#);
    let none = DecodePolicy { required: BTreeSet::new(), ..DecodePolicy::default() };
    assert_eq!(code(none.clone(), &json("")), None);
    assert_eq!(code(none.clone(), &json(r#","event_id":"""#)), None);
    assert_eq!(code(none.clone(), r#"{"event_timestamp":"2026-03-03"}"#), Some(RejectCode::MissingField));
    assert_eq!(code(none.clone(), r#"{"event_type":"click"}"#), Some(RejectCode::MissingField));
    let user = DecodePolicy { required: BTreeSet::from(["user_id".to_owned()]), ..none };
    assert_eq!(code(user.clone(), &json("")), Some(RejectCode::MissingField));
    assert_eq!(code(user.clone(), &json(r#","user_id":"""#)), Some(RejectCode::MissingField));
    assert_eq!(code(user, &json(r#","user_id":7"#)), None);
}

#[test]
fn the_policy_decides_on_limits_and_times() {
    let policy = DecodePolicy { record_bytes_max: CLICK.len(), ..DecodePolicy::default() };
    let mut decoder = ClickDecoder::new(policy);
    assert_eq!(decoder.decode(Some(CLICK), 0), Ok(()));
    assert_eq!(decoder.decode(Some(&[CLICK, b" "].concat()), 0).unwrap_err().code, RejectCode::TooLarge);

    let policy = DecodePolicy { string_bytes_max: 6, ..DecodePolicy::default() };
    assert_eq!(code(policy.clone(), &click_with(r#","city":"Berlin""#)), None);
    assert_eq!(code(policy, &click_with(r#","city":"Londons""#)), Some(RejectCode::TooLong));

    let (min, max) = (1_772_532_930_000_000, 1_772_532_930_000_001);
    let policy = DecodePolicy { timestamp_min_micros: min, timestamp_max_micros: max, ..DecodePolicy::default() };
    assert_eq!(code(policy.clone(), &click_with("")), None);
    assert_eq!(code(policy, &click_with("").replace("30Z", "30.000001Z")), Some(RejectCode::TimestampOutOfRange));
}

#[test]
fn a_policy_that_contradicts_itself_is_found_beforehand_and_rejects_every_record() {
    let default = DecodePolicy::default;
    assert_eq!(default().check(), Ok(()));
    let typo = DecodePolicy { required: BTreeSet::from(["userid".to_owned()]), ..default() };
    assert_eq!(typo.check(), Err(PolicyError::UnknownRequired("userid".into())));
    assert_eq!(code(typo, &click_with("")), Some(RejectCode::MissingField));
    let ours = DecodePolicy { required: BTreeSet::from(["ingestion_timestamp".to_owned()]), ..default() };
    assert_eq!(ours.check(), Err(PolicyError::UnknownRequired("ingestion_timestamp".into())));
    assert_eq!(DecodePolicy { event_types: BTreeSet::new(), ..default() }.check(), Err(PolicyError::EventTypes));
    assert_eq!(DecodePolicy { string_bytes_max: 0, ..default() }.check(), Err(PolicyError::Limits));
    let times = DecodePolicy { timestamp_min_micros: 5, timestamp_max_micros: 5, ..default() };
    assert_eq!(times.check(), Err(PolicyError::Times { min: 5, max: 5 }));
}

#[test]
fn the_code_does_not_depend_on_the_order_of_keys() {
    let faults = [r#""event_id":"""#, r#""event_timestamp":"now""#, r#""event_type":"click""#, r#""os":[]"#];
    let forward = format!("{{{}}}", faults.join(","));
    let backward = format!("{{{}}}", faults.iter().rev().copied().collect::<Vec<_>>().join(","));
    assert_eq!(code(DecodePolicy::default(), &forward), Some(RejectCode::MissingField));
    assert_eq!(code(DecodePolicy::default(), &backward), Some(RejectCode::MissingField));
    // The syntax of the whole comes before any value.
    assert_eq!(code(DecodePolicy::default(), &format!("{forward} x")), Some(RejectCode::TrailingData));
}

#[test]
fn a_record_full_of_unknown_keys_is_no_attack() {
    let keys: String = (0..80_000).map(|key| format!(r#","k{key}":0"#)).collect();
    assert_eq!(code(DecodePolicy::default(), &click_with(&keys)), None);
    let repeated = format!(r#"{keys},"k0":0"#);
    assert_eq!(code(DecodePolicy::default(), &click_with(&repeated)), Some(RejectCode::DuplicateKey));
}

#[test]
fn the_reject_names_the_field_in_the_words_of_the_contract() {
    let mut decoder = ClickDecoder::default();
    let mut shown = |extra: &str| decoder.decode(Some(click_with(extra).as_bytes()), 0).unwrap_err().to_string();
    assert_eq!(shown(r#","screen_width":true"#), "wrong_type: screen_width: a boolean cannot become int");
    assert_eq!(shown(r#","screen_width":3e9"#), "out_of_range: screen_width: 3e9 does not fit 32 bits");
    assert_eq!(shown(r#","city":"x","city":"y""#), "duplicate_key: city: the key occurs more than once");
    let long = "k".repeat(200);
    let wanted = format!("duplicate_key: {}…: the key occurs more than once", "k".repeat(64));
    assert_eq!(shown(&format!(r#","{long}":1,"{long}":1"#)), wanted);
}
