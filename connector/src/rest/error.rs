//! Errors in the form that Kafka Connect's clients know: `{"error_code": 409, "message": "…"}`.
//!
//! Messages say what to do; none holds a path of this machine, a stack trace or a secret. Made by every handler.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::registry::RegistryError;
use crate::config::values::excerpt;

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub(super) struct ApiError {
    /// HTTP status, repeated in the body.
    pub(super) status: StatusCode,
    /// For people.
    pub(super) message: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Nothing is registered under this name.
    pub(super) fn no_connector(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("Connector {} not found", excerpt(name)))
    }

    /// A status without anything to add, in Connect's words.
    pub(super) fn plain(status: StatusCode) -> Self {
        Self::new(status, format!("HTTP {status}"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({"error_code": self.status.as_u16(), "message": self.message});
        (self.status, Json(body)).into_response()
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Invalid(errors) => {
                let count = errors.problems().len();
                Self::bad_request(format!(
                    "Connector configuration is invalid and contains the following {count} error(s):\n{errors}\nYou can \
                     also find the above list of errors at the endpoint `/connector-plugins/{{connectorType}}/config/validate`"
                ))
            }
            RegistryError::Exists(name) => {
                Self::new(StatusCode::CONFLICT, format!("Connector {} already exists", excerpt(&name)))
            }
            RegistryError::Missing(name) => Self::no_connector(&name),
            RegistryError::Stopping => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "The worker is shutting down; try again when it is back")
            }
            RegistryError::Full(max) => Self::new(
                StatusCode::CONFLICT,
                format!("{max} connectors are registered, which is the most; delete one"),
            ),
            RegistryError::Store(error) => {
                tracing::error!(%error, "the registration could not be kept");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "The registration could not be kept on disk, so nothing was changed; see the worker's log",
                )
            }
        }
    }
}
