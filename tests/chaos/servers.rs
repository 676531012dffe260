//! What befalls the servers and the table itself: Kafka's connections and the broker, the catalog, and others who commit.

use std::time::{Duration, Instant};

use anyhow::Result;
use it::foreign::Appender;
use it::proxy::tcp::{Mode, TcpProxy};
use it::servers;
use it::trial::Trial;
use it::trino::query_error;
use it::wait::say;
use rand::Rng;
use rand::rngs::StdRng;

use crate::tally::Tally;

/// One misfortune after another until the time is over. Returns the rows that others appended.
pub(crate) async fn suffer(
    trial: &Trial,
    kafka: &TcpProxy,
    tally: &Tally,
    end: Instant,
    mut rng: StdRng,
) -> Result<u64> {
    let mut rows = 0;
    let mut turn = 0_u64;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(rng.random_range(1_000..5_000))).await;
        // In turn, so that a short run has some of each; the moments are random.
        turn += 1;
        match turn % 8 {
            1 => wire(kafka, Mode::Cut, "kafka: connections reset", &mut rng, tally).await,
            2 | 6 => optimize(trial, tally).await?,
            3 => wire(kafka, Mode::Stall, "kafka: connections stalled", &mut rng, tally).await,
            4 => rows += append(trial, &mut rng, tally).await?,
            5 => wire(kafka, Mode::Swallow, "kafka: half-open connections", &mut rng, tally).await,
            7 => restart(trial, "kafka", "kafka: broker killed and started", &mut rng, tally).await?,
            _ => restart(trial, "nessie", "catalog killed and started", &mut rng, tally).await?,
        }
    }
    kafka.set(Mode::Pass);
    Ok(rows)
}

async fn wire(kafka: &TcpProxy, mode: Mode, fault: &str, rng: &mut StdRng, tally: &Tally) {
    kafka.set(mode);
    tokio::time::sleep(Duration::from_millis(rng.random_range(500..4_000))).await;
    kafka.set(Mode::Pass);
    tally.count(fault);
}

async fn restart(trial: &Trial, name: &str, fault: &str, rng: &mut StdRng, tally: &Tally) -> Result<()> {
    servers::kill(&trial.stack, name).await?;
    tokio::time::sleep(Duration::from_millis(rng.random_range(0..2_000))).await;
    servers::start(name).await?;
    tally.count(fault);
    Ok(())
}

/// Trino rewrites files and commits, without a word about offsets; or loses the race.
async fn optimize(trial: &Trial, tally: &Tally) -> Result<()> {
    match trial.trino.query(&format!("ALTER TABLE {} EXECUTE optimize", trial.sql_name())).await {
        Ok(_) => tally.count("foreign: trino optimize"),
        Err(error) if query_error(&error).is_some() => tally.count("foreign: trino optimize, lost the race"),
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn append(trial: &Trial, rng: &mut StdRng, tally: &Tally) -> Result<u64> {
    let appender = Appender::start(&trial.stack, &trial.table, Duration::from_millis(rng.random_range(100..600)))?;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let appended = appender.stop().await?;
    say(format!("pyiceberg appended {} rows, and lost {} times", appended.rows, appended.lost));
    for _ in 0..appended.rows {
        tally.count("foreign: pyiceberg append");
    }
    Ok(appended.rows)
}
