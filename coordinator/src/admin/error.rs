//! Errors of the admin API: a stable code, what is wrong with the values, what helps.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::admin::{ErrorBody, ErrorDetail};
use serde::de::DeserializeOwned;
use ulid::Ulid;
use utoipa::IntoResponses;

use crate::raft::ProposeError;
use crate::state::{Refusal, RefusalCode};

#[derive(Debug)]
pub(crate) struct AdminError {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: String,
}

impl AdminError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), hint: String::new() }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_value", message)
    }

    pub(crate) fn precondition(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "precondition", message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "policy_denied", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }
}

impl From<Refusal> for AdminError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.code {
            RefusalCode::NotFound => StatusCode::NOT_FOUND,
            RefusalCode::InvalidValue => StatusCode::BAD_REQUEST,
            RefusalCode::Precondition => StatusCode::CONFLICT,
            RefusalCode::Forbidden => StatusCode::FORBIDDEN,
        };
        Self::new(status, refusal.code.name(), refusal.message).hint(refusal.hint)
    }
}

impl From<ProposeError> for AdminError {
    fn from(error: ProposeError) -> Self {
        match &error {
            ProposeError::Refused(refusal) => refusal.clone().into(),
            ProposeError::NoQuorum { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "no_quorum", error.to_string())
                    .hint("start the coordinators that are down; what is deployed keeps serving")
            }
            ProposeError::NoRoom(shortage) => {
                let hint = format!(
                    "free space in {} on {}; what is deployed keeps serving",
                    shortage.path.display(),
                    shortage.node
                );
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", shortage.to_string())
                    .hint(hint)
            }
            ProposeError::Failed(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string())
            }
        }
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let error = ErrorDetail {
            code: self.code.to_owned(),
            message: self.message,
            hint: self.hint,
            request_id: Ulid::new().to_string(),
        };
        (self.status, Json(ErrorBody { error })).into_response()
    }
}

/// How any route may fail, for the document.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "only its description is used")]
pub(super) enum Failures {
    /// A value is not allowed, or the body is not what the route takes.
    #[response(status = 400)]
    InvalidValue(ErrorBody),
    /// No key, or an unknown one.
    #[response(status = 401)]
    Unauthenticated(ErrorBody),
    /// The key's role may not do this.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// There is nothing of that name.
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// The cluster is not in a state to do this; `does_not_fit` where memory is short.
    #[response(status = 409)]
    Precondition(ErrorBody),
    /// The coordinator failed.
    #[response(status = 500)]
    Internal(ErrorBody),
    /// No majority of coordinators is there.
    #[response(status = 503)]
    NoQuorum(ErrorBody),
    /// The leader's disk is full.
    #[response(status = 507)]
    DiskFull(ErrorBody),
}

/// Reads a body; an error names the field.
pub(crate) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, AdminError> {
    serde_json::from_slice(bytes)
        .map_err(|error| AdminError::invalid(format!("the body does not fit: {error}")))
}
