//! A small client of the Iceberg REST catalog: what a stranger sees of a table, and the tables that tests begin with.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use protocol::Position;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::stack::Stack;

/// Key of the position in the summary and in the table's properties.
pub const POSITION: &str = "kafka.position";

/// A catalog's namespaces and tables.
#[derive(Debug, Clone)]
pub struct Catalog {
    http: reqwest::Client,
    /// Address up to and with the prefix, which comes percent-encoded and is used as it is.
    base: String,
}

impl Catalog {
    /// Asks for the catalog's configuration.
    ///
    /// # Errors
    /// The catalog does not answer.
    pub async fn connect(stack: &Stack) -> Result<Self> {
        let http = reqwest::Client::new();
        let uri = stack.catalog.trim_end_matches('/');
        let config = http.get(format!("{uri}/v1/config?warehouse=warehouse")).send().await?.error_for_status()?;
        let config: Value = config.json().await?;
        let prefix = ["overrides", "defaults"].iter().find_map(|part| config[part]["prefix"].as_str());
        let prefix = prefix.map(|prefix| format!("/{prefix}")).unwrap_or_default();
        // Nessie takes a branch in the address of its configuration only.
        let uri = config["overrides"]["uri"].as_str().unwrap_or(uri).trim_end_matches('/');
        Ok(Self { http, base: format!("{uri}/v1{prefix}") })
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<(StatusCode, Value)> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.with_context(|| format!("{method} {path}"))?;
        let status = answer.status();
        Ok((status, answer.json().await.unwrap_or(Value::Null)))
    }

    /// The table's metadata; none if there is no such table.
    ///
    /// # Errors
    /// The catalog cannot say.
    pub async fn table(&self, name: &str) -> Result<Option<Value>> {
        match self.ask(Method::GET, &table_path(name)?, None).await? {
            (StatusCode::OK, mut answer) => Ok(Some(answer["metadata"].take())),
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, answer) => bail!("load {name}: {status} {answer}"),
        }
    }

    /// How far the table has got, by its property; empty if there is no table or nothing was committed to it.
    ///
    /// # Errors
    /// The catalog cannot say, or what it says is no position.
    pub async fn position(&self, name: &str) -> Result<Position> {
        let metadata = self.table(name).await?.unwrap_or_default();
        let Some(text) = metadata["properties"][POSITION].as_str() else { return Ok(Position::default()) };
        Ok(Position::decode(text)?.0)
    }

    /// The summary of the current snapshot; empty if there is none.
    ///
    /// # Errors
    /// The catalog cannot say.
    pub async fn summary(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let metadata = self.table(name).await?.unwrap_or_default();
        let current = &metadata["current-snapshot-id"];
        let snapshots = metadata["snapshots"].as_array().cloned().unwrap_or_default();
        let Some(snapshot) = snapshots.iter().find(|snapshot| snapshot["snapshot-id"] == *current) else {
            return Ok(BTreeMap::new());
        };
        let pairs = snapshot["summary"].as_object().into_iter().flatten();
        Ok(pairs.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect())
    }

    /// Changes a table by the specification's own updates, whatever anybody commits meanwhile; returns its new metadata.
    ///
    /// # Errors
    /// The catalog refuses.
    pub async fn change(&self, name: &str, updates: Value) -> Result<Value> {
        let body = json!({"requirements": [], "updates": updates});
        match self.ask(Method::POST, &table_path(name)?, Some(body)).await? {
            (StatusCode::OK, mut answer) => Ok(answer["metadata"].take()),
            (status, answer) => bail!("change {name}: {status} {answer}"),
        }
    }

    /// Sets one table property.
    ///
    /// # Errors
    /// The catalog refuses.
    pub async fn set_property(&self, name: &str, key: &str, value: &str) -> Result<()> {
        self.change(name, json!([{"action": "set-properties", "updates": {key: value}}])).await.map(|_| ())
    }

    /// Drops a table if it is there. Its files stay.
    ///
    /// # Errors
    /// The catalog refuses.
    pub async fn drop_table(&self, name: &str) -> Result<()> {
        match self.ask(Method::DELETE, &table_path(name)?, None).await? {
            (status, _) if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            (status, answer) => bail!("drop {name}: {status} {answer}"),
        }
    }

    /// Makes a namespace if it is not there.
    ///
    /// # Errors
    /// The catalog refuses.
    pub async fn ensure_namespace(&self, name: &str) -> Result<()> {
        let body = json!({"namespace": [name], "properties": {}});
        match self.ask(Method::POST, "/namespaces", Some(body)).await? {
            (status, _) if status.is_success() || status == StatusCode::CONFLICT => Ok(()),
            (status, answer) => bail!("create namespace {name}: {status} {answer}"),
        }
    }

    /// Makes the table of clicks as PyIceberg or Spark would: there, and without any snapshot.
    ///
    /// # Errors
    /// The catalog refuses, or gave the table a snapshot.
    pub async fn create_without_snapshot(&self, name: &str) -> Result<()> {
        let (namespace, table) = split(name)?;
        self.ensure_namespace(namespace).await?;
        let mut body = schemas::table::definition();
        body["name"] = json!(table);
        body["stage-create"] = json!(false);
        let path = format!("/namespaces/{namespace}/tables");
        let (status, answer) = self.ask(Method::POST, &path, Some(body)).await?;
        if !status.is_success() {
            bail!("create {name}: {status} {answer}");
        }
        let current = &answer["metadata"]["current-snapshot-id"];
        if current.as_i64().is_some_and(|id| id >= 0) {
            bail!("create {name}: it already has the snapshot {current}");
        }
        Ok(())
    }
}

fn split(name: &str) -> Result<(&str, &str)> {
    name.split_once('.').with_context(|| format!("{name} is not namespace.table"))
}

fn table_path(name: &str) -> Result<String> {
    let (namespace, table) = split(name)?;
    Ok(format!("/namespaces/{namespace}/tables/{table}"))
}
