//! Several write the first rows of a table at the same time: connectors, PyIceberg, Trino.
//!
//! Goal: no row of anybody is lost and none comes twice, although the catalog (Nessie before 0.101.1) accepts a first
//! writer who says that there is no snapshot when there is one, and drops the rows of whoever was first. Method: a hundred
//! races of each kind ([`race`]), many at once, each with a topic and a table of its own; and two connectors on a table
//! that Trino made ([`trino`]). The races must be real: both sides must have come first, and the conflicts and overwrites
//! that the protocol is there for must have happened.

mod race;
mod trino;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use it::first_writer::FirstWriter;
use it::trial::Trial;
use it::wait::say;

use race::{Kind, Tally, round};

/// Races of each kind.
const RACES: usize = 100;
/// Races at once.
const AT_ONCE: usize = 25;

#[tokio::test(flavor = "multi_thread")]
async fn two_connectors_make_the_table() -> Result<()> {
    let tally = races(Kind::TwoMake).await?;
    ensure!(tally.came_first("left") > 0 && tally.came_first("right") > 0, "one was always first: {tally:?}");
    ensure!(tally.met > 0, "the two never met: {tally:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connectors_fill_a_table_without_a_snapshot() -> Result<()> {
    let tally = races(Kind::TwoFill).await?;
    ensure!(tally.came_first("left") > 0 && tally.came_first("right") > 0, "one was always first: {tally:?}");
    ensure!(tally.met > 0, "the two never met: {tally:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_and_pyiceberg_make_the_table() -> Result<()> {
    let tally = races(Kind::OneMakes).await?;
    ensure!(tally.made_by_pyiceberg > 0 && tally.made_by_pyiceberg < RACES, "one always made the table: {tally:?}");
    ensure!(tally.came_first("connector") > 0 && tally.came_first("pyiceberg") > 0, "one was always first: {tally:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_and_pyiceberg_fill_a_table_without_a_snapshot() -> Result<()> {
    let tally = races(Kind::OneFills).await?;
    ensure!(tally.came_first("connector") > 0 && tally.came_first("pyiceberg") > 0, "one was always first: {tally:?}");
    ensure!(tally.overwritten > 0, "PyIceberg never overwrote the connector: {tally:?}");
    Ok(())
}

async fn races(kind: Kind) -> Result<Tally> {
    let trial = Trial::begin("first", &[]).await?;
    trial.catalog.ensure_namespace("analytics").await?;
    // Two processes: one alone would bring its appends to one core, one after another.
    let foreign = [FirstWriter::start(&trial.stack)?, FirstWriter::start(&trial.stack)?];
    let mut tally = Tally::default();
    for from in (0..RACES).step_by(AT_ONCE) {
        let races = from..(from + AT_ONCE).min(RACES);
        round(&trial, kind, races.clone(), &foreign, &mut tally)
            .await
            .with_context(|| format!("{kind:?}, races {races:?}, logs {}", trial.dir.display()))?;
    }
    let first: Vec<String> = tally.first.iter().map(|(who, races)| format!("{who} first in {races}")).collect();
    say(format!(
        "{kind:?}: {RACES} races, {}; made by PyIceberg {}, conflicts and fences of connectors {}, conflicts of PyIceberg \
         {}, overwritten by PyIceberg and read again {}",
        first.join(", "),
        tally.made_by_pyiceberg,
        tally.met,
        tally.refused,
        tally.overwritten
    ));
    ensure!(tally.first.values().sum::<usize>() == RACES, "not every race was seen in Nessie's history: {tally:?}");
    Ok(tally)
}

/// Who came first how often.
type First = BTreeMap<&'static str, usize>;
