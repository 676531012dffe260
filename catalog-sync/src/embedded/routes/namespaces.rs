//! Namespaces: list, create, load, exists, drop, properties.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use iceberg_catalog_rest::{CreateNamespaceRequest, UpdateNamespacePropertiesRequest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Body, namespace, new_namespace};
use crate::embedded::error::ApiError;
use crate::embedded::table::Catalog;

type Answer<T> = Result<T, ApiError>;

#[derive(Debug, Deserialize)]
pub(in crate::embedded) struct ListQuery {
    parent: Option<String>,
}

pub(in crate::embedded) async fn list(
    State(catalog): State<Arc<Catalog>>,
    Query(query): Query<ListQuery>,
) -> Answer<Json<Value>> {
    let parent = query.parent.filter(|parent| !parent.is_empty());
    let parent = parent.map(|parent| namespace(&parent)).transpose()?;
    let namespaces = catalog.pointers.namespaces(parent).await?;
    Ok(Json(json!({"namespaces": namespaces, "next-page-token": null})))
}

pub(in crate::embedded) async fn create(
    State(catalog): State<Arc<Catalog>>,
    Body(request): Body<CreateNamespaceRequest>,
) -> Answer<Json<Value>> {
    let namespace = new_namespace(request.namespace)?;
    let answer = json!({"namespace": namespace, "properties": request.properties});
    catalog.pointers.create_namespace(namespace, request.properties.into_iter().collect()).await?;
    Ok(Json(answer))
}

pub(in crate::embedded) async fn load(
    State(catalog): State<Arc<Catalog>>,
    Path(path): Path<String>,
) -> Answer<Json<Value>> {
    let namespace = namespace(&path)?;
    let properties = catalog.pointers.namespace(namespace.clone()).await?;
    Ok(Json(json!({"namespace": namespace, "properties": properties})))
}

pub(in crate::embedded) async fn exists(
    State(catalog): State<Arc<Catalog>>,
    Path(path): Path<String>,
) -> Answer<StatusCode> {
    catalog.pointers.namespace(namespace(&path)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(in crate::embedded) async fn drop(
    State(catalog): State<Arc<Catalog>>,
    Path(path): Path<String>,
) -> Answer<StatusCode> {
    catalog.pointers.drop_namespace(namespace(&path)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(in crate::embedded) async fn update(
    State(catalog): State<Arc<Catalog>>,
    Path(path): Path<String>,
    Body(request): Body<UpdateNamespacePropertiesRequest>,
) -> Answer<Json<Value>> {
    let removals = request.removals.unwrap_or_default();
    if let Some(key) = removals.iter().find(|key| request.updates.contains_key(*key)) {
        return Err(ApiError::unprocessable(format!("property {key:?} is both set and removed")));
    }
    let updates = request.updates.into_iter().collect();
    let done = catalog.pointers.update_namespace(namespace(&path)?, removals, updates).await?;
    Ok(Json(json!({"updated": done.updated, "removed": done.removed, "missing": done.missing})))
}
