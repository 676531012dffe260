//! Tables that are made by listing files: one snapshot, its manifests written as wanted, past any connector. For copies of a
//! table over the same data files, and for tables whose files do not exist, where metadata is all that is measured.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use catalog_sync::catalog::{CatalogClient, LoadedTable};
use catalog_sync::datafile::layout::TableLayout;
use iceberg::TableIdent;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, ManifestFile, ManifestListWriter,
    ManifestWriterBuilder, PrimitiveType, Type,
};
use protocol::Outcome;
use schemas::partition::PartitionKey;
use serde_json::json;
use uuid::Uuid;

/// Written by whoever adds a file: the snapshot's own sequence number.
const INHERITED: i64 = -1;
/// Days and types of the files that do not exist.
const DAYS: u64 = 60;
const TYPES: [&str; 9] =
    ["page_view", "click", "scroll", "search", "add_to_cart", "purchase", "form_submit", "video_play", "error"];
/// Rows and bytes of each of them.
const ROWS: u64 = 2_000;
const BYTES: u64 = 120_000;

/// Adds a snapshot with these files, a manifest for each part.
pub(crate) async fn list(client: &CatalogClient, ident: &TableIdent, parts: &[Vec<DataFile>]) -> Result<()> {
    let loaded = client.load_table(ident).await?;
    let (metadata, store) = (loaded.metadata(), loaded.store(&client.config().storage)?);
    let (snapshot_id, attempt) = (i64::from(rand::random::<u32>()) + 1, Uuid::new_v4());
    let sequence_number = metadata.last_sequence_number() + 1;
    let location = |name: &str| format!("{}/metadata/{attempt}-{name}.avro", metadata.location());
    let mut manifests = Vec::with_capacity(parts.len());
    for (number, files) in parts.iter().enumerate() {
        let output = store.file_io().new_output(location(&format!("m{number}")))?;
        let spec = metadata.default_partition_spec().as_ref().clone();
        let schema = Arc::clone(metadata.current_schema());
        let mut writer = ManifestWriterBuilder::new(output, Some(snapshot_id), schema, spec).build_v2_data();
        for file in files {
            writer.add_file(file.clone(), INHERITED)?;
        }
        manifests.push(writer.write_manifest_file().await?);
    }
    let summary = summary(&manifests, parts);
    let output = store.file_io().new_output(location("list"))?.writer().await?;
    let parent = metadata.current_snapshot_id();
    let mut list = ManifestListWriter::v2(output, snapshot_id, parent, sequence_number);
    list.add_manifests(manifests.into_iter())?;
    list.close().await?;
    let snapshot = json!({
        "snapshot-id": snapshot_id, "parent-snapshot-id": parent, "sequence-number": sequence_number,
        "timestamp-ms": metadata.last_updated_ms() + 1, "manifest-list": location("list"), "summary": summary,
        "schema-id": metadata.current_schema_id(),
    });
    let updates = json!([
        {"action": "add-snapshot", "snapshot": snapshot},
        {"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": snapshot_id},
    ]);
    let requirements = json!([{"type": "assert-table-uuid", "uuid": metadata.uuid()}]);
    let outcome = client.commit_once(ident, &json!({"requirements": requirements, "updates": updates})).await;
    ensure!(outcome == Outcome::Committed, "a snapshot of {ident}: {outcome:?}");
    Ok(())
}

fn summary(manifests: &[ManifestFile], parts: &[Vec<DataFile>]) -> HashMap<&'static str, String> {
    let files: usize = parts.iter().map(Vec::len).sum();
    let sum = |of: fn(&DataFile) -> u64| parts.iter().flatten().map(of).sum::<u64>().to_string();
    let (rows, bytes) = (sum(DataFile::record_count), sum(DataFile::file_size_in_bytes));
    HashMap::from([
        ("operation", "append".to_owned()),
        ("manifests-created", manifests.len().to_string()),
        ("total-data-files", files.to_string()),
        ("total-delete-files", "0".to_owned()),
        ("total-position-deletes", "0".to_owned()),
        ("total-equality-deletes", "0".to_owned()),
        ("total-records", rows),
        ("total-files-size", bytes),
    ])
}

/// Files that do not exist, with the statistics that the connector gives to each column, in manifests of so many.
pub(crate) fn made_up(loaded: &LoadedTable, manifests: u64, each: u64) -> Result<Vec<Vec<DataFile>>> {
    let layout = TableLayout::new(loaded.metadata()).map_err(|halt| anyhow::anyhow!("{halt}"))?;
    let part = |manifest: u64| (0..each).map(|file| made_up_file(loaded, &layout, manifest * each + file)).collect();
    (0..manifests).map(part).collect()
}

fn made_up_file(loaded: &LoadedTable, layout: &TableLayout, number: u64) -> Result<DataFile> {
    let event_type = TYPES[usize::try_from(number)? % TYPES.len()];
    let key = PartitionKey { day: i32::try_from(20_000 + number / 9 % DAYS)?, event_type: event_type.to_owned() };
    let metadata = loaded.metadata();
    let fields = metadata.current_schema().as_struct().fields();
    let bounds = |nth: i32| -> Result<HashMap<i32, Datum>> {
        let bound = |kind: &Type| match kind {
            Type::Primitive(PrimitiveType::String) => Ok(Datum::string(format!("{number:015}{nth}"))),
            Type::Primitive(PrimitiveType::Int) => Ok(Datum::int(nth)),
            Type::Primitive(PrimitiveType::Timestamptz) => Ok(Datum::timestamptz_micros(i64::from(nth))),
            other => anyhow::bail!("no bounds for {other}"),
        };
        fields.iter().map(|field| Ok((field.id, bound(&field.field_type)?))).collect()
    };
    let counts = |count: u64| fields.iter().map(|field| (field.id, count)).collect::<HashMap<i32, u64>>();
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(format!("{}{}-{number}.parquet", layout.partition_location(&key), Uuid::from_u128(number.into())))
        .file_format(DataFileFormat::Parquet)
        .partition(layout.partition_value(&key))
        .partition_spec_id(layout.spec_id())
        .record_count(ROWS)
        .file_size_in_bytes(BYTES)
        .column_sizes(counts(BYTES / 26))
        .value_counts(counts(ROWS))
        .null_value_counts(counts(0))
        .lower_bounds(bounds(1)?)
        .upper_bounds(bounds(2)?)
        .split_offsets(Some(vec![4]))
        .build()
        .context("a data file")
}
