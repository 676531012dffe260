//! The one table of configuration keys.
//!
//! Parsing, `validate`, the nearest-key hint, the hiding of secrets and `connector/docs/CONFIG.md` all come from it: a
//! key that is not here does not exist. Keys that other Kafka Connect sinks have and this one refuses are in
//! [`super::refused`], keys handed to librdkafka in [`super::clients`].

use std::sync::LazyLock;

use super::clients::CLIENT_KEYS;
use super::memory;
use super::values::{self, Check, FREE};

/// How a value is read, in Kafka Connect's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    String,
    /// Texts with commas between.
    List,
    /// `true` or `false`.
    Boolean,
    /// Whole number.
    Long,
    /// Text that is never shown again.
    Password,
}

impl Kind {
    /// The name in `ConfigInfos`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "STRING",
            Self::List => "LIST",
            Self::Boolean => "BOOLEAN",
            Self::Long => "LONG",
            Self::Password => "PASSWORD",
        }
    }
}

/// How likely it is that somebody has to set it, in Kafka Connect's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importance {
    /// Think about it.
    High,
    /// Good to know.
    Medium,
    /// Rarely needed.
    Low,
}

impl Importance {
    /// The name in `ConfigInfos`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
        }
    }
}

/// What holds when the key is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// It must not be left out.
    Required,
    /// Nothing is set.
    Unset,
    /// This value.
    Default(&'static str),
}

/// One key, or (name ends with `.*`) a family of keys with free names.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Full name.
    pub name: &'static str,
    /// Heading in the documentation.
    pub group: &'static str,
    /// How the value is read; [`Kind::Password`] means secret.
    pub kind: Kind,
    /// How much it matters.
    pub importance: Importance,
    /// What holds without it.
    pub absent: Absent,
    /// Which values are allowed.
    pub check: Check,
    /// One or two sentences.
    pub doc: &'static str,
}

impl Key {
    /// True when the value must never be shown.
    #[must_use]
    pub fn secret(&self) -> bool {
        self.kind == Kind::Password
    }

    /// The fixed part of a family's name; none for a single key.
    #[must_use]
    pub fn family(&self) -> Option<&'static str> {
        self.name.strip_suffix('*')
    }

    /// The default, if there is one.
    #[must_use]
    pub fn default(&self) -> Option<&'static str> {
        match self.absent {
            Absent::Default(value) => Some(value),
            Absent::Required | Absent::Unset => None,
        }
    }
}

/// The class that this plugin goes by, and the names under which existing configurations know it.
pub const CLASSES: [&str; 4] = [
    "org.clickstream.IcebergSinkConnector",
    "org.apache.iceberg.connect.IcebergSinkConnector",
    "IcebergSinkConnector",
    "IcebergSink",
];

macro_rules! absent {
    (required) => {
        Absent::Required
    };
    (unset) => {
        Absent::Unset
    };
    ($value:literal) => {
        Absent::Default($value)
    };
}
pub(super) use absent;

/// group { name kind importance absent, allowed values => documentation; }
macro_rules! keys {
    ($($group:literal { $($name:literal $kind:ident $importance:ident $absent:tt, $check:expr => $doc:literal;)+ })+) => {
        const CONNECTOR_KEYS: &[Key] = &[$($(Key {
            name: $name, group: $group, kind: Kind::$kind, importance: Importance::$importance,
            absent: absent!($absent), check: $check, doc: $doc,
        },)+)+];
    };
}

const CONVERTERS: Check = Check::OneOf(&[
    "org.apache.kafka.connect.json.JsonConverter",
    "org.apache.kafka.connect.converters.ByteArrayConverter",
    "org.apache.kafka.connect.storage.StringConverter",
]);

keys! {
"Common" {
    "name" String High required, Check::With(values::connector_name)
        => "Name of the connector: letters, digits, `.`, `_`, `-`, at most 128.";
    "connector.class" String High required, Check::OneOf(&CLASSES)
        => "The class; that of Apache Iceberg's sink is accepted, so that its configuration can be moved over.";
    "tasks.max" Long High "1", Check::Whole(1, 64)
        => "Consumers at most; more than the topics have partitions stay idle.";
    "topics" List High required, Check::With(values::topics)
        => "Topics to read, with commas between.";
    "key.converter" String Low unset, CONVERTERS
        => "Accepted and without effect: the record key is not read.";
    "key.converter.schemas.enable" Boolean Low "false", Check::Fixed("false", "keys are not read")
        => "Only `false`.";
    "value.converter" String Low "org.apache.kafka.connect.json.JsonConverter", CONVERTERS
        => "All three mean the same here: the value is the bytes of a JSON object.";
    "value.converter.schemas.enable" Boolean Low "false",
        Check::Fixed("false", "the schema is the table's: send plain JSON objects, without the schema-and-payload envelope")
        => "Only `false`, which is also the default here.";
}
"Errors" {
    "errors.tolerance" String High "none", Check::OneOf(&["none", "all"])
        => "`none`: a record that cannot become a row stops the task. `all`: it goes to the dead letter topic, or is counted and dropped when there is none.";
    "errors.deadletterqueue.topic.name" String High unset, Check::With(values::topic)
        => "Topic for records that cannot become rows; needs `errors.tolerance=all`. A record larger than this topic takes is cut, and its header `clickstream.value.bytes` tells how large it was.";
    "errors.deadletterqueue.context.headers.enable" Boolean Medium "true", Check::Bool
        => "Add headers that say where the record came from and why it was refused. Kafka Connect's own default is `false`.";
    "errors.log.enable" Boolean Medium "false", Check::Bool
        => "Also log each such record's place and reason, never its content.";
}
"Table" {
    "iceberg.tables" String High required, Check::With(values::table)
        => "The table, `namespace.table`. One table a connector.";
    "iceberg.tables.auto-create-enabled" Boolean High "false", Check::Bool
        => "Create namespace and table when they are missing.";
    "iceberg.tables.auto-create-props.*" String Low unset, FREE
        => "Table properties set on creation.";
    "iceberg.tables.write-props.write.parquet.compression-codec" String Medium unset,
        Check::OneOf(&["zstd", "snappy", "lz4", "uncompressed"])
        => "Compression of data files; takes precedence over the table's property, as all `write-props` do.";
    "iceberg.tables.write-props.write.parquet.compression-level" Long Low unset, Check::Whole(1, 22)
        => "Level of zstd.";
    "iceberg.tables.write-props.write.target-file-size-bytes" Long Medium unset, Check::Whole(1 << 20, 1 << 34)
        => "Size at which a data file is ended and the next begun.";
    "iceberg.tables.write-props.write.parquet.row-group-size-bytes" Long Low unset, Check::Whole(1 << 16, 1 << 32)
        => "Size of a row group.";
    "iceberg.tables.write-props.write.parquet.page-size-bytes" Long Low unset, Check::Whole(1 << 10, 1 << 28)
        => "Size of a data page.";
    "iceberg.tables.write-props.write.parquet.page-row-limit" Long Low unset, Check::Whole(1, 10_000_000)
        => "Rows of a data page at most.";
    "iceberg.tables.write-props.write.parquet.dict-size-bytes" Long Low unset, Check::Whole(1 << 10, 1 << 28)
        => "Size of a dictionary page.";
    "iceberg.tables.write-props.write.parquet.bloom-filter-enabled.column.*" Boolean Low unset, Check::Bool
        => "Bloom filter of a column; on for `event_id`, `session_id` and `user_id`.";
    "iceberg.tables.write-props.write.parquet.bloom-filter-fpp.column.*" String Low unset, Check::With(values::share)
        => "Share of look-ups that the filter answers with a false perhaps; 0.01 when left out.";
    "iceberg.tables.write-props.write.parquet.bloom-filter-max-bytes" Long Low unset, Check::Whole(32, 1 << 27)
        => "Size of a bloom filter at most.";
    "iceberg.tables.write-props.write.format.default" String Low unset,
        Check::Fixed("parquet", "other formats are not written")
        => "Only `parquet`.";
}
"Catalog" {
    "iceberg.catalog" String Medium "iceberg", Check::With(values::connector_name)
        => "Name of the catalog in log lines.";
    "iceberg.catalog.type" String High "rest",
        Check::Fixed("rest", "for Nessie use rest and give its /iceberg/ address in iceberg.catalog.uri")
        => "Only `rest`. Nessie speaks it under its `/iceberg/` address.";
    "iceberg.catalog.uri" String High required, Check::With(values::url)
        => "Address of the REST catalog, without `/v1`.";
    "iceberg.catalog.warehouse" String High unset, FREE
        => "Warehouse name or location; the catalog's default when left out.";
    "iceberg.catalog.token" Password High unset, FREE
        => "Bearer token.";
    "iceberg.catalog.header.*" Password Low unset, FREE
        => "Extra HTTP headers for the catalog.";
    "commit.timeout.ms" Long Medium "30000", Check::Whole(1_000, 600_000)
        => "Longest wait for one answer of the catalog. A commit that takes longer is looked up, not repeated blindly.";
}
"Object store" {
    "iceberg.catalog.s3.endpoint" String High unset, Check::With(values::url)
        => "Address of an S3 that is not Amazon's. What is left out in this group is taken from the catalog.";
    "iceberg.catalog.s3.access-key-id" Password High unset, FREE
        => "Access key.";
    "iceberg.catalog.s3.secret-access-key" Password High unset, FREE
        => "Secret key.";
    "iceberg.catalog.s3.session-token" Password Medium unset, FREE
        => "Session token of temporary keys.";
    "iceberg.catalog.s3.path-style-access" Boolean Medium unset, Check::Bool
        => "Bucket in the path instead of the host name.";
    "iceberg.catalog.client.region" String Medium unset, Check::With(values::word)
        => "Region of the bucket.";
    "iceberg.catalog.io-impl" String Low unset, Check::Ignored("there is one way to the object store here, and no Java class to choose")
        => "Accepted and without effect, with a note in the log.";
}
"Commit" {
    "iceberg.control.commit.interval-ms" Long High unset, Check::Whole(100, 86_400_000)
        => "The name that Apache Iceberg's sink has for `commit.interval.ms`.";
    "commit.interval.ms" Long High "5000", Check::Whole(100, 86_400_000)
        => "Age at which a batch is committed. Nothing read, nothing committed.";
    "flush.records.max" Long Medium "500000", Check::Whole(1, 100_000_000)
        => "Records at which a task commits before its time.";
    "flush.bytes.max" Long Medium unset, Check::Whole(1 << 20, 1 << 34)
        => "Bytes held for a batch at which a task commits before its time. Left out, or larger than the task's part of `memory.max.bytes`, that part is the limit.";
    "memory.max.bytes" Long High "201326592", Check::Whole(memory::SHARE_BYTES_MIN, 1 << 40)
        => "Memory budget of the connector, divided evenly among `tasks.max` tasks: records fetched ahead, rows, files that are written or uploaded. Over it partitions are paused, and the group is not left. At least 16 MiB a task. Beside it the process itself needs about 40 MiB, and each file 8 KiB from its upload to its commit.";
}
"Position" {
    "iceberg.connect.group-id" String Low unset, Check::With(values::group)
        => "Consumer group; `connect-` and the connector's name when left out. Offsets are acknowledged to it for lag tools and never read back.";
    "position.topic.id" String Low unset, Check::With(values::word)
        => "Identity of the topic, for a broker that has no topic ids.";
}
"Decode" {
    "decode.unknown.fields" String Medium "ignore", Check::OneOf(&["ignore", "reject"])
        => "Whether a key that is no column makes a record a reject.";
    "decode.event.types" List Medium "page_view,click,scroll,form_submit,search,add_to_cart,remove_from_cart,checkout_start,purchase",
        Check::With(values::words)
        => "Allowed event types. Each is a partition of its own, so the list is closed.";
    "decode.record.bytes.max" Long Low "1048576", Check::Whole(256, 1 << 26)
        => "Longest record value, in bytes.";
    "decode.string.bytes.max" Long Low "8192", Check::Whole(16, 1 << 20)
        => "Longest text of one column, in bytes of UTF-8.";
    "decode.required.fields" List Low "event_id,event_timestamp,event_type", Check::With(values::fields)
        => "Fields without which a record is a reject; the time and the type of the event are always required.";
}
}

/// Every key that can be set, in the order of the documentation.
pub static KEYS: LazyLock<Vec<Key>> =
    LazyLock::new(|| CONNECTOR_KEYS.iter().chain(CLIENT_KEYS.iter()).copied().collect());

/// The key of this name, or the family that it belongs to.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    let exact = KEYS.iter().find(|key| key.name == name);
    exact.or_else(|| {
        KEYS.iter().find(|key| key.family().is_some_and(|prefix| name.len() > prefix.len() && name.starts_with(prefix)))
    })
}

/// True unless the value under this name may be shown: secrets, and whatever is not known.
#[must_use]
pub fn hides(name: &str) -> bool {
    find(name).is_none_or(Key::secret)
}
