//! One suite of tests for every kind of store: the local disk always, S3 when `S3_TEST_ENDPOINT` names one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;

use bytes::Bytes;
use uuid::Uuid;

use super::{MULTIPART_FROM_BYTES, Store};
use crate::catalog::StorageConfig;
use crate::secret::Secret;
use crate::storage::StorageError;

async fn keeps_the_contract(store: &Store, folder: &str) {
    creates_once(store, folder).await;
    lists_and_deletes(store, folder).await;
    serves_iceberg(store, folder).await;
}

async fn creates_once(store: &Store, folder: &str) {
    let location = format!("{folder}/metadata/00000 a%2Fb=é.json");
    assert_eq!(store.size(&location).await.unwrap(), None);
    assert!(store.read(&location).await.unwrap_err().is_not_found());
    store.put_new(&location, Bytes::from_static(b"first")).await.unwrap();
    store
        .put_new(&location, Bytes::from_static(b"first"))
        .await
        .expect("the same content again is our own lost answer");
    let error = store.put_new(&location, Bytes::from_static(b"other")).await.unwrap_err();
    assert_eq!(error, StorageError::Exists { location: location.clone() });
    assert_eq!(store.read(&location).await.unwrap(), "first");
    assert_eq!(store.read_range(&location, 1..3).await.unwrap(), "ir");
    assert_eq!(store.size(&location).await.unwrap(), Some(5));
}

async fn lists_and_deletes(store: &Store, folder: &str) {
    let other = format!("{folder}/metadata2/x");
    store.put_new(&other, Bytes::new()).await.unwrap();
    let listed = store.list(&format!("{folder}/metadata")).await.unwrap();
    let location = format!("{folder}/metadata/00000 a%2Fb=é.json");
    assert_eq!(listed, [(location.clone(), 5)]);
    assert_eq!(store.list(folder).await.unwrap().len(), 2);
    assert_eq!(store.list(&format!("{folder}/nothing")).await.unwrap(), []);
    store.delete(&location).await.unwrap();
    store.delete(&location).await.expect("deleting twice is fine");
    assert_eq!(store.size(&location).await.unwrap(), None);
}

async fn serves_iceberg(store: &Store, folder: &str) {
    let io = store.file_io();
    for (name, pieces) in [("small", 3_usize), ("large", 40)] {
        let location = format!("{folder}/data/{name}.parquet");
        let mut writer = io.new_output(&location).unwrap().writer().await.unwrap();
        for piece in 0..pieces {
            writer.write(Bytes::from(vec![u8::try_from(piece).unwrap(); 1 << 20])).await.unwrap();
        }
        writer.close().await.unwrap();
        assert!(writer.close().await.is_err());
        let input = io.new_input(&location).unwrap();
        assert_eq!(input.metadata().await.unwrap().size, (pieces as u64) << 20);
        let reader = input.reader().await.unwrap();
        let range = reader.read((2 << 20) - 1..(2 << 20) + 1).await.unwrap();
        assert_eq!(&range[..], [1, 2]);
        assert!(io.new_output(&location).unwrap().write(Bytes::from_static(b"no")).await.is_err());
    }
    io.delete_prefix(folder).await.unwrap();
    assert_eq!(store.list(folder).await.unwrap(), []);
    asks_once_for_what_lies_within(store, folder).await;
}

async fn asks_once_for_what_lies_within(store: &Store, folder: &str) {
    let location = format!("{folder}/data/once.parquet");
    store.put_new(&location, Bytes::from_static(b"0123456789")).await.unwrap();
    let reader = store.file_io().new_input(&location).unwrap().reader().await.unwrap();
    assert_eq!(reader.read(2..9).await.unwrap(), "2345678");
    store.delete(&location).await.unwrap();
    for (range, text) in [(2..9, "2345678"), (4..6, "45"), (8..9, "8")] {
        assert_eq!(reader.read(range).await.unwrap(), text);
    }
    for range in [1..5, 8..10, 0..1, 9..10] {
        assert!(reader.read(range.clone()).await.is_err(), "{range:?}");
    }
}

#[tokio::test]
async fn the_local_disk_keeps_the_contract_however_its_location_is_spelled() {
    let folder = tempfile::tempdir().unwrap();
    for prefix in ["", "file://", "file:"] {
        let location = format!("{prefix}{}", folder.path().display());
        let store = Store::open(&StorageConfig::default(), &HashMap::new(), &location).unwrap();
        keeps_the_contract(&store, &location).await;
    }
}

#[tokio::test]
async fn a_location_of_another_store_is_refused() {
    let store = Store::open(&StorageConfig::default(), &HashMap::new(), "/tmp").unwrap();
    assert!(matches!(store.read("s3://bucket/x").await, Err(StorageError::OtherStore { .. })));
    assert!(store.file_io().new_input("s3://bucket/x").is_err());
}

#[test]
fn below_is_by_folder_and_not_by_text() {
    let store = Store::open(&StorageConfig::default(), &HashMap::new(), "s3://b/").unwrap();
    assert!(store.is_below("s3a://b/wh/t/metadata", "s3://b/wh/"));
    assert!(store.is_below("s3://b/wh", "s3://b/wh"));
    assert!(!store.is_below("s3://b/wh2/t", "s3://b/wh"));
    assert!(!store.is_below("s3://b/wh/../t", "s3://b/wh"));
    assert!(!store.is_below("s3://c/wh/t", "s3://b/wh"));
}

#[test]
fn a_store_never_shows_a_credential() {
    let config = StorageConfig {
        endpoint: Some("http://127.0.0.1:9".into()),
        access_key_id: Some(Secret::new("the-id")),
        secret_access_key: Some(Secret::new("the-secret")),
        ..StorageConfig::default()
    };
    let store = Store::open(&config, &HashMap::new(), "s3://bucket/x").unwrap();
    let shown = format!("{store:?} {}", serde_json::to_string(&store).unwrap());
    assert!(!shown.contains("the-id") && !shown.contains("the-secret"), "{shown}");
    let again: Store = serde_json::from_str(&serde_json::to_string(&store).unwrap()).unwrap();
    assert_eq!(again.public_settings(), store.public_settings());
}

fn s3_of_the_environment(secret: &str) -> Store {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let config = StorageConfig {
        endpoint: Some(std::env::var("S3_TEST_ENDPOINT").expect("S3_TEST_ENDPOINT is set")),
        region: Some("us-east-1".into()),
        access_key_id: Some(Secret::new(variable("S3_TEST_ACCESS_KEY", "admin"))),
        secret_access_key: Some(Secret::new(secret)),
        ..StorageConfig::default()
    };
    Store::open(&config, &HashMap::new(), "s3://openlakes/").unwrap()
}

#[tokio::test]
#[ignore = "needs an S3 server: S3_TEST_ENDPOINT, a bucket openlakes"]
async fn s3_keeps_the_contract() {
    let secret = std::env::var("S3_TEST_SECRET_KEY").unwrap_or_else(|_| "admin123".to_owned());
    let store = s3_of_the_environment(&secret);
    let folder = format!("s3://openlakes/store-test/{}", Uuid::new_v4());
    keeps_the_contract(&store, &folder).await;

    let location = format!("{folder}/multipart");
    let bytes = Bytes::from(vec![7; MULTIPART_FROM_BYTES + 1]);
    store.put_new(&location, bytes.clone()).await.unwrap();
    assert!(matches!(store.put_new(&location, bytes.clone()).await, Err(StorageError::Exists { .. })));
    assert_eq!(store.size(&location).await.unwrap(), Some(bytes.len() as u64));
    store.delete(&location).await.unwrap();
}

#[tokio::test]
#[ignore = "needs an S3 server: S3_TEST_ENDPOINT, a bucket openlakes"]
async fn a_refused_key_is_not_in_the_error() {
    let store = s3_of_the_environment("a-wrong-secret");
    let error = store.put_new("s3://openlakes/store-test/refused", Bytes::from_static(b"x")).await.unwrap_err();
    assert!(matches!(error, StorageError::Denied { .. }), "{error:?}");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("a-wrong-secret") && !shown.contains("AWSAccessKeyId"), "{shown}");
}
