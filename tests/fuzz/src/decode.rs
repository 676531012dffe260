//! The decoder: bytes become exactly one row, or a reject that leaves no trace.
//!
//! The bytes are decoded twice between two known clicks, under each of the [`policies`], and held against the second
//! opinion of the decoder's own tests (`schemas/tests/reference`).

use std::collections::BTreeSet;
use std::sync::LazyLock;

use arrow_array::RecordBatch;
use schemas::decode::{ClickDecoder, DecodePolicy, UnknownFields};
use schemas::reject::Reject;

use crate::{memory, reference};

/// Bytes that decoding may hold for each byte of the record, be it accepted or not.
const MEMORY_FACTOR: usize = 8;
/// And in any case: the first blocks of 26 columns.
const MEMORY_BASE: usize = 16 * 1024;
/// Longest text of a reject: 64 bytes of the record, each escaped, twice, and the words around them.
const REJECT_TEXT_MAX: usize = 2_048;
/// A click that every policy accepts.
const KNOWN: &[u8] =
    br#"{"event_id":"e","event_timestamp":"2026-03-03T10:15:30.25Z","event_type":"click","user_id":"u"}"#;
/// Time of taking in.
const NOW: i64 = 1_772_000_000_000_000;

/// Every choice that a policy has, each at least once at either end.
fn policies() -> Vec<DecodePolicy> {
    let names = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let strict = DecodePolicy {
        unknown_fields: UnknownFields::Reject,
        required: names(&["event_id", "user_id"]),
        ..DecodePolicy::default()
    };
    let tight = DecodePolicy {
        record_bytes_max: 256,
        string_bytes_max: 16,
        event_types: names(&["click"]),
        timestamp_min_micros: 1_772_532_930_250_000,
        timestamp_max_micros: 1_772_532_930_250_001,
        ..DecodePolicy::default()
    };
    let loose = DecodePolicy {
        required: BTreeSet::new(),
        event_types: names(&["click", "a/b=c", "é\n"]),
        record_bytes_max: usize::MAX,
        string_bytes_max: usize::MAX,
        timestamp_min_micros: i64::MIN,
        timestamp_max_micros: i64::MAX,
        ..DecodePolicy::default()
    };
    vec![DecodePolicy::default(), strict, tight, loose]
}

/// A policy, and the row that [`KNOWN`] becomes under it.
static CASES: LazyLock<Vec<(DecodePolicy, RecordBatch)>> = LazyLock::new(|| {
    let case = |policy: DecodePolicy| {
        policy.check().expect("the policy is one that an operator could choose");
        let mut decoder = ClickDecoder::new(policy.clone());
        decoder.decode(Some(KNOWN), NOW).expect("the known click is accepted");
        (policy, decoder.finish())
    };
    policies().into_iter().map(case).collect()
});

/// The promises of the decoder, for these bytes.
pub fn check(data: &[u8]) {
    for (policy, known) in &*CASES {
        let mut decoder = ClickDecoder::new(policy.clone());
        decoder.decode(Some(KNOWN), NOW).expect("the known click is accepted");
        let first = judge(&mut decoder, data);
        let second = judge(&mut decoder, data);
        assert_eq!(first, second, "the same bytes were judged in two ways");
        decoder.decode(Some(KNOWN), NOW).expect("the known click is accepted after any record");
        let rows = decoder.rows();
        let batch = decoder.finish();
        assert_eq!(batch.num_rows(), rows, "rows counted and rows given");
        assert_eq!((decoder.rows(), decoder.bytes()), (0, 0), "finishing empties the decoder");
        assert_eq!(&batch.slice(0, 1), known, "the row before was changed");
        assert_eq!(&batch.slice(rows - 1, 1), known, "the row after was changed");
        if first.is_ok() {
            assert_eq!(batch.slice(1, 1), batch.slice(2, 1), "the same bytes became two different rows");
        }
        let found = first.map(|()| reference::row(&batch, 1)).map_err(|reject| reject.code);
        assert_eq!(found, reference::judge(data, policy), "the reference says otherwise");
    }
}

/// Decodes once: a row more, or nothing at all, within the bounds of memory.
fn judge(decoder: &mut ClickDecoder, data: &[u8]) -> Result<(), Reject> {
    let before = (decoder.rows(), decoder.bytes());
    let bound = MEMORY_FACTOR * data.len() + MEMORY_BASE;
    let (outcome, peak) = memory::peak(|| decoder.decode(Some(data), NOW));
    assert!(peak <= bound, "{peak} bytes were held for a record of {}", data.len());
    match &outcome {
        Ok(()) => {
            assert_eq!(decoder.rows(), before.0 + 1, "an accepted record is one row");
            let grown = decoder.bytes() - before.1;
            assert!(grown > 0 && grown <= MEMORY_FACTOR * data.len(), "{grown} bytes for a record of {}", data.len());
        }
        Err(reject) => {
            assert_eq!((decoder.rows(), decoder.bytes()), before, "a reject left something behind");
            let text = reject.to_string();
            assert!(text.len() <= REJECT_TEXT_MAX, "a reject of {} bytes", text.len());
            assert!(!text.contains(char::is_control), "a reject could forge a log line: {text:?}");
        }
    }
    outcome
}
