//! What a key may use: its models, and what the cluster's limits leave.

use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, StatusCode};
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::admin::{KeyLimits, KeyRole};
use protocol::ids::Digest;
use serde_json::{Value, json};

use super::fake_cluster::{FakeCluster, Fault};
use super::{Api, chat, post, with};
use crate::gateway::GatewayState;
use crate::gateway::auth::KeyPolicy;
use crate::gateway::config::GatewayConfig;
use crate::gateway::directory::KeyRecord;
use crate::gateway::quota::{Exhausted, Need, Quota};
use crate::state::UsageDelta;

const PATH: &str = "/v1/chat/completions";

/// Lets through a number of requests and tokens.
#[derive(Default)]
struct Book {
    left: Mutex<Need>,
    used: Mutex<Vec<UsageDelta>>,
}

impl Quota for Book {
    fn take(&self, key: Arc<KeyRecord>, need: Need) -> BoxFuture<'static, Result<(), Exhausted>> {
        let mut left = self.left.lock().expect("no panic");
        let fits = need.requests <= left.requests && need.tokens <= left.tokens;
        if fits {
            left.requests -= need.requests;
            left.tokens -= need.tokens;
        }
        let message = format!("The key `{}` has used its limit.", key.name);
        let exhausted = Exhausted { message, retry_after_seconds: 17, soon: true };
        async move { if fits { Ok(()) } else { Err(exhausted) } }.boxed()
    }

    fn used(&self, _: &str, _: &KeyLimits, _: Need, delta: UsageDelta) {
        self.used.lock().expect("no panic").push(delta);
    }
}

fn api(book: &Arc<Book>, models: &[&str]) -> Api {
    let cluster = FakeCluster::answering("four");
    let limits = KeyLimits {
        models: models.iter().map(|&m| m.to_owned()).collect(),
        ..KeyLimits::default()
    };
    let record = KeyRecord::new("ci", KeyRole::User, Digest::of(b"trk-1"));
    cluster.set_keys(vec![KeyRecord { limits, ..record }]);
    let config = GatewayConfig { keys: KeyPolicy::Required, ..GatewayConfig::default() };
    let state = GatewayState::new(config, cluster.clone(), None);
    Api { cluster, state: state.with_quota(book.clone()) }
}

async fn ask(api: &Api, body: &Value) -> (StatusCode, HeaderMap, Value) {
    let mut request = post(PATH, body);
    request.headers_mut().insert("authorization", "Bearer trk-1".parse().expect("a value"));
    api.json(request).await
}

fn book(requests: u64, tokens: u64) -> Arc<Book> {
    Arc::new(Book { left: Mutex::new(Need { requests, tokens }), ..Book::default() })
}

#[tokio::test]
async fn a_key_uses_the_models_that_it_names() {
    let book = book(9, 9000);
    let api = api(&book, &["org/other"]);
    let (status, _, body) = ask(&api, &chat("hi")).await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (403, &json!("policy_denied")));
    assert!(body["error"]["message"].as_str().is_some_and(|m| m.contains("org/other")), "{body}");
    let other = with(chat("hi"), json!({"model": "org/other"}));
    assert_eq!(ask(&api, &other).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_used_up_limit_says_why_and_when_to_come_again() {
    for book in [book(0, 9000), book(1, 0)] {
        let api = api(&book, &[]);
        let (status, headers, body) = ask(&api, &chat("hi")).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(
            (&headers["retry-after"], &headers["x-should-retry"]),
            (&"17".parse().unwrap(), &"true".parse().unwrap())
        );
        assert_eq!(body["error"]["code"], "rate_limit_exceeded");
        assert!(body["error"]["message"].as_str().is_some_and(|m| m.contains("`ci`")), "{body}");
        assert_eq!(api.cluster.submissions(), 0, "it never came to a head");
    }
}

#[tokio::test]
async fn a_request_that_was_let_in_is_resumed_without_being_asked_again() {
    let book = book(1, 1000);
    let api = api(&book, &[]);
    api.cluster.plan_fault(Fault::DieAfter(2));
    let (status, _, body) = ask(&api, &chat("hi")).await;
    assert_eq!(
        (status, &body["choices"][0]["message"]["content"]),
        (StatusCode::OK, &json!("four"))
    );
    assert_eq!(api.cluster.submissions(), 2, "it was resumed");
    assert_eq!(ask(&api, &chat("hi")).await.0, StatusCode::TOO_MANY_REQUESTS);
    let used = book.used.lock().expect("no panic").clone();
    assert_eq!((used.len(), used[0].requests, used[0].completion_tokens), (1, 1, 4));
    assert!(used[0].prompt_tokens > 0);
}
