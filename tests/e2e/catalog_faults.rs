//! What the catalog, or what lies before it, can do to a commit.
//!
//! Goal: whatever becomes of the one POST and of its answer, every event is one row. Method: a proxy before Nessie loses,
//! doubles, delays and garbles chosen requests, others change the table while a commit is held, and Nessie itself is
//! killed; PyIceberg reads back what was produced. Each test asserts that its fault came about.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use it::foreign::Appender;
use it::proxy::gate::Gate;
use it::proxy::requests::{commits, loads};
use it::proxy::rule::{Fault, Garbage, When};
use it::scene::{Scene, Wire};
use it::servers;
use it::wait::{Look, say, until};
use it::worker::Worker;
use serde_json::{Value, json};

/// Longest wait for a request at a gate.
const AT_GATE: Duration = Duration::from_secs(60);
/// A commit that must win three races of five against others, and against foreign commits besides, does so by then.
const STARVED: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn lost_doubled_and_garbled_answers_commit_once() -> Result<()> {
    let mut scene = Scene::begin("lost", &[2]).await?;
    let table = scene.trial.table.clone();
    let _worker = scene.running(&[]).await?;
    let doubled = scene.strike(Wire::Catalog, commits(&table), When::Nth(1), Fault::Duplicate).await?;
    ensure!(doubled.answers() == [200, 409], "the catalog answered {:?} to a doubled commit", doubled.answers());
    for fault in [
        Fault::DropAnswer,
        Fault::Garble(Garbage::Cut),
        Fault::Garble(Garbage::Foreign),
        Fault::Garble(Garbage::Binary),
    ] {
        let rule = scene.strike(Wire::Catalog, commits(&table), When::Nth(1), fault).await?;
        ensure!((rule.hits(), rule.answers()) == (1, vec![200]), "{rule:?} was not applied: {:?}", rule.answers());
    }
    scene.exact(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn server_errors_before_and_after_the_fact_commit_once() -> Result<()> {
    let mut scene = Scene::begin("errors", &[2]).await?;
    let table = scene.trial.table.clone();
    let _worker = scene.running(&[]).await?;
    for status in [500, 502, 503, 504] {
        for fault in [Fault::StatusBefore(status, None), Fault::StatusAfter(status)] {
            let applied = matches!(fault, Fault::StatusAfter(_));
            let rule = scene.strike(Wire::Catalog, commits(&table), When::Nth(1), fault).await?;
            let expected = if applied { vec![200] } else { Vec::new() };
            ensure!((rule.hits(), rule.answers()) == (1, expected), "{rule:?}: {:?}", rule.answers());
            // What was applied is found by looking, and not sent again.
            ensure!(!applied || rule.seen() == 1, "{rule:?}: a commit that was in was sent again");
        }
    }
    scene.exact(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn being_told_to_wait_or_to_log_in_costs_no_row() -> Result<()> {
    let mut scene = Scene::begin("refused", &[2]).await?;
    let table = scene.trial.table.clone();
    let _worker = scene.running(&[]).await?;
    let looked = scene.catalog.inject(loads(&table), When::First(0), Fault::Refuse);
    for fault in [
        Fault::StatusBefore(429, Some(1)),
        Fault::StatusBefore(503, Some(1)),
        Fault::StatusBefore(401, None),
        Fault::StatusBefore(419, None),
        Fault::StatusAfter(401),
    ] {
        let before = looked.seen();
        let rule = scene.strike(Wire::Catalog, commits(&table), When::Nth(1), fault).await?;
        ensure!(rule.hits() == 1, "{rule:?}");
        // Once before the POST that was refused, and once more before anything else is sent.
        until("the table is looked at again", AT_GATE, async || {
            Ok(Look::holds(looked.seen() >= before + 2, looked.seen() - before))
        })
        .await?;
    }
    // The table itself cannot be loaded for a while.
    let deaf = scene.strike(Wire::Catalog, loads(&table), When::First(3), Fault::StatusBefore(503, None)).await?;
    ensure!(deaf.hits() == 3, "{deaf:?}");
    scene.exact(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_arrives_after_its_time_out_is_in_once_or_not_at_all() -> Result<()> {
    let mut scene = Scene::begin("late", &[2]).await?;
    let table = scene.trial.table.clone();
    let _worker = scene.running(&[("commit.timeout.ms", "1000")]).await?;
    // The twin comes when its successor is in: the catalog must refuse it.
    let late = Gate::new("late twin");
    let twin = scene.catalog.inject(commits(&table), When::Nth(1), Fault::Hold(late.clone()));
    scene.produce(400)?;
    late.arrived(1, AT_GATE).await?;
    scene.settled().await?;
    late.open();
    until("the late twin's answer", AT_GATE, async || Ok(Look::holds(!twin.answers().is_empty(), "none"))).await?;
    ensure!(twin.answers() == [409], "the late twin was answered {:?}", twin.answers());
    scene.catalog.lift(&twin);
    // The twin comes before its successor, which is on its way already: that one must be refused, and found to be in.
    let (first, second) = (Gate::new("first"), Gate::new("second"));
    let rule_first = scene.catalog.inject(commits(&table), When::Nth(1), Fault::Hold(first.clone()));
    scene.produce(400)?;
    first.arrived(1, AT_GATE).await?;
    let rule_second = scene.catalog.inject(commits(&table), When::Nth(1), Fault::Hold(second.clone()));
    second.arrived(1, AT_GATE).await?;
    first.open();
    until("the first one's answer", AT_GATE, async || Ok(Look::holds(!rule_first.answers().is_empty(), "none")))
        .await?;
    second.open();
    scene.settled().await?;
    ensure!(rule_first.answers() == [200], "the first was answered {:?}", rule_first.answers());
    ensure!(rule_second.answers() == [409], "the second was answered {:?}", rule_second.answers());
    scene.produce(400)?;
    scene.exact(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_appends_all_the_time_leave_position_and_progress() -> Result<()> {
    let mut scene = Scene::begin("storm", &[2]).await?;
    let table = scene.trial.table.clone();
    let _worker = scene.running(&[]).await?;
    // As if there were more of them.
    let storm = Fault::StatusBefore(409, None);
    let storm = scene.catalog.inject(commits(&table), When::Share { percent: 60, seed: 7 }, storm);
    // Does nothing but keep the catalog's answers.
    let posts = scene.catalog.inject(commits(&table), When::Always, Fault::Delay(Duration::ZERO));
    let appender = Appender::start(&scene.trial.stack, &table, Duration::from_millis(200))?;
    until("the first foreign commit", AT_GATE, async || {
        let summary = scene.trial.catalog.summary(&table).await?;
        Ok(Look::holds(!summary.contains_key(it::catalog::POSITION), "our own snapshot"))
    })
    .await?;
    let (began, mut longest) = (Instant::now(), Duration::ZERO);
    while began.elapsed() < Duration::from_secs(10) {
        scene.produce(200)?;
        let waited = Instant::now();
        scene.trial.ingested().await?;
        longest = longest.max(waited.elapsed());
    }
    let foreign = appender.stop().await?;
    let refused = posts.answers().iter().filter(|status| **status == 409).count();
    let (all, made_up) = (storm.seen(), storm.hits());
    say(format!("{foreign:?}; {all} commits, {refused} refused, {made_up} by the proxy; longest wait {longest:?}"));
    ensure!(made_up >= 5, "{storm:?} is no storm");
    ensure!(foreign.rows >= 5, "only {} foreign commits in ten seconds are no storm", foreign.rows);
    ensure!(longest <= STARVED, "no commit for {longest:?}");
    let found = it::pyiceberg::read(&scene.trial.stack, &table).await?;
    let expected = scene.sent.events + foreign.rows;
    ensure!((found.rows, found.distinct) == (expected, expected), "{found:?}, expected {expected} rows");
    let counts = scene.trial.counts().await?;
    ensure!(counts == scene.sent.counts(), "the position accounts for {counts:?}, produced {:?}", scene.sent.counts());
    let report = scene.trial.catalog_sync(&["verify", &table, "--allow-foreign-changes", "--json"]).await?.json()?;
    ensure!(report["complete"] == true, "verify: {report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_race_that_is_lost_again_and_again_asks_for_what_is_new_only() -> Result<()> {
    const FOREIGN: u64 = 12;
    const RACES: u64 = 8;
    let mut scene = Scene::begin("races", &[2]).await?;
    let table = scene.trial.table.clone();
    let _worker = scene.running(&[]).await?;
    let appender = Appender::start(&scene.trial.stack, &table, Duration::ZERO)?;
    let enough = (scene.sent.events + FOREIGN).to_string();
    until("foreign commits", AT_GATE, async || {
        let rows = scene.trial.catalog.summary(&table).await?.get("total-records").cloned().unwrap_or_default();
        Ok(Look::holds(rows.len() >= enough.len() && rows >= enough, format!("{rows} rows")))
    })
    .await?;
    let foreign = appender.stop().await?;
    let loads = scene.catalog.inject(loads(&table), When::Always, Fault::Delay(Duration::ZERO));
    let lost = scene.catalog.inject(commits(&table), When::First(RACES), Fault::StatusBefore(409, None));
    scene.produce(400)?;
    scene.trial.ingested().await?;
    ensure!(lost.hits() == RACES, "{lost:?} was to be hit {RACES} times");
    // Each foreign state once, two loads a race, and the lookout's.
    let most = foreign.rows + 2 * (RACES + 1) + 4;
    say(format!("{foreign:?}; {RACES} lost races, {} loads, at most {most}", loads.seen()));
    ensure!(loads.seen() <= most, "{} loads for {RACES} lost races above {foreign:?}, at most {most}", loads.seen());
    let found = it::pyiceberg::read(&scene.trial.stack, &table).await?;
    let expected = scene.sent.events + foreign.rows;
    ensure!((found.rows, found.distinct) == (expected, expected), "{found:?}, expected {expected} rows");
    Ok(())
}

/// Holds a commit, changes the table, and lets the commit go.
async fn change_while_a_commit_is_held(scene: &mut Scene, updates: &dyn Fn(&Value) -> Value) -> Result<()> {
    let table = scene.trial.table.clone();
    let gate = Gate::new("commit");
    let rule = scene.catalog.inject(commits(&table), When::Nth(1), Fault::Hold(gate.clone()));
    scene.produce(400)?;
    gate.arrived(1, AT_GATE).await?;
    let metadata = scene.trial.catalog.table(&table).await?.context("the table is there")?;
    scene.trial.catalog.change(&table, updates(&metadata)).await?;
    gate.open();
    until("the held commit's answer", AT_GATE, async || Ok(Look::holds(!rule.answers().is_empty(), "none"))).await?;
    scene.catalog.lift(&rule);
    ensure!(rule.answers() == [409], "the commit that was made before the change: {:?}", rule.answers());
    Ok(())
}

/// The current schema with its fields changed, as the two updates that make it current.
fn new_schema(metadata: &Value, change: &dyn Fn(&mut Vec<Value>)) -> Value {
    let schemas = metadata["schemas"].as_array().cloned().unwrap_or_default();
    let current = schemas.into_iter().find(|schema| schema["schema-id"] == metadata["current-schema-id"]);
    let mut schema = current.unwrap_or_default();
    let mut fields = schema["fields"].as_array().cloned().unwrap_or_default();
    change(&mut fields);
    schema["fields"] = json!(fields);
    schema["schema-id"] = json!(metadata["current-schema-id"].as_i64().unwrap_or_default() + 1);
    let last = metadata["last-column-id"].as_i64().unwrap_or_default() + 1;
    json!([
        {"action": "add-schema", "schema": schema, "last-column-id": last},
        {"action": "set-current-schema", "schema-id": -1},
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_optional_column_added_while_a_commit_is_held_changes_nothing() -> Result<()> {
    let mut scene = Scene::begin("column", &[2]).await?;
    let _worker = scene.running(&[]).await?;
    change_while_a_commit_is_held(&mut scene, &|metadata| {
        let id = metadata["last-column-id"].as_i64().unwrap_or_default() + 1;
        new_schema(metadata, &|fields| {
            fields.push(json!({"id": id, "name": "added_by_others", "required": false, "type": "string"}));
        })
    })
    .await?;
    scene.produce(400)?;
    scene.exact(0).await?;
    let found = it::pyiceberg::read(&scene.trial.stack, &scene.trial.table).await?;
    ensure!(found.columns.contains_key("added_by_others"), "the column was not added: {:?}", found.columns);
    Ok(())
}

/// After a change that the connector cannot follow: it halts, and what is in the table is there once.
async fn halts(scene: &mut Scene, worker: &Worker) -> Result<()> {
    scene.produce(400)?;
    let trace = worker.trace(&scene.trial.name, &["FAILED"], Duration::from_secs(60)).await?;
    say(format!("{}: {trace}", scene.trial.name));
    ensure!(trace.contains("schema-incompatible"), "halted for another reason: {trace}");
    let found = it::pyiceberg::read(&scene.trial.stack, &scene.trial.table).await?;
    let counts = scene.trial.counts().await?;
    ensure!((found.rows, found.distinct) == (counts.rows, counts.rows), "{found:?}, the position has {counts:?}");
    ensure!(counts.rows < scene.sent.events, "everything was ingested: nothing was halted");
    scene.trial.verified().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_dropped_while_a_commit_is_held_halts() -> Result<()> {
    let mut scene = Scene::begin("dropped", &[2]).await?;
    let worker = scene.running(&[]).await?;
    change_while_a_commit_is_held(&mut scene, &|metadata| {
        new_schema(metadata, &|fields| fields.retain(|field| field["name"] != "page_url"))
    })
    .await?;
    halts(&mut scene, &worker).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_spec_changed_while_a_commit_is_held_halts() -> Result<()> {
    let mut scene = Scene::begin("spec", &[2]).await?;
    let worker = scene.running(&[]).await?;
    change_while_a_commit_is_held(&mut scene, &|metadata| {
        let id = metadata["default-spec-id"].as_i64().unwrap_or_default() + 1;
        json!([
            {"action": "add-spec", "spec": {"spec-id": id, "fields": []}},
            {"action": "set-default-spec", "spec-id": -1},
        ])
    })
    .await?;
    halts(&mut scene, &worker).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_killed_in_mid_commit_has_it_once() -> Result<()> {
    let mut scene = Scene::begin("killed", &[2]).await?;
    let table = scene.trial.table.clone();
    let _worker = scene.running(&[]).await?;
    let gate = Gate::new("commit");
    let rule = scene.catalog.inject(commits(&table), When::Nth(1), Fault::Hold(gate.clone()));
    scene.produce(400)?;
    gate.arrived(1, AT_GATE).await?;
    gate.open();
    servers::kill(&scene.trial.stack, "nessie").await?;
    say(format!("{}: nessie was killed with a commit under way; its answer: {:?}", scene.trial.name, rule.answers()));
    scene.produce(400)?;
    servers::start("nessie").await?;
    scene.settled().await?;
    ensure!(rule.hits() == 1, "{rule:?}");
    scene.exact(0).await
}
