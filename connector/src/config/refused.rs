//! Keys that people bring along from other sinks, and why they do nothing here.
//!
//! A key that has no effect is never accepted in silence: somebody relies on it. Each of these is an error with one
//! sentence on what to do instead; where one value asks for just what this connector does anyway, that value passes.

/// A key (or, with `*` at the end, a family) that is refused.
#[derive(Debug, Clone, Copy)]
pub struct Refused {
    /// Full name.
    pub name: &'static str,
    /// The one value that asks for what happens anyway.
    pub harmless: Option<&'static str>,
    /// Why, and what to do.
    pub why: &'static str,
}

const fn no(name: &'static str, why: &'static str) -> Refused {
    Refused { name, harmless: None, why }
}

const fn only(name: &'static str, harmless: &'static str, why: &'static str) -> Refused {
    Refused { name, harmless: Some(harmless), why }
}

const NO_CONTROL: &str =
    "is not needed: there is no control topic and no coordinator, offsets live in the table itself; remove it";
const NO_FILES: &str = "is refused: a connector may not name files of the worker; give the PEM text in ssl.ca.pem, ssl.certificate.pem and ssl.key.pem";
const NO_PROGRAMS: &str = "is refused: a connector may not load libraries, run programs or read files on the worker";
const NO_OAUTH: &str = "is refused: OAUTHBEARER is not supported yet; use SCRAM-SHA-512 or client certificates";
const OWNED: &str = "belongs to the position protocol (where to read is told by the table, never by the group) and cannot be overridden; remove it";
const WORKER: &str = "is the worker's: it is given to `connector run`, not to a connector";
const GROUP: &str = "is set with iceberg.connect.group-id";
const NO_JAAS: &str = "is a Java setting: use sasl.username and sasl.password";
const NO_STORE: &str = "is a Java key store: use ssl.ca.pem, ssl.certificate.pem and ssl.key.pem";
const NO_ROWS_CHANGE: &str =
    "does not exist here: events are only ever appended; duplicates are removed by compaction on event_id";
const ONE_TABLE: &str = "does not exist here: one connector feeds one table; register a connector for each table";
const NO_SMT: &str =
    "is not supported: records are decoded straight into columns; change them at the producer, or in a derived table";
const NO_RETRY: &str =
    "does not exist here: decoding is repeatable, so a record that failed once fails always; errors.tolerance decides";

/// All of them; the first that fits counts.
pub const REFUSED: &[Refused] = &[
    no("topics.regex", "is not supported yet; name the topics in `topics`"),
    no("transforms", NO_SMT),
    no("transforms.*", NO_SMT),
    no("predicates", NO_SMT),
    no("predicates.*", NO_SMT),
    no("header.converter", "does not exist here: record headers are not read"),
    no("header.converter.*", "does not exist here: record headers are not read"),
    no(
        "config.action.reload",
        "does not exist here: there are no config providers; put the configuration again to change it",
    ),
    no("config.providers", "is not supported: give values, or fill the file from your secret store before sending it"),
    no(
        "config.providers.*",
        "is not supported: give values, or fill the file from your secret store before sending it",
    ),
    only("tasks.max.enforce", "true", "is always true here"),
    no("errors.retry.timeout", NO_RETRY),
    no("errors.retry.delay.max.ms", NO_RETRY),
    only(
        "errors.log.include.messages",
        "false",
        "is refused: records hold personal data and logs are read by many; look at the dead letter topic",
    ),
    no(
        "errors.deadletterqueue.topic.replication.factor",
        "does not exist here: a missing dead letter topic is created with the broker's default; create it yourself for another",
    ),
    no("bootstrap.servers", WORKER),
    no("plugin.path", WORKER),
    no("group.id", GROUP),
    no("admin.override.*", "does not exist here: the admin client uses consumer.override.*"),
    only("iceberg.tables.dynamic-enabled", "false", ONE_TABLE),
    no("iceberg.tables.route-field", ONE_TABLE),
    no("iceberg.table.*", ONE_TABLE),
    only("iceberg.tables.default-commit-branch", "main", "does not exist here: commits go to the branch main"),
    no("iceberg.tables.default-id-columns", NO_ROWS_CHANGE),
    no(
        "iceberg.tables.default-partition-by",
        "does not exist here: the partition spec is part of the table definition; change the table with your query engine, the connector follows",
    ),
    only(
        "iceberg.tables.evolve-schema-enabled",
        "false",
        "does not exist here: columns are added by catalog-sync or your query engine, never by what a record happens to hold",
    ),
    only(
        "iceberg.tables.schema-force-optional",
        "false",
        "does not exist here: required columns are part of the table definition",
    ),
    only("iceberg.tables.schema-case-insensitive", "false", "does not exist here: names of fields are matched exactly"),
    no("iceberg.tables.cdc-field", NO_ROWS_CHANGE),
    only("iceberg.tables.upsert-mode-enabled", "false", NO_ROWS_CHANGE),
    no(
        "iceberg.control.commit.timeout-ms",
        "does not exist here: there are no partial commits; commit.timeout.ms bounds one request to the catalog",
    ),
    no("iceberg.control.*", NO_CONTROL),
    no("iceberg.coordinator.*", NO_CONTROL),
    no("iceberg.coordinator-executor-keep-alive-timeout-ms", NO_CONTROL),
    no("iceberg.kafka.*", "is not needed: there is no control topic; use consumer.override.* for the consumer"),
    no("iceberg.hadoop-conf-dir", "does not exist here: there is no Hadoop; use iceberg.catalog.s3.*"),
    no("iceberg.hadoop.*", "does not exist here: there is no Hadoop; use iceberg.catalog.s3.*"),
    no(
        "iceberg.catalog.catalog-impl",
        "does not exist here: use iceberg.catalog.type=rest; for Nessie with its /iceberg/ address in iceberg.catalog.uri",
    ),
    no("iceberg.catalog.ref", "does not exist here: a branch of Nessie is part of the address, /iceberg/<branch>"),
    no("iceberg.catalog.prefix", "does not exist here: the catalog tells its prefix itself"),
    no(
        "iceberg.catalog.credential",
        "is not supported yet: fetch a token yourself and give it as iceberg.catalog.token",
    ),
    no(
        "iceberg.catalog.oauth2-server-uri",
        "is not supported yet: fetch a token yourself and give it as iceberg.catalog.token",
    ),
    no("iceberg.catalog.scope", "is not supported yet: fetch a token yourself and give it as iceberg.catalog.token"),
    no("iceberg.catalog.s3.region", "is called iceberg.catalog.client.region"),
    only(
        "iceberg.catalog.s3.remote-signing-enabled",
        "false",
        "is not supported: give keys, or let the catalog vend them",
    ),
    no("consumer.override.auto.offset.reset", OWNED),
    no("consumer.override.enable.auto.commit", OWNED),
    no("consumer.override.auto.commit.interval.ms", OWNED),
    no("consumer.override.enable.auto.offset.store", OWNED),
    no("consumer.override.enable.partition.eof", OWNED),
    no("consumer.override.isolation.level", OWNED),
    no("consumer.override.group.protocol", OWNED),
    no("consumer.override.partition.assignment.strategy", OWNED),
    no("consumer.override.allow.auto.create.topics", OWNED),
    no("consumer.override.group.id", GROUP),
    no(
        "consumer.override.max.poll.records",
        "does not exist in librdkafka: memory.max.bytes bounds what is fetched ahead",
    ),
    no("consumer.override.fetch.max.wait.ms", "is called consumer.override.fetch.wait.max.ms in librdkafka"),
    no("producer.override.acks", "is fixed to all: a dead letter must be safe before the position passes its record"),
    no(
        "producer.override.request.required.acks",
        "is fixed to all: a dead letter must be safe before the position passes its record",
    ),
    no(
        "producer.override.enable.idempotence",
        "is fixed to true: a dead letter must be safe before the position passes its record",
    ),
    no(
        "producer.override.transactional.id",
        "does not exist here: dead letters carry the offset of their record, readers tell repeats by it",
    ),
];

/// Settings of Kafka clients that are refused under either prefix; a `*` stands for any text.
const REFUSED_CLIENT: &[(&str, &str)] = &[
    ("bootstrap.servers", WORKER),
    ("metadata.broker.list", WORKER),
    ("plugin.library.paths", NO_PROGRAMS),
    ("sasl.kerberos.*", NO_PROGRAMS),
    ("ssl.engine.*", NO_PROGRAMS),
    ("ssl.providers", NO_PROGRAMS),
    ("enable.ssl.certificate.verification", "is refused: trust the broker's certificate with ssl.ca.pem instead"),
    ("sasl.oauthbearer.*", NO_OAUTH),
    ("enable.sasl.oauthbearer.unsecure.jwt", NO_OAUTH),
    ("sasl.login.*", NO_JAAS),
    ("sasl.jaas.*", NO_JAAS),
    ("sasl.client.callback.handler.class", NO_JAAS),
    ("ssl.truststore.*", NO_STORE),
    ("ssl.keystore.*", NO_STORE),
    ("ssl.*location", NO_FILES),
    ("https.ca.*", NO_FILES),
    ("ssl.ca.certificate.stores", NO_FILES),
    ("interceptor.classes", "is a Java class, and there is no Java here"),
];

/// Why a key is refused, if it is; with the one value that passes.
#[must_use]
pub fn find(name: &str) -> Option<Refused> {
    if let Some(refused) = REFUSED.iter().find(|refused| fits(refused.name, name)) {
        return Some(*refused);
    }
    let client = name.strip_prefix(super::clients::CONSUMER).or_else(|| name.strip_prefix(super::clients::PRODUCER))?;
    let (pattern, why) = REFUSED_CLIENT.iter().find(|(pattern, _)| fits(pattern, client))?;
    Some(no(pattern, why))
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => {
            name.len() > before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
        }
    }
}
