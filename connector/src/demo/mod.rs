//! `connector demo`: the whole pipeline in one process, from visitors to answers.
//!
//! ```text
//!   journeys/    visitors of a small shop, from a seed             produce.rs   their events into the topic
//!   broker.rs    the embedded broker                               stack.rs     broker, catalog, worker; the registration
//!   lake.rs      the table, through its catalog                    report.rs    what came of it, and whether it adds up
//!   cli.rs       arguments, directory                              progress.rs  what is said meanwhile
//! ```
//!
//! It is the production code with smaller servers around it. The run counts as good only if the table holds exactly one row
//! for every record produced, less the dead letters, and no event id twice: asked of the table, by query. Called by `main`.

mod broker;
mod cli;
mod error;
pub mod journeys;
mod lake;
mod produce;
mod progress;
mod report;
mod stack;

use std::io::Write;
use std::pin::Pin;
use std::time::{Duration, Instant};

use catalog_sync::print;
use catalog_sync::query::ANALYSES;
use chrono::Utc;
use indicatif::HumanCount;
use schemas::click::ClickEvent;

pub use self::cli::{DIR_DEFAULT, DemoArgs};
pub use self::error::DemoError;
pub use self::report::Report;

use self::cli::Place;
use self::journeys::{Journeys, Options, span_micros};
use self::produce::{CHUNK, Feeder};
use self::progress::{Progress, StatusLine, say};
use self::report::Run;
use self::stack::{EVENTS, Stack};

/// How often the table is asked how far it is.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// A table that does not get on for so long is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(90);

/// How often the trickle's status is told.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// Runs the demo until its end, or until `shutdown` is ready, and gives its report.
///
/// # Errors
/// See [`DemoError`]; everything that was started has been stopped by then.
pub async fn run(args: &DemoArgs, shutdown: impl Future<Output = ()>) -> Result<Report, DemoError> {
    let started = Instant::now();
    let place = Place::open(args)?;
    say(&format!("clickstream demo in {}", place.path().display()));
    let mut stack = Box::pin(Stack::start(place.path(), args.addresses())).await?;
    let mut shutdown = std::pin::pin!(shutdown);
    let outcome = Box::pin(play(&mut stack, args, &place, started, shutdown.as_mut())).await;
    stack.stop().await;
    let report = outcome?;
    if args.json {
        let json = serde_json::to_string_pretty(&report).unwrap_or_default();
        out(&json)?;
    }
    if report.contradictions().is_empty() { Ok(report) } else { Err(DemoError::Contradiction(Box::new(report))) }
}

type Shutdown<'a, F> = Pin<&'a mut F>;

async fn play<F: Future<Output = ()>>(
    stack: &mut Stack,
    args: &DemoArgs,
    place: &Place,
    started: Instant,
    mut shutdown: Shutdown<'_, F>,
) -> Result<Report, DemoError> {
    let before = stack.lake.holdings().await?;
    // Another seed for each continuation, or the same visits would come again.
    let seed = args.seed.wrapping_add(before.rows);
    let mut run = Run { started, before, produced: 0, seed, dir: place.path().to_owned() };
    tell_servers(stack, before.rows);
    stack.register().await?;
    let mut feeder = Feeder::new(stack.broker.bootstrap_servers(), EVENTS.0)?;
    let events = past_journeys(args, seed);
    tokio::select! {
        biased;
        () = shutdown.as_mut() => return Err(DemoError::Interrupted),
        fed = feed(stack, &mut feeder, args.events, events) => fed?,
    }
    run.produced = feeder.produced();
    let mut report = Report::read(stack, &run).await?;
    say(&report.to_string());
    if !args.json {
        print_analyses(stack).await?;
        out(&what_next(stack, args, place))?;
    }
    if !args.once {
        trickle(stack, &mut feeder, args, seed, shutdown).await?;
        stack.stop_worker().await;
        run.produced = feeder.produced();
        report = Report::read(stack, &run).await?;
        say(&report.to_string());
    }
    Ok(report)
}

fn tell_servers(stack: &Stack, rows_before: u64) {
    say(&format!("  broker   {}", stack.broker.bootstrap_servers()));
    say(&format!("  catalog  {}", stack.catalog_uri()));
    say(&format!("  worker   {}", stack.rest_url()));
    if rows_before > 0 {
        say(&format!("  the table is there already, with {} rows", HumanCount(rows_before)));
    }
}

fn now_micros() -> i64 {
    Utc::now().timestamp_micros()
}

/// As many events as are wanted, the last of them about now.
fn past_journeys(args: &DemoArgs, seed: u64) -> impl Iterator<Item = ClickEvent> {
    let options = Options::spread(args.events, args.days);
    let start = now_micros() - span_micros(seed, args.events, options);
    let count = usize::try_from(args.events).unwrap_or(usize::MAX);
    Journeys::new(seed, start, options).take(count)
}

/// Sends the events as fast as the broker can hold them, and returns when the table has them all.
async fn feed(
    stack: &Stack,
    feeder: &mut Feeder,
    total: u64,
    mut events: impl Iterator<Item = ClickEvent>,
) -> Result<(), DemoError> {
    let mut progress = Progress::start(total);
    let mut patience = Patience::new();
    let mut ended = false;
    loop {
        while !ended && feeder.has_room() {
            let chunk: Vec<ClickEvent> = events.by_ref().take(CHUNK).collect();
            ended = chunk.len() < CHUNK;
            feeder.send(&chunk).await?;
            progress.at(feeder.produced(), feeder.waiting());
        }
        settle(stack, feeder, &mut patience).await?;
        progress.at(feeder.produced(), feeder.waiting());
        if ended && feeder.waiting() == 0 {
            return Ok(());
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Asks the table how far it is, and the connector whether it is well.
async fn settle(stack: &Stack, feeder: &mut Feeder, patience: &mut Patience) -> Result<(), DemoError> {
    feeder.settle(&stack.lake.position().await?, stack.topic_id());
    patience.check(feeder.produced() - feeder.waiting(), feeder.waiting())?;
    if feeder.waiting() > 0 { stack.check().await } else { Ok(()) }
}

/// Notices when nothing gets on.
struct Patience {
    settled: u64,
    since: Instant,
}

impl Patience {
    fn new() -> Self {
        Self { settled: 0, since: Instant::now() }
    }

    fn check(&mut self, settled: u64, waiting: u64) -> Result<(), DemoError> {
        if settled > self.settled || waiting == 0 {
            *self = Self { settled, since: Instant::now() };
        }
        if self.since.elapsed() > STALL_TIMEOUT { Err(DemoError::Stalled { waiting }) } else { Ok(()) }
    }
}

/// Visitors come and go along the clock until `shutdown` is ready; then waits for their last events to be in the table.
async fn trickle<F: Future<Output = ()>>(
    stack: &Stack,
    feeder: &mut Feeder,
    args: &DemoArgs,
    seed: u64,
    mut shutdown: Shutdown<'_, F>,
) -> Result<(), DemoError> {
    let mut visitors = Journeys::new(seed.wrapping_add(feeder.produced()), now_micros(), Options::rate(args.rate));
    let mut patience = Patience::new();
    let status = StatusLine::start();
    let mut told = Instant::now();
    loop {
        tokio::select! {
            biased;
            () = shutdown.as_mut() => break,
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
        let now = now_micros();
        while feeder.has_room() {
            let chunk: Vec<ClickEvent> = std::iter::from_fn(|| visitors.next_by(now)).take(CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            feeder.send(&chunk).await?;
        }
        settle(stack, feeder, &mut patience).await?;
        if told.elapsed() >= STATUS_INTERVAL {
            told = Instant::now();
            let rows = stack.lake.position().await?.counts().rows;
            let waiting = feeder.waiting();
            status
                .set(format!("  {} rows in the table, {waiting} records on their way; Ctrl-C ends", HumanCount(rows)));
        }
    }
    drop(status);
    say("stopping: waiting for the last commit");
    feed(stack, feeder, feeder.produced(), std::iter::empty()).await
}

async fn print_analyses(stack: &Stack) -> Result<(), DemoError> {
    let Some(engine) = stack.lake.engine().await? else { return Ok(()) };
    for analysis in &ANALYSES {
        let batches = engine.sql(analysis.sql).await?;
        print::print(analysis.title, &batches).map_err(|error| DemoError::Print(error.to_string()))?;
    }
    Ok(())
}

fn what_next(stack: &Stack, args: &DemoArgs, place: &Place) -> String {
    let dir = place.path().display();
    if args.once {
        let again = if place.is_kept() {
            format!("  table     {dir}\n  go on     connector demo --dir {dir}")
        } else {
            "  the temporary table is gone now; keep one: connector demo --dir my-demo".to_owned()
        };
        return format!("\nWhat next\n{again}\n  README    configuration, the real stack, guarantees");
    }
    let (rest, catalog) = (stack.rest_url(), stack.catalog_uri());
    format!(
        "\nWhat next (all of it works while this runs)\n  \
         table     {dir}\n  \
         worker    curl {rest}/connectors/{name}/status\n  \
         catalog   {catalog} (Iceberg REST: Trino, Spark, DuckDB, PyIceberg)\n  \
         Python    python -c \"from pyiceberg.catalog import load_catalog; print(load_catalog('demo', type='rest', \
         uri='{catalog}').load_table('{namespace}.{table}').scan(limit=5).to_pandas())\"\n  \
         README    configuration, the real stack, guarantees",
        name = stack::CONNECTOR,
        namespace = lake::NAMESPACE,
        table = catalog_sync::query::TABLE,
    )
}

fn out(text: &str) -> Result<(), DemoError> {
    writeln!(std::io::stdout(), "{text}").map_err(|error| DemoError::Print(error.to_string()))
}
