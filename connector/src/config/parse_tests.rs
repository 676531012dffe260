//! Tables of configurations and what becomes of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::ClientConfig;
use schemas::decode::{DecodePolicy, UnknownFields};

use super::clients::{CONSUMER, PRODUCER};
use super::keys::{Absent, KEYS, Kind, find};
use super::memory::MemoryConfig;
use super::refused::{self, REFUSED};
use super::values::Check;
use super::{ConnectorConfig, HIDDEN, Tolerance, parse, problems, shown};

const CANARY: &str = "canary-4711";

fn minimal() -> BTreeMap<String, String> {
    map(&[
        ("name", "clicks"),
        ("connector.class", "org.clickstream.IcebergSinkConnector"),
        ("topics", "clickstream_events"),
        ("iceberg.tables", "analytics.clickstream"),
        ("iceberg.catalog.uri", "http://127.0.0.1:19120/iceberg/"),
    ])
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn with(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut config = minimal();
    config.extend(map(pairs));
    config
}

fn good(pairs: &[(&str, &str)]) -> ConnectorConfig {
    parse("clicks", &with(pairs)).unwrap_or_else(|errors| panic!("{pairs:?}: {errors}"))
}

/// Parsing must fail with exactly one problem, at this key and with these words.
fn bad(pairs: &[(&str, &str)], key: &str, words: &str) {
    let found = problems("clicks", &with(pairs));
    assert_eq!(found.len(), 1, "{pairs:?}: {found:?}");
    assert_eq!(found[0].key, key);
    assert!(found[0].message.contains(words), "{pairs:?}: {}", found[0]);
}

#[test]
fn a_minimal_configuration_has_the_documented_defaults() {
    let config = good(&[]);
    assert_eq!((config.name.as_str(), config.tasks_max, config.group_id.as_str()), ("clicks", 1, "connect-clicks"));
    assert_eq!(config.topics, ["clickstream_events"]);
    assert_eq!(
        (config.namespace.as_slice(), config.table.as_str()),
        (["analytics".to_owned()].as_slice(), "clickstream")
    );
    assert_eq!(config.flush.interval, Duration::from_secs(5));
    assert_eq!((config.flush.records_max, config.flush.bytes_max), (500_000, None));
    assert_eq!(config.catalog.timeout, Duration::from_secs(30));
    assert_eq!((config.errors.tolerance, config.errors.context_headers), (Tolerance::None, true));
    assert!(!config.auto_create && config.notes.is_empty() && config.write_props.is_empty());
    assert_eq!(config.decode, DecodePolicy::default());
}

#[test]
fn a_budget_that_gives_a_task_too_little_is_told_and_a_batch_never_exceeds_its_part() {
    let config = good(&[("tasks.max", "4"), ("memory.max.bytes", "268435456")]);
    assert_eq!(config.memory, MemoryConfig::divide(256 << 20, 4));
    assert_eq!(config.batch_bytes_max(), 16 << 20);
    let large = good(&[("tasks.max", "4"), ("memory.max.bytes", "268435456"), ("flush.bytes.max", "67108864")]);
    assert_eq!(large.batch_bytes_max(), 16 << 20);
    assert_eq!(good(&[("flush.bytes.max", "2097152")]).batch_bytes_max(), 2 << 20);
    bad(&[("tasks.max", "13")], "memory.max.bytes", "is 201326592, but tasks.max=13 needs at least 218103808");
}

#[test]
fn every_kind_of_value_reaches_its_field() {
    let config = good(&[
        ("tasks.max", "4"),
        ("topics", "a, b"),
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "dead"),
        ("errors.log.enable", "true"),
        ("iceberg.tables", "lake.web.clicks"),
        ("iceberg.tables.auto-create-enabled", "true"),
        ("iceberg.tables.auto-create-props.write.parquet.compression-codec", "zstd"),
        ("iceberg.tables.write-props.write.parquet.compression-codec", "zstd"),
        ("iceberg.tables.write-props.write.parquet.compression-level", "9"),
        ("iceberg.catalog.token", CANARY),
        ("iceberg.catalog.header.X-Iceberg-Access-Delegation", "vended-credentials"),
        ("iceberg.catalog.s3.path-style-access", "true"),
        ("iceberg.catalog.s3.access-key-id", "key"),
        ("iceberg.control.commit.interval-ms", "60000"),
        ("consumer.override.sasl.password", "word"),
        ("producer.override.compression.type", "zstd"),
        ("decode.unknown.fields", "reject"),
        ("decode.event.types", "click,page_view"),
        ("decode.required.fields", "event_id,user_id"),
        ("iceberg.connect.group-id", "mine"),
    ]);
    assert_eq!(config.topics, ["a", "b"]);
    assert_eq!((config.namespace.join("/"), config.table.as_str()), ("lake/web".into(), "clicks"));
    assert_eq!(config.create_props["write.parquet.compression-codec"], "zstd");
    assert_eq!(config.write_props["write.parquet.compression-level"], "9");
    assert_eq!(config.catalog.token.unwrap().expose(), CANARY);
    assert_eq!(config.catalog.headers["X-Iceberg-Access-Delegation"].expose(), "vended-credentials");
    assert_eq!(config.catalog.storage.path_style_access, Some(true));
    assert_eq!(config.flush.interval, Duration::from_secs(60));
    assert_eq!(config.consumer_overrides["sasl.password"].expose(), "word");
    assert_eq!(config.producer_overrides["compression.type"].expose(), "zstd");
    assert_eq!(config.errors.dead_letter_topic.as_deref(), Some("dead"));
    assert!(config.auto_create && config.errors.log && config.tasks_max == 4);
    assert_eq!(config.decode.unknown_fields, UnknownFields::Reject);
    assert!(config.decode.event_types.len() == 2 && config.decode.required.contains("user_id"));
    assert_eq!(config.group_id, "mine");
}

#[test]
fn the_configuration_of_the_apache_sink_moves_over() {
    let config = good(&[
        ("connector.class", "org.apache.iceberg.connect.IcebergSinkConnector"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("value.converter.schemas.enable", "false"),
        ("iceberg.catalog.type", "rest"),
        ("iceberg.catalog.io-impl", "org.apache.iceberg.aws.s3.S3FileIO"),
        ("iceberg.tables.evolve-schema-enabled", "false"),
        ("iceberg.control.commit.interval-ms", "300000"),
    ]);
    assert_eq!(config.flush.interval, Duration::from_secs(300));
    assert!(config.notes.len() == 1 && config.notes[0].starts_with("iceberg.catalog.io-impl has no effect"));
}

#[test]
fn wrong_values_are_told_with_what_is_allowed() {
    for (key, value, words) in [
        ("connector.class", "io.other.Sink", "allowed: org.clickstream.IcebergSinkConnector"),
        ("tasks.max", "65", "whole number from 1 to 64"),
        ("tasks.max", "0", "whole number"),
        ("tasks.max", "two", "`two` is not a whole number"),
        ("topics", "a,a", "names `a` twice"),
        ("topics", "a,,b", "no topic name"),
        ("topics", "a b", "no topic name"),
        ("value.converter", "io.confluent.connect.avro.AvroConverter", "JsonConverter"),
        ("value.converter.schemas.enable", "true", "only false"),
        ("iceberg.tables", "a.b,c.d", "one connector feeds one table"),
        ("iceberg.tables", "clicks", "namespace.table"),
        ("iceberg.catalog.type", "nessie", "/iceberg/"),
        ("iceberg.catalog.uri", "catalog:8181", "http"),
        ("iceberg.catalog.s3.endpoint", "http://169.254.169.254/", "link-local"),
        ("iceberg.catalog.s3.path-style-access", "yes", "neither true nor false"),
        (
            "iceberg.tables.write-props.write.parquet.compression-codec",
            "brotli",
            "allowed: zstd, snappy, lz4, uncompressed",
        ),
        ("iceberg.tables.write-props.write.parquet.compression-level", "23", "1 to 22"),
        (
            "iceberg.tables.write-props.write.parquet.bloom-filter-enabled.column.colour",
            "true",
            "column that events do not",
        ),
        ("iceberg.tables.write-props.write.parquet.bloom-filter-fpp.column.user_id", "1.5", "between 0 and 1"),
        ("iceberg.tables.auto-create-props.write.parquet.compression-codec", "gzip", "allowed: zstd"),
        ("iceberg.tables.auto-create-props.kafka.position", "{}", "position protocol"),
        ("iceberg.catalog.header.Authorization", "Bearer x", "iceberg.catalog.token"),
        ("iceberg.catalog.header.bad name", "x", "no name of an HTTP header"),
        ("iceberg.catalog.warehouse", "a\r\nb", "control character"),
        ("iceberg.catalog.warehouse", "", "is empty"),
        ("commit.interval.ms", "99", "100 to"),
        ("decode.required.fields", "event_id,colour", "`colour` is no field"),
        ("errors.tolerance", "some", "none, all"),
        ("iceberg.catalog.token", HIDDEN, "send the value itself"),
    ] {
        bad(&[(key, value)], key, words);
    }
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    bad(&[("task.max", "1")], "task.max", "did you mean tasks.max?");
    bad(&[("iceberg.catalog.url", "x")], "iceberg.catalog.url", "did you mean iceberg.catalog.uri?");
    bad(&[("colour", "x")], "colour", "is not a known key; remove it");
    bad(&[("bad\nkey", "x")], "bad\\nkey", "is not a known key");
}

#[test]
fn contradictions_are_problems() {
    bad(
        &[("commit.interval.ms", "1000"), ("iceberg.control.commit.interval-ms", "2000")],
        "commit.interval.ms",
        "keep one",
    );
    good(&[("commit.interval.ms", "1000"), ("iceberg.control.commit.interval-ms", "1000")]);
    let dead = "errors.deadletterqueue.topic.name";
    bad(&[(dead, "dead")], dead, "errors.tolerance=all");
    bad(&[(dead, "clickstream_events"), ("errors.tolerance", "all")], dead, "also one of `topics`");
    bad(
        &[("consumer.override.sasl.mechanism", "PLAIN"), ("consumer.override.sasl.mechanisms", "PLAIN")],
        "consumer.override.sasl.mechanisms",
        "keep one",
    );
    bad(
        &[("consumer.override.max.poll.interval.ms", "9999")],
        "consumer.override.session.timeout.ms",
        "more than max.poll.interval.ms",
    );
    let codec = "iceberg.tables.write-props.write.parquet.compression-codec";
    let level = "iceberg.tables.write-props.write.parquet.compression-level";
    bad(&[(codec, "snappy"), (level, "3")], level, "only zstd has levels");
    let instance = "consumer.override.group.instance.id";
    bad(&[(instance, "a"), ("tasks.max", "2")], instance, "tasks.max=1");
    good(&[(instance, "a")]);
    bad(&[("name", "other")], "name", "differs");
}

#[test]
fn every_refused_key_is_refused_with_its_reason_unless_it_asks_for_what_happens_anyway() {
    for refused in REFUSED {
        let name = refused.name.replace('*', "x");
        assert!(find(&name).is_none(), "{name} is both known and refused");
        bad(&[(&name, "anything")], &name, refused::find(&name).unwrap().why);
        if let Some(harmless) = refused.harmless {
            good(&[(&name, harmless)]);
        }
    }
    for name in [
        "plugin.library.paths",
        "sasl.kerberos.kinit.cmd",
        "ssl.engine.location",
        "ssl.ca.location",
        "ssl.key.location",
        "ssl.keystore.location",
        "https.ca.location",
        "sasl.oauthbearer.token.endpoint.url",
        "sasl.jaas.config",
        "bootstrap.servers",
    ] {
        for prefix in [CONSUMER, PRODUCER] {
            let key = format!("{prefix}{name}");
            bad(&[(&key, "x")], &key, "");
            assert!(refused::find(&key).is_some(), "{key} is refused without a reason");
        }
    }
}

#[test]
fn all_problems_are_told_at_once_and_missing_keys_too() {
    let found = problems("clicks", &map(&[("tasks.max", "x"), ("topic", "t")]));
    let keys: BTreeSet<&str> = found.iter().map(|problem| problem.key.as_str()).collect();
    let wanted = ["connector.class", "iceberg.catalog.uri", "iceberg.tables", "tasks.max", "topic", "topics"];
    assert_eq!(keys, BTreeSet::from(wanted));
}

#[test]
fn names_that_are_no_names_are_refused() {
    let long = "x".repeat(129);
    for name in ["", ".", "..", "a/b", "a b", "a\nb", "\u{e9}", long.as_str()] {
        let mut config = minimal();
        config.remove("name");
        assert!(parse(name, &config).is_err(), "{name:?}");
    }
}

#[test]
fn secrets_appear_in_no_debug_display_or_shown_form() {
    let secret_keys: Vec<String> =
        KEYS.iter().filter(|key| key.secret()).map(|key| key.name.replace('*', "x-custom")).collect();
    assert!(secret_keys.len() >= 8, "{secret_keys:?}");
    let mut config = minimal();
    config.extend(secret_keys.iter().map(|key| (key.clone(), CANARY.to_owned())));
    let parsed = parse("clicks", &config).unwrap();
    assert!(!format!("{parsed:?} {parsed:#?}").contains(CANARY));
    assert!(secret_keys.iter().all(|key| shown(&config)[key] == HIDDEN));
    assert_eq!(shown(&config)["topics"], "clickstream_events");
    for key in &secret_keys {
        for value in [format!("{CANARY}\u{0}"), format!("{CANARY}{}", "x".repeat(40_000))] {
            config.insert(key.clone(), value);
            let errors = parse("clicks", &config).unwrap_err();
            assert!(!format!("{errors} {errors:?}").contains(CANARY), "{errors}");
            assert!(errors.to_string().contains(key.as_str()), "{errors}");
        }
        config.insert(key.clone(), CANARY.to_owned());
    }
    // A key that is not known may well be a secret with a slip in its name.
    config.insert("iceberg.catalog.tokn".into(), CANARY.to_owned());
    config.insert("iceberg.catalog.uri".into(), format!("http://user:{CANARY}@h/"));
    assert_eq!(shown(&config)["iceberg.catalog.tokn"], HIDDEN);
    assert!(!parse("clicks", &config).unwrap_err().to_string().contains(CANARY));
}

#[test]
fn the_table_agrees_with_itself() {
    let mut names = BTreeSet::new();
    for key in KEYS.iter() {
        assert!(names.insert(key.name), "{} stands twice", key.name);
        assert!(key.doc.ends_with('.') && !key.group.is_empty(), "{}", key.name);
        if let Absent::Default(value) = key.absent {
            assert_eq!(key.check.run(value, false), Ok(()), "{}", key.name);
        }
        let fits = match key.check {
            Check::Bool => key.kind == Kind::Boolean,
            Check::Whole(min, max) => key.kind == Kind::Long && min < max,
            _ => key.kind != Kind::Long,
        };
        assert!(fits, "{}", key.name);
    }
}

/// A value that the check of a client key lets through.
fn sample(check: Check) -> String {
    match check {
        Check::Whole(min, _) => min.to_string(),
        check => check.choices().first().copied().unwrap_or("x").to_owned(),
    }
}

#[test]
fn librdkafka_knows_every_client_key_and_takes_the_values_at_both_ends() {
    for key in KEYS.iter() {
        let Some(name) = key.name.strip_prefix(CONSUMER).or_else(|| key.name.strip_prefix(PRODUCER)) else { continue };
        if matches!(key.check, Check::Pem) {
            continue; // is parsed by OpenSSL at once
        }
        let mut values = vec![sample(key.check)];
        values.extend(key.check.choices().iter().map(|choice| (*choice).to_owned()));
        if let Check::Whole(_, max) = key.check {
            values.push(max.to_string());
        }
        for value in values {
            let made = ClientConfig::new().set(name, &value).create_native_config();
            assert!(made.is_ok(), "{name}={value}: {:?}", made.err());
        }
    }
}

#[test]
fn settings_that_the_consumer_fixes_cannot_be_set() {
    for (key, _, _) in crate::kafka::consumer::FIXED {
        assert!(refused::find(&format!("{CONSUMER}{key}")).is_some(), "{key} would be accepted without effect");
    }
}

#[test]
fn every_accepted_writer_property_is_one_that_the_writer_follows() {
    for key in KEYS.iter() {
        let Some(name) = key.name.strip_prefix("iceberg.tables.write-props.") else { continue };
        let name = name.replace('*', "user_id");
        let settings = |value: &str| {
            let own = BTreeMap::from([(name.clone(), value.to_owned())]);
            catalog_sync::datafile::settings::WriterSettings::new(&std::collections::HashMap::new(), &own)
        };
        assert!(settings("no such value").is_err(), "{name} has no effect");
        let choices = key.check.choices();
        assert!(choices.iter().all(|choice| settings(choice).is_ok()), "{name}");
    }
}
