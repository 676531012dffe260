//! Tables that can no longer hold the event: altered under a running worker, and found so by one that starts.

use anyhow::{Context, Result, ensure};
use it::trial::Trial;
use serde_json::{Value, json};

use super::{end, fed, produce, rows};

/// What is done to the table: its name, the schema's change, what the running worker says, what one that starts says.
type Change = (&'static str, fn(Vec<Value>, i64) -> Vec<Value>, &'static str, &'static str);

const CHANGES: [Change; 3] = [
    ("dropped", drop_column, "column page_title (id ", "column page_title is missing"),
    ("retyped", retype_column, "column page_title changed from string to long", "column page_title is long"),
    (
        "required",
        require_column,
        "column tenant was added as required, but no event has it",
        "column tenant is required, but no event has it",
    ),
];

fn drop_column(mut fields: Vec<Value>, _last: i64) -> Vec<Value> {
    fields.retain(|field| field["name"] != "page_title");
    fields
}

fn retype_column(mut fields: Vec<Value>, _last: i64) -> Vec<Value> {
    for field in fields.iter_mut().filter(|field| field["name"] == "page_title") {
        field["type"] = json!("long");
    }
    fields
}

fn require_column(mut fields: Vec<Value>, last: i64) -> Vec<Value> {
    fields.push(json!({"id": last + 1, "name": "tenant", "required": true, "type": "string"}));
    fields
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_cannot_hold_the_event_halts_until_it_is_altered_back() -> Result<()> {
    let (trial, worker) = fed("schemas", 100).await?;
    let mut sent = 100;
    for (seed, (name, alter, running, starting)) in (2..).zip(CHANGES) {
        let metadata = trial.catalog.table(&trial.table).await?.context("the table is there")?;
        let (before, last) = (current_fields(&metadata)?, metadata["last-column-id"].as_i64().unwrap_or(0));
        set_fields(&trial, alter(before.clone(), last), last + 1).await?;
        produce(&trial, seed, 10)?;
        sent += 10;
        let table = trial.snapshot().await?;
        trial.halts(&worker, "schema-incompatible", &table).await?.says(running)?;
        trial.restart(&worker).await?;
        let halted = trial.halts(&worker, "schema-incompatible", &table).await?;
        halted.says(starting)?;
        ensure!(halted.token.is_none(), "{name}: {halted:?}");
        let back = json!([{"action": "set-current-schema", "schema-id": metadata["current-schema-id"]}]);
        ensure!(current_fields(&trial.catalog.change(&trial.table, back).await?)? == before, "not altered back");
        trial.restart(&worker).await?;
        trial.ingested().await?;
        trial.resumed("schema-incompatible").await?;
    }
    trial.accounts(rows(sent), &[]).await?;
    end(worker).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_partition_spec_halts_until_it_is_altered_back() -> Result<()> {
    let (trial, worker) = fed("specs", 100).await?;
    let metadata = trial.catalog.table(&trial.table).await?.context("the table is there")?;
    let specs = metadata["partition-specs"].as_array().context("a table has specs")?;
    let before = specs.iter().find(|spec| spec["spec-id"] == metadata["default-spec-id"]).context("a default spec")?;
    let mut fields = before["fields"].as_array().context("a spec has fields")?.clone();
    fields.truncate(1);
    set_spec(&trial, &fields).await?;
    produce(&trial, 2, 10)?;
    let table = trial.snapshot().await?;
    trial.halts(&worker, "schema-incompatible", &table).await?.says("the partition spec changed from")?;
    trial.restart(&worker).await?;
    let halted = trial.halts(&worker, "schema-incompatible", &table).await?;
    halted.says("it must be by day(event_timestamp), identity(event_type)")?;
    let back = json!([{"action": "set-default-spec", "spec-id": before["spec-id"]}]);
    trial.catalog.change(&trial.table, back).await?;
    trial.restart(&worker).await?;
    trial.ingested().await?;
    trial.resumed("schema-incompatible").await?;
    trial.accounts(rows(110), &[]).await?;
    end(worker).await
}

/// A column that events do not have and that may be empty disturbs nobody, not even a batch on its way.
#[tokio::test(flavor = "multi_thread")]
async fn an_optional_column_of_somebody_else_is_no_halt() -> Result<()> {
    let (trial, worker) = fed("optional", 100).await?;
    let metadata = trial.catalog.table(&trial.table).await?.context("the table is there")?;
    let (mut fields, last) = (current_fields(&metadata)?, metadata["last-column-id"].as_i64().unwrap_or(0));
    fields.push(json!({"id": last + 1, "name": "tenant", "required": false, "type": "string"}));
    set_fields(&trial, fields, last + 1).await?;
    produce(&trial, 2, 10)?;
    trial.ingested().await?;
    trial.restart(&worker).await?;
    produce(&trial, 3, 10)?;
    trial.ingested().await?;
    trial.accounts(rows(120), &[]).await?;
    end(worker).await
}

fn current_fields(metadata: &Value) -> Result<Vec<Value>> {
    let schemas = metadata["schemas"].as_array().context("a table has schemas")?;
    let current = schemas.iter().find(|schema| schema["schema-id"] == metadata["current-schema-id"]);
    Ok(current.context("a current schema")?["fields"].as_array().context("a schema has fields")?.clone())
}

async fn set_fields(trial: &Trial, fields: Vec<Value>, last: i64) -> Result<()> {
    let metadata = trial.catalog.table(&trial.table).await?.context("the table is there")?;
    let schema = json!({"type": "struct", "schema-id": next_id(&metadata["schemas"], "schema-id"), "fields": fields});
    let updates = json!([
        {"action": "add-schema", "schema": schema, "last-column-id": last},
        {"action": "set-current-schema", "schema-id": -1},
    ]);
    let now = trial.catalog.change(&trial.table, updates).await?;
    let names = |fields: &[Value]| -> Vec<(Value, Value)> {
        fields.iter().map(|field| (field["name"].clone(), field["type"].clone())).collect()
    };
    let (wanted, is) = (names(schema["fields"].as_array().context("fields")?), names(&current_fields(&now)?));
    ensure!(wanted == is, "the catalog made {is:?} of {wanted:?}");
    Ok(())
}

async fn set_spec(trial: &Trial, fields: &[Value]) -> Result<()> {
    let metadata = trial.catalog.table(&trial.table).await?.context("the table is there")?;
    let spec = json!({"spec-id": next_id(&metadata["partition-specs"], "spec-id"), "fields": fields});
    let updates = json!([
        {"action": "add-spec", "spec": spec},
        {"action": "set-default-spec", "spec-id": -1},
    ]);
    trial.catalog.change(&trial.table, updates).await.map(|_| ())
}

/// An id that none of the list has.
fn next_id(list: &Value, key: &str) -> i64 {
    let ids = list.as_array().into_iter().flatten().filter_map(|one| one[key].as_i64());
    ids.max().map_or(0, |id| id + 1)
}
