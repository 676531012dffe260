//! A commit as a pure function: current metadata, requirements and updates in; the next metadata or a refusal out.
//!
//! The rules are those of the specification, as the `iceberg` crate's metadata builder has them. Added here are the two
//! things it leaves open: a table that is created by a commit (`assert-create`), and properties that are commands.

use std::collections::HashMap;

use iceberg::spec::{
    FormatVersion, PartitionSpec, Schema, SortOrder, TableMetadata, TableMetadataBuildResult, TableMetadataBuilder,
    UnboundPartitionSpec,
};
use iceberg::{TableCreation, TableRequirement, TableUpdate};
use iceberg_catalog_rest::CreateTableRequest;
use serde_json::json;
use uuid::Uuid;

use super::error::ApiError;

/// A property that is not kept: it sets the format version.
const FORMAT_VERSION: &str = "format-version";
/// Partition field ids begin above this one.
const LAST_PARTITION_ID: i32 = 999;

/// Metadata of a table that is created at once, or staged. Field ids are assigned afresh, as the specification says.
pub(super) fn new_table(request: CreateTableRequest, location: String) -> Result<TableMetadata, ApiError> {
    let mut properties = request.properties;
    let format_version = take_format_version(&mut properties)?.unwrap_or(FormatVersion::V2);
    let creation = TableCreation::builder()
        .name(request.name)
        .location(location)
        .schema(request.schema)
        .partition_spec_opt(request.partition_spec)
        .sort_order_opt(request.write_order)
        .properties(properties)
        .format_version(format_version)
        .build();
    Ok(TableMetadataBuilder::from_table_creation(creation)?.build()?.metadata)
}

/// The next metadata of a table that exists. `location` is that of its current metadata file.
///
/// # Errors
/// 409 for a requirement that does not hold, 400 for updates that make no valid table.
pub(super) fn next(
    current: &TableMetadata,
    location: &str,
    requirements: &[TableRequirement],
    updates: Vec<TableUpdate>,
) -> Result<TableMetadataBuildResult, ApiError> {
    for requirement in requirements {
        requirement.check(Some(current))?;
    }
    let builder = current.clone().into_builder(Some(location.to_owned()));
    Ok(apply(builder, updates)?.build()?)
}

/// The first metadata of a table that a commit creates.
///
/// # Errors
/// 404 unless the commit asserts the creation, 409 for another requirement that no new table can meet, 400 for updates
/// that make no valid table.
pub(super) fn first(
    table: &str,
    requirements: &[TableRequirement],
    updates: Vec<TableUpdate>,
) -> Result<TableMetadata, ApiError> {
    if !requirements.contains(&TableRequirement::NotExist) {
        return Err(ApiError::no_such_table(format!("table does not exist: {table}")));
    }
    for requirement in requirements {
        match requirement {
            TableRequirement::NotExist | TableRequirement::RefSnapshotIdMatch { snapshot_id: None, .. } => {}
            _ => return Err(ApiError::commit_failed(format!("a table that is created cannot meet {requirement:?}"))),
        }
    }
    let seed = seed(&updates)?;
    Ok(apply(seed.into_builder(None), updates)?.build()?.metadata)
}

fn apply(mut builder: TableMetadataBuilder, updates: Vec<TableUpdate>) -> Result<TableMetadataBuilder, ApiError> {
    for update in updates {
        builder = match update {
            TableUpdate::SetProperties { mut updates } => {
                if let Some(format_version) = take_format_version(&mut updates)? {
                    builder = builder.upgrade_format_version(format_version)?;
                }
                builder.set_properties(updates)?
            }
            update => update.apply(builder)?,
        };
    }
    Ok(builder)
}

/// A table without snapshots, made of what the updates say about its beginning. The builder can only begin a table with
/// fresh field ids; here the client has them already, in data files and manifests, and they must be kept.
fn seed(updates: &[TableUpdate]) -> Result<TableMetadata, ApiError> {
    let mut format_version = FormatVersion::V2;
    let mut uuid = None;
    let mut location = None;
    let (mut schema, mut spec, mut order) = (None, None, None);
    for update in updates {
        match update {
            TableUpdate::UpgradeFormatVersion { format_version: version } => format_version = *version,
            TableUpdate::AssignUuid { uuid: assigned } => uuid = Some(*assigned),
            TableUpdate::SetLocation { location: set } => location = Some(set.trim_end_matches('/')),
            TableUpdate::AddSchema { schema: added } => schema = schema.or(Some(added)),
            TableUpdate::AddSpec { spec: added } => spec = spec.or(Some(added)),
            TableUpdate::AddSortOrder { sort_order: added } => order = order.or(Some(added)),
            _ => {}
        }
    }
    let missing = |what| ApiError::validation(format!("a commit that creates a table needs {what}"));
    let schema = schema.ok_or_else(|| missing("add-schema"))?;
    let location = location.ok_or_else(|| missing("set-location"))?;
    if format_version == FormatVersion::V1 {
        return Err(ApiError::unsupported("format version 1 cannot be made by a commit; use 2"));
    }
    let spec = bound(spec, schema)?;
    let order = numbered(order);
    let last_partition_id = spec.fields().iter().map(|field| field.field_id).max().unwrap_or(LAST_PARTITION_ID);
    let mut metadata = json!({
        "format-version": format_version as u8,
        "table-uuid": uuid.unwrap_or_else(Uuid::new_v4),
        "location": location,
        "last-sequence-number": 0,
        // Snapshots may have been made before this commit: the table begins in the past.
        "last-updated-ms": 0,
        "last-column-id": schema.highest_field_id(),
        "current-schema-id": schema.schema_id(),
        "schemas": [schema],
        "default-spec-id": spec.spec_id(),
        "last-partition-id": last_partition_id,
        "partition-specs": [spec],
        "default-sort-order-id": order.order_id,
        "sort-orders": [order],
        "properties": {},
    });
    if format_version == FormatVersion::V3 {
        metadata["next-row-id"] = json!(0);
    }
    serde_json::from_value(metadata).map_err(|error| ApiError::validation(error.to_string()))
}

fn bound(spec: Option<&UnboundPartitionSpec>, schema: &Schema) -> Result<PartitionSpec, ApiError> {
    Ok(spec.cloned().unwrap_or_default().bind(schema.clone())?)
}

/// The sort order with an id that fits: 0 is the unsorted one and no other.
fn numbered(order: Option<&SortOrder>) -> SortOrder {
    match order {
        Some(order) if !order.fields.is_empty() => {
            SortOrder { order_id: order.order_id.max(1), fields: order.fields.clone() }
        }
        _ => SortOrder::unsorted_order(),
    }
}

fn take_format_version(properties: &mut HashMap<String, String>) -> Result<Option<FormatVersion>, ApiError> {
    match properties.remove(FORMAT_VERSION).as_deref() {
        None => Ok(None),
        Some("1") => Ok(Some(FormatVersion::V1)),
        Some("2") => Ok(Some(FormatVersion::V2)),
        Some("3") => Ok(Some(FormatVersion::V3)),
        Some(other) => Err(ApiError::validation(format!("format-version {other:?} is not one of 1, 2, 3"))),
    }
}
