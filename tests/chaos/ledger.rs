//! The ledger: every event that Kafka acknowledged, with what it says; and the audit of the table against it, by PyIceberg.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use connector::demo::journeys::{Journeys, Options, span_micros};
use it::events::malformed;
use it::kafka::{Kafka, Record};
use it::pyiceberg;
use it::trial::Trial;
use it::wait::say;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::task::JoinHandle;

const SCRIPT: &str = include_str!("read_events.py");
/// Events of one portion.
const PORTION: u64 = 200;
/// Pause between two portions: with it about 400 events a second.
const PAUSE: Duration = Duration::from_millis(450);
/// A malformed record after so many events.
const MALFORMED_EVERY: u64 = 100;

/// What was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Event id -> what the row must say.
    events: BTreeMap<String, String>,
    malformed: u64,
}

/// A producer at work.
pub(crate) struct Producer {
    stop: Arc<AtomicBool>,
    work: Option<JoinHandle<Result<Ledger>>>,
}

impl Producer {
    /// Produces until it is stopped, straight to the broker.
    pub(crate) fn start(trial: &Trial, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, kafka, topic) = (Arc::clone(&stop), trial.kafka.clone(), trial.topics[0].clone());
        let work = tokio::task::spawn_blocking(move || produce(&kafka, &topic, seed, &stopped));
        Self { stop, work: Some(work) }
    }

    /// Ends it; the account of all that was acknowledged.
    pub(crate) async fn stop(mut self) -> Result<Ledger> {
        self.stop.store(true, Ordering::SeqCst);
        self.work.take().context("a producer ends once")?.await?
    }
}

/// A run that has failed does not wait for it for ever.
impl Drop for Producer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn produce(kafka: &Kafka, topic: &str, seed: u64, stopped: &AtomicBool) -> Result<Ledger> {
    let mut ledger = Ledger::default();
    let mut bad = malformed()?.into_iter().cycle();
    for portion in 0.. {
        if stopped.load(Ordering::SeqCst) {
            break;
        }
        let seed = seed.wrapping_mul(1_000_000).wrapping_add(portion);
        let options = Options::spread(PORTION, 1);
        let start = Utc::now().timestamp_micros() - span_micros(seed, PORTION, options);
        let mut records: Vec<Record> = Vec::new();
        for event in Journeys::new(seed, start, options).take(usize::try_from(PORTION)?) {
            let micros = DateTime::parse_from_rfc3339(&event.event_timestamp)?.timestamp_micros();
            let text = |field: &Option<String>| field.clone().unwrap_or_default();
            let says = [&event.event_type, &text(&event.user_id), &text(&event.session_id), &text(&event.page_url)];
            let says = format!("{micros}\t{}", says.map(String::as_str).join("\t"));
            let twice = ledger.events.insert(event.event_id.clone(), says);
            ensure!(twice.is_none(), "event id {} was made twice", event.event_id);
            records.push((event.user_id.clone(), Some(serde_json::to_vec(&event)?)));
            if (ledger.events.len() as u64).is_multiple_of(MALFORMED_EVERY) {
                let (_, value) = bad.next().context("there are malformed records")?;
                records.push((None, value));
                ledger.malformed += 1;
            }
        }
        // Fails unless every record is acknowledged: then the account would be a guess.
        kafka.produce(topic, records)?;
        std::thread::sleep(PAUSE);
    }
    Ok(ledger)
}

impl Ledger {
    /// Events.
    pub(crate) fn events(&self) -> usize {
        self.events.len()
    }

    /// Malformed records.
    pub(crate) fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Holds the table, read by PyIceberg, against the ledger: every event once, as it was sent, and nothing else but the
    /// rows that others appended. Every malformed record must be among the dead letters.
    pub(crate) async fn audit(&self, trial: &Trial, foreign_rows: u64) -> Result<()> {
        let request = json!({"catalog": pyiceberg::catalog(&trial.stack), "table": trial.table}).to_string();
        let mut command = Command::new(&trial.stack.python);
        command.args(["-c", SCRIPT, &request]).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("start PyIceberg")?;
        let mut lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        let (mut open, mut foreign) = (self.events.clone(), 0);
        let (mut differ, mut surplus) = (Vec::new(), Vec::new());
        while let Some(line) = lines.next_line().await? {
            let (id, says) = line.split_once('\t').with_context(|| format!("{line:?} is no row"))?;
            match open.remove(id) {
                Some(expected) if expected == says => {}
                Some(expected) => differ.push(format!("{id}: {says:?}, sent {expected:?}")),
                None if self.events.contains_key(id) => surplus.push(id.to_owned()),
                None => foreign += 1,
            }
        }
        let status = child.wait().await?;
        ensure!(status.success(), "PyIceberg ended with {status}");
        say(format!("pyiceberg: {} events, {foreign} rows of others", self.events.len() - open.len()));
        let some = |ids: &mut dyn Iterator<Item = &String>| ids.take(3).cloned().collect::<Vec<_>>().join(", ");
        ensure!(open.is_empty(), "{} events are lost: {}", open.len(), some(&mut open.keys()));
        ensure!(surplus.is_empty(), "{} rows come twice: {}", surplus.len(), some(&mut surplus.iter()));
        ensure!(differ.is_empty(), "{} rows differ: {}", differ.len(), some(&mut differ.iter()));
        ensure!(foreign == foreign_rows, "{foreign} rows of others, who appended {foreign_rows}");
        let position = trial.counts().await?;
        let account = (position.rows, position.rejects);
        ensure!(account == (self.events.len() as u64, self.malformed), "the position accounts for {position:?}");
        // A letter may be there twice after a kill, and none may be missing.
        let letters = trial.kafka.read_all(&trial.rejects)?;
        let places: std::collections::BTreeSet<String> =
            letters.iter().map(|letter| format!("{:?}", PLACE.map(|header| letter.headers.get(header)))).collect();
        ensure!(places.len() as u64 == self.malformed, "{} dead letters of {}", places.len(), self.malformed);
        Ok(())
    }
}

/// Headers that say which record a dead letter was.
const PLACE: [&str; 3] = ["__connect.errors.topic", "__connect.errors.partition", "__connect.errors.offset"];
