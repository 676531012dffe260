//! Nessie's own API: branches, made, moved and set back.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::stack::Stack;

/// The branches of the stack's Nessie.
#[derive(Debug, Clone)]
pub struct Nessie {
    http: reqwest::Client,
    /// Address of the server.
    root: String,
}

impl Nessie {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// The stack's catalog is no Nessie.
    pub fn of(stack: &Stack) -> Result<Self> {
        let (root, _) = stack.catalog.split_once("/iceberg").context("the stack's catalog is Nessie")?;
        Ok(Self { http: reqwest::Client::new(), root: root.to_owned() })
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let mut request = self.http.request(method.clone(), format!("{}/api/v2/{path}", self.root));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let body = answer.text().await?;
        ensure!(status.is_success(), "{method} {path}: {status} {body}");
        Ok(serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    /// Hash of a branch's newest commit.
    ///
    /// # Errors
    /// There is no such branch.
    pub async fn head(&self, branch: &str) -> Result<String> {
        let answer = self.ask(Method::GET, &format!("trees/{branch}"), None).await?;
        Ok(answer["reference"]["hash"].as_str().with_context(|| format!("no hash in {answer}"))?.to_owned())
    }

    /// Table -> the snapshots that it had, one after another, by Nessie's own history since a commit.
    ///
    /// # Errors
    /// Nessie does not answer.
    pub async fn snapshots_since(&self, hash: &str) -> Result<BTreeMap<String, Vec<i64>>> {
        let url = format!("{}/api/v2/trees/main/history?fetch=ALL&limit-hash={hash}", self.root);
        let mut newest_first: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let mut page = url.clone();
        loop {
            let answer: Value = self.http.get(&page).send().await?.error_for_status()?.json().await?;
            let entries = answer["logEntries"].as_array().into_iter().flatten();
            for put in entries.flat_map(|entry| entry["operations"].as_array().into_iter().flatten()) {
                let elements = put["key"]["elements"].as_array().into_iter().flatten();
                let name: Vec<&str> = elements.filter_map(Value::as_str).collect();
                if let Some(snapshot) = put["content"]["snapshotId"].as_i64().filter(|id| *id >= 0) {
                    newest_first.entry(name.join(".")).or_default().push(snapshot);
                }
            }
            match answer["token"].as_str().filter(|_| answer["hasMore"] == true) {
                Some(token) => page = format!("{url}&page-token={token}"),
                None => break,
            }
        }
        for snapshots in newest_first.values_mut() {
            snapshots.reverse();
            snapshots.dedup();
        }
        Ok(newest_first)
    }

    /// Makes a tag where `main` stands.
    ///
    /// # Errors
    /// Nessie refuses.
    pub async fn tag(&self, name: &str) -> Result<()> {
        let from = json!({"type": "BRANCH", "name": "main", "hash": self.head("main").await?});
        self.ask(Method::POST, &format!("trees?name={name}&type=TAG"), Some(from)).await.map(drop)
    }

    /// Names of all branches and tags.
    ///
    /// # Errors
    /// Nessie does not answer.
    pub async fn references(&self) -> Result<Vec<String>> {
        let answer = self.ask(Method::GET, "trees?max-records=1000", None).await?;
        let references = answer["references"].as_array().into_iter().flatten();
        Ok(references.filter_map(|it| Some(it["name"].as_str()?.to_owned())).collect())
    }

    /// Removes a branch or a tag.
    ///
    /// # Errors
    /// There is none, or it moved meanwhile.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let hash = self.head(name).await?;
        self.ask(Method::DELETE, &format!("trees/{name}@{hash}"), None).await.map(drop)
    }

    /// Makes a branch where `main` stands, and returns the address of its Iceberg catalog.
    ///
    /// # Errors
    /// Nessie refuses.
    pub async fn branch(&self, name: &str) -> Result<String> {
        let hash = self.head("main").await?;
        let from = json!({"type": "BRANCH", "name": "main", "hash": hash});
        self.ask(Method::POST, &format!("trees?name={name}&type=BRANCH"), Some(from)).await?;
        Ok(format!("{}/iceberg/{name}/", self.root))
    }

    /// Sets a branch to another commit, and forgets what came after it.
    ///
    /// # Errors
    /// Nessie refuses, or the branch moved meanwhile.
    pub async fn reset(&self, branch: &str, to: &str) -> Result<()> {
        let from = self.head(branch).await?;
        let target = json!({"type": "BRANCH", "name": branch, "hash": to});
        self.ask(Method::PUT, &format!("trees/{branch}@{from}"), Some(target)).await?;
        let head = self.head(branch).await?;
        ensure!(head == to, "{branch} stands at {head} after it was set to {to}");
        Ok(())
    }
}
