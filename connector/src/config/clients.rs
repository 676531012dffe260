//! Which librdkafka settings a connector may set: an allow-list.
//!
//! Whoever may register a connector is not thereby allowed to load libraries, run commands or read files on the worker,
//! nor to change what the position protocol relies on. So there is no setting that names a file, a plugin or a program,
//! and those that the protocol owns are refused ([`super::refused`]). Keys are librdkafka's own names.

use super::keys::{Absent, Importance, Key, Kind, absent};
use super::values::{self, Check, FREE};

/// `consumer.override.`
pub const CONSUMER: &str = "consumer.override.";
/// `producer.override.`
pub const PRODUCER: &str = "producer.override.";

macro_rules! client_keys {
    (both { $($name:literal $kind:ident $check:expr => $doc:literal;)+ }
     consumer { $($c_name:literal $c_kind:ident $c_check:expr => $c_doc:literal;)+ }
     producer { $($p_name:literal $p_kind:ident $p_check:expr => $p_doc:literal;)+ }) => {
        /// The allow-list, as full key names.
        pub const CLIENT_KEYS: &[Key] = &[
            $(client_keys!(@key "Kafka consumer", "consumer.override.", $name, $kind, $check, $doc),)+
            $(client_keys!(@key "Kafka consumer", "consumer.override.", $c_name, $c_kind, $c_check, $c_doc),)+
            $(client_keys!(@key "Kafka producer (dead letters)", "producer.override.", $name, $kind, $check, $doc),)+
            $(client_keys!(@key "Kafka producer (dead letters)", "producer.override.", $p_name, $p_kind, $p_check, $p_doc),)+
        ];
    };
    (@key $group:literal, $prefix:literal, $name:literal, $kind:ident, $check:expr, $doc:literal) => {
        Key {
            name: concat!($prefix, $name), group: $group, kind: Kind::$kind, importance: Importance::Low,
            absent: absent!(unset), check: $check, doc: $doc,
        }
    };
}

client_keys! {
both {
    "security.protocol" String Check::OneOf(&["plaintext", "ssl", "sasl_plaintext", "sasl_ssl", "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
        => "How to speak to the brokers.";
    "sasl.mechanism" String Check::OneOf(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]) => "How to log in.";
    "sasl.mechanisms" String Check::OneOf(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]) => "Same as `sasl.mechanism`.";
    "sasl.username" String FREE => "User.";
    "sasl.password" Password FREE => "Password.";
    "ssl.ca.pem" String Check::Pem => "Certificates to trust, as PEM text.";
    "ssl.certificate.pem" String Check::Pem => "Own certificate, as PEM text.";
    "ssl.key.pem" Password Check::Pem => "Own key, as PEM text.";
    "ssl.key.password" Password FREE => "Password of the own key.";
    "ssl.endpoint.identification.algorithm" String Check::OneOf(&["https", "none"])
        => "Whether the broker's certificate must bear its host name.";
    "client.id" String Check::With(values::word) => "Name in the brokers' logs and quotas.";
    "socket.timeout.ms" Long Check::Whole(10, 300_000) => "Longest wait for a broker's answer.";
    "socket.keepalive.enable" Boolean Check::Bool => "TCP keep-alive.";
    "socket.connection.setup.timeout.ms" Long Check::Whole(1_000, 300_000) => "Longest wait for a connection.";
    "connections.max.idle.ms" Long Check::Whole(0, 86_400_000) => "Close idle connections after this time; 0 never.";
    "metadata.max.age.ms" Long Check::Whole(1_000, 86_400_000) => "How often topics and brokers are looked up.";
    "topic.metadata.refresh.interval.ms" Long Check::Whole(1_000, 3_600_000) => "How often new partitions are looked for.";
    "reconnect.backoff.ms" Long Check::Whole(0, 3_600_000) => "First wait before connecting again.";
    "reconnect.backoff.max.ms" Long Check::Whole(0, 3_600_000) => "Longest wait before connecting again.";
    "message.max.bytes" Long Check::Whole(1_000, 1_000_000_000) => "Largest request.";
    "broker.address.family" String Check::OneOf(&["any", "v4", "v6"]) => "Which addresses of a broker are used.";
}
consumer {
    "client.rack" String Check::With(values::word) => "Rack, to fetch from a replica near by.";
    "fetch.min.bytes" Long Check::Whole(1, 100_000_000) => "Bytes that a broker waits for.";
    "fetch.max.bytes" Long Check::Whole(1, 2_147_483_135) => "Bytes of one answer.";
    "fetch.wait.max.ms" Long Check::Whole(0, 300_000) => "How long a broker waits for them.";
    "fetch.message.max.bytes" Long Check::Whole(1, 1_000_000_000) => "Same as `max.partition.fetch.bytes`.";
    "max.partition.fetch.bytes" Long Check::Whole(1, 1_000_000_000) => "Bytes of one partition in an answer.";
    "fetch.error.backoff.ms" Long Check::Whole(0, 300_000) => "Wait after a failed fetch.";
    "receive.message.max.bytes" Long Check::Whole(1_000, 2_147_483_647) => "Largest answer.";
    "queued.min.messages" Long Check::Whole(1, 10_000_000) => "Records read ahead for a partition.";
    "queued.max.messages.kbytes" Long Check::Whole(1, 2_097_151) => "KiB read ahead for a consumer.";
    "session.timeout.ms" Long Check::Whole(1, 3_600_000) => "Silence after which the group gives the partitions to another.";
    "heartbeat.interval.ms" Long Check::Whole(1, 3_600_000) => "How often the consumer says that it lives.";
    "max.poll.interval.ms" Long Check::Whole(1, 86_400_000) => "Longest time between two polls.";
    "group.instance.id" String Check::With(values::word) => "Static membership; only with `tasks.max=1`.";
    "check.crcs" Boolean Check::Bool => "Check the checksums of records.";
}
producer {
    "compression.type" String Check::OneOf(&["none", "gzip", "snappy", "lz4", "zstd"]) => "Compression of dead letters.";
    "linger.ms" Long Check::Whole(0, 900_000) => "How long records are gathered.";
    "batch.size" Long Check::Whole(1, 2_147_483_647) => "Bytes of a batch.";
    "delivery.timeout.ms" Long Check::Whole(1_000, 3_600_000) => "Longest time until a dead letter is written or the task fails.";
    "request.timeout.ms" Long Check::Whole(1, 900_000) => "Longest wait for one answer.";
}
}
