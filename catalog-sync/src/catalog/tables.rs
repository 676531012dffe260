//! The tables of a catalog, by the Iceberg REST specification. Called by [`crate::sweep`], which must not take the files of
//! one table for those of another.

use iceberg::{NamespaceIdent, TableIdent};
use reqwest::Method;
use serde::Deserialize;

use super::client::{CatalogClient, LEVELS, encode};
use super::error::CatalogError;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Namespaces {
    #[serde(default)]
    namespaces: Vec<Vec<String>>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Tables {
    #[serde(default)]
    identifiers: Vec<Identifier>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Identifier {
    namespace: Vec<String>,
    name: String,
}

impl CatalogClient {
    /// Every table of the catalog, on the branch of this connection.
    ///
    /// # Errors
    /// [`CatalogError`]; a list that is not whole is never returned.
    pub(crate) async fn tables(&self) -> Result<Vec<TableIdent>, CatalogError> {
        let mut tables = Vec::new();
        let mut left = self.namespaces(&[]).await?;
        while let Some(levels) = left.pop() {
            tables.extend(self.tables_of(&levels).await?);
            left.extend(self.namespaces(&levels).await?.into_iter().filter(|child| child.len() > levels.len()));
        }
        Ok(tables)
    }

    async fn namespaces(&self, parent: &[String]) -> Result<Vec<Vec<String>>, CatalogError> {
        let mut url = format!("{}/namespaces?pageToken=", self.root());
        if !parent.is_empty() {
            url = format!("{}/namespaces?parent={}&pageToken=", self.root(), encode(&parent.join(LEVELS)));
        }
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let page = format!("{url}{}", encode(&token));
            let page: Namespaces = self.json("list its namespaces", Method::GET, &page, None).await?;
            found.extend(page.namespaces);
            match page.next_page_token.filter(|next| !next.is_empty()) {
                Some(next) => token = next,
                None => return Ok(found),
            }
        }
    }

    async fn tables_of(&self, levels: &[String]) -> Result<Vec<TableIdent>, CatalogError> {
        let what = format!("list the tables of {}", levels.join("."));
        let url = format!("{}/namespaces/{}/tables?pageToken=", self.root(), encode(&levels.join(LEVELS)));
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let page: Tables = self.json(&what, Method::GET, &format!("{url}{}", encode(&token)), None).await?;
            for Identifier { namespace, name } in page.identifiers {
                let namespace = NamespaceIdent::from_vec(namespace).map_err(|error| CatalogError::Malformed {
                    uri: self.base.clone(),
                    what: what.clone(),
                    detail: error.to_string(),
                })?;
                found.push(TableIdent::new(namespace, name));
            }
            match page.next_page_token.filter(|next| !next.is_empty()) {
                Some(next) => token = next,
                None => return Ok(found),
            }
        }
    }
}
