//! Tests of [`super`]: statistics of data files, held against the rows.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use iceberg::spec::{Literal, Struct};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use schemas::table::COLUMNS;

use super::*;
use crate::datafile::testing::{self, DAY, batch, clicks, key};

/// A file of one row group for each list of texts; every string column of a row holds the same text.
fn file(groups: &[&[Option<&str>]], props: WriterProperties) -> (TableLayout, EncodedFile) {
    let layout = TableLayout::new(&testing::table()).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(layout.schema()), Some(props)).unwrap();
    let mut rows = 0;
    for texts in groups {
        writer.write(&batch(texts.len(), |_, row| texts[row].map(str::to_owned))).unwrap();
        writer.flush().unwrap();
        rows += texts.len() as u64;
    }
    let footer = writer.finish().unwrap();
    assert_eq!(footer.num_row_groups(), groups.len());
    let bytes = std::mem::take(writer.inner_mut()).into();
    (layout, EncodedFile { key: key("click"), bytes, rows, footer, sort_order_id: None })
}

fn described(groups: &[&[Option<&str>]]) -> DataFile {
    let (layout, file) = file(groups, WriterProperties::default());
    data_file(&layout, &file, "s3://lake/clicks/data/a.parquet").unwrap()
}

fn text_bounds(groups: &[&[Option<&str>]]) -> (Option<String>, Option<String>) {
    let file = described(groups);
    let text = |datum: Option<&Datum>| datum.map(Datum::to_human_string);
    (text(file.lower_bounds().get(&6)), text(file.upper_bounds().get(&6)))
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_long_string_in_the_first_row_group_is_inside_the_bounds() {
    // Parquet cuts what is longer than 64 bytes and says so; a bound from the other row group alone would hide these rows.
    let (low, high) = ("a".repeat(101), "z".repeat(101));
    for groups in [[&[Some(low.as_str()), Some(&high)][..], &[Some("m")]], [&[Some("m")], &[Some(&low), Some(&high)]]] {
        let (lower, upper) = text_bounds(&groups);
        let (lower, upper) = (lower.unwrap(), upper.unwrap());
        assert_eq!((lower.as_str(), upper), ("aaaaaaaaaaaaaaaa", format!("{}{{", "z".repeat(15))));
        assert!(lower <= low);
    }
}

#[test]
fn bounds_are_cut_at_sixteen_characters_and_the_upper_one_steps_up() {
    assert_eq!(text_bounds(&[&[Some("exactly 16 chars"), Some("b")]]), (some("b"), some("exactly 16 chars")));
    assert_eq!(text_bounds(&[&[Some("exactly 16 chars+")]]), (some("exactly 16 chars"), some("exactly 16 chart")));
    let wide = "é".repeat(40);
    assert_eq!(text_bounds(&[&[Some(&wide)]]), (Some("é".repeat(16)), Some(format!("{}ê", "é".repeat(15)))));
}

#[test]
fn a_step_up_carries_over_the_last_character_and_past_the_surrogates() {
    let highest = char::MAX;
    let carried = format!("{}{}", "a".repeat(15), highest.to_string().repeat(5));
    assert_eq!(text_bounds(&[&[Some(&carried)]]).1, Some(format!("{}b", "a".repeat(14))));
    let before_surrogates = format!("{}\u{d7ff}tail", "a".repeat(15));
    assert_eq!(text_bounds(&[&[Some(&before_surrogates)]]).1, Some(format!("{}\u{e000}", "a".repeat(15))));
    // Nothing stands above: no upper bound, and the lower one stays.
    let top = highest.to_string().repeat(40);
    assert_eq!(text_bounds(&[&[Some(&top)], &[Some("a")]]), (some("a"), None));
}

#[test]
fn every_text_lies_between_the_bounds_whatever_the_row_groups() {
    let mut seed = 7_u64;
    let mut next = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let alphabet = ['a', 'z', '\u{7f}', 'é', '\u{7ff}', '\u{d7ff}', '\u{e000}', '😀', char::MAX];
    for _ in 0..60 {
        let mut text = || (0..next(90)).map(|_| alphabet[next(9) as usize]).collect::<String>();
        let texts: Vec<String> = (0..6).map(|_| text()).collect();
        let rows: Vec<Option<&str>> = texts.iter().map(|text| Some(text.as_str())).collect();
        let (lower, upper) = text_bounds(&[&rows[..2], &rows[2..3], &rows[3..]]);
        let lower = lower.unwrap();
        assert!(texts.iter().all(|text| lower.as_str() <= text.as_str()), "{lower:?} {texts:?}");
        assert!(lower.chars().count() <= 16);
        if let Some(upper) = upper {
            assert!(texts.iter().all(|text| text.as_str() <= upper.as_str()), "{upper:?} {texts:?}");
            assert!(upper.chars().count() <= 16);
        }
    }
}

#[test]
fn a_row_group_without_statistics_takes_the_bounds_away() {
    let props = WriterProperties::builder().set_statistics_enabled(EnabledStatistics::None).build();
    let (layout, file) = file(&[&[Some("a")], &[Some("b")]], props);
    let described = data_file(&layout, &file, "x").unwrap();
    assert!(described.lower_bounds().is_empty() && described.upper_bounds().is_empty());
    assert!(described.null_value_counts().is_empty());
    assert_eq!(described.value_counts()[&6], 2);
}

#[test]
fn a_row_group_of_nulls_takes_nothing_away_and_a_column_of_nulls_has_no_bounds() {
    assert_eq!(text_bounds(&[&[None, None], &[Some("a"), None], &[Some("c")]]), (some("a"), some("c")));
    let file = described(&[&[None], &[None, None]]);
    assert_eq!((file.lower_bounds().get(&6), file.upper_bounds().get(&6)), (None, None));
    assert_eq!((file.null_value_counts()[&6], file.value_counts()[&6]), (3, 3));
}

#[test]
fn counts_sizes_and_bounds_are_those_of_the_whole_file() {
    let file = described(&[&[Some("a"), None, Some("b"), None], &[Some("c"), Some("d")]]);
    assert_eq!(file.record_count(), 6);
    assert_eq!(file.content_type(), DataContentType::Data);
    assert_eq!(file.column_sizes().len(), COLUMNS.len());
    assert_eq!(file.null_value_counts()[&6], 2);
    // Numbers: rows 0..4 and 0..2, every third NULL.
    assert_eq!(file.null_value_counts()[&14], 3);
    assert_eq!((&file.lower_bounds()[&14], &file.upper_bounds()[&14]), (&Datum::int(1), &Datum::int(2)));
    let start = i64::from(DAY) * 86_400_000_000;
    assert_eq!(file.lower_bounds()[&2], Datum::timestamptz_micros(start));
    assert_eq!(file.upper_bounds()[&2], Datum::timestamptz_micros(start + 3));
    let value = Struct::from_iter([Some(Literal::date(DAY)), Some(Literal::string("click"))]);
    assert_eq!(file.partition(), &value);
    assert_eq!(file.sort_order_id(), None);
    let offsets = file.split_offsets().unwrap();
    assert!(offsets.len() == 2 && offsets[0] == 4 && offsets[1] > offsets[0]);
}

#[test]
fn a_footer_with_other_field_ids_is_refused() {
    let (layout, mut file) = file(&[&[Some("a")]], WriterProperties::default());
    let batch = clicks(1);
    let plain = arrow_schema::Schema::new(
        batch
            .schema()
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_metadata(HashMap::new()))
            .collect::<Vec<_>>(),
    );
    let batch = arrow_array::RecordBatch::try_new(Arc::new(plain), batch.columns().to_vec()).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    file.footer = writer.finish().unwrap();
    assert!(matches!(data_file(&layout, &file, "x"), Err(MetricsError::Footer { .. })));
}
