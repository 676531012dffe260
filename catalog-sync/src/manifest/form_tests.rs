//! Against the `iceberg` crate's own reader, on files that its writer and Avro's rules make.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, DataFileFormat, Datum, ManifestWriterBuilder, NestedField, PartitionSpec, Schema, Transform,
};

use super::super::live_entries;
use super::*;

/// Day and type as ours, and a partition field of every type that is read here; `kind` is the type of one more.
fn table(kind: Option<PrimitiveType>) -> (Arc<Schema>, PartitionSpec) {
    let mut columns = vec![
        ("at", PrimitiveType::Timestamptz, Transform::Day),
        ("event_type", PrimitiveType::String, Transform::Identity),
        ("is_bot", PrimitiveType::Boolean, Transform::Identity),
        ("width", PrimitiveType::Int, Transform::Identity),
        ("tenant", PrimitiveType::Long, Transform::Identity),
    ];
    columns.extend(kind.map(|kind| ("odd", kind, Transform::Identity)));
    let field = |(at, (name, kind, _)): (usize, &(&str, PrimitiveType, Transform))| {
        Arc::new(NestedField::optional(at as i32 + 1, *name, Type::Primitive(kind.clone())))
    };
    let schema = Schema::builder().with_fields(columns.iter().enumerate().map(field).collect::<Vec<_>>());
    let schema = Arc::new(schema.build().unwrap());
    let spec = columns.iter().fold(PartitionSpec::builder(Arc::clone(&schema)).with_spec_id(3), |spec, column| {
        spec.add_partition_field(column.0, format!("{}_part", column.0), column.2).unwrap()
    });
    (schema, spec.build().unwrap())
}

fn values(number: i32) -> Vec<Option<Literal>> {
    vec![
        Some(Literal::date(20_000 + number)),
        Some(Literal::string(format!("type {number}"))),
        (number % 2 == 0).then(|| Literal::bool(number % 4 == 0)),
        Some(Literal::int(-number)),
        Some(Literal::long(i64::from(number) << 40)),
    ]
}

/// A file with statistics, and with everything else that a file may have if its number is odd.
fn file(number: i32, partition: Vec<Option<Literal>>) -> DataFile {
    let counts = |by: u64| (1..6).map(|id| (id, by * id as u64)).collect::<HashMap<i32, u64>>();
    let mut file = DataFileBuilder::default();
    file.content(DataContentType::Data)
        .file_path(format!("s3://lake/data/{number}.parquet"))
        .file_format(if number == 3 { DataFileFormat::Orc } else { DataFileFormat::Parquet })
        .partition(Struct::from_iter(partition))
        .partition_spec_id(3)
        .record_count(number as u64 * 1_000)
        .file_size_in_bytes(u64::from(u32::MAX) + number as u64)
        .column_sizes(counts(100))
        .value_counts(counts(7))
        .null_value_counts(counts(1))
        .lower_bounds(HashMap::from([(2, Datum::string("a")), (4, Datum::int(-5))]))
        .upper_bounds(HashMap::from([(2, Datum::string("zz")), (4, Datum::int(5_000))]));
    if number % 2 == 1 {
        file.split_offsets(Some(vec![4, 1 << 40]))
            .sort_order_id(1)
            .key_metadata(Some(vec![1, 2]))
            .equality_ids(Some(vec![2]));
    }
    file.build().unwrap()
}

/// A manifest with entries of all kinds, and its bytes.
async fn manifest(io: &FileIO, kind: Option<(PrimitiveType, Literal)>, is_v1: bool) -> (ManifestFile, Vec<u8>) {
    let (schema, spec) = table(kind.as_ref().map(|(kind, _)| kind.clone()));
    let path = "memory:/m.avro";
    let builder = ManifestWriterBuilder::new(io.new_output(path).unwrap(), Some(77), schema, spec);
    let mut writer = if is_v1 { builder.build_v1() } else { builder.build_v2_data() };
    let file =
        |number| file(number, values(number).into_iter().chain(kind.clone().map(|(_, one)| Some(one))).collect());
    for number in 1..6 {
        writer.add_file(file(number), if number == 1 { 5 } else { -1 }).unwrap();
    }
    if !is_v1 {
        writer.add_existing_file(file(6), 70, 4, Some(3)).unwrap();
        writer.add_existing_file(file(7), 71, 2, Some(4)).unwrap();
        writer.add_delete_file(file(8), 4, Some(4)).unwrap();
    }
    let mut listed = writer.write_manifest_file().await.unwrap();
    // As the manifest list has it, once it is committed.
    listed.sequence_number = 9;
    (listed, io.new_input(path).unwrap().read().await.unwrap().to_vec())
}

/// An entry of the crate, without its statistics.
fn bare(entry: &ManifestEntry) -> ManifestEntryRef {
    let file = entry.data_file();
    let mut bare = DataFileBuilder::default();
    bare.content(file.content_type())
        .file_path(file.file_path().to_owned())
        .file_format(file.file_format())
        .partition(file.partition().clone())
        .partition_spec_id(3)
        .record_count(file.record_count())
        .file_size_in_bytes(file.file_size_in_bytes())
        .key_metadata(file.key_metadata().map(<[u8]>::to_vec))
        .split_offsets(file.split_offsets().map(<[i64]>::to_vec))
        .equality_ids(file.equality_ids());
    file.sort_order_id().into_iter().for_each(|id| drop(bare.sort_order_id(id).clone()));
    Arc::new(ManifestEntry { data_file: bare.build().unwrap(), ..entry.clone() })
}

#[tokio::test]
async fn entries_are_those_of_the_crate_but_for_statistics() {
    let io = FileIO::new_with_memory();
    let (mut listed, bytes) = manifest(&io, None, false).await;
    for sequence_number in [9, 0] {
        listed.sequence_number = sequence_number;
        let whole = live_entries(&listed, &io).await.unwrap();
        assert_eq!(whole.len(), 7);
        assert!(whole.iter().all(|entry| !entry.data_file().column_sizes().is_empty()));
        let expected: Vec<_> = whole.iter().map(|entry| bare(entry)).collect();
        assert_eq!(Forms::default().live_entries(&bytes, &listed).unwrap(), expected);
    }
}

#[tokio::test]
async fn a_header_is_looked_at_once() {
    let io = FileIO::new_with_memory();
    let (listed, bytes) = manifest(&io, None, false).await;
    let forms = Forms::default();
    for _ in 0..3 {
        assert_eq!(forms.live_entries(&bytes, &listed).unwrap().len(), 7);
    }
    assert_eq!(forms.0.lock().unwrap().len(), 1);
    let other = FileIO::new_with_memory();
    let (listed, bytes) = manifest(&other, Some((PrimitiveType::Int, Literal::int(1))), false).await;
    assert_eq!(forms.live_entries(&bytes, &listed).unwrap().len(), 7);
    assert_eq!(forms.0.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_rare_is_left_to_the_crate() {
    let rare = [(PrimitiveType::Double, Literal::double(0.5)), (PrimitiveType::Timestamp, Literal::timestamp(7))];
    for kind in rare {
        let io = FileIO::new_with_memory();
        let (listed, bytes) = manifest(&io, Some(kind), false).await;
        assert_eq!(live_entries(&listed, &io).await.unwrap().len(), 7);
        assert_eq!(Forms::default().live_entries(&bytes, &listed), None);
    }
    let io = FileIO::new_with_memory();
    let (listed, bytes) = manifest(&io, None, true).await;
    assert_eq!(live_entries(&listed, &io).await.unwrap().len(), 5);
    assert_eq!(Forms::default().live_entries(&bytes, &listed), None);
}

#[tokio::test]
async fn what_the_crate_reads_from_a_broken_file_is_what_is_read_here_or_nothing() {
    let io = FileIO::new_with_memory();
    let (listed, bytes) = manifest(&io, None, false).await;
    // The sync marker, which ends the file, ends the header too.
    let sync = &bytes[bytes.len() - 16..];
    let begin = bytes.windows(16).position(|window| window == sync).unwrap() + 16;
    assert!(begin < bytes.len() - 1_000);
    for at in (begin..bytes.len()).step_by(3) {
        let mut broken = bytes.clone();
        broken[at] ^= 0x15;
        let Some(read) = Forms::default().live_entries(&broken, &listed) else { continue };
        let output = io.new_output("memory:/broken.avro").unwrap();
        output.write(broken.into()).await.unwrap();
        let listed = ManifestFile { manifest_path: "memory:/broken.avro".to_owned(), ..listed.clone() };
        // The crate alone notices a statistic that is nonsense.
        if let Ok(whole) = live_entries(&listed, &io).await {
            assert_eq!(read, whole.iter().map(|entry| bare(entry)).collect::<Vec<_>>(), "byte {at}");
        }
    }
}
