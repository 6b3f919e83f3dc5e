//! Headers of every reply: the request id, the time it took; and the line in the access log.

use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::error::ErrorCode;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
const REQUEST_ID_CHARS_MAX: usize = 128;

/// The client's own id where it is safe, else a new one; in the extensions of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

/// Middleware around everything.
pub(super) async fn identify(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    let dur_ms = started.elapsed().as_millis() as u64;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response.headers_mut().insert(PROCESSING_MS, HeaderValue::from(dur_ms));
    if !is_probe(&path) {
        let status = response.status().as_u16();
        let code = response.extensions().get::<ErrorCode>().map_or("", |c| c.0);
        tracing::info!(request_id = id, %method, path, status, code, dur_ms, "request");
    }
    response
}

fn request_id(headers: &HeaderMap) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.:/+=".contains(c);
    headers
        .get(REQUEST_ID)
        .and_then(|v| v.to_str().ok())
        .filter(|v| !v.is_empty() && v.len() <= REQUEST_ID_CHARS_MAX && v.chars().all(safe))
        .map_or_else(|| ulid::Ulid::new().to_string(), str::to_owned)
}

/// Asked every few seconds by load balancers and scrapers: no line in the log.
fn is_probe(path: &str) -> bool {
    matches!(path, "/" | "/health" | "/livez" | "/metrics") || path.starts_with("/readyz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_safe_request_id_of_the_client_is_kept_and_an_unsafe_one_replaced() {
        let long = "x".repeat(REQUEST_ID_CHARS_MAX + 1);
        for (sent, kept) in [("run-7/a.b", true), ("a b", false), ("a\"b", false), (&long, false)] {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(sent).expect("a header value"));
            assert_eq!(request_id(&headers) == sent, kept, "{sent}");
        }
        assert_eq!(request_id(&HeaderMap::new()).len(), 26);
    }
}
