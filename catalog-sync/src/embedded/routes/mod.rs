//! The endpoints of the specification, a file each resource: parse, call the catalog, answer.

use std::str::FromStr;

use axum::extract::FromRequest;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use bytes::Bytes;
use iceberg::{NamespaceIdent, TableIdent};
use serde::de::DeserializeOwned;

use super::error::ApiError;

pub(super) mod config;
pub(super) mod namespaces;
pub(super) mod tables;

/// Longest name of a level or a table, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// A JSON body; whatever is wrong with it is answered in the specification's form.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
            match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(rejection.body_text()),
                _ => ApiError::bad_request(rejection.body_text()),
            }
        })?;
        let value = serde_json::from_slice(&bytes);
        value.map(Self).map_err(|error| ApiError::bad_request(format!("request body: {error}")))
    }
}

/// A name that can be a folder on any store.
fn checked(name: &str) -> Result<(), ApiError> {
    let harmless = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| c.is_control() || matches!(c, '/' | '\\' | '#'));
    match harmless {
        true => Ok(()),
        false => Err(ApiError::bad_request(format!(
            "{name:?} is no name: it needs 1 to {NAME_BYTES_MAX} bytes, without slash, hash or control characters"
        ))),
    }
}

/// A namespace that is to be made: its levels must be usable names.
fn new_namespace(namespace: NamespaceIdent) -> Result<NamespaceIdent, ApiError> {
    // Deserialisation lets an empty list through.
    if namespace.is_empty() {
        return Err(ApiError::bad_request("a namespace needs at least one level"));
    }
    namespace.iter().try_for_each(|level| checked(level))?;
    Ok(namespace)
}

/// A namespace in a path or a query: levels joined with 0x1F.
fn namespace(path: &str) -> Result<NamespaceIdent, ApiError> {
    Ok(NamespaceIdent::from_strs(path.split('\u{1F}'))?)
}

fn table((path, name): (String, String)) -> Result<TableIdent, ApiError> {
    Ok(TableIdent::new(namespace(&path)?, name))
}

/// A query value that is a word of a fixed set.
fn parse<T: FromStr>(name: &str, value: &str) -> Result<T, ApiError> {
    value.parse().map_err(|_| ApiError::bad_request(format!("query parameter {name}={value:?} is not known")))
}
