//! Tables: list, create, load, exists, commit, drop, rename, register, metrics.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use iceberg::TableIdent;
use iceberg::spec::TableMetadata;
use iceberg_catalog_rest::{CommitTableRequest, CreateTableRequest, RegisterTableRequest, RenameTableRequest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Body, checked, namespace, parse, table};
use crate::embedded::error::ApiError;
use crate::embedded::pointer::{PointerError, shown_table};
use crate::embedded::table::{Catalog, LoadedTable};

type Answer<T> = Result<T, ApiError>;

#[derive(Debug, Default, Deserialize)]
pub(in crate::embedded) struct LoadQuery {
    snapshots: Option<String>,
}

/// Which snapshots an answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Snapshots {
    All,
    /// Only those that a branch or tag names.
    Refs,
}

impl std::str::FromStr for Snapshots {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "all" => Ok(Self::All),
            "refs" => Ok(Self::Refs),
            _ => Err(()),
        }
    }
}

pub(in crate::embedded) async fn list(
    State(catalog): State<Arc<Catalog>>,
    Path(path): Path<String>,
) -> Answer<Json<Value>> {
    let namespace = namespace(&path)?;
    let names = catalog.pointers.tables(namespace.clone()).await?;
    let identifiers: Vec<_> = names.into_iter().map(|name| TableIdent::new(namespace.clone(), name)).collect();
    Ok(Json(json!({"identifiers": identifiers, "next-page-token": null})))
}

pub(in crate::embedded) async fn create(
    State(catalog): State<Arc<Catalog>>,
    Path(path): Path<String>,
    Body(request): Body<CreateTableRequest>,
) -> Answer<Json<Value>> {
    checked(&request.name)?;
    let namespace = namespace(&path)?;
    let config = catalog.client_config.clone();
    let (location, created) = to_the_end(async move { catalog.create(namespace, request).await }).await?;
    let metadata = to_json(&created.metadata, Snapshots::All)?;
    Ok(Json(json!({"metadata-location": location, "metadata": metadata, "config": config})))
}

pub(in crate::embedded) async fn load(
    State(catalog): State<Arc<Catalog>>,
    Path(path): Path<(String, String)>,
    Query(query): Query<LoadQuery>,
) -> Answer<Json<Value>> {
    let snapshots = query.snapshots.as_deref().map_or(Ok(Snapshots::All), |value| parse("snapshots", value))?;
    let loaded = catalog.load(&table(path)?).await?;
    answer(&catalog, &loaded, snapshots)
}

pub(in crate::embedded) async fn exists(
    State(catalog): State<Arc<Catalog>>,
    Path(path): Path<(String, String)>,
) -> Answer<StatusCode> {
    let table = table(path)?;
    match catalog.pointers.table(table.clone()).await? {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(PointerError::NoTable(shown_table(&table)).into()),
    }
}

pub(in crate::embedded) async fn commit(
    State(catalog): State<Arc<Catalog>>,
    Path(path): Path<(String, String)>,
    Body(request): Body<CommitTableRequest>,
) -> Answer<Json<Value>> {
    let table = table(path)?;
    checked(table.name())?;
    let committed = to_the_end(async move { catalog.commit(table, request).await }).await?;
    let metadata = to_json(&committed.metadata, Snapshots::All)?;
    Ok(Json(json!({"metadata-location": committed.location, "metadata": metadata})))
}

/// Forgets the table. `purgeRequested` is taken as a wish: its files are left to the orphan sweep of whoever owns them.
pub(in crate::embedded) async fn drop(
    State(catalog): State<Arc<Catalog>>,
    Path(path): Path<(String, String)>,
) -> Answer<StatusCode> {
    catalog.pointers.remove(table(path)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(in crate::embedded) async fn rename(
    State(catalog): State<Arc<Catalog>>,
    Body(request): Body<RenameTableRequest>,
) -> Answer<StatusCode> {
    checked(request.destination.name())?;
    catalog.pointers.rename(request.source, request.destination).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(in crate::embedded) async fn register(
    State(catalog): State<Arc<Catalog>>,
    Path(path): Path<String>,
    Body(request): Body<RegisterTableRequest>,
) -> Answer<Json<Value>> {
    checked(&request.name)?;
    let registered = catalog.register(namespace(&path)?, request).await?;
    answer(&catalog, &registered, Snapshots::All)
}

/// Reports of scans and commits are taken and not kept.
pub(in crate::embedded) async fn report_metrics(Body(_): Body<serde::de::IgnoredAny>) -> StatusCode {
    StatusCode::NO_CONTENT
}

/// A change goes on when its client hangs up: half of it would leave a metadata file that nothing points to.
async fn to_the_end<T: Send + 'static>(change: impl Future<Output = Answer<T>> + Send + 'static) -> Answer<T> {
    match tokio::spawn(change).await {
        Ok(done) => done,
        Err(error) => Err(ApiError::commit_unknown(format!("the change broke off; load the table: {error}"))),
    }
}

fn answer(catalog: &Catalog, loaded: &LoadedTable, snapshots: Snapshots) -> Answer<Json<Value>> {
    let metadata = to_json(&loaded.metadata, snapshots)?;
    Ok(Json(json!({"metadata-location": loaded.location, "metadata": metadata, "config": catalog.client_config})))
}

fn to_json(metadata: &TableMetadata, snapshots: Snapshots) -> Answer<Value> {
    let mut json = serde_json::to_value(metadata).map_err(|error| ApiError::internal(error.to_string()))?;
    if snapshots == Snapshots::Refs {
        let refs = json["refs"].as_object().into_iter().flatten();
        let named: HashSet<i64> = refs.filter_map(|(_, reference)| reference["snapshot-id"].as_i64()).collect();
        if let Some(snapshots) = json["snapshots"].as_array_mut() {
            snapshots.retain(|snapshot| snapshot["snapshot-id"].as_i64().is_some_and(|id| named.contains(&id)));
        }
    }
    Ok(json)
}
