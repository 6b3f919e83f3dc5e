//! The gateway against fake heads: bodies, streams, recovery, refusals.

mod chat;
mod completions;
pub(super) mod fake_cluster;
mod fake_text;
mod http;
mod quota;
mod recovery;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use futures::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use self::fake_cluster::FakeCluster;
use super::GatewayState;
use super::config::GatewayConfig;

/// No wait of the gateway itself is anywhere near this.
const TEST_WAIT: Duration = Duration::from_secs(20);

/// A gateway over a fake cluster.
struct Api {
    cluster: Arc<FakeCluster>,
    state: GatewayState,
}

impl Api {
    /// One replica whose heads answer every prompt with `answer`.
    fn answering(answer: &str) -> Self {
        Self::over(FakeCluster::answering(answer), GatewayConfig::default())
    }

    fn over(cluster: Arc<FakeCluster>, config: GatewayConfig) -> Self {
        let state = GatewayState::new(config, cluster.clone(), None);
        Self { cluster, state }
    }

    async fn send(&self, request: Request<Body>) -> Response {
        let reply = super::router(self.state.clone()).oneshot(request);
        tokio::time::timeout(TEST_WAIT, reply).await.expect("a reply in time").expect("infallible")
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        self.send(post(path, body)).await
    }

    /// Status, headers and JSON of a reply.
    async fn json(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
        let response = self.send(request).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        (status, headers, body)
    }

    /// The body of a reply that must be 200.
    async fn answer(&self, path: &str, body: &Value) -> Value {
        let (status, _, body) = self.json(post(path, body)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// All `data:` payloads of a stream that must begin with 200.
    async fn stream(&self, path: &str, body: &Value) -> Vec<String> {
        let response = self.post(path, body).await;
        assert_eq!(response.status(), StatusCode::OK);
        let text = tokio::time::timeout(TEST_WAIT, text_of(response)).await.expect("an end");
        payloads(&text)
    }

    async fn refusal(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let (status, _, body) = self.json(post(path, body)).await;
        (status, body["error"].clone())
    }
}

fn post(path: &str, body: &Value) -> Request<Body> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(Body::from(body.to_string())).expect("a request")
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).expect("a request")
}

async fn text_of(response: Response) -> String {
    let mut text = Vec::new();
    let mut stream = response.into_body().into_data_stream();
    while let Some(piece) = stream.next().await {
        text.extend_from_slice(&piece.expect("a whole stream"));
    }
    String::from_utf8(text).expect("UTF-8")
}

/// Every frame must be one `data:` line and an empty one, or a comment.
fn payloads(text: &str) -> Vec<String> {
    assert!(text.ends_with("\n\n"), "{text:?}");
    text.trim_end_matches("\n\n")
        .split("\n\n")
        .filter(|frame| !frame.starts_with(':'))
        .map(|frame| frame.strip_prefix("data: ").expect("a data frame").to_owned())
        .collect()
}

/// The chunks of a stream that ended in order.
fn chunks(payloads: &[String]) -> Vec<Value> {
    let (last, chunks) = payloads.split_last().expect("at least the end");
    assert_eq!(last, "[DONE]");
    chunks.iter().map(|c| serde_json::from_str(c).expect("JSON")).collect()
}

/// The text that a client puts together from chat chunks, per choice.
fn chat_text(chunks: &[Value], index: u64) -> String {
    chunks
        .iter()
        .flat_map(|c| c["choices"].as_array().expect("choices").clone())
        .filter(|choice| choice["index"] == index)
        .filter_map(|choice| choice["delta"]["content"].as_str().map(str::to_owned))
        .collect()
}

fn chat(content: &str) -> Value {
    json!({"model": "demo", "messages": [{"role": "user", "content": content}]})
}

/// `body` with further fields.
fn with(body: Value, more: Value) -> Value {
    let mut body = body;
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}
