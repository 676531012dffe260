//! The write path, stage by stage: `cargo bench -p connector --bench write [-- FILTER]`.
//!
//! Events are the demo's journeys, shuffled, so that all partitions are live at once. `route` finds the partition of each row;
//! that its rows are put side by side is the first part of `encode`, which is what a batch costs from
//! decoded rows to finished files, divided by its rows; the bytes that a row takes in these files are printed before.
//! `commit` is one snapshot of 27 files on the embedded catalog, manifest and metadata written to the local disk.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow_array::RecordBatch;
use catalog_sync::catalog::{CatalogClient, CatalogConfig, LoadedTable};
use catalog_sync::commit::{Committer, Staged};
use catalog_sync::create::load_or_create;
use catalog_sync::datafile::EncodedFile;
use catalog_sync::datafile::layout::TableLayout;
use catalog_sync::datafile::metrics::data_file;
use catalog_sync::datafile::settings::WriterSettings;
use catalog_sync::embedded::{EmbeddedCatalog, EmbeddedOptions};
use connector::demo::journeys::{Journeys, Options};
use connector::pipeline::encode::{Encoder, EncoderLimits};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use iceberg::TableIdent;
use protocol::{BatchRange, Landed, Offset, OffsetRange, Proposal, Ranges, TopicRanges};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use schemas::decode::ClickDecoder;
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows of a batch.
const ROWS: u64 = 100_000;
/// Rows that come at a time, as from the connector's decoder.
const STEP: usize = 4_096;
/// Memory of a batch: what a task of two has of the default budget.
const BYTES_MAX: u64 = 24 << 20;

/// Decoded events of so many days, shuffled.
fn rows(days: u32) -> Vec<RecordBatch> {
    let mut events: Vec<_> =
        Journeys::new(7, 1_772_323_200_000_000, Options::spread(ROWS, days)).take(ROWS as usize).collect();
    events.shuffle(&mut StdRng::seed_from_u64(1));
    let mut decoder = ClickDecoder::default();
    let step = |events: &[_]| {
        for event in events {
            decoder.decode(Some(&serde_json::to_vec(event).unwrap()), 1_772_539_200_000_000).unwrap();
        }
        decoder.finish()
    };
    events.chunks(STEP).map(step).collect()
}

fn settings(level: &str) -> WriterSettings {
    let own = BTreeMap::from([("write.parquet.compression-level".to_owned(), level.to_owned())]);
    WriterSettings::new(&HashMap::new(), &own).unwrap()
}

/// Encodes a batch on one thread, and says how many files and bytes it became.
fn encode(layout: &Arc<TableLayout>, settings: &WriterSettings, bytes_max: u64, rows: &[RecordBatch]) -> (u64, u64) {
    let limits = EncoderLimits { bytes_max, threads: 1 };
    let mut encoder = Encoder::new(Arc::clone(layout), settings.clone(), limits);
    for batch in rows {
        encoder.push(batch).unwrap();
    }
    let (files, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let take = |file: EncodedFile| {
        files.fetch_add(1, Ordering::Relaxed);
        bytes.fetch_add(file.bytes.len() as u64, Ordering::Relaxed);
        true
    };
    encoder.finish(take).unwrap();
    (files.into_inner(), bytes.into_inner())
}

/// A table on an embedded catalog of its own.
struct Lake {
    runtime: Runtime,
    client: CatalogClient,
    table: LoadedTable,
    _catalog: EmbeddedCatalog,
    _dir: tempfile::TempDir,
}

impl Lake {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (client, table, catalog) = runtime.block_on(async {
            let catalog = EmbeddedCatalog::start(EmbeddedOptions::below(dir.path())).await.unwrap();
            let client = CatalogClient::connect(CatalogConfig::new(catalog.uri())).await.unwrap();
            let ident = TableIdent::from_strs(["analytics", "clicks"]).unwrap();
            let table = load_or_create(&client, &ident, &BTreeMap::new()).await.unwrap();
            (client, table, catalog)
        });
        Self { runtime, client, table, _catalog: catalog, _dir: dir }
    }

    fn layout(&self) -> Arc<TableLayout> {
        Arc::new(TableLayout::new(self.table.metadata()).unwrap())
    }
}

fn routing(criterion: &mut Criterion) {
    let layout = Lake::new().layout();
    let settings = settings("1");
    let mut group = criterion.benchmark_group("route");
    group.throughput(Throughput::Elements(ROWS)).sample_size(10);
    for (name, days) in [("27 partitions", 3), ("3,600 partitions", 400)] {
        let rows = rows(days);
        group.bench_function(name, |bench| {
            let limits = EncoderLimits { bytes_max: u64::MAX, threads: 1 };
            let encoder = || Encoder::new(Arc::clone(&layout), settings.clone(), limits);
            bench.iter_batched_ref(
                encoder,
                |encoder| rows.iter().for_each(|batch| encoder.push(batch).unwrap()),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn encoding(criterion: &mut Criterion) {
    let layout = Lake::new().layout();
    let (few, many) = (rows(3), rows(400));
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(ROWS)).sample_size(10);
    for level in ["1", "3", "5"] {
        let settings = settings(level);
        let (files, bytes) = encode(&layout, &settings, BYTES_MAX, &few);
        println!("zstd {level}: {:.1} bytes a row in {files} files", bytes as f64 / ROWS as f64);
        let name = format!("27 partitions, zstd {level}");
        group.bench_function(name, |bench| bench.iter(|| encode(&layout, &settings, BYTES_MAX, &few)));
    }
    let settings = settings("1");
    for (name, rows, bytes_max) in [
        ("27 partitions, all rows at the end", &few, u64::MAX),
        ("3,600 partitions, as runs", &many, BYTES_MAX),
        ("3,600 partitions, all rows at the end", &many, u64::MAX),
    ] {
        let (files, bytes) = encode(&layout, &settings, bytes_max, rows);
        println!("{name}: {:.1} bytes a row in {files} files", bytes as f64 / ROWS as f64);
        group.bench_function(name, |bench| bench.iter(|| encode(&layout, &settings, bytes_max, rows)));
    }
    group.finish();
}

/// The next batch: as many offsets as rows, and the files of a small batch under names of their own.
fn staged(lake: &Lake, layout: &TableLayout, files: &[EncodedFile], number: i64) -> Staged {
    let rows: u64 = files.iter().map(|file| file.rows).sum();
    let width = i64::try_from(rows).unwrap();
    let offset = |at: i64| Offset::new(at * width).unwrap();
    let range = OffsetRange::new(offset(number), offset(number + 1)).unwrap();
    let part = BatchRange::new(range, number == 0, rows, 0).unwrap();
    let topic = TopicRanges { id: "topic-id".into(), epoch: 0, partitions: BTreeMap::from([(0, part)]) };
    let describe = |(at, file): (usize, &EncodedFile)| {
        let location = format!("{}{number}-{at}.parquet", layout.partition_location(&file.key));
        data_file(layout, file, &location).unwrap()
    };
    Staged {
        proposal: Proposal {
            ranges: Ranges::new(BTreeMap::from([("clicks".to_owned(), topic)])).unwrap(),
            sweep_epoch: String::new(),
        },
        files: files.iter().enumerate().map(describe).collect(),
        fields: lake.table.metadata().current_schema().as_struct().fields().into(),
        spec_id: layout.spec_id(),
    }
}

fn committing(criterion: &mut Criterion) {
    let lake = Lake::new();
    let layout = lake.layout();
    let made = std::sync::Mutex::new(Vec::new());
    let mut encoder =
        Encoder::new(Arc::clone(&layout), settings("1"), EncoderLimits { bytes_max: u64::MAX, threads: 1 });
    encoder.push(&rows(3)[0]).unwrap();
    encoder.finish(|file| made.lock().map(|mut made| made.push(file)).is_ok()).unwrap();
    let files = made.into_inner().unwrap();
    let store = lake.table.store(&lake.client.config().storage).unwrap();
    let give_up = Duration::from_secs(60);
    let committer = Committer::new(lake.client.clone(), &lake.table, store, "bench".to_owned(), give_up);
    let mut number = -1;
    let mut next = || {
        number += 1;
        staged(&lake, &layout, &files, number)
    };
    let mut group = criterion.benchmark_group("commit");
    group.sample_size(10);
    group.bench_function(format!("{} files, embedded catalog", files.len()), |bench| {
        let commit = |batch: Staged| {
            let landed = lake.runtime.block_on(committer.commit(std::slice::from_ref(&batch))).remove(0);
            assert!(matches!(landed, Landed::Committed(_)), "{landed:?}");
        };
        bench.iter_batched(&mut next, commit, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, routing, encoding, committing);
criterion_main!(benches);
