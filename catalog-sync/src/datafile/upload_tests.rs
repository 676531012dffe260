//! Tests of [`super`]: files in the store are those that were promised.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use parquet::arrow::ArrowWriter;

use super::*;
use crate::datafile::testing::{self, clicks, key};

/// A store in memory that counts what is under way at once, and can be told to fail.
#[derive(Default)]
struct Memory {
    objects: Mutex<BTreeMap<String, Bytes>>,
    busy: AtomicUsize,
    busiest: AtomicUsize,
    cut: bool,
    refuse: Option<&'static str>,
}

impl FileStore for Memory {
    async fn put_new(&self, location: &str, bytes: Bytes) -> Result<(), String> {
        let busy = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
        self.busiest.fetch_max(busy, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.busy.fetch_sub(1, Ordering::SeqCst);
        if self.refuse.is_some_and(|part| location.contains(part)) {
            return Err("no room".to_owned());
        }
        let bytes = if self.cut { bytes.slice(1..) } else { bytes };
        let before = self.objects.lock().unwrap().insert(location.to_owned(), bytes);
        before.map_or(Ok(()), |_| Err("it exists".to_owned()))
    }

    async fn size(&self, location: &str) -> Result<Option<u64>, String> {
        Ok(self.objects.lock().unwrap().get(location).map(|bytes| bytes.len() as u64))
    }
}

fn files(count: usize) -> (TableLayout, Vec<EncodedFile>) {
    let layout = TableLayout::new(&testing::table()).unwrap();
    let file = |number: usize| {
        let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(layout.schema()), None).unwrap();
        writer.write(&layout.arrange(&clicks(number + 1)).unwrap()).unwrap();
        // What is in a file does not matter to whoever stores it.
        EncodedFile::finish(writer, key(&format!("type-{number}")), number as u64 + 1).unwrap()
    };
    let files = (0..count).map(file).collect();
    (layout, files)
}

#[tokio::test]
async fn every_file_is_stored_once_and_described_in_order() {
    let (layout, files) = files(9);
    let store = Memory::default();
    let described = upload_to(&store, &layout, futures::stream::iter(files.clone()), "3", 4).await.unwrap();
    let objects = store.objects.lock().unwrap();
    assert_eq!((described.len(), objects.len()), (9, 9));
    for (number, (data_file, file)) in described.iter().zip(&files).enumerate() {
        assert_eq!(objects[data_file.file_path()], file.bytes);
        assert_eq!(data_file.file_size_in_bytes(), file.bytes.len() as u64);
        assert_eq!(data_file.record_count(), file.rows);
        let folder = layout.partition_location(&file.key);
        let name = data_file.file_path().strip_prefix(&folder).unwrap();
        assert!(Uuid::parse_str(&name[..36]).unwrap().get_version_num() == 7);
        assert_eq!(name[36..], format!("-3-{number}.parquet"));
    }
    assert!((2..=4).contains(&store.busiest.load(Ordering::SeqCst)));
}

#[tokio::test]
async fn a_replayed_batch_gets_new_names() {
    let (layout, files) = files(2);
    let store = Memory::default();
    let first = upload_to(&store, &layout, futures::stream::iter(files.clone()), "0", 1).await.unwrap();
    let again = upload_to(&store, &layout, futures::stream::iter(files), "0", 1).await.unwrap();
    assert!(first.iter().all(|file| again.iter().all(|other| other.file_path() != file.file_path())));
    assert_eq!(store.objects.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a_file_that_was_cut_short_is_noticed() {
    let (layout, files) = files(1);
    let size = files[0].bytes.len() as u64;
    let store = Memory { cut: true, ..Memory::default() };
    let error = upload_to(&store, &layout, futures::stream::iter(files), "0", 1).await.unwrap_err();
    assert!(
        matches!(error.cause, UploadFault::Size { expected, found, .. } if expected == size && found == Some(size - 1))
    );
}

#[tokio::test]
async fn a_failure_names_everything_that_may_have_been_stored() {
    let (layout, files) = files(3);
    let store = Memory { refuse: Some("type-1"), ..Memory::default() };
    let error = upload_to(&store, &layout, futures::stream::iter(files), "0", 1).await.unwrap_err();
    assert_eq!(error.staged.len(), 2, "the third was not begun");
    assert!(store.objects.lock().unwrap().keys().all(|stored| error.staged.contains(stored)));
    assert!(error.to_string().ends_with("no room"), "{error}");
}

#[tokio::test]
async fn files_are_stored_on_a_local_disk() {
    let folder = tempfile::tempdir().unwrap();
    let location = format!("file://{}/clicks", folder.path().display());
    let metadata = testing::table_with(
        &schemas::table::iceberg_schema(),
        &schemas::table::partition_spec(),
        &[("write.data.path", &location)],
    );
    let (_, files) = files(2);
    let layout = TableLayout::new(&metadata).unwrap();
    let store = Store::open(&crate::catalog::StorageConfig::default(), &testing::no_properties(), &location).unwrap();
    let described = upload(&store, &layout, futures::stream::iter(files.clone()), "0", 2).await.unwrap();
    for (data_file, file) in described.iter().zip(&files) {
        assert_eq!(store.read(data_file.file_path()).await.unwrap(), file.bytes);
    }
}
