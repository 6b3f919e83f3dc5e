//! The one place where failures become HTTP: status, the standard error object, retry headers.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::request::Failure;
use super::router::ShortageKind;

/// What a client is told; rendered as OpenAI's error object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    pub status: StatusCode,
    /// `type` of the error object.
    pub kind: &'static str,
    pub code: Option<&'static str>,
    pub message: String,
    pub param: Option<String>,
    pub retry_after_seconds: Option<u32>,
    /// `x-should-retry`, which the official clients obey before their own rules.
    pub should_retry: Option<bool>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: String) -> Self {
        let code = Some(code);
        let (param, retry_after_seconds, should_retry) = (None, None, None);
        Self { status, kind, code, message, param, retry_after_seconds, should_retry }
    }

    fn refused(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let error = Self::new(status, "invalid_request_error", code, message.into());
        Self { should_retry: Some(false), ..error }
    }

    fn busy(status: StatusCode, kind: &'static str, code: &'static str, message: String) -> Self {
        let error = Self::new(status, kind, code, message);
        Self { should_retry: Some(true), retry_after_seconds: Some(1), ..error }
    }

    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::refused(StatusCode::BAD_REQUEST, "invalid_value", message).about(param)
    }

    pub fn missing(param: &str) -> Self {
        let message = format!("Missing required parameter: '{param}'.");
        Self::refused(StatusCode::BAD_REQUEST, "missing_required_parameter", message).about(param)
    }

    pub fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::refused(StatusCode::BAD_REQUEST, "unsupported_parameter", message).about(param)
    }

    pub fn bad_body(message: impl Into<String>) -> Self {
        let code = None;
        Self { code, ..Self::refused(StatusCode::BAD_REQUEST, "", message) }
    }

    /// The wording is a contract: clients find the case by its first sentence.
    pub fn context_length(param: &str, limit: u32, found: &str) -> Self {
        let message = format!(
            "This model's maximum context length is {limit} tokens. However, {found}. \
             Please shorten the input."
        );
        Self::refused(StatusCode::BAD_REQUEST, "context_length_exceeded", message).about(param)
    }

    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::refused(StatusCode::UNAUTHORIZED, "invalid_api_key", message)
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        let error = Self::refused(StatusCode::FORBIDDEN, "policy_denied", message);
        Self { kind: "permission_error", ..error }
    }

    pub fn unknown_path(method: &str, path: &str) -> Self {
        let message = format!("Unknown request URL: {method} {path}.");
        Self::refused(StatusCode::NOT_FOUND, "unknown_url", message)
    }

    pub fn wrong_method(method: &str, path: &str) -> Self {
        let message = format!("Not allowed to {method} on {path}.");
        Self::refused(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    pub fn model_not_found(name: &str, close: &[String]) -> Self {
        let hint = match close {
            [] => String::new(),
            names => format!(" Did you mean {}?", names.join(", ")),
        };
        let message = format!("The model `{name}` does not exist or is not deployed.{hint}");
        Self::refused(StatusCode::NOT_FOUND, "model_not_found", message).about("model")
    }

    pub fn too_large(limit: usize) -> Self {
        let message = format!("The request body is over the limit of {limit} bytes.");
        Self::refused(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    }

    /// The client did not send its body in time.
    pub fn slow_body() -> Self {
        let message = "The request body did not arrive in time.".to_owned();
        let code = "request_timeout";
        Self::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", code, message)
    }

    pub fn rate_limited(message: impl Into<String>) -> Self {
        let (kind, code) = ("rate_limit_error", "rate_limit_exceeded");
        Self::busy(StatusCode::TOO_MANY_REQUESTS, kind, code, message.into())
    }

    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::busy(StatusCode::SERVICE_UNAVAILABLE, "server_error", code, message.into())
    }

    pub fn internal(request_id: &str) -> Self {
        let message = format!("Internal error; the log of the node has more under {request_id}.");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "server_error", "internal_error", message)
    }

    pub fn about(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    /// A sequence that could not run to its end.
    pub fn from_failure(failure: Failure) -> Self {
        match failure {
            Failure::NoReplica { shortage, lost, waited, ran } => {
                let code = match shortage.as_ref().map(|s| s.kind) {
                    _ if ran => "node_lost",
                    Some(ShortageKind::Loading) => "model_loading",
                    Some(ShortageKind::NoCapacity | ShortageKind::Gone) => "no_capacity",
                    None => "overloaded",
                };
                let reason = shortage.map(|s| s.reason).or(lost);
                let reason = reason.unwrap_or_else(|| "none is ready".to_owned());
                let waited = waited.as_secs();
                Self::unavailable(code, format!("No replica after {waited} s of waiting: {reason}"))
            }
            Failure::NodeStops => Self::unavailable(
                "node_draining",
                "This node is shutting down before the answer was whole. Send the request again.",
            ),
            Failure::QueueFull { waiting } => Self::rate_limited(format!(
                "The model's queue is full: {waiting} requests wait. Try again later."
            )),
            Failure::TooLong { tokens, limit } => {
                Self::context_length("messages", limit, &format!("you asked for {tokens} tokens"))
            }
            Failure::Invalid { reason } => {
                Self::refused(StatusCode::BAD_REQUEST, "invalid_value", reason)
            }
            Failure::Overdue { waited } => Self::unavailable(
                "overloaded",
                format!("The answer was not ready after {} s.", waited.as_secs()),
            ),
            Failure::Unlucky { losses, reason } => Self::unavailable(
                "node_lost",
                format!("The sequence lost its replica {losses} times without a token: {reason}"),
            ),
        }
    }

    /// The standard error object.
    pub fn body(&self) -> Value {
        json!({
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(retry) = self.should_retry {
            let value = if retry { "true" } else { "false" };
            headers.insert("x-should-retry", HeaderValue::from_static(value));
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(ErrorCode(self.code.unwrap_or("invalid_request")));
        response
    }
}

/// Left on a response for the access log and the metrics.
#[derive(Clone, Copy, Debug)]
pub(super) struct ErrorCode(pub(super) &'static str);
