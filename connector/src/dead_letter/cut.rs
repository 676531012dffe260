//! Dead letters that are larger than their topic takes: cut to what it takes, with their true size in a header.
//!
//! A topic's limit may be lower than that of the topics which the records came from, it may change at any time, and what
//! counts is the size after compression. So nothing is cut before it was refused, and then by halves. The record itself is
//! where the origin headers say, as long as Kafka keeps it. Called by [`super`] for records that the producer refuses and
//! for those that the broker refuses.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers};
use rdkafka::producer::BaseRecord;

/// Bytes of the value before it was cut.
pub(super) const VALUE_BYTES: &str = "clickstream.value.bytes";
/// Bytes of the key before it was cut.
pub(super) const KEY_BYTES: &str = "clickstream.key.bytes";

/// Whether a record was refused for its size.
pub(super) fn is_too_large(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge)
    )
}

/// Halves the longer one of value and key. False if there is nothing to halve.
pub(super) fn halve<O: rdkafka::util::IntoOpaque>(record: &mut BaseRecord<'_, [u8], [u8], O>) -> bool {
    let size = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    let (value, key) = (size(record.payload), size(record.key));
    if value.max(key) == 0 {
        return false;
    }
    let (part, header, bytes) =
        if value >= key { (&mut record.payload, VALUE_BYTES, value) } else { (&mut record.key, KEY_BYTES, key) };
    *part = part.map(|whole| &whole[..bytes / 2]);
    let headers = record.headers.take().unwrap_or_default();
    let told = headers.iter().any(|known| known.key == header);
    if !told {
        tracing::warn!(
            topic = record.topic,
            bytes,
            part = header,
            "a dead letter is too large for its topic and is cut"
        );
    }
    let size = bytes.to_string();
    record.headers = Some(if told { headers } else { headers.insert(Header { key: header, value: Some(&size) }) });
    true
}
