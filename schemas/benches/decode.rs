//! From bytes to columns: `cargo bench -p schemas --bench decode`. The figure is for a batch, throughput is in events.
#![allow(missing_docs, clippy::unwrap_used)]

mod events;

use arrow_array::RecordBatch;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use schemas::decode::ClickDecoder;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows that come at a time, as to the connector's decoder.
const EVENTS: usize = 4_096;
/// Time of taking in.
const NOW: i64 = 1_772_539_200_000_000;

fn decode(decoder: &mut ClickDecoder, records: &[Vec<u8>]) -> RecordBatch {
    for record in records {
        decoder.decode(Some(record), NOW).unwrap();
    }
    decoder.finish()
}

fn decoding(criterion: &mut Criterion) {
    let records = events::records(EVENTS, 7);
    let bytes: usize = records.iter().map(Vec::len).sum();
    let mut decoder = ClickDecoder::default();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function(format!("{EVENTS} events of {} bytes", bytes / EVENTS), |bench| {
        bench.iter(|| decode(&mut decoder, &records));
    });
    group.finish();
}

criterion_group!(benches, decoding);
criterion_main!(benches);
