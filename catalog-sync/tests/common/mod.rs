//! A table on the embedded catalog, and in `trouble` what happens on the way to it. Shared by the tests of what replaces files and manifests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, unreachable_pub, unused_imports)]

mod trouble;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use catalog_sync::catalog::{CatalogClient, CatalogConfig, LoadedTable};
use catalog_sync::commit::{Committer, Staged};
use catalog_sync::compact::options::Options;
use catalog_sync::compact::{Report as Compacted, compact};
use catalog_sync::create::load_or_create;
use catalog_sync::datafile::EncodedFile;
use catalog_sync::datafile::layout::TableLayout;
use catalog_sync::datafile::testing::{batch, key};
use catalog_sync::datafile::upload::upload;
use catalog_sync::embedded::{EmbeddedCatalog, EmbeddedOptions};
use catalog_sync::manifest;
use catalog_sync::rewrite::{Report, rewrite_manifests};
use catalog_sync::storage::Store;
use catalog_sync::verify::{VerifyOptions, verify};
use futures::TryStreamExt;
use iceberg::TableIdent;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Literal, ManifestContentType, ManifestFile,
    ManifestListWriter, ManifestWriterBuilder, Struct, Type,
};
use parquet::arrow::ArrowWriter;
use protocol::{BatchRange, Landed, Offset, OffsetRange, Proposal, Ranges, TopicRanges};
use schemas::table::FIELD_ID_KEY;
use serde_json::json;

pub use trouble::{Between, Trouble};

pub const FILE_BYTES: usize = 10;

/// A live entry: file, snapshot that added it, data and file sequence number, rows.
pub type Entry = (String, Option<i64>, Option<i64>, Option<i64>, u64);

pub struct World {
    pub client: CatalogClient,
    pub ident: TableIdent,
    pub catalog: EmbeddedCatalog,
    _dir: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let catalog = EmbeddedCatalog::start(EmbeddedOptions::below(dir.path())).await.unwrap();
        let client = CatalogClient::connect(CatalogConfig::new(catalog.uri())).await.unwrap();
        let ident = TableIdent::from_strs(["analytics", "clicks"]).unwrap();
        load_or_create(&client, &ident, &BTreeMap::new()).await.unwrap();
        Self { client, ident, catalog, _dir: dir }
    }

    pub async fn load(&self) -> LoadedTable {
        self.client.load_table(&self.ident).await.unwrap()
    }

    pub fn store(&self, loaded: &LoadedTable) -> Store {
        loaded.store(&self.client.config().storage).unwrap()
    }

    /// One commit with a file for each of the days, which goes on where the table stands.
    pub async fn commit(&self, days: &[i32]) {
        let loaded = self.load().await;
        let files = self.stage(&loaded, days).await;
        self.commit_files(&loaded, files).await;
    }

    /// A file for each of the days, in the store and in no snapshot.
    pub async fn stage(&self, loaded: &LoadedTable, days: &[i32]) -> Vec<DataFile> {
        let mut files = Vec::new();
        for &day in days {
            let location = format!("{}/data/{}.parquet", loaded.metadata().location(), uuid::Uuid::new_v4());
            self.put(&location).await;
            files.push(data_file(loaded, location, day));
        }
        files
    }

    /// A file of no meaning.
    pub async fn put(&self, location: &str) {
        let store = self.store(&self.load().await);
        store.put_new(location, Bytes::from(vec![0; FILE_BYTES])).await.unwrap();
    }

    /// Everything in the table's folder, sorted.
    pub async fn files(&self) -> Vec<String> {
        let loaded = self.load().await;
        let listed = self.store(&loaded).list(loaded.metadata().location()).await.unwrap();
        let mut files: Vec<String> = listed.into_iter().map(|(location, _)| location).collect();
        files.sort();
        files
    }

    /// One commit with a real file of so many rows for each of the event types.
    pub async fn commit_rows(&self, types: &[&str], rows: usize) {
        let files = types.iter().map(|event_type| (*event_type, clicks(event_type, rows, |_| Some(new_id()))));
        self.commit_batches(&files.collect::<Vec<_>>()).await;
    }

    /// One commit with a file of the events of these numbers, each with an id of its own.
    pub async fn commit_events(&self, event_type: &str, numbers: Range<usize>) {
        self.commit_events_at(event_type, numbers, 0).await;
    }

    /// The same, taken in at this time.
    pub async fn commit_events_at(&self, event_type: &str, numbers: Range<usize>, taken_in: i64) {
        let id = |row: usize| Some(format!("event-{}", numbers.start + row));
        let rows = clicks(event_type, numbers.len(), id);
        let place = rows.schema().index_of("ingestion_timestamp").unwrap();
        let times = TimestampMicrosecondArray::from_value(taken_in, numbers.len()).with_timezone(schemas::table::UTC);
        let mut columns = rows.columns().to_vec();
        columns[place] = Arc::new(times);
        let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
        self.commit_batches(&[(event_type, rows)]).await;
    }

    /// One commit with a file of rows without an id.
    pub async fn commit_without_ids(&self, event_type: &str, rows: usize) {
        self.commit_batches(&[(event_type, clicks(event_type, rows, |_| None))]).await;
    }

    /// One commit with a file for each of these batches.
    async fn commit_batches(&self, batches: &[(&str, RecordBatch)]) {
        let loaded = self.load().await;
        let layout = TableLayout::new(loaded.metadata()).unwrap();
        let file = |(event_type, rows): &(&str, RecordBatch)| {
            let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(layout.schema()), None).unwrap();
            writer.write(&layout.arrange(rows).unwrap()).unwrap();
            EncodedFile::finish(writer, key(event_type), rows.num_rows() as u64).unwrap()
        };
        let files: Vec<EncodedFile> = batches.iter().map(file).collect();
        let files = futures::stream::iter(files);
        let files = upload(&self.store(&loaded), &layout, files, "test", 2).await.unwrap();
        self.commit_files(&loaded, files).await;
    }

    /// The ids of the rows of an event type, in their order.
    pub async fn event_ids(&self, event_type: &str) -> Vec<String> {
        let mut ids = Vec::new();
        for rows in of_type(batches(self).await, event_type) {
            let column = rows.column_by_name("event_id").unwrap().as_string::<i32>().clone();
            ids.extend(column.iter().flatten().map(str::to_owned));
        }
        ids.sort_by_key(|id| (id.len(), id.clone()));
        ids
    }

    /// When the rows of an event type were taken in, from the first to the last.
    pub async fn taken_in(&self, event_type: &str) -> Vec<i64> {
        let mut times = Vec::new();
        for rows in of_type(batches(self).await, event_type) {
            let column = rows.column_by_name("ingestion_timestamp").unwrap();
            times.extend(column.as_primitive::<TimestampMicrosecondType>().values());
        }
        times.sort_unstable();
        times
    }

    /// The live data files.
    pub async fn data_files(&self) -> Vec<DataFile> {
        let file_io = self.store(&self.load().await).file_io();
        let mut files = Vec::new();
        for listed in self.manifests().await.iter().filter(|it| it.content == ManifestContentType::Data) {
            let live = manifest::live_entries(listed, &file_io).await.unwrap();
            files.extend(live.iter().map(|entry| entry.data_file().clone()));
        }
        files
    }

    /// The live data files by the order of the commits that brought them.
    pub async fn data_files_in_order(&self) -> Vec<String> {
        let mut entries = self.entries().await.0;
        entries.sort_by_key(|entry| entry.2);
        entries.into_iter().map(|entry| entry.0).collect()
    }

    /// The lowest and the highest value of a column in each live data file, as text.
    pub async fn bounds_of(&self, field_id: i32) -> Vec<(String, String)> {
        let bound = |bounds: &HashMap<i32, Datum>| bounds[&field_id].to_string();
        self.data_files().await.iter().map(|file| (bound(file.lower_bounds()), bound(file.upper_bounds()))).collect()
    }

    /// One commit of these files: an offset for each row.
    pub async fn commit_files(&self, loaded: &LoadedTable, files: Vec<DataFile>) {
        let landed = self.try_commit(loaded, files).await;
        assert!(matches!(landed, Landed::Committed(_)), "{landed:?}");
    }

    /// One commit of files that were begun when the table was as loaded, whatever becomes of it.
    pub async fn try_commit(&self, loaded: &LoadedTable, files: Vec<DataFile>) -> Landed {
        let at = loaded.facts().unwrap().position.next("clicks", 0);
        let start = at.map_or(0, Offset::get);
        let end = start + files.iter().map(|file| file.record_count() as i64).sum::<i64>();
        let range = OffsetRange::new(Offset::new(start).unwrap(), Offset::new(end).unwrap()).unwrap();
        let part = BatchRange::new(range, at.is_none(), range.width(), 0).unwrap();
        let topic = TopicRanges { id: "topic-id".into(), epoch: 0, partitions: BTreeMap::from([(0, part)]) };
        let staged = Staged {
            proposal: Proposal {
                ranges: Ranges::new(BTreeMap::from([("clicks".to_owned(), topic)])).unwrap(),
                sweep_epoch: loaded.facts().unwrap().sweep_epoch,
            },
            files,
            fields: loaded.metadata().current_schema().as_struct().fields().into(),
            spec_id: loaded.metadata().default_partition_spec_id(),
        };
        let store = self.store(loaded);
        let committer = Committer::new(self.client.clone(), loaded, store, "test".to_owned(), Duration::from_secs(60));
        committer.commit(&[staged]).await.remove(0)
    }

    pub async fn manifests(&self) -> Vec<ManifestFile> {
        let loaded = self.load().await;
        let snapshot = loaded.metadata().current_snapshot().unwrap();
        manifest::list(loaded.metadata(), snapshot, &self.store(&loaded).file_io()).await.unwrap()
    }

    /// The live entries, by file, and for each manifest its days in the order of its entries.
    pub async fn entries(&self) -> (Vec<Entry>, Vec<Vec<Literal>>) {
        let file_io = self.store(&self.load().await).file_io();
        let (mut entries, mut days) = (Vec::new(), Vec::new());
        for listed in self.manifests().await {
            let live = manifest::live_entries(&listed, &file_io).await.unwrap();
            days.push(live.iter().map(|entry| entry.data_file().partition().fields()[0].clone().unwrap()).collect());
            entries.extend(live.iter().map(|entry| {
                let (snapshot, sequence) = (entry.snapshot_id(), entry.sequence_number());
                (entry.file_path().to_owned(), snapshot, sequence, entry.file_sequence_number, entry.record_count())
            }));
        }
        entries.sort();
        (entries, days)
    }

    pub async fn set_property(&self, key: &str, value: &str) {
        let update = json!({"requirements": [], "updates": [{"action": "set-properties", "updates": {key: value}}]});
        let outcome = self.client.commit_once(&self.ident, &update).await;
        assert_eq!(outcome, protocol::Outcome::Committed);
    }

    pub async fn rewrite(&self) -> Report {
        rewrite_manifests(&self.client, &self.ident, false).await.unwrap()
    }

    /// A snapshot of a foreign engine that deletes the first row of the partition's first file.
    pub async fn delete_rows(&self, event_type: &str) {
        let first = self.files_of(event_type).await.remove(0);
        self.delete(event_type, &[(&first, &[0])]).await;
    }

    /// Live data files of an event type, in order of their names.
    pub async fn files_of(&self, event_type: &str) -> Vec<String> {
        let of_type = format!("event_type={event_type}/");
        self.entries().await.0.into_iter().map(|entry| entry.0).filter(|file| file.contains(&of_type)).collect()
    }

    /// A snapshot of a foreign engine that deletes the rows at these places, by one position delete file.
    pub async fn delete(&self, event_type: &str, rows: &[(&str, &[i64])]) -> String {
        let named: Vec<(&str, i64)> =
            rows.iter().flat_map(|(file, places)| places.iter().map(|place| (*file, *place))).collect();
        let field = |name: &str, kind: DataType, id: i32| {
            let id = HashMap::from([(FIELD_ID_KEY.to_owned(), id.to_string())]);
            Field::new(name, kind, false).with_metadata(id)
        };
        let schema = Arc::new(Schema::new(vec![
            field("file_path", DataType::Utf8, 2_147_483_546),
            field("pos", DataType::Int64, 2_147_483_545),
        ]));
        let files: StringArray = named.iter().map(|(file, _)| Some(*file)).collect();
        let places: Int64Array = named.iter().map(|(_, place)| Some(*place)).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(files), Arc::new(places)]).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
        writer.write(&batch).unwrap();
        let bytes = Bytes::from(writer.into_inner().unwrap());
        self.commit_deletes(event_type, DataContentType::PositionDeletes, bytes, named.len() as u64).await
    }

    /// A snapshot of a foreign engine that adds a delete file of these bytes, which is to hold so many records; its location.
    pub async fn commit_deletes(
        &self,
        event_type: &str,
        content: DataContentType,
        bytes: Bytes,
        records: u64,
    ) -> String {
        let loaded = self.load().await;
        let (metadata, store) = (loaded.metadata(), self.store(&loaded));
        let layout = TableLayout::new(metadata).unwrap();
        let attempt = uuid::Uuid::new_v4();
        let location = format!("{}/data/{attempt}-deletes.parquet", metadata.location());
        let mut builder = DataFileBuilder::default();
        builder
            .content(content)
            .file_path(location.clone())
            .file_format(DataFileFormat::Parquet)
            .partition(layout.partition_value(&key(event_type)))
            .partition_spec_id(layout.spec_id())
            .record_count(records)
            .file_size_in_bytes(bytes.len() as u64);
        if content == DataContentType::EqualityDeletes {
            builder.equality_ids(Some(vec![1]));
        }
        store.put_new(&location, bytes).await.unwrap();
        self.append_deletes(builder.build().unwrap()).await;
        location
    }

    async fn append_deletes(&self, file: DataFile) {
        let loaded = self.load().await;
        let (metadata, store) = (loaded.metadata(), self.store(&loaded));
        let attempt = uuid::Uuid::new_v4();
        let snapshot_id = i64::from(rand::random::<u32>()) + 1;
        let location = |name: &str| format!("{}/metadata/{attempt}-{name}.avro", metadata.location());
        let output = store.file_io().new_output(location("m0")).unwrap();
        let (schema, spec) =
            (Arc::clone(metadata.current_schema()), metadata.default_partition_spec().as_ref().clone());
        let mut writer = ManifestWriterBuilder::new(output, Some(snapshot_id), schema, spec).build_v2_deletes();
        let (kind, records) = match file.content_type() {
            DataContentType::PositionDeletes => ("position", file.record_count()),
            _ => ("equality", file.record_count()),
        };
        writer.add_file(file, -1).unwrap();
        let mut manifests = self.manifests().await;
        manifests.push(writer.write_manifest_file().await.unwrap());
        let base = metadata.current_snapshot_id();
        let sequence_number = metadata.last_sequence_number() + 1;
        let output = store.file_io().new_output(location("list")).unwrap().writer().await.unwrap();
        let mut list = ManifestListWriter::v2(output, snapshot_id, base, sequence_number);
        list.add_manifests(manifests.into_iter()).unwrap();
        list.close().await.unwrap();
        let mut summary = json!({"operation": "delete", "added-delete-files": "1"});
        let before = &metadata.current_snapshot().unwrap().summary().additional_properties;
        let mut total = |name: &str, more: u64| {
            let now = before.get(name).map_or(0, |text| text.parse::<u64>().unwrap()) + more;
            summary[name] = json!(now.to_string());
        };
        ["total-records", "total-data-files", "total-files-size"].iter().for_each(|name| total(name, 0));
        total("total-delete-files", 1);
        total("total-position-deletes", if kind == "position" { records } else { 0 });
        total("total-equality-deletes", if kind == "equality" { records } else { 0 });
        summary[format!("added-{kind}-deletes")] = json!(records.to_string());
        let update = json!({"requirements": [], "updates": [
            {"action": "add-snapshot", "snapshot": {
                "snapshot-id": snapshot_id, "parent-snapshot-id": base, "sequence-number": sequence_number,
                "timestamp-ms": metadata.last_updated_ms() + 1, "manifest-list": location("list"),
                "summary": summary, "schema-id": metadata.current_schema_id(),
            }},
            {"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": snapshot_id},
        ]});
        let outcome = self.client.commit_once(&self.ident, &update).await;
        assert_eq!(outcome, protocol::Outcome::Committed);
    }

    pub async fn compact(&self, options: &Options) -> Compacted {
        compact(&self.client, &self.ident, options).await.unwrap()
    }

    pub async fn complete(&self) {
        let report = verify(&self.client, &self.ident, VerifyOptions::default()).await.unwrap();
        assert!(report.complete, "{report:#?}");
    }

    /// Complete, but for rows that others have deleted.
    pub async fn complete_but_for_deletes(&self) {
        let options = VerifyOptions { allow_foreign_changes: true, ..VerifyOptions::default() };
        let report = verify(&self.client, &self.ident, options).await.unwrap();
        assert!(report.complete, "{report:#?}");
    }
}

pub const TYPES: [&str; 2] = ["click", "page_view"];

/// A table of so many commits, each with a file of ten rows for each type.
pub async fn small_files(commits: usize) -> Arc<World> {
    let world = Arc::new(World::new().await);
    for _ in 0..commits {
        world.commit_rows(&TYPES, 10).await;
    }
    world
}

/// Every row of the table, as text, in order.
pub async fn rows(world: &World) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in batches(world).await {
        rows.extend((0..batch.num_rows()).map(|row| format!("{:?}", batch.slice(row, 1).columns())));
    }
    rows.sort();
    rows
}

/// The rows of the table as another reader sees them: the `iceberg` crate, file by file.
pub async fn batches(world: &World) -> Vec<RecordBatch> {
    let loaded = world.load().await;
    let table = loaded.to_iceberg(&world.store(&loaded)).unwrap();
    let scan = table.scan().with_concurrency_limit(1).build().unwrap();
    scan.to_arrow().await.unwrap().try_collect().await.unwrap()
}

fn of_type(batches: Vec<RecordBatch>, event_type: &str) -> Vec<RecordBatch> {
    // Each file has one type, and no batch is of two files.
    let is_of =
        |rows: &RecordBatch| rows.column_by_name("event_type").unwrap().as_string::<i32>().value(0) == event_type;
    batches.into_iter().filter(|rows| rows.num_rows() > 0 && is_of(rows)).collect()
}

fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Rows of an event type with these ids.
fn clicks(event_type: &str, rows: usize, id: impl Fn(usize) -> Option<String>) -> RecordBatch {
    batch(rows, |name, row| match name {
        "event_id" => id(row),
        "event_type" => Some(event_type.to_owned()),
        "city" => row.is_multiple_of(2).then(|| "Köln".to_owned()),
        _ => Some(format!("{name}-{}", row % 7)),
    })
}

pub async fn files(world: &World) -> BTreeSet<String> {
    world.entries().await.0.into_iter().map(|entry| entry.0).collect()
}

fn data_file(loaded: &LoadedTable, location: String, day: i32) -> DataFile {
    let spec = loaded.metadata().default_partition_type();
    let value = |kind: &Type| match kind.to_string().as_str() {
        "string" => Some(Literal::string("page_view")),
        _ => Some(Literal::date(day)),
    };
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(location)
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter(spec.fields().iter().map(|field| value(&field.field_type))))
        .partition_spec_id(loaded.metadata().default_partition_spec_id())
        .record_count(1)
        .file_size_in_bytes(FILE_BYTES as u64)
        .build()
        .unwrap()
}
