//! Tests of [`super`]: topic ids of brokers that have them and of those that have not.

#![allow(clippy::unwrap_used)]

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::mocking::MockCluster;
use uuid::Uuid;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(10);

fn admin(bootstrap_servers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", bootstrap_servers).create().unwrap()
}

#[test]
fn ids_are_printed_as_kafka_prints_them() {
    // The two alphabets of base64 differ in the last two characters: 0xfb 0xff holds both.
    let id = i64::from_be_bytes([0xfb, 0xff, 0xbf, 0, 0, 0, 0, 1]);
    assert_eq!(printed(id, 2).unwrap(), "-_-_AAAAAAEAAAAAAAAAAg");
    assert_eq!(printed(0, 0), None);
}

#[test]
fn a_name_that_cannot_be_a_topic_is_refused_before_anything_is_sent() {
    let admin = admin("127.0.0.1:1");
    for name in ["", "a\0b"] {
        assert_eq!(topic_ids(admin.inner(), &[name.to_owned()], TIMEOUT), Err(TopicIdError::Name(name.to_owned())));
    }
}

#[test]
fn a_broker_that_does_not_answer_is_an_error() {
    let admin = admin("127.0.0.1:1");
    let answer = topic_ids(admin.inner(), &["clicks".to_owned()], Duration::from_millis(300));
    assert!(matches!(answer, Err(TopicIdError::Request(_))), "{answer:?}");
}

#[test]
fn the_embedded_broker_does_not_answer_and_that_is_not_taken_for_no_id() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("clicks", 1, 1).unwrap();
    let admin = admin(&cluster.bootstrap_servers());
    let topics = ["clicks".to_owned(), "clicks".to_owned()];
    let answer = topic_ids(admin.inner(), &topics, Duration::from_millis(500));
    assert_eq!(answer, Err(TopicIdError::Request(RDKafkaErrorCode::OperationTimedOut)));
}

/// Against a real broker: `KAFKA_TEST_BOOTSTRAP=127.0.0.1:9092`.
#[tokio::test]
async fn a_topic_made_again_has_another_id() {
    let Ok(bootstrap) = std::env::var("KAFKA_TEST_BOOTSTRAP") else { return };
    let admin = admin(&bootstrap);
    let (name, options) = (format!("topic-id-test-{}", Uuid::now_v7()), AdminOptions::new());
    let mut ids = Vec::new();
    for _ in 0..2 {
        let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
        // Kafka deletes in the background: the name is free a moment later.
        while admin.create_topics([&topic], &options).await.unwrap()[0].is_err() {}
        let topics = [name.clone()];
        let answer = loop {
            match topic_ids(admin.inner(), &topics, TIMEOUT) {
                Err(TopicIdError::Topic { code: RDKafkaErrorCode::UnknownTopicOrPartition, .. }) => {}
                answer => break answer.unwrap(),
            }
        };
        ids.push(answer[&name].clone().unwrap());
        admin.delete_topics(&[&name], &options).await.unwrap();
    }
    assert!(ids.iter().all(|id| URL_SAFE_NO_PAD.decode(id).unwrap().len() == 16), "{ids:?}");
    assert_ne!(ids[0], ids[1]);
    let gone = topic_ids(admin.inner(), &["no-such-topic".to_owned()], TIMEOUT);
    let code = RDKafkaErrorCode::UnknownTopicOrPartition;
    assert_eq!(gone, Err(TopicIdError::Topic { topic: "no-such-topic".to_owned(), code }));
}
