//! Tests of [`super`]: properties of the table and of the connector become writer settings.

#![allow(clippy::unwrap_used)]

use parquet::file::properties::EnabledStatistics;

use super::*;

fn settings(table: &[(&str, &str)], own: &[(&str, &str)]) -> Result<WriterSettings, SettingsError> {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    WriterSettings::new(&table.iter().map(pair).collect(), &own.iter().map(pair).collect())
}

fn column(name: &str) -> ColumnPath {
    ColumnPath::from(name)
}

#[test]
fn nothing_said_means_zstd_one_and_no_dictionary_for_values_that_never_repeat() {
    let settings = settings(&[], &[]).unwrap();
    let props = settings.properties(1000);
    assert_eq!(props.compression(&column("city")), Compression::ZSTD(ZstdLevel::try_new(1).unwrap()));
    for (name, dictionary) in [("event_id", false), ("ip_address", false), ("event_timestamp", false), ("city", true)] {
        assert_eq!(props.dictionary_enabled(&column(name)), dictionary, "{name}");
    }
    assert_eq!(props.max_row_group_bytes(), Some(128 * 1024 * 1024));
    assert_eq!(settings.target_file_bytes(), 128 * 1024 * 1024);
    assert_ne!(props.statistics_enabled(&column("city")), EnabledStatistics::None);
}

#[test]
fn the_connectors_own_properties_win() {
    let table = [(CODEC, "snappy"), (PAGE_BYTES, "65536"), (FILE_BYTES, "1048576")];
    let settings = settings(&table, &[(CODEC, "lz4"), (FILE_BYTES, "4096")]).unwrap();
    let props = settings.properties(1);
    assert_eq!(props.compression(&column("city")), Compression::LZ4_RAW);
    assert_eq!(props.column_data_page_size_limit(&column("city")), 65_536);
    assert_eq!(settings.target_file_bytes(), 4096);
}

#[test]
fn an_unknown_codec_is_told_with_the_known_ones() {
    let error = settings(&[(CODEC, "brotli")], &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"write.parquet.compression-codec is "brotli": allowed are zstd, snappy, lz4, uncompressed"#
    );
}

#[test]
fn values_that_cannot_be_followed_are_errors() {
    for (key, value) in [
        (LEVEL, "23"),
        (LEVEL, "fast"),
        (ROW_GROUP_BYTES, "0"),
        (PAGE_BYTES, "-1"),
        (FILE_BYTES, "128 MiB"),
        (FORMAT, "orc"),
        ("write.parquet.bloom-filter-enabled.column.city", "yes"),
        ("write.parquet.bloom-filter-fpp.column.user_id", "1.5"),
    ] {
        let error = settings(&[(key, value)], &[]).unwrap_err();
        assert_eq!((error.key.as_str(), error.value.as_str()), (key, value));
    }
}

#[test]
fn a_level_concerns_zstd_only() {
    assert!(settings(&[(CODEC, "uncompressed"), (LEVEL, "fast")], &[]).is_ok());
}

#[test]
fn bloom_filters_are_made_for_the_rows_and_stay_under_their_limit() {
    let off = ("write.parquet.bloom-filter-enabled.column.user_id", "false");
    let on = ("write.parquet.bloom-filter-enabled.column.city", "true");
    let foreign = ("write.parquet.bloom-filter-enabled.column.tenant", "true");
    let settings = settings(&[off, on, foreign, (BLOOM_BYTES_MAX, "65536")], &[]).unwrap();
    let values = |rows: u64, name: &str| {
        settings.properties(rows).bloom_filter_properties(&column(name)).map(|filter| filter.ndv)
    };
    assert_eq!(values(500, "event_id"), Some(500));
    assert_eq!(values(500, "city"), Some(500));
    assert_eq!(values(500, "user_id"), None);
    assert!(values(1 << 20, "event_id").unwrap() < 1 << 17);
    assert_eq!(settings.bloom_bytes(1 << 20), 3 * 65_536);
    assert!(settings.bloom_bytes(500) < 8192);
}
