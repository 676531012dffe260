//! From a flat map of texts to a [`ConnectorConfig`], or to everything that is wrong with it.
//!
//! All problems are collected, so that nobody has to mend a configuration one error at a time. Pure; the catalog and
//! the brokers are never asked. Called for `POST /connectors`, `validate` and at start-up for what was kept on disk.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use catalog_sync::catalog::{CatalogConfig, StorageConfig};
use catalog_sync::secret::Secret;
use protocol::lineage::POSITION_KEY;
use reqwest::header::{HeaderName, HeaderValue};
use schemas::decode::{DecodePolicy, UnknownFields};
use schemas::table::COLUMNS;

use super::clients::{CONSUMER, PRODUCER};
use super::contradictions::{DEAD_LETTERS, INTERVAL, INTERVAL_ALIAS, MEMORY, contradictions};
use super::keys::{self, Absent, KEYS, Key};
use super::memory::MemoryConfig;
use super::reader::Reader;
use super::values::{self, Check, excerpt};
use super::{ConnectorConfig, ErrorsConfig, FlushConfig, Tolerance, refused, suggest};

/// What is shown in place of a secret value.
pub const HIDDEN: &str = "[hidden]";

const CREATE_PROPS: &str = "iceberg.tables.auto-create-props.";
const WRITE_PROPS: &str = "iceberg.tables.write-props.";
const HEADERS: &str = "iceberg.catalog.header.";

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The key at fault, safe to print.
    pub key: String,
    /// What is wrong and what to do; continues "`key`: …".
    pub message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// Everything that is wrong with a configuration; at least one problem, one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigProblem>);

impl ConfigErrors {
    /// The problems, in the order of the keys.
    #[must_use]
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            let line_end = if at == 0 { "" } else { "\n" };
            write!(f, "{line_end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Reads a configuration. `name` is the name that it is registered under; a `name` inside must be the same.
///
/// # Errors
/// Every problem found; the values of secret keys are never repeated.
pub fn parse(name: &str, config: &BTreeMap<String, String>) -> Result<ConnectorConfig, ConfigErrors> {
    let found = problems(name, config);
    if found.is_empty() { Ok(build(&Reader { config }, name)) } else { Err(ConfigErrors(found)) }
}

/// Everything that is wrong with a configuration, by key; empty when [`parse`] would succeed.
#[must_use]
pub fn problems(name: &str, config: &BTreeMap<String, String>) -> Vec<ConfigProblem> {
    let reader = Reader { config };
    let mut found: Vec<ConfigProblem> = Vec::new();
    let mut tell = |key: &str, message: String| found.push(ConfigProblem { key: excerpt(key), message });
    for (key, value) in config {
        if let Err(message) = check_pair(key, value) {
            tell(key, message);
        }
    }
    for key in KEYS.iter().filter(|key| key.absent == Absent::Required) {
        if key.name != "name" && !config.contains_key(key.name) {
            tell(key.name, "is missing and has no default; set it".into());
        }
    }
    if let Err(message) = values::connector_name(name) {
        tell("name", message);
    } else if config.get("name").is_some_and(|inner| inner != name) {
        tell(
            "name",
            format!("differs from the name that it is registered under, `{}`; make them the same", excerpt(name)),
        );
    }
    contradictions(&reader, &mut tell);
    found
}

/// A configuration as it may be shown: secret values replaced by [`HIDDEN`].
#[must_use]
pub fn shown(config: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let show = |(key, value): (&String, &String)| {
        let value = if keys::hides(key) { HIDDEN.to_owned() } else { value.clone() };
        (key.clone(), value)
    };
    config.iter().map(show).collect()
}

fn check_pair(name: &str, value: &str) -> Result<(), String> {
    let Some(key) = keys::find(name) else {
        return match refused::find(name) {
            Some(refused) if refused.harmless == Some(value) => Ok(()),
            Some(refused) => Err(refused.why.to_owned()),
            None => Err(match suggest::nearest(name) {
                Some(near) => format!("is not a known key; did you mean {near}?"),
                None => "is not a known key; remove it (connector/docs/CONFIG.md lists all keys)".to_owned(),
            }),
        };
    };
    if key.secret() && value == HIDDEN {
        return Err(format!("is {HIDDEN}, which stands for a value that is not shown; send the value itself"));
    }
    if let Some(prefix) = key.family() {
        check_member(prefix, &name[prefix.len()..], value)?;
    }
    key.check.run(value, key.secret())
}

/// Names inside a family of free names.
fn check_member(prefix: &str, member: &str, value: &str) -> Result<(), String> {
    if prefix == HEADERS {
        return match HeaderName::from_bytes(member.as_bytes()) {
            Err(_) => Err("is no name of an HTTP header".into()),
            Ok(name) if name == "authorization" => Err("is set with iceberg.catalog.token".into()),
            Ok(name) if matches!(name.as_str(), "host" | "content-length" | "transfer-encoding" | "connection") => {
                Err("belongs to the HTTP client and cannot be set".into())
            }
            Ok(_) if HeaderValue::from_str(value).is_err() => Err("holds a byte that no HTTP header may hold".into()),
            Ok(_) => Ok(()),
        };
    }
    if member.starts_with(POSITION_KEY) {
        return Err("belongs to the position protocol and cannot be set".into());
    }
    if prefix.starts_with(WRITE_PROPS) {
        let known = COLUMNS.iter().any(|column| column.name == member);
        return if known { Ok(()) } else { Err("names a column that events do not have".into()) };
    }
    // What the writer would refuse in the table's properties must not get in there.
    if let Some(key) = keys::find(&format!("{WRITE_PROPS}{member}")) {
        key.check.run(value, false)?;
    }
    if member.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("is no name of a table property: it holds white space".into());
    }
    Ok(())
}

fn build(reader: &Reader<'_>, name: &str) -> ConnectorConfig {
    let (namespace, table) = reader.set("iceberg.tables").and_then(values::split_table).unwrap_or_default();
    let interval = if reader.set(INTERVAL_ALIAS).is_some() { INTERVAL_ALIAS } else { INTERVAL };
    let tasks_max = u32::try_from(reader.whole("tasks.max")).unwrap_or(1);
    ConnectorConfig {
        name: name.to_owned(),
        tasks_max,
        topics: reader.list("topics"),
        namespace,
        table,
        auto_create: reader.flag("iceberg.tables.auto-create-enabled"),
        create_props: reader.below(CREATE_PROPS, str::to_owned),
        write_props: reader.below(WRITE_PROPS, str::to_owned),
        catalog: catalog(reader),
        flush: FlushConfig {
            interval: Duration::from_millis(reader.whole(interval)),
            records_max: reader.whole("flush.records.max"),
            bytes_max: reader.set("flush.bytes.max").map(|_| reader.whole("flush.bytes.max")),
        },
        memory: MemoryConfig::divide(reader.whole(MEMORY), tasks_max),
        errors: ErrorsConfig {
            tolerance: if reader.text("errors.tolerance") == Some("all") { Tolerance::All } else { Tolerance::None },
            dead_letter_topic: reader.owned(DEAD_LETTERS),
            context_headers: reader.flag("errors.deadletterqueue.context.headers.enable"),
            log: reader.flag("errors.log.enable"),
        },
        group_id: reader.owned("iceberg.connect.group-id").unwrap_or_else(|| format!("connect-{name}")),
        consumer_overrides: reader.below(CONSUMER, |value| Secret::new(value)),
        producer_overrides: reader.below(PRODUCER, |value| Secret::new(value)),
        topic_id: reader.owned("position.topic.id"),
        decode: decode(reader),
        catalog_name: reader.owned("iceberg.catalog").unwrap_or_default(),
        notes: notes(reader),
    }
}

fn catalog(reader: &Reader<'_>) -> CatalogConfig {
    CatalogConfig {
        uri: reader.owned("iceberg.catalog.uri").unwrap_or_default(),
        warehouse: reader.owned("iceberg.catalog.warehouse"),
        token: reader.secret("iceberg.catalog.token"),
        headers: reader.below(HEADERS, |value| Secret::new(value)),
        timeout: Duration::from_millis(reader.whole("commit.timeout.ms")),
        storage: StorageConfig {
            endpoint: reader.owned("iceberg.catalog.s3.endpoint"),
            region: reader.owned("iceberg.catalog.client.region"),
            access_key_id: reader.secret("iceberg.catalog.s3.access-key-id"),
            secret_access_key: reader.secret("iceberg.catalog.s3.secret-access-key"),
            session_token: reader.secret("iceberg.catalog.s3.session-token"),
            path_style_access: reader.set("iceberg.catalog.s3.path-style-access").map(|text| text == "true"),
        },
    }
}

fn decode(reader: &Reader<'_>) -> DecodePolicy {
    let size = |key: &str| usize::try_from(reader.whole(key)).unwrap_or(usize::MAX);
    DecodePolicy {
        unknown_fields: match reader.text("decode.unknown.fields") {
            Some("reject") => UnknownFields::Reject,
            _ => UnknownFields::Ignore,
        },
        event_types: reader.list("decode.event.types").into_iter().collect(),
        required: reader.list("decode.required.fields").into_iter().collect(),
        record_bytes_max: size("decode.record.bytes.max"),
        string_bytes_max: size("decode.string.bytes.max"),
        ..DecodePolicy::default()
    }
}

fn notes(reader: &Reader<'_>) -> Vec<String> {
    let note = |name: &String| match keys::find(name) {
        Some(Key { check: Check::Ignored(why), .. }) => Some(format!("{name} has no effect: {why}")),
        _ => None,
    };
    reader.config.keys().filter_map(note).collect()
}
