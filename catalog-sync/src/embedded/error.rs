//! Errors of the embedded catalog: those of starting it, and the answers that the REST specification names.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use iceberg::ErrorKind;
use serde_json::json;

use super::pointer::PointerError;
use crate::storage::StorageError;

/// Why the catalog did not start.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The folder cannot be made or entered.
    #[error("catalog folder {dir:?} cannot be used: {source}; check the path and its permissions")]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The database cannot be opened.
    #[error("catalog database {path:?} cannot be opened: {reason}")]
    Database {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The warehouse location is not usable.
    #[error("the warehouse cannot be used: {0}")]
    Warehouse(#[from] StorageError),
    /// The address is not to be had.
    #[error("cannot listen on {address}: {source}; is another catalog running there?")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// An error answer of the Iceberg REST specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into() }
    }

    /// 400: the request cannot be understood.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequestException", message)
    }

    /// 400: the request is understood and would make a table that is not valid.
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ValidationException", message)
    }

    /// 403.
    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "ForbiddenException", message)
    }

    /// 404 for a table.
    pub(super) fn no_such_table(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NoSuchTableException", message)
    }

    /// 406: an operation of the specification that this catalog does not have.
    pub(super) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "UnsupportedOperationException", message)
    }

    /// 409: another commit was first, or a requirement does not hold.
    pub(super) fn commit_failed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "CommitFailedException", message)
    }

    /// 413.
    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "BadRequestException", message)
    }

    /// 422: a key that is both set and removed.
    pub(super) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "UnprocessableEntityException", message)
    }

    /// 500 of a commit: nobody knows whether it was applied; the client has to load the table.
    pub(super) fn commit_unknown(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "CommitStateUnknownException", message)
    }

    /// 500.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", message)
    }

    /// 504: the catalog gave up waiting; a commit may yet be applied.
    pub(super) fn timeout(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "CommitStateUnknownException", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::error!(status = self.status.as_u16(), kind = self.kind, "{}", self.message);
        }
        let body = json!({"error": {"message": self.message, "type": self.kind, "code": self.status.as_u16()}});
        (self.status, Json(body)).into_response()
    }
}

impl From<PointerError> for ApiError {
    fn from(error: PointerError) -> Self {
        let message = error.to_string();
        match error {
            PointerError::NoNamespace(_) => Self::new(StatusCode::NOT_FOUND, "NoSuchNamespaceException", message),
            PointerError::NoTable(_) => Self::no_such_table(message),
            PointerError::Exists(_) => Self::new(StatusCode::CONFLICT, "AlreadyExistsException", message),
            PointerError::NotEmpty(_) => Self::new(StatusCode::CONFLICT, "NamespaceNotEmptyException", message),
            PointerError::Moved(_) => Self::commit_failed(message),
            PointerError::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException", message),
            PointerError::Database(_) => Self::internal(message),
        }
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        match &error {
            StorageError::Location { .. } | StorageError::OtherStore { .. } => Self::bad_request(error.to_string()),
            _ => Self::internal(error.to_string()),
        }
    }
}

impl From<iceberg::Error> for ApiError {
    fn from(error: iceberg::Error) -> Self {
        let message = error.to_string();
        match error.kind() {
            ErrorKind::CatalogCommitConflicts => Self::commit_failed(message),
            ErrorKind::TableNotFound => Self::no_such_table(message),
            ErrorKind::DataInvalid | ErrorKind::PreconditionFailed => Self::validation(message),
            ErrorKind::FeatureUnsupported => Self::unsupported(message),
            _ => Self::internal(message),
        }
    }
}
