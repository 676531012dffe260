//! The Kafka side of a task: the consumer, its group, the identity of topics.
//!
//! [`consumer`] holds every setting and the consumer itself, [`rebalance`] turns group callbacks into events that the task
//! takes when it is ready, [`topic_id`] asks which topic stands behind a name. Group offsets are a courtesy to lag tools;
//! nothing here ever reads them.

pub mod consumer;
pub mod rebalance;
pub mod topic_id;

#[cfg(test)]
pub(crate) mod testing;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use tracing::Level;

/// librdkafka's log level for what `tracing` would show; it asks the `log` crate otherwise, which knows nothing.
pub(crate) fn log_level() -> RDKafkaLogLevel {
    if tracing::enabled!(target: "librdkafka", Level::DEBUG) {
        RDKafkaLogLevel::Debug
    } else if tracing::enabled!(target: "librdkafka", Level::INFO) {
        RDKafkaLogLevel::Info
    } else {
        RDKafkaLogLevel::Warning
    }
}

/// A log line of librdkafka, as an event of `tracing`.
pub(crate) fn log_line(level: RDKafkaLogLevel, facility: &str, line: &str) {
    use RDKafkaLogLevel::{Alert, Critical, Debug, Emerg, Error, Info, Notice, Warning};
    match level {
        Emerg | Alert | Critical | Error => tracing::error!(target: "librdkafka", facility, "{line}"),
        Warning => tracing::warn!(target: "librdkafka", facility, "{line}"),
        Notice | Info => tracing::info!(target: "librdkafka", facility, "{line}"),
        Debug => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

/// An error of the client as a whole: a broker that is away, say. librdkafka goes on trying; so this is no failure yet.
pub(crate) fn log_error(error: &KafkaError, reason: &str) {
    tracing::warn!(target: "librdkafka", %error, "{reason}");
}
