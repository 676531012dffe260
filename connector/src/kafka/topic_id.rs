//! Which topic stands behind a name: the id that Kafka gives a topic at its creation.
//!
//! A topic that was deleted and made again has the same name, and offsets that mean other records; only the id tells. The
//! Rust client has no call for it, so that this file speaks with librdkafka itself. It is the one file with `unsafe` code.
//! Rules: every pointer that librdkafka hands over for keeps goes into [`Owned`] at once, pointers into a result are read
//! before the result is destroyed, and nothing leaves this file but owned Rust values. Called by the task when it starts
//! and when it gets an assignment.
#![allow(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString, c_char};
use std::ptr::NonNull;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use rdkafka_sys as rdsys;

/// Why topic ids are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicIdError {
    /// The name cannot be a topic.
    #[error("{0:?} is no topic name")]
    Name(String),
    /// Kafka knows the topic not, or does not show it.
    #[error("topic {topic}: {code}")]
    Topic {
        /// Topic name.
        topic: String,
        /// What Kafka says.
        code: RDKafkaErrorCode,
    },
    /// Nobody answered, or the whole request was refused.
    #[error("cannot ask Kafka for topic ids: {0}")]
    Request(RDKafkaErrorCode),
}

/// The id of each topic, as Kafka's own tools print it; none where the broker has no topic ids. Blocks up to `timeout`.
///
/// librdkafka sends the request to the controller. Its embedded broker has none, so there the time runs out; a real
/// cluster that elects its controller looks the same, so that silence is never taken for "no id". Whoever works with
/// the embedded broker names the identity (`position.topic.id`) and does not ask.
///
/// # Errors
/// [`TopicIdError`] for the first topic that does not exist, or if Kafka does not answer.
pub fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[String],
    timeout: Duration,
) -> Result<BTreeMap<String, Option<String>>, TopicIdError> {
    // librdkafka refuses empty names and repeated ones.
    let names: BTreeSet<&str> = topics.iter().map(String::as_str).collect();
    let c_name = |name: &&str| match CString::new(*name) {
        Ok(c_name) if !name.is_empty() => Ok(c_name),
        _ => Err(TopicIdError::Name((*name).to_owned())),
    };
    let names = names.iter().map(c_name).collect::<Result<Vec<_>, _>>()?;
    match describe(client, &names, timeout)? {
        Some(event) => read(&event),
        None => Ok(topics.iter().map(|topic| (topic.clone(), None)).collect()),
    }
}

/// A pointer that is ours to destroy.
struct Owned<T> {
    ptr: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// Takes over what librdkafka made; it makes nothing only when memory is short.
    fn new(ptr: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Result<Self, TopicIdError> {
        let ptr = NonNull::new(ptr).ok_or(TopicIdError::Request(RDKafkaErrorCode::CriticalSystemResource))?;
        Ok(Self { ptr, destroy })
    }

    fn as_ptr(&self) -> *mut T {
        self.ptr.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from the constructor that belongs to `destroy`, is not null, and was never copied out
        // of this value for longer than a call.
        unsafe { (self.destroy)(self.ptr.as_ptr()) }
    }
}

/// Asks and waits. None if the broker does not know how to answer.
fn describe<C: ClientContext>(
    client: &Client<C>,
    names: &[CString],
    timeout: Duration,
) -> Result<Option<Owned<rdsys::rd_kafka_event_t>>, TopicIdError> {
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX).max(1);
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let rk = client.native_ptr();
    // SAFETY: `rk` lives as long as `client`. A queue made for it may be used from any thread and is destroyed below, before
    // `client` can go.
    let queue = Owned::new(unsafe { rdsys::rd_kafka_queue_new(rk) }, rdsys::rd_kafka_queue_destroy)?;
    // SAFETY: `pointers` holds as many valid C strings as its length says; librdkafka copies them.
    let collection = unsafe { rdsys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) };
    let collection = Owned::new(collection, rdsys::rd_kafka_TopicCollection_destroy)?;
    let operation = rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: `rk` is valid; the options are destroyed below.
    let options = unsafe { rdsys::rd_kafka_AdminOptions_new(rk, operation) };
    let options = Owned::new(options, rdsys::rd_kafka_AdminOptions_destroy)?;
    let mut reason: [c_char; 128] = [0; 128];
    // SAFETY: `options` is valid, `reason` is as long as said.
    let set = unsafe {
        rdsys::rd_kafka_AdminOptions_set_request_timeout(options.as_ptr(), millis, reason.as_mut_ptr(), reason.len())
    };
    checked(set)?;
    // SAFETY: all four are valid for the call; librdkafka copies names and options into the request and keeps a reference
    // of its own on the queue.
    unsafe { rdsys::rd_kafka_DescribeTopics(rk, collection.as_ptr(), options.as_ptr(), queue.as_ptr()) };
    // The request has its own time limit; the wait is longer so that its answer, even "timed out", is the one that counts.
    // SAFETY: the queue is valid; the event is ours, and null only if none came.
    let event = unsafe { rdsys::rd_kafka_queue_poll(queue.as_ptr(), millis.saturating_add(1000)) };
    if event.is_null() {
        return Err(TopicIdError::Request(RDKafkaErrorCode::OperationTimedOut));
    }
    let event = Owned::new(event, rdsys::rd_kafka_event_destroy)?;
    // SAFETY: the event is valid.
    match checked(unsafe { rdsys::rd_kafka_event_error(event.as_ptr()) }) {
        Ok(()) => Ok(Some(event)),
        Err(TopicIdError::Request(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Copies the ids out of the answer.
fn read(event: &Owned<rdsys::rd_kafka_event_t>) -> Result<BTreeMap<String, Option<String>>, TopicIdError> {
    // SAFETY: the event is valid; the result is a view of it, or null if the event is of another kind.
    let result = unsafe { rdsys::rd_kafka_event_DescribeTopics_result(event.as_ptr()) };
    if result.is_null() {
        return Err(TopicIdError::Request(RDKafkaErrorCode::InvalidType));
    }
    let mut count = 0;
    // SAFETY: the result is valid; the array belongs to it and lives as long as the event.
    let topics = unsafe { rdsys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count) };
    let mut ids = BTreeMap::new();
    for index in 0..count {
        // SAFETY: `topics` has `count` elements, each a valid description that lives as long as the event.
        let (name, code, id) = unsafe { read_topic(*topics.add(index)) };
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(TopicIdError::Topic { topic: name, code: code.into() });
        }
        ids.insert(name, id);
    }
    Ok(ids)
}

/// Name, error and id of one description.
///
/// # Safety
/// `topic` must point to a description of an answer that is not yet destroyed.
unsafe fn read_topic(topic: *const rdsys::rd_kafka_TopicDescription_t) -> (String, RDKafkaRespErr, Option<String>) {
    // SAFETY: the caller keeps the answer alive. The name is a C string inside it; the error may be null, which
    // `rd_kafka_error_code` takes for "none"; the id is a struct inside it, or null.
    unsafe {
        let name = CStr::from_ptr(rdsys::rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned();
        let code = rdsys::rd_kafka_error_code(rdsys::rd_kafka_TopicDescription_error(topic));
        let id = rdsys::rd_kafka_TopicDescription_topic_id(topic);
        let id = (!id.is_null()).then(|| {
            let high = rdsys::rd_kafka_Uuid_most_significant_bits(id);
            (high, rdsys::rd_kafka_Uuid_least_significant_bits(id))
        });
        (name, code, id.and_then(|(high, low)| printed(high, low)))
    }
}

/// An id as Kafka prints it: base64 for URLs without padding. (librdkafka's own function gives the other alphabet.) None for
/// zero, which stands for "no id".
fn printed(high: i64, low: i64) -> Option<String> {
    let bytes = [high.to_be_bytes(), low.to_be_bytes()].concat();
    (high != 0 || low != 0).then(|| URL_SAFE_NO_PAD.encode(bytes))
}

fn checked(code: RDKafkaRespErr) -> Result<(), TopicIdError> {
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(TopicIdError::Request(code.into())),
    }
}

#[cfg(test)]
#[path = "topic_id_tests.rs"]
mod tests;
