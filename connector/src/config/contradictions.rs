//! Values that are right by themselves and wrong together. Pure; called by [`super::parse`].

use super::clients::{CONSUMER, PRODUCER};
use super::memory::SHARE_BYTES_MIN;
use super::reader::Reader;
use super::values;
use crate::kafka::consumer::DEFAULTS;

pub(super) const INTERVAL: &str = "commit.interval.ms";
pub(super) const INTERVAL_ALIAS: &str = "iceberg.control.commit.interval-ms";
pub(super) const MEMORY: &str = "memory.max.bytes";
pub(super) const DEAD_LETTERS: &str = "errors.deadletterqueue.topic.name";

/// Pairs of values that cannot both be meant. Values that are wrong by themselves have been told already.
pub(super) fn contradictions(reader: &Reader<'_>, tell: &mut impl FnMut(&str, String)) {
    if let (Some(long), Some(short)) = (reader.set(INTERVAL_ALIAS), reader.set(INTERVAL))
        && long != short
    {
        tell(
            INTERVAL,
            format!("is {short}, but {INTERVAL_ALIAS} is {long}; they are two names of one setting, keep one"),
        );
    }
    if let Some(dead) = reader.set(DEAD_LETTERS) {
        if reader.text("errors.tolerance") == Some("none") {
            tell(
                DEAD_LETTERS,
                "has no effect with errors.tolerance=none; set errors.tolerance=all or remove it".into(),
            );
        }
        if reader.set("topics").is_some_and(|topics| values::list(topics).iter().any(|topic| topic == dead)) {
            tell(
                DEAD_LETTERS,
                "is also one of `topics`: rejects would be read again for ever; name another topic".into(),
            );
        }
    }
    for prefix in [CONSUMER, PRODUCER] {
        let (one, other) = (format!("{prefix}sasl.mechanism"), format!("{prefix}sasl.mechanisms"));
        if reader.set(&one).is_some() && reader.set(&other).is_some() {
            tell(&other, format!("is the same setting as {one}; keep one"));
        }
    }
    let millis = |key: &str| {
        let default = DEFAULTS.iter().find(|(name, _, _)| *name == key).map_or("0", |(_, value, _)| value);
        let text = reader.set(&format!("{CONSUMER}{key}")).unwrap_or(default);
        text.parse::<u64>().unwrap_or(0)
    };
    let session_key = "consumer.override.session.timeout.ms";
    let (session, poll) = (millis("session.timeout.ms"), millis("max.poll.interval.ms"));
    if session > poll {
        tell(
            session_key,
            format!("is {session}, which is more than max.poll.interval.ms, {poll}; lower it or raise the other"),
        );
    }
    let (budget, tasks) = (reader.whole(MEMORY), reader.whole("tasks.max"));
    let needed = tasks.saturating_mul(SHARE_BYTES_MIN);
    // A number that is not allowed has been told; it reads as 0, or as too many tasks.
    if budget >= SHARE_BYTES_MIN && tasks <= 64 && budget < needed {
        tell(
            MEMORY,
            format!("is {budget}, but tasks.max={tasks} needs at least {needed}; raise it, or lower tasks.max"),
        );
    }
    let codec = reader.set("iceberg.tables.write-props.write.parquet.compression-codec");
    let level_key = "iceberg.tables.write-props.write.parquet.compression-level";
    if reader.set(level_key).is_some() && codec.is_some_and(|codec| codec != "zstd") {
        tell(level_key, "has no effect: only zstd has levels; remove it, or choose zstd".into());
    }
    let instance = "consumer.override.group.instance.id";
    if reader.set(instance).is_some() && reader.text("tasks.max") != Some("1") {
        tell(
            instance,
            "names one member of the group, but there may be several tasks; set tasks.max=1 or remove it".into(),
        );
    }
}
