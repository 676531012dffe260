//! One round of races of a kind: set up, go, wait until everybody has seen the other's commits, count, and find out from
//! Nessie's history what happened.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use it::events::Plan;
use it::first_writer::{Append, Appended, FirstWriter, Rows};
use it::nessie::Nessie;
use it::trial::Trial;
use it::wait::{Look, say, until};
use it::worker::Worker;
use reqwest::Method;
use serde_json::{Value, json};

use super::First;

/// Records of each topic.
const EVENTS: u64 = 6;
/// Rows that PyIceberg appends to each table.
const ROWS: u64 = 3;

/// Who meets where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Two connectors, no table.
    TwoMake,
    /// Two connectors, a table that somebody made without a snapshot.
    TwoFill,
    /// A connector and PyIceberg, no table.
    OneMakes,
    /// A connector, and PyIceberg that has loaded the table before it had a snapshot.
    OneFills,
}

/// What happened in all rounds.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Who wrote the first snapshot.
    pub(crate) first: First,
    /// Tables that PyIceberg made.
    pub(crate) made_by_pyiceberg: usize,
    /// Conflicts and fences that the connectors logged.
    pub(crate) met: usize,
    /// Conflicts that PyIceberg met.
    pub(crate) refused: u64,
    /// Races in which PyIceberg replaced snapshots of the connector by its own.
    pub(crate) overwritten: usize,
}

impl Tally {
    /// How often somebody wrote the first snapshot.
    pub(crate) fn came_first(&self, who: &str) -> usize {
        self.first.get(who).copied().unwrap_or_default()
    }
}

/// One race.
struct Race {
    number: usize,
    table: String,
    /// Of the left connector, and of the right one: even races share a topic.
    topics: [String; 2],
}

impl Race {
    fn new(trial: &Trial, kind: Kind, number: usize) -> Self {
        let name = format!("{}_{number:03}", trial.name);
        let right = if kind.has_two() && number % 2 == 1 { "right" } else { "left" };
        Self { number, table: format!("analytics.{name}"), topics: [format!("{name}_left"), format!("{name}_{right}")] }
    }

    fn topics(&self) -> &[String] {
        if self.topics[0] == self.topics[1] { &self.topics[..1] } else { &self.topics }
    }

    fn registration(&self, trial: &Trial, side: usize) -> Result<Value> {
        let mut registration = trial.registration(&[
            ("topics", &self.topics[side]),
            ("iceberg.tables", &self.table),
            ("tasks.max", "1"),
            ("commit.interval.ms", "300"),
            ("errors.tolerance", ""),
            ("errors.deadletterqueue.topic.name", ""),
        ])?;
        registration["name"] = json!(self.connector(side));
        Ok(registration)
    }

    fn connector(&self, side: usize) -> String {
        format!("{}_{side}", self.table.trim_start_matches("analytics."))
    }

    /// When PyIceberg takes the table, and how long it holds it. A connector needs about a second for its first commit;
    /// the waits are spread around that, so that either may be first.
    fn append(&self, kind: Kind) -> Append {
        let step = u64::try_from(self.number % 25).unwrap_or_default();
        let (after, hold) = match kind {
            Kind::OneMakes => (step * 10, (step % 5) * 300),
            _ => (0, step * 60),
        };
        // A second commit on top of one that overwrote the connector's must not hide it.
        let rows = if self.number.is_multiple_of(2) { vec![ROWS] } else { vec![ROWS - 1, 1] };
        Append { rows, after: Duration::from_millis(after), hold: Duration::from_millis(hold) }
    }
}

impl Kind {
    fn has_two(self) -> bool {
        matches!(self, Self::TwoMake | Self::TwoFill)
    }

    fn has_table(self) -> bool {
        matches!(self, Self::TwoFill | Self::OneFills)
    }
}

/// Runs the races of these numbers at once.
pub(crate) async fn round(
    trial: &Trial,
    kind: Kind,
    numbers: Range<usize>,
    foreign: &[FirstWriter; 2],
    tally: &mut Tally,
) -> Result<()> {
    let races: Vec<Race> = numbers.clone().map(|number| Race::new(trial, kind, number)).collect();
    let nessie = Nessie::of(&trial.stack)?;
    let head = nessie.head("main").await?;
    fill_topics(trial, &races).await?;
    if kind.has_table() {
        for race in &races {
            trial.catalog.create_without_snapshot(&race.table).await?;
        }
    }
    let tables: Vec<String> = races.iter().map(|race| race.table.clone()).collect();
    if kind == Kind::OneFills {
        // Each process holds all of them; half are taken from it.
        tokio::try_join!(foreign[0].load(&tables), foreign[1].load(&tables))?;
    }
    let sides = if kind.has_two() { 2 } else { 1 };
    let mut workers = Vec::new();
    for side in 0..sides {
        let dir = trial.dir.join(format!("{:03}_{side}", numbers.start));
        workers.push(Worker::start(&trial.stack.brokers, &dir).await?);
    }

    let registered = register(trial, &races, &workers);
    let appended = append(kind, &races, foreign);
    let ((), appended) = tokio::try_join!(registered, appended)?;
    caught_up(&races, &workers).await?;
    all_rows(kind, &races, &foreign[0]).await?;

    let histories = nessie.snapshots_since(&head).await?;
    let logs: Vec<String> = workers.iter().map(Worker::log).collect();
    for race in &races {
        let snapshots = histories.get(&race.table).with_context(|| format!("{} has no history", race.table))?;
        take_note(race, snapshots, &logs, appended.get(&race.number), tally);
    }
    tally.met += logs.iter().flat_map(|log| log.lines()).filter(|line| is_meeting(line)).count();
    for worker in workers {
        worker.kill().await?;
    }
    say(format!("{kind:?}: races {numbers:?} done"));
    Ok(())
}

async fn fill_topics(trial: &Trial, races: &[Race]) -> Result<()> {
    let names: Vec<String> = races.iter().flat_map(|race| race.topics().to_vec()).collect();
    trial.kafka.create_topics(&names, 1).await?;
    let mut records = Vec::new();
    for race in races {
        for (side, topic) in race.topics().iter().enumerate() {
            let seed = (race.number * 2 + side) as u64;
            let (_, all) = Plan { days: 1, ..Plan::events(seed, EVENTS) }.records()?;
            records.extend(all.into_iter().map(|record| (topic.as_str(), record)));
        }
    }
    tokio::task::block_in_place(|| trial.kafka.produce_to(records))?;
    Ok(())
}

/// Registers all at once, each race's two at the same moment.
async fn register(trial: &Trial, races: &[Race], workers: &[Worker]) -> Result<()> {
    for race in races {
        match workers {
            [left, right] => {
                let (for_left, for_right) = (race.registration(trial, 0)?, race.registration(trial, 1)?);
                // Whoever is asked first has a head start; take turns.
                if race.number % 4 < 2 {
                    tokio::try_join!(left.register(&for_left), right.register(&for_right))?;
                } else {
                    tokio::try_join!(right.register(&for_right), left.register(&for_left))?;
                }
            }
            _ => workers[0].register(&race.registration(trial, 0)?).await?,
        }
    }
    Ok(())
}

/// Lets PyIceberg append to all tables, if it takes part.
async fn append(kind: Kind, races: &[Race], foreign: &[FirstWriter; 2]) -> Result<BTreeMap<usize, Appended>> {
    if kind.has_two() {
        return Ok(BTreeMap::new());
    }
    let all = races.iter().map(|race| async move {
        let appended = foreign[race.number % 2].append(&race.table, &race.append(kind)).await;
        appended.map(|appended| (race.number, appended)).with_context(|| race.table.clone())
    });
    futures::future::try_join_all(all).await.map(BTreeMap::from_iter)
}

/// Waits until every connector has seen the table stand at the end of its topic: none has anything left to commit.
async fn caught_up(races: &[Race], workers: &[Worker]) -> Result<()> {
    for race in races {
        for (side, worker) in workers.iter().enumerate() {
            let path = format!("/connectors/{}/offsets", race.connector(side));
            until(&format!("{path} is at the end"), Duration::from_secs(60), async || {
                let (_, answer) = worker.ask(Method::GET, &path, None).await?;
                let offsets = answer["offsets"].as_array().cloned().unwrap_or_default();
                let own = offsets.iter().find(|one| one["partition"]["kafka_topic"] == *race.topics[side]);
                let at = own.map(|one| one["offset"]["kafka_offset"].clone());
                Ok(Look::holds(at == Some(json!(EVENTS)), answer))
            })
            .await?;
        }
    }
    Ok(())
}

/// Waits until every table holds every row once. Too many rows end the wait at once: they never become fewer.
async fn all_rows(kind: Kind, races: &[Race], reader: &FirstWriter) -> Result<()> {
    let foreign = if kind.has_two() { 0 } else { ROWS };
    let mut open: BTreeMap<&str, Rows> = BTreeMap::new();
    for race in races {
        let all = EVENTS * race.topics().len() as u64 + foreign;
        open.insert(&race.table, Rows { all, distinct: all, foreign });
    }
    until("all rows are there", Duration::from_secs(120), async || {
        let tables: Vec<String> = open.keys().map(|table| (*table).to_owned()).collect();
        for (table, found) in reader.count(&tables).await? {
            let expected = open.get(table.as_str()).copied().unwrap_or_default();
            ensure!(found.all <= expected.all && found.all == found.distinct, "{table}: {found:?}, not {expected:?}");
            ensure!(found.foreign == foreign, "{table} lost rows of PyIceberg: {found:?}, not {expected:?}");
            if found == expected {
                open.remove(table.as_str());
            }
        }
        Ok(Look::holds(open.is_empty(), format!("not yet in {} tables: {open:?}", open.len())))
    })
    .await
}

/// Who was first, and what became of it.
fn take_note(race: &Race, snapshots: &[i64], logs: &[String], appended: Option<&Appended>, tally: &mut Tally) {
    let Some(&first) = snapshots.first() else { return };
    let who = match appended {
        Some(appended) if appended.snapshot == first => "pyiceberg",
        Some(_) => "connector",
        None => match logs.iter().position(|log| log.lines().any(|line| is_first_of(line, race, first))) {
            Some(0) => "left",
            Some(_) => "right",
            None => return,
        },
    };
    *tally.first.entry(who).or_default() += 1;
    let Some(appended) = appended else { return };
    tally.made_by_pyiceberg += usize::from(appended.created);
    tally.refused += appended.conflicts;
    tally.overwritten += usize::from(appended.without_base && who == "connector");
}

/// Whether the line says that its connector made the table, or its first snapshot.
fn is_first_of(line: &str, race: &Race, snapshot: i64) -> bool {
    line.contains(&race.table)
        && (line.contains(": created the table") || line.contains(&format!("snapshot_id={snapshot} ")))
}

/// Whether a connector met another writer.
fn is_meeting(line: &str) -> bool {
    ["fenced: another writer", "commit not settled yet", "somebody else created", "went back behind"]
        .iter()
        .any(|said| line.contains(said))
}
