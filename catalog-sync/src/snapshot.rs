//! From data files and a commit plan to one commit: manifests, manifest list, snapshot, updates and requirements.
//!
//! The files written here belong to one attempt and carry its identifier in their names, so that a second attempt never
//! writes over them. Called by [`crate::commit`], for the empty first snapshot by [`crate::create`], and for a snapshot of
//! the same rows in other files or manifests by [`crate::replace`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::Utc;
use iceberg::spec::{
    DataFile, MAIN_BRANCH, ManifestFile, ManifestListWriter, ManifestWriterBuilder, Operation, Snapshot,
    SnapshotReference, SnapshotRetention, SnapshotSummaryCollector, Summary, TableMetadata,
};
use iceberg::{TableRequirement, TableUpdate};
use iceberg_catalog_rest::CommitTableRequest;
use protocol::CommitPlan;
use protocol::lineage::POSITION_KEY;
use uuid::Uuid;

use crate::catalog::LoadedTable;
use crate::storage::Store;

/// Summary totals and the two counters that move each of them.
const TOTALS: [(&str, &str, &str); 6] = [
    ("total-data-files", "added-data-files", "deleted-data-files"),
    ("total-delete-files", "added-delete-files", "removed-delete-files"),
    ("total-records", "added-records", "deleted-records"),
    ("total-files-size", "added-files-size", "removed-files-size"),
    ("total-position-deletes", "added-position-deletes", "removed-position-deletes"),
    ("total-equality-deletes", "added-equality-deletes", "removed-equality-deletes"),
];

/// Files of one manifest at most: some megabytes while it is made, whatever the commit holds; readers plan manifest by
/// manifest.
pub(crate) const MANIFEST_FILES: usize = 1_000;

/// A snapshot that exists in the object store and that nobody refers to yet.
pub(crate) struct NewSnapshot {
    pub(crate) snapshot: Snapshot,
    pub(crate) snapshot_id: i64,
}

/// What a new snapshot is made of.
pub(crate) struct Contents<'a> {
    /// Files to add; may be none.
    pub(crate) files: &'a [&'a DataFile],
    /// Its parent.
    pub(crate) parent: Option<i64>,
    /// Its sequence number.
    pub(crate) sequence_number: i64,
    /// Summary entries beside the counters.
    pub(crate) summary: BTreeMap<String, String>,
}

/// Writes manifests and manifest list of an append, and makes the commit that adds it: the position goes into the
/// summary and into the table property, and base, schema and partition spec must still be those that it was made on.
pub(crate) async fn append(
    loaded: &LoadedTable,
    store: &Store,
    plan: &CommitPlan,
    files: &[&DataFile],
    mut summary: BTreeMap<String, String>,
) -> iceberg::Result<(CommitTableRequest, i64)> {
    let position = plan.position().encode(plan.sequence_number());
    summary.insert(POSITION_KEY.to_owned(), position.clone());
    let contents = Contents { files, parent: plan.base(), sequence_number: plan.sequence_number(), summary };
    let new = write(loaded.metadata(), store, contents).await?;
    let properties = HashMap::from([(POSITION_KEY.to_owned(), position)]);
    Ok((request(loaded, plan, properties, new.snapshot), new.snapshot_id))
}

/// Writes the manifest list of a snapshot that consists of these manifests, and makes the commit that adds it. Position and
/// requirements are as with [`append`]; totals go on from the base's by the counters of the summary.
/// `says` is what summary and table properties say in addition.
pub(crate) async fn replace(
    loaded: &LoadedTable,
    store: &Store,
    plan: &CommitPlan,
    (snapshot_id, operation, manifests): (i64, Operation, Vec<ManifestFile>),
    says: (BTreeMap<String, String>, HashMap<String, String>),
) -> iceberg::Result<CommitTableRequest> {
    let (mut summary, mut properties) = says;
    let metadata = loaded.metadata();
    let position = plan.position().encode(plan.sequence_number());
    summary.insert(POSITION_KEY.to_owned(), position.clone());
    let mut all: HashMap<String, String> = summary.into_iter().collect();
    add_totals(&mut all, metadata.current_snapshot().map(|base| &base.summary().additional_properties));
    let summary = Summary { operation, additional_properties: all };
    let order = (plan.base(), plan.sequence_number());
    let snapshot = seal(metadata, store, snapshot_id, order, manifests, summary).await?;
    properties.insert(POSITION_KEY.to_owned(), position);
    Ok(request(loaded, plan, properties, snapshot))
}

/// The commit of a snapshot: properties, base, schema and partition spec are told to the catalog.
fn request(
    loaded: &LoadedTable,
    plan: &CommitPlan,
    properties: HashMap<String, String>,
    snapshot: Snapshot,
) -> CommitTableRequest {
    let snapshot_id = snapshot.snapshot_id();
    let updates = vec![
        TableUpdate::SetProperties { updates: properties },
        TableUpdate::AddSnapshot { snapshot },
        main_branch(snapshot_id),
    ];
    let metadata = loaded.metadata();
    let requirements = vec![
        TableRequirement::UuidMatch { uuid: metadata.uuid() },
        // Nessie makes the schema of a new snapshot the table's: a change made meanwhile would be undone.
        TableRequirement::CurrentSchemaIdMatch { current_schema_id: metadata.current_schema_id() },
        TableRequirement::DefaultSpecIdMatch { default_spec_id: metadata.default_partition_spec_id() },
        TableRequirement::RefSnapshotIdMatch { r#ref: MAIN_BRANCH.to_owned(), snapshot_id: plan.base() },
    ];
    CommitTableRequest { identifier: Some(loaded.ident().clone()), requirements, updates }
}

/// The update that makes a snapshot the current one.
pub(crate) fn main_branch(snapshot_id: i64) -> TableUpdate {
    TableUpdate::SetSnapshotRef {
        ref_name: MAIN_BRANCH.to_owned(),
        reference: SnapshotReference::new(snapshot_id, SnapshotRetention::branch(None, None, None)),
    }
}

/// Writes the manifests of the added files and the manifest list of a new snapshot.
pub(crate) async fn write(
    metadata: &TableMetadata,
    store: &Store,
    contents: Contents<'_>,
) -> iceberg::Result<NewSnapshot> {
    let attempt = Uuid::now_v7();
    let snapshot_id = new_snapshot_id(metadata);
    let base = metadata.current_snapshot();
    let mut manifests = match base {
        Some(snapshot) => crate::manifest::list(metadata, snapshot, &store.file_io()).await?,
        None => Vec::new(),
    };
    for (number, files) in contents.files.chunks(MANIFEST_FILES).enumerate() {
        let location = format!("{}/metadata/{attempt}-m{number}.avro", metadata.location());
        manifests.push(write_manifest(metadata, store, snapshot_id, location, files).await?);
    }
    let summary = summarize(metadata, base.map(|snapshot| snapshot.summary()), &contents);
    let summary = Summary { operation: Operation::Append, additional_properties: summary };
    let order = (contents.parent, contents.sequence_number);
    let snapshot = seal(metadata, store, snapshot_id, order, manifests, summary).await?;
    Ok(NewSnapshot { snapshot, snapshot_id })
}

/// Writes the manifest list, under a name that no other attempt has. `order` is the parent and the sequence number.
async fn seal(
    metadata: &TableMetadata,
    store: &Store,
    snapshot_id: i64,
    (parent, sequence_number): (Option<i64>, i64),
    manifests: Vec<ManifestFile>,
    summary: Summary,
) -> iceberg::Result<Snapshot> {
    let list = format!("{}/metadata/snap-{snapshot_id}-0-{}.avro", metadata.location(), Uuid::now_v7());
    let output = store.file_io().new_output(&list)?.writer().await?;
    let mut writer = ManifestListWriter::v2(output, snapshot_id, parent, sequence_number);
    writer.add_manifests(manifests.into_iter())?;
    writer.close().await?;
    let snapshot = Snapshot::builder()
        .with_snapshot_id(snapshot_id)
        .with_parent_snapshot_id(parent)
        .with_sequence_number(sequence_number)
        // Clocks of several workers differ; snapshot time must not run backwards all the same.
        .with_timestamp_ms(Utc::now().timestamp_millis().max(metadata.last_updated_ms()))
        .with_manifest_list(list)
        .with_summary(summary)
        .with_schema_id(metadata.current_schema_id());
    Ok(snapshot.build())
}

/// Writes a manifest of files that a new snapshot adds.
pub(crate) async fn write_manifest(
    metadata: &TableMetadata,
    store: &Store,
    snapshot_id: i64,
    location: String,
    files: &[&DataFile],
) -> iceberg::Result<ManifestFile> {
    /// Inherited from the snapshot, by the specification.
    const SEQUENCE_NUMBER_INHERITED: i64 = -1;
    let output = store.file_io().new_output(location)?;
    let schema = Arc::clone(metadata.current_schema());
    let spec = metadata.default_partition_spec().as_ref().clone();
    let mut writer = ManifestWriterBuilder::new(output, Some(snapshot_id), schema, spec).build_v2_data();
    for file in files {
        writer.add_file((*file).clone(), SEQUENCE_NUMBER_INHERITED)?;
    }
    writer.write_manifest_file().await
}

fn summarize(metadata: &TableMetadata, previous: Option<&Summary>, contents: &Contents<'_>) -> HashMap<String, String> {
    let mut collector = SnapshotSummaryCollector::default();
    for file in contents.files {
        let (schema, spec) = (metadata.current_schema(), metadata.default_partition_spec());
        collector.add_file(file, Arc::clone(schema), Arc::clone(spec));
    }
    let mut summary: HashMap<String, String> = contents.summary.clone().into_iter().collect();
    summary.extend(collector.build());
    add_totals(&mut summary, previous.map(|summary| &summary.additional_properties));
    summary
}

/// Carries the totals forward. A base whose summary lacks one (a foreign writer may leave it out) has no total to carry.
fn add_totals(summary: &mut HashMap<String, String>, previous: Option<&HashMap<String, String>>) {
    for (total, added, removed) in TOTALS {
        let number = |map: &HashMap<String, String>, key: &str| map.get(key).and_then(|text| text.parse::<u64>().ok());
        let base = match previous {
            Some(previous) => number(previous, total),
            None => Some(0),
        };
        let Some(base) = base else { continue };
        let now = base.saturating_add(number(summary, added).unwrap_or(0));
        let now = now.saturating_sub(number(summary, removed).unwrap_or(0));
        summary.insert(total.to_owned(), now.to_string());
    }
}

/// A random positive number that the table does not use yet.
pub(crate) fn new_snapshot_id(metadata: &TableMetadata) -> i64 {
    loop {
        let id = rand::random_range(1..=i64::MAX);
        if metadata.snapshot_by_id(id).is_none() {
            return id;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> HashMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn totals_are_carried_forward_and_never_made_up() {
        let mut first = map(&[("added-records", "7"), ("added-data-files", "2")]);
        add_totals(&mut first, None);
        assert_eq!(first["total-records"], "7");
        assert_eq!(first["total-equality-deletes"], "0");
        let mut second = map(&[("added-records", "5")]);
        add_totals(&mut second, Some(&first));
        assert_eq!((second["total-records"].as_str(), second["total-data-files"].as_str()), ("12", "2"));
        let mut third = map(&[("added-records", "1")]);
        add_totals(&mut third, Some(&map(&[])));
        assert_eq!(third.get("total-records"), None);
    }
}
