//! How data files are written: compression, sizes, dictionaries, bloom filters.
//!
//! The keys are Iceberg's table properties, so that one setting serves every engine that writes the table; the connector's
//! `iceberg.tables.write-props.*` take precedence. A value that cannot be followed is an error and never replaced by a
//! default. Built once for each layout by the connector's task, and once by a compaction.

use std::collections::{BTreeMap, HashMap};

use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use schemas::table::{BLOOM_FILTER_COLUMNS, COLUMNS, TARGET_FILE_SIZE_BYTES};

const CODEC: &str = "write.parquet.compression-codec";
const LEVEL: &str = "write.parquet.compression-level";
const ROW_GROUP_BYTES: &str = "write.parquet.row-group-size-bytes";
const PAGE_BYTES: &str = "write.parquet.page-size-bytes";
const PAGE_ROWS: &str = "write.parquet.page-row-limit";
const DICTIONARY_BYTES: &str = "write.parquet.dict-size-bytes";
const FILE_BYTES: &str = "write.target-file-size-bytes";
const FORMAT: &str = "write.format.default";
const BLOOM_BYTES_MAX: &str = "write.parquet.bloom-filter-max-bytes";
const BLOOM_ENABLED: &str = "write.parquet.bloom-filter-enabled.column.";
const BLOOM_FPP: &str = "write.parquet.bloom-filter-fpp.column.";

/// Level 1: measured on clicks, level 3 takes 15 % more time and its files are no smaller (ADR 4); level 1 costs about as
/// much as Snappy and its files are a third smaller.
const ZSTD_LEVEL: i32 = 1;

/// Columns whose values hardly ever repeat: building a dictionary only to give it up takes half of the encoding time.
const NO_DICTIONARY: [&str; 3] = ["event_id", "ip_address", "event_timestamp"];

/// Share of look-ups that a bloom filter answers with "perhaps" although the value is absent.
const BLOOM_FPP_DEFAULT: f64 = 0.01;

/// Why a setting cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {value:?}: {allowed}")]
pub struct SettingsError {
    /// The table property or writer property.
    pub key: String,
    /// Its value.
    pub value: String,
    /// What it may be.
    pub allowed: String,
}

/// Everything a file is written with, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct WriterSettings {
    compression: Compression,
    row_group_bytes: usize,
    page_bytes: usize,
    page_rows: usize,
    dictionary_bytes: usize,
    target_file_bytes: u64,
    bloom_bytes_max: usize,
    bloom_fpp: BTreeMap<&'static str, f64>,
}

impl WriterSettings {
    /// Reads the table's properties, over them the connector's own.
    ///
    /// # Errors
    /// [`SettingsError`] names the key, its value, and what it may be.
    pub fn new(
        table_properties: &HashMap<String, String>,
        write_props: &BTreeMap<String, String>,
    ) -> Result<Self, SettingsError> {
        let props = Props { table: table_properties, own: write_props };
        if let Some(format) = props.get(FORMAT).filter(|format| !format.eq_ignore_ascii_case("parquet")) {
            return Err(refuse(FORMAT, format, "allowed is parquet"));
        }
        Ok(Self {
            compression: props.compression()?,
            row_group_bytes: props.size(ROW_GROUP_BYTES, 128 * 1024 * 1024)?,
            page_bytes: props.size(PAGE_BYTES, 1024 * 1024)?,
            page_rows: props.size(PAGE_ROWS, 20_000)?,
            dictionary_bytes: props.size(DICTIONARY_BYTES, 2 * 1024 * 1024)?,
            target_file_bytes: props.size(FILE_BYTES, TARGET_FILE_SIZE_BYTES)?,
            bloom_bytes_max: props.size(BLOOM_BYTES_MAX, 1024 * 1024)?,
            bloom_fpp: props.bloom_fpp()?,
        })
    }

    /// Size at which a file is closed and the next begun, in bytes as encoded.
    #[must_use]
    pub fn target_file_bytes(&self) -> u64 {
        self.target_file_bytes
    }

    /// Memory that the bloom filters of one open file take beside its encoded columns, in bytes.
    #[must_use]
    pub fn bloom_bytes(&self, rows: u64) -> u64 {
        self.bloom_fpp.values().map(|fpp| bloom_bytes(self.bloom_values(rows, *fpp), *fpp)).sum()
    }

    /// Parquet's properties for a file of about `rows` rows; only bloom filters depend on the number.
    #[must_use]
    pub fn properties(&self, rows: u64) -> WriterProperties {
        let mut builder = WriterProperties::builder()
            .set_created_by(concat!("clickstream connector ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(self.compression)
            .set_max_row_group_bytes(Some(self.row_group_bytes))
            .set_data_page_size_limit(self.page_bytes)
            .set_data_page_row_count_limit(self.page_rows)
            .set_dictionary_page_size_limit(self.dictionary_bytes);
        for column in NO_DICTIONARY {
            builder = builder.set_column_dictionary_enabled(ColumnPath::from(column), false);
        }
        self.with_blooms(builder, rows).build()
    }

    fn with_blooms(&self, mut builder: WriterPropertiesBuilder, rows: u64) -> WriterPropertiesBuilder {
        for (column, fpp) in &self.bloom_fpp {
            builder = builder
                .set_column_bloom_filter_fpp(ColumnPath::from(*column), *fpp)
                .set_column_bloom_filter_ndv(ColumnPath::from(*column), self.bloom_values(rows, *fpp));
        }
        builder
    }

    /// How many distinct values a filter is made for: one a row, as far as the size limit goes.
    fn bloom_values(&self, rows: u64, fpp: f64) -> u64 {
        let mut values = rows.max(1);
        while values > 1 && bloom_bytes(values, fpp) > self.bloom_bytes_max as u64 {
            values /= 2;
        }
        values
    }
}

/// Size of a split block bloom filter: bits for `values` at `fpp`, rounded up to a power of two, at least one block.
fn bloom_bytes(values: u64, fpp: f64) -> u64 {
    let bits = -8.0 * values as f64 / (1.0 - fpp.powf(1.0 / 8.0)).ln();
    ((bits / 8.0) as u64).next_power_of_two().max(32)
}

/// Two sets of properties, one over the other.
struct Props<'a> {
    table: &'a HashMap<String, String>,
    own: &'a BTreeMap<String, String>,
}

impl Props<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.own.get(key).or_else(|| self.table.get(key)).map(String::as_str)
    }

    /// A positive number of bytes or rows.
    fn size<N: TryFrom<u64>>(&self, key: &str, default: N) -> Result<N, SettingsError> {
        let Some(text) = self.get(key) else { return Ok(default) };
        let number = text.trim().parse().ok().filter(|number: &u64| *number > 0);
        number
            .and_then(|number| N::try_from(number).ok())
            .ok_or_else(|| refuse(key, text, "it must be a whole number above 0"))
    }

    fn compression(&self) -> Result<Compression, SettingsError> {
        let codec = self.get(CODEC).unwrap_or("zstd");
        match codec.to_ascii_lowercase().as_str() {
            "zstd" => Ok(Compression::ZSTD(self.zstd_level()?)),
            "snappy" => Ok(Compression::SNAPPY),
            // Parquet's first LZ4 had a framing that readers disagree on; this one is plain LZ4.
            "lz4" | "lz4_raw" => Ok(Compression::LZ4_RAW),
            "uncompressed" | "none" => Ok(Compression::UNCOMPRESSED),
            _ => Err(refuse(CODEC, codec, "allowed are zstd, snappy, lz4, uncompressed")),
        }
    }

    fn zstd_level(&self) -> Result<ZstdLevel, SettingsError> {
        let text = self.get(LEVEL);
        let level = text.map_or(Some(ZSTD_LEVEL), |text| text.trim().parse().ok());
        level
            .and_then(|level| ZstdLevel::try_new(level).ok())
            .ok_or_else(|| refuse(LEVEL, text.unwrap_or_default(), "zstd takes a level from 1 to 22"))
    }

    /// The columns with a bloom filter. Keys for columns that are not the event's concern other writers.
    fn bloom_fpp(&self) -> Result<BTreeMap<&'static str, f64>, SettingsError> {
        let mut filters = BTreeMap::new();
        for column in COLUMNS {
            let key = format!("{BLOOM_ENABLED}{}", column.name);
            let enabled = match self.get(&key).map(str::to_ascii_lowercase).as_deref() {
                None => BLOOM_FILTER_COLUMNS.contains(&column.name),
                Some("true") => true,
                Some("false") => false,
                Some(other) => return Err(refuse(&key, other, "allowed are true and false")),
            };
            if enabled {
                filters.insert(column.name, self.fpp(column.name)?);
            }
        }
        Ok(filters)
    }

    fn fpp(&self, column: &str) -> Result<f64, SettingsError> {
        let key = format!("{BLOOM_FPP}{column}");
        let Some(text) = self.get(&key) else { return Ok(BLOOM_FPP_DEFAULT) };
        let share = text.trim().parse().ok().filter(|share: &f64| *share > 0.0 && *share < 1.0);
        share.ok_or_else(|| refuse(&key, text, "it must lie between 0 and 1"))
    }
}

fn refuse(key: &str, value: &str, allowed: &str) -> SettingsError {
    SettingsError { key: key.to_owned(), value: value.to_owned(), allowed: allowed.to_owned() }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
