//! Poison: records made to break a reader, among good ones. Each becomes one dead letter, and nothing else notices.
//!
//! Goal: whatever is in a topic, the batch around it lands, the position accounts for it, and an operator finds the record
//! under its place and reason. Method: one record for each way of being wrong, at either end of what Kafka can carry,
//! between 2,000 events of two partitions; dead letters held against the topic itself, rows read by PyIceberg.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use it::events::{Plan, Sent};
use it::kafka::{Letter, Record};
use it::pyiceberg;
use it::trial::Trial;
use it::wait::say;
use protocol::Counts;

/// Room for a record of 10 MB.
const LARGE: &[(&str, &str)] = &[("max.message.bytes", "12000000")];
/// 10 MB.
const RECORD_BYTES: usize = 10_000_000;
/// What Kafka's topics take by default.
const DEFAULT_TOPIC_BYTES: usize = 1_048_588;
const SOON: Duration = Duration::from_secs(90);

/// An event with one more field.
fn with(field: &str) -> Vec<u8> {
    format!(r#"{{"event_id":"p","event_timestamp":"2026-03-03T12:00:00Z","event_type":"click",{field}}}"#).into_bytes()
}

/// An event of another time.
fn at(time: &str) -> Vec<u8> {
    format!(r#"{{"event_id":"p","event_timestamp":{time},"event_type":"click"}}"#).into_bytes()
}

/// An event of 10 MB, filled with letters.
fn padded(letter: impl FnMut() -> char) -> Vec<u8> {
    let room = RECORD_BYTES - with(r#""page_url":"""#).len();
    let field: String = std::iter::repeat_with(letter).take(room).collect();
    with(&format!(r#""page_url":"{field}""#))
}

/// One that no compression makes much smaller.
fn ten_megabytes() -> Vec<u8> {
    let mut state = 7_u64;
    let noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // 64 characters, none of which JSON escapes.
        char::from(b";=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ-abcdefghijklmnopqrstuvwxyz0123456"[(state >> 58) as usize])
    };
    padded(noise)
}

/// Every kind of poison with the code that it must get.
fn poison() -> Vec<(&'static str, Option<Vec<u8>>)> {
    let nested = format!(r#""x":{}{}"#, "[".repeat(10_000), "]".repeat(10_000));
    let mut not_utf8 = with(r#""city":"Z?rich""#);
    let question = not_utf8.iter().position(|byte| *byte == b'?').unwrap_or_default();
    not_utf8[question] = 0xfc;
    let whole = with(r#""city":"Berlin""#);
    let records = [
        ("not_json", b"GET / HTTP/1.1".to_vec()),
        ("not_json", whole[..whole.len() / 2].to_vec()),
        ("too_large", ten_megabytes()),
        ("too_deep", with(&nested)),
        ("invalid_utf8", not_utf8),
        ("missing_field", b"{}".to_vec()),
        ("missing_field", br#"{"event_id":null,"event_timestamp":"2026-03-03","event_type":"click"}"#.to_vec()),
        ("wrong_type", with(r#""screen_width":"wide""#)),
        ("wrong_type", with(r#""country":["DE"]"#)),
        ("out_of_range", with(r#""screen_width":1e400"#)),
        ("out_of_range", with(r#""screen_width":2147483648"#)),
        ("timestamp_out_of_range", at(r#""0001-01-01T00:00:00Z""#)),
        ("timestamp_out_of_range", at(r#""9999-12-31T23:59:59Z""#)),
        ("timestamp_out_of_range", at("1e400")),
        ("duplicate_key", with(r#""city":"Berlin","city":"Berlin""#)),
        ("empty", Vec::new()),
        ("bom", [b"\xEF\xBB\xBF".as_slice(), &whole].concat()),
    ];
    let mut all: Vec<_> = records.into_iter().map(|(code, value)| (code, Some(value))).collect();
    all.push(("tombstone", None));
    all
}

/// A trial with one topic that takes records of 10 MB.
async fn begin(test: &str, partitions: i32) -> Result<Trial> {
    let mut trial = Trial::begin(test, &[]).await?;
    trial.topics = vec![format!("{}_0", trial.name)];
    trial.kafka.fresh_topic_with(&trial.topics[0], partitions, LARGE).await?;
    Ok(trial)
}

/// Good events, the poison, good events again: in two partitions, so that there is a batch around it in each.
fn produce(trial: &Trial, poison: &[(&'static str, Option<Vec<u8>>)]) -> Result<Sent> {
    let topic = &trial.topics[0];
    tokio::task::block_in_place(|| {
        let mut sent = Plan::events(1, 1_000).produce(&trial.kafka, topic)?;
        let key = |at: usize| Some(format!("k{at}"));
        let records: Vec<Record> = poison.iter().enumerate().map(|(at, (_, value))| (key(at), value.clone())).collect();
        trial.kafka.produce(topic, records)?;
        sent.add(Plan::events(2, 1_000).produce(&trial.kafka, topic)?);
        for (code, _) in poison {
            *sent.malformed.entry((*code).to_owned()).or_default() += 1;
        }
        Ok(sent)
    })
}

/// Every event is a row, every poison a reject, and the table is whole.
async fn landed(trial: &Trial, sent: &Sent) -> Result<()> {
    trial.ingested().await?;
    let found = pyiceberg::read(&trial.stack, &trial.table).await?;
    say(format!("pyiceberg says {} rows, {} distinct", found.rows, found.distinct));
    ensure!((found.rows, found.distinct) == (sent.events, sent.events), "{found:?} for {} events", sent.events);
    let counts = trial.counts().await?;
    let expected = Counts { rows: sent.events, rejects: sent.malformed_count(), ..Counts::default() };
    ensure!(counts == expected, "the position accounts for {counts:?}, produced {expected:?}");
    trial.verified().await
}

fn header<'a>(letter: &'a Letter, name: &str) -> Result<&'a str> {
    letter.headers.get(name).map(String::as_str).with_context(|| format!("no header {name} in {:?}", letter.headers))
}

/// The dead letters, each with the record that its headers point at.
fn letters_and_records(trial: &Trial) -> Result<Vec<(Letter, Letter)>> {
    let topic = &trial.topics[0];
    let records: BTreeMap<(i32, i64), Letter> =
        trial.kafka.read_all(topic)?.into_iter().map(|record| (record.place, record)).collect();
    let pair = |letter: Letter| {
        ensure!(header(&letter, "__connect.errors.topic")? == topic, "from elsewhere: {:?}", letter.headers);
        let place = (
            header(&letter, "__connect.errors.partition")?.parse()?,
            header(&letter, "__connect.errors.offset")?.parse()?,
        );
        let record = records.get(&place).with_context(|| format!("no record at {place:?}"))?.clone();
        Ok((letter, record))
    };
    trial.kafka.read_all(&trial.rejects)?.into_iter().map(pair).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_poison_becomes_one_dead_letter_under_its_place_and_code_and_the_rest_lands() -> Result<()> {
    let trial = begin("poison", 2).await?;
    trial.kafka.fresh_topic_with(&trial.rejects, 1, LARGE).await?;
    let poison = poison();
    let sent = produce(&trial, &poison)?;
    let worker = trial.worker().await?;
    worker.register(&trial.registration(&[])?).await?;
    landed(&trial, &sent).await?;

    let mut by_code: BTreeMap<String, u64> = BTreeMap::new();
    let mut places = BTreeMap::new();
    for (letter, record) in letters_and_records(&trial)? {
        let code = header(&letter, "clickstream.reject.code")?;
        *by_code.entry(code.to_owned()).or_default() += 1;
        ensure!(places.insert(record.place, code.to_owned()).is_none(), "two dead letters for {:?}", record.place);
        ensure!(letter.value == record.value, "the record at {:?} was changed", record.place);
        let wanted = poison.iter().find(|(_, value)| *value == record.value).map(|(code, _)| *code);
        ensure!(wanted == Some(code), "{code} for a record that is {wanted:?}");
        let reason = header(&letter, "__connect.errors.exception.message")?;
        ensure!(reason.starts_with(code) && reason.len() < 1_000, "the reason of {code} is {reason:?}");
        for (name, value) in [
            ("__connect.errors.connector.name", trial.name.as_str()),
            ("__connect.errors.stage", "VALUE_CONVERTER"),
            ("__connect.errors.exception.class.name", "schemas::reject::Reject"),
        ] {
            ensure!(header(&letter, name)? == value, "{name} is {:?}", letter.headers);
        }
        ensure!(!letter.headers.contains_key("clickstream.value.bytes"), "cut without need: {:?}", letter.headers);
    }
    say(format!("{} dead letters under {} codes", places.len(), by_code.len()));
    ensure!(by_code == sent.malformed, "dead letters {by_code:?}, poison {:?}", sent.malformed);
    worker.running(&trial.name, 2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tolerance_the_task_stops_at_the_poison_and_nothing_is_lost_or_passed() -> Result<()> {
    let trial = begin("poison_strict", 1).await?;
    let topic = trial.topics[0].clone();
    let worker = trial.worker().await?;
    let strict = [("errors.tolerance", "none"), ("errors.deadletterqueue.topic.name", ""), ("tasks.max", "1")];
    worker.register(&trial.registration(&strict)?).await?;
    worker.running(&trial.name, 1).await?;
    let mut sent = tokio::task::block_in_place(|| Plan::events(3, 500).produce(&trial.kafka, &topic))?;
    trial.passed(500).await?;

    let poison = [("too_large", Some(ten_megabytes())), ("tombstone", None)];
    sent.add(produce(&trial, &poison)?);
    let trace = worker.trace(&trial.name, &["FAILED"], SOON).await?;
    say(&trace);
    let place = format!("{topic}-0@1500");
    for part in [place.as_str(), "too_large", "10000000 bytes", "errors.tolerance=all"] {
        ensure!(trace.contains(part), "{part:?} is not in: {trace}");
    }
    let next = trial.catalog.position(&trial.table).await?.next(&topic, 0).map(protocol::Offset::get);
    ensure!(
        next.is_some_and(|next| (500..=1_500).contains(&next)),
        "the poison is at 1500, the table stands at {next:?}"
    );
    trial.verified().await?;

    worker.delete(&trial.name).await?;
    trial.kafka.fresh_topic_with(&trial.rejects, 1, LARGE).await?;
    worker.register(&trial.registration(&[("tasks.max", "1")])?).await?;
    landed(&trial, &sent).await?;
    let letters = letters_and_records(&trial)?;
    let places: Vec<_> = letters.iter().map(|(_, record)| record.place).collect();
    ensure!(places == [(0, 1_500), (0, 1_501)], "dead letters for {places:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_too_large_for_its_topic_is_cut_tells_its_size_and_holds_nothing_up() -> Result<()> {
    let trial = begin("poison_cut", 2).await?;
    // The dead letter topic is left to the connector, which makes it with the broker's default.
    let poison = [
        ("too_large", Some(ten_megabytes())),
        ("too_large", Some(padded(|| 'x'))),
        ("wrong_type", Some(with(r#""screen_width":"wide""#))),
    ];
    let sent = produce(&trial, &poison)?;
    let worker = trial.worker().await?;
    worker.register(&trial.registration(&[])?).await?;
    landed(&trial, &sent).await?;

    let letters = letters_and_records(&trial)?;
    ensure!(letters.len() == poison.len(), "{} dead letters for {} records", letters.len(), poison.len());
    for (letter, record) in letters {
        let (value, whole) = (letter.value.unwrap_or_default(), record.value.unwrap_or_default());
        let told = letter.headers.get("clickstream.value.bytes");
        say(format!("{} of {} bytes, told {told:?}", value.len(), whole.len()));
        if Some(&whole) == poison[0].1.as_ref() {
            ensure!(told == Some(&whole.len().to_string()), "{} bytes, but told {told:?}", whole.len());
            ensure!(whole.starts_with(&value), "what is left is no beginning of the record");
            ensure!(
                (DEFAULT_TOPIC_BYTES / 4..DEFAULT_TOPIC_BYTES).contains(&value.len()),
                "{} bytes left",
                value.len()
            );
        } else {
            // What the topic takes, compressed, is not cut.
            ensure!(value == whole && told.is_none(), "{} of {} bytes, told {told:?}", value.len(), whole.len());
        }
    }
    worker.running(&trial.name, 2).await
}
