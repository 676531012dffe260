//! The entries of a manifest without the statistics of columns, which are most of it and which a plan does not ask for.
//!
//! The `iceberg` crate makes a tree of each entry, of the schemas in each header too, and most of that is thrown away by whoever
//! only wants to know which files there are. Here a header is looked at once, whatever the number of manifests that have it,
//! and an entry's statistics are passed over. Fields are found by name, as the crate finds them, and what comes out is what
//! the crate yields, but for the statistics. `None` means that the crate must be asked: a manifest of version 1, partition
//! values of a rare type, an encoding that [`super::avro`] does not know, a broken file. Pure. Called by [`super`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use iceberg::spec::{
    DataContentType, DataFileBuilder, FormatVersion, Literal, ManifestEntry, ManifestEntryRef, ManifestFile,
    ManifestMetadata, ManifestStatus, PrimitiveType, Struct, Type,
};

use super::avro::{Container, Cursor, Scalar, Shape};

/// What a header must have in common with another, for the entries to have the same form.
const HEADER: [&str; 5] = ["avro.schema", "schema", "partition-spec", "partition-spec-id", "format-version"];
/// Forms that are remembered: a table has few at a time.
const KEPT_MAX: usize = 16;

/// The forms that were seen.
#[derive(Debug, Default)]
pub(super) struct Forms(Mutex<Vec<Arc<Form>>>);

impl Forms {
    /// The live entries of a manifest, with what they inherit from the manifest list.
    pub(super) fn live_entries(&self, bytes: &[u8], listed: &ManifestFile) -> Option<Vec<ManifestEntryRef>> {
        let container = Container::open(bytes)?;
        let form = self.of(&container)?;
        let mut entries = Vec::new();
        container.records(|cursor| {
            let entry = form.entry(cursor, listed)?;
            if entry.is_alive() {
                entries.push(Arc::new(entry));
            }
            Some(())
        })?;
        Some(entries)
    }

    fn of(&self, container: &Container<'_>) -> Option<Arc<Form>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |form: &&Arc<Form>| {
            HEADER.iter().zip(&form.header).all(|(key, value)| container.header(key) == value.as_deref())
        };
        if let Some(form) = kept.iter().find(is_same) {
            return Some(Arc::clone(form));
        }
        let form = Arc::new(Form::new(container)?);
        if kept.len() < KEPT_MAX {
            kept.push(Arc::clone(&form));
        }
        Some(form)
    }
}

/// How the entries of manifests with one header are encoded.
#[derive(Debug)]
struct Form {
    header: [Option<Vec<u8>>; HEADER.len()],
    /// The fields in their order. Fields of an entry, of its file and of the file's partition follow one another without
    /// anything between, so that one list has them all.
    fields: Vec<(Field, Shape)>,
    partition_fields: usize,
    spec_id: i32,
}

/// What a field is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Status,
    SnapshotId,
    SequenceNumber,
    FileSequenceNumber,
    Content,
    FilePath,
    FileFormat,
    /// A partition field, by its place in the spec.
    Partition(usize, PrimitiveType),
    RecordCount,
    FileSize,
    KeyMetadata,
    SplitOffsets,
    EqualityIds,
    SortOrderId,
    FirstRowId,
    ReferencedDataFile,
    ContentOffset,
    ContentSize,
    /// Statistics, and what the specification may add.
    NotWanted,
}

/// Fields without which there is no entry.
const REQUIRED: [Field; 5] = [Field::Status, Field::FilePath, Field::FileFormat, Field::RecordCount, Field::FileSize];

impl Field {
    fn of_entry(name: &str) -> Self {
        match name {
            "status" => Self::Status,
            "snapshot_id" => Self::SnapshotId,
            "sequence_number" => Self::SequenceNumber,
            "file_sequence_number" => Self::FileSequenceNumber,
            _ => Self::NotWanted,
        }
    }

    fn of_file(name: &str) -> Self {
        match name {
            "content" => Self::Content,
            "file_path" => Self::FilePath,
            "file_format" => Self::FileFormat,
            "record_count" => Self::RecordCount,
            "file_size_in_bytes" => Self::FileSize,
            "key_metadata" => Self::KeyMetadata,
            "split_offsets" => Self::SplitOffsets,
            "equality_ids" => Self::EqualityIds,
            "sort_order_id" => Self::SortOrderId,
            "first_row_id" => Self::FirstRowId,
            "referenced_data_file" => Self::ReferencedDataFile,
            "content_offset" => Self::ContentOffset,
            "content_size_in_bytes" => Self::ContentSize,
            _ => Self::NotWanted,
        }
    }
}

fn record(shape: Shape) -> Option<Vec<(String, Shape)>> {
    match shape {
        Shape::Record(fields) => Some(fields),
        _ => None,
    }
}

impl Form {
    fn new(container: &Container<'_>) -> Option<Self> {
        let owned = |key: &str| container.header(key).map(<[u8]>::to_vec);
        let known = HEADER.iter().filter_map(|key| Some(((*key).to_owned(), owned(key)?)));
        let metadata = ManifestMetadata::parse(&known.collect::<HashMap<_, _>>()).ok()?;
        if *metadata.format_version() != FormatVersion::V2 {
            return None;
        }
        let partition = metadata.partition_spec().partition_type(metadata.schema()).ok()?;
        let place = |name: &str| {
            let (place, field) = partition.fields().iter().enumerate().find(|(_, field)| field.name == name)?;
            match field.field_type.as_ref() {
                Type::Primitive(primitive) => Some(Field::Partition(place, primitive.clone())),
                _ => None,
            }
        };
        let schema = serde_json::from_slice(container.header("avro.schema")?).ok()?;
        let mut fields = Vec::new();
        for (name, shape) in record(Shape::of(&schema)?)? {
            if name != "data_file" {
                fields.push((Field::of_entry(&name), shape));
                continue;
            }
            for (name, shape) in record(shape)? {
                if name != "partition" {
                    fields.push((Field::of_file(&name), shape));
                    continue;
                }
                for (name, shape) in record(shape)? {
                    fields.push((place(&name)?, shape));
                }
            }
        }
        let has = |wanted: &dyn Fn(&Field) -> bool| fields.iter().filter(|(field, _)| wanted(field)).count();
        let is_whole = REQUIRED.iter().all(|wanted| has(&|field| field == wanted) == 1)
            && has(&|field| matches!(field, Field::Partition(..))) == partition.fields().len();
        let spec_id = metadata.partition_spec().spec_id();
        let header = HEADER.map(owned);
        is_whole.then_some(Self { header, fields, partition_fields: partition.fields().len(), spec_id })
    }

    fn entry(&self, cursor: &mut Cursor<'_>, listed: &ManifestFile) -> Option<ManifestEntry> {
        let mut entry = Entry { partition: vec![None; self.partition_fields], ..Entry::default() };
        entry.file.content(DataContentType::Data).partition_spec_id(self.spec_id);
        for (field, shape) in &self.fields {
            match field {
                Field::NotWanted => shape.skip(cursor)?,
                Field::SplitOffsets => {
                    entry.file.split_offsets(shape.longs(cursor)?);
                }
                Field::EqualityIds => {
                    let int = |id: i64| i32::try_from(id).ok();
                    let ids = match shape.longs(cursor)? {
                        Some(ids) => Some(ids.into_iter().map(int).collect::<Option<_>>()?),
                        None => None,
                    };
                    entry.file.equality_ids(ids);
                }
                field => entry.set(field, shape.scalar(cursor)?)?,
            }
        }
        entry.finish(listed)
    }
}

/// An entry in the making.
#[derive(Default)]
struct Entry {
    status: Option<ManifestStatus>,
    snapshot_id: Option<i64>,
    sequence_number: Option<i64>,
    file_sequence_number: Option<i64>,
    partition: Vec<Option<Literal>>,
    file: DataFileBuilder,
}

impl Entry {
    fn set(&mut self, field: &Field, value: Scalar<'_>) -> Option<()> {
        let file = &mut self.file;
        match field {
            Field::Status => self.status = Some(ManifestStatus::try_from(value.int()??).ok()?),
            Field::SnapshotId => self.snapshot_id = value.long()?,
            Field::SequenceNumber => self.sequence_number = value.long()?,
            Field::FileSequenceNumber => self.file_sequence_number = value.long()?,
            Field::Content => {
                file.content(value.int()??.try_into().ok()?);
            }
            Field::FilePath => {
                file.file_path(value.text()??.to_owned());
            }
            Field::FileFormat => {
                file.file_format(value.text()??.parse().ok()?);
            }
            Field::Partition(place, kind) => *self.partition.get_mut(*place)? = literal(value, kind)?,
            Field::RecordCount => {
                file.record_count(value.long()??.try_into().ok()?);
            }
            Field::FileSize => {
                file.file_size_in_bytes(value.long()??.try_into().ok()?);
            }
            Field::KeyMetadata => match value {
                Scalar::Null => {}
                Scalar::Bytes(bytes) => {
                    file.key_metadata(Some(bytes.to_vec()));
                }
                _ => return None,
            },
            Field::SortOrderId => {
                if let Some(id) = value.int()? {
                    file.sort_order_id(id);
                }
            }
            Field::FirstRowId => {
                file.first_row_id(value.long()?);
            }
            Field::ReferencedDataFile => {
                file.referenced_data_file(value.text()?.map(str::to_owned));
            }
            Field::ContentOffset => {
                file.content_offset(value.long()?);
            }
            Field::ContentSize => {
                file.content_size_in_bytes(value.long()?);
            }
            Field::SplitOffsets | Field::EqualityIds | Field::NotWanted => return None,
        }
        Some(())
    }

    /// With what the specification lets an entry inherit: the snapshot always, sequence numbers if it was added, or if the
    /// manifest is from before there were any.
    fn finish(mut self, listed: &ManifestFile) -> Option<ManifestEntry> {
        let status = self.status?;
        self.file.partition(Struct::from_iter(self.partition));
        let inherits = status == ManifestStatus::Added || listed.sequence_number == 0;
        let inherited = inherits.then_some(listed.sequence_number);
        Some(ManifestEntry {
            status,
            snapshot_id: self.snapshot_id.or(Some(listed.added_snapshot_id)),
            sequence_number: self.sequence_number.or(inherited),
            file_sequence_number: self.file_sequence_number.or(inherited),
            data_file: self.file.build().ok()?,
        })
    }
}

/// The outer option is none for a value of another type, the inner one for null.
impl<'a> Scalar<'a> {
    fn long(self) -> Option<Option<i64>> {
        match self {
            Self::Null => Some(None),
            Self::Long(long) => Some(Some(long)),
            _ => None,
        }
    }

    fn int(self) -> Option<Option<i32>> {
        match self.long()? {
            Some(long) => i32::try_from(long).ok().map(Some),
            None => Some(None),
        }
    }

    fn text(self) -> Option<Option<&'a str>> {
        match self {
            Self::Null => Some(None),
            Self::Text(text) => Some(Some(text)),
            _ => None,
        }
    }
}

/// A partition value of the types that partitions mostly have.
fn literal(value: Scalar<'_>, kind: &PrimitiveType) -> Option<Option<Literal>> {
    Some(Some(match (value, kind) {
        (Scalar::Null, _) => return Some(None),
        (Scalar::Boolean(is), PrimitiveType::Boolean) => Literal::bool(is),
        (Scalar::Long(long), PrimitiveType::Int) => Literal::int(i32::try_from(long).ok()?),
        (Scalar::Long(long), PrimitiveType::Date) => Literal::date(i32::try_from(long).ok()?),
        (Scalar::Long(long), PrimitiveType::Long) => Literal::long(long),
        (Scalar::Text(text), PrimitiveType::String) => Literal::string(text),
        _ => return None,
    }))
}

#[cfg(test)]
#[path = "form_tests.rs"]
mod tests;
