//! The way in, before anything is decoded: `cargo bench -p connector --bench consume`.
//!
//! The demo's journeys lie, compressed with lz4, in four partitions of librdkafka's mock broker. Measured is the time until a
//! task's consumer, with the settings of the connector's defaults, has handed out every record once: fetched, checked,
//! unpacked, polled. The broker and the client's own threads work beside the polling one, so it is time, not CPU.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use connector::config::parse;
use connector::demo::journeys::{Journeys, Options};
use connector::kafka::consumer::consumer_config;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOPIC: &str = "clicks";
const PARTITIONS: i32 = 4;
/// Records in the topic; the mock broker keeps 5 MiB of each partition.
const RECORDS: u64 = 80_000;
/// Longest wait for a record.
const WAIT: Duration = Duration::from_secs(10);

fn filled() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, PARTITIONS, 1).unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("compression.type", "lz4").set("linger.ms", "20");
    let producer: BaseProducer = config.create().unwrap();
    let events = Journeys::new(7, 1_772_323_200_000_000, Options::spread(RECORDS, 3)).take(RECORDS as usize);
    for (number, event) in events.enumerate() {
        let value = serde_json::to_vec(&event).unwrap();
        let partition = i32::try_from(number % PARTITIONS as usize).unwrap();
        producer.send(BaseRecord::<(), _>::to(TOPIC).partition(partition).payload(&value)).map_err(|e| e.0).unwrap();
        producer.poll(Duration::ZERO);
    }
    producer.flush(WAIT).unwrap();
    cluster
}

fn consumer(bootstrap_servers: &str) -> BaseConsumer {
    let own = [
        ("connector.class", "org.clickstream.IcebergSinkConnector"),
        ("topics", TOPIC),
        ("iceberg.tables", "analytics.clickstream"),
        ("iceberg.catalog.type", "rest"),
        ("iceberg.catalog.uri", "http://127.0.0.1:1/iceberg/"),
        ("iceberg.catalog.warehouse", "warehouse"),
    ];
    let own: BTreeMap<_, _> = own.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    consumer_config(bootstrap_servers, &parse("bench", &own).unwrap(), 0).create().unwrap()
}

/// Reads everything from the beginning; the bytes of all values.
fn read(consumer: &BaseConsumer) -> usize {
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(TOPIC, partition, Offset::Offset(0)).unwrap();
    }
    consumer.assign(&list).unwrap();
    (0..RECORDS).map(|_| consumer.poll(WAIT).unwrap().unwrap().payload().map_or(0, <[u8]>::len)).sum()
}

fn consuming(criterion: &mut Criterion) {
    let cluster = filled();
    let consumer = consumer(&cluster.bootstrap_servers());
    let bytes = read(&consumer) as u64;
    let mut group = criterion.benchmark_group("consume");
    group.throughput(Throughput::Elements(RECORDS)).sample_size(10);
    group.bench_function(format!("{} bytes a record, mock broker", bytes / RECORDS), |bench| {
        bench.iter(|| read(&consumer));
    });
    group.finish();
}

criterion_group!(benches, consuming);
criterion_main!(benches);
