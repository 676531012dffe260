//! Chaos on the real servers: three workers in one consumer group, a producer that never rests, and everything that can
//! go wrong going wrong at the same time; then calm, and the account.
//!
//!     tests/run --chaos 5
//!
//! What must hold, read by PyIceberg, another implementation: every acknowledged event once and none else; every malformed
//! record among the dead letters; `catalog-sync verify` complete, so that every file of the table is there; after the last fault, lag 0 within a minute; and no task
//! left in FAILED. The tally says how often each fault was injected: a run in which too little went wrong has failed, too.
//!
//! `seat.rs` is one worker with proxies of its own and what befalls it, `servers.rs` what befalls the servers, `drizzle.rs`
//! the faults that fall all the time, `ledger.rs` the producer and its account, `tally.rs` the counting.

mod drizzle;
mod ledger;
mod seat;
mod servers;
mod tally;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use it::proxy::tcp::TcpProxy;
use it::trial::Trial;
use it::wait::{Look, say, until};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use ledger::Producer;
use seat::Seat;
use tally::Tally;

/// Workers.
const SEATS: usize = 3;
/// Partitions of the topic: not a multiple of the workers, so that they have unequal shares.
const PARTITIONS: i32 = 4;
/// Promised time from the last fault to lag 0.
const RECOVERY: Duration = Duration::from_secs(60);

const USAGE: &str = "usage: chaos [--minutes N] [--seed N]   (5 minutes and a random seed by default)";

/// What the caller wants.
struct Wanted {
    minutes: f64,
    seed: u64,
}

fn arguments() -> Result<Wanted> {
    let mut wanted = Wanted { minutes: 5.0, seed: rand::rng().random_range(0..1_000_000) };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name}: no value\n{USAGE}"))?;
        match name.as_str() {
            "--minutes" => wanted.minutes = value.parse().with_context(|| USAGE)?,
            "--seed" => wanted.seed = value.parse().with_context(|| USAGE)?,
            _ => bail!("unknown argument {name}\n{USAGE}"),
        }
    }
    ensure!(wanted.minutes > 0.0, "--minutes must be more than 0\n{USAGE}");
    Ok(wanted)
}

#[tokio::main]
async fn main() -> Result<()> {
    let wanted = arguments()?;
    say(format!(
        "chaos for {} minutes, again with: tests/run --chaos {} --seed {}",
        wanted.minutes, wanted.minutes, wanted.seed
    ));
    let trial = Trial::begin("chaos", &[PARTITIONS]).await?;
    let kafka = TcpProxy::start(trial.stack.brokers_advertised_port, &trial.stack.brokers_behind).await?;
    let tally = Tally::default();
    let mut seats = Vec::new();
    for number in 0..SEATS {
        seats.push(Seat::take(number, &trial, &kafka, &tally).await?);
    }
    let producer = Producer::start(&trial, wanted.seed);
    trial.passed(1).await?;

    let end = Instant::now() + Duration::from_secs_f64(wanted.minutes * 60.0);
    let seed = |stream: u64| StdRng::seed_from_u64(wanted.seed.wrapping_mul(1_000).wrapping_add(stream));
    let befall = seats.into_iter().zip(1..).map(|(seat, stream)| seat.suffer(end, seed(stream)));
    let (seats, servers, ()) = tokio::join!(
        futures::future::join_all(befall),
        servers::suffer(&trial, &kafka, &tally, end, seed(0)),
        progress(&trial, &tally, end),
    );
    let foreign_rows = servers?;
    let seats = seats.into_iter().collect::<Result<Vec<_>>>()?;

    say("calm: no more faults");
    let recovery = calm(&trial, &seats).await?;
    let ledger = producer.stop().await?;
    trial.ingested().await?;
    println!("{}", tally.table());
    ledger.audit(&trial, foreign_rows).await?;
    // Others have appended, so that there are more rows than the position accounts for.
    let verify = ["verify", &trial.table, "--allow-foreign-changes", "--json"];
    let report = trial.catalog_sync(&verify).await?.json()?;
    ensure!(report["complete"] == true, "verify: {report}");
    println!(
        "{} events and {} malformed records: 0 lost, 0 duplicated; lag 0 {:.1} s after the last fault",
        ledger.events(),
        ledger.malformed(),
        recovery.as_secs_f64()
    );
    for seat in seats {
        seat.leave().await?;
    }
    tally.enough(wanted.minutes)
}

/// Waits until the table stands where the topic ended when the last fault was over, and no task is left behind.
async fn calm(trial: &Trial, seats: &[Seat]) -> Result<Duration> {
    let began = Instant::now();
    let topic = &trial.topics[0];
    let ends = trial.kafka.ends(topic)?;
    until("lag is 0", RECOVERY, async || {
        let position = trial.catalog.position(&trial.table).await?;
        let behind = |(p, end): (&i32, &i64)| {
            let stands = position.next(topic, *p).map_or(0, protocol::Offset::get);
            (stands < *end).then(|| format!("{p}: {stands} of {end}"))
        };
        let behind: Vec<String> = ends.iter().filter_map(behind).collect();
        Ok(Look::holds(behind.is_empty(), behind.join(", ")))
    })
    .await?;
    let took = began.elapsed();
    for seat in seats {
        seat.is_well().await?;
    }
    Ok(took)
}

/// A line each half minute, so that an hour can be watched.
async fn progress(trial: &Trial, tally: &Tally, end: Instant) {
    while Instant::now() + Duration::from_secs(30) < end {
        tokio::time::sleep(Duration::from_secs(30)).await;
        match trial.counts().await {
            Ok(counts) => say(format!("{} offsets in the table, {} faults so far", counts.offsets(), tally.total())),
            // The catalog is one of those that are killed.
            Err(error) => say(format!("the catalog does not say how far the table is: {error:#}")),
        }
    }
}
