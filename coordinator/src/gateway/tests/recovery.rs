//! Heads that break, refuse or fall silent, and clients that leave.

use std::time::Duration;

use axum::http::StatusCode;
use futures::StreamExt;
use protocol::generate::Refusal;
use serde_json::{Value, json};

use super::fake_cluster::{Answer, FakeCluster, Fault, no_capacity, target};
use super::{Api, TEST_WAIT, chat, chat_text, chunks, post, with};
use crate::gateway::config::GatewayConfig;
use crate::gateway::router::{Route, Shortage, ShortageKind};

const PATH: &str = "/v1/chat/completions";

/// Waits that a test can sit through.
fn impatient() -> GatewayConfig {
    let mut config = GatewayConfig::default();
    config.patience.plan = Duration::from_millis(300);
    config.keep_alive = Duration::from_millis(20);
    config
}

#[tokio::test]
async fn a_stream_survives_its_heads_and_reads_as_if_nothing_had_happened() {
    let api = Api::over(FakeCluster::new(Answer::Letters), GatewayConfig::default());
    let asked = with(chat("hi"), json!({"seed": 3, "max_tokens": 40, "stream": true}));
    let undisturbed = chat_text(&chunks(&api.stream(PATH, &asked).await), 0);
    for faults in [vec![7], vec![0, 0, 5], vec![1, 1, 1, 1], vec![39], vec![40]] {
        let submissions = api.cluster.submissions();
        for &tokens in &faults {
            api.cluster.plan_fault(Fault::DieAfter(tokens));
        }
        let chunks = chunks(&api.stream(PATH, &asked).await);
        assert_eq!(chat_text(&chunks, 0), undisturbed, "{faults:?}");
        let finishes = chunks.iter().filter(|c| c["choices"][0]["finish_reason"] == "length");
        assert_eq!(finishes.count(), 1);
        assert!(api.cluster.submissions() > submissions);
    }
    let seen = api.cluster.seen();
    assert!(seen.iter().any(|request| request.resumed && request.emitted.len() == 7));
}

#[tokio::test]
async fn a_stop_string_is_found_across_a_lost_head() {
    let api = Api::answering("one two three");
    api.cluster.plan_fault(Fault::DieAfter(6));
    let body = api.answer(PATH, &with(chat("hi"), json!({"stop": "two"}))).await;
    assert_eq!(body["choices"][0]["message"]["content"], "one ");
    assert_eq!(body["usage"]["completion_tokens"], 7);
}

#[tokio::test]
async fn a_head_that_is_not_reachable_or_not_there_yet_is_asked_again() {
    let api = Api::answering("Hello.");
    for fault in [
        Fault::Unreachable,
        Fault::Refuse(Refusal::NotYet),
        Fault::Refuse(Refusal::QueueFull { waiting: 1 }),
    ] {
        let full = matches!(fault, Fault::Refuse(Refusal::QueueFull { .. }));
        api.cluster.plan_fault(fault);
        let (status, body) = api.refusal(PATH, &chat("hi")).await;
        let expected = if full { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::OK };
        assert_eq!(status, expected, "{body}");
    }
}

#[tokio::test]
async fn a_full_queue_is_a_429_that_says_when_to_come_back() {
    let api = Api::answering("Hello.");
    api.cluster.plan_fault(Fault::Refuse(Refusal::QueueFull { waiting: 12 }));
    let asked = with(chat("hi"), json!({"stream": true}));
    let (status, headers, body) = api.json(post(PATH, &asked)).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        (&headers["retry-after"], &headers["x-should-retry"]),
        (&"1".parse().expect("a value"), &"true".parse().expect("a value"))
    );
    assert_eq!(body["error"]["type"], "rate_limit_error");
    assert_eq!(body["error"]["code"], "rate_limit_exceeded");
}

#[tokio::test]
async fn without_a_plan_the_wait_ends_with_what_is_missing() {
    let api = Api::over(FakeCluster::answering("x"), impatient());
    for (kind, code) in [
        (ShortageKind::NoCapacity, "no_capacity"),
        (ShortageKind::Loading, "model_loading"),
        (ShortageKind::Gone, "no_capacity"),
    ] {
        let shortage = Some(Shortage { kind, reason: "needs 9.1 GiB more".into() });
        api.cluster.set_route(Route { targets: Vec::new(), shortage });
        let (status, error) = api.refusal(PATH, &with(chat("hi"), json!({"stream": true}))).await;
        assert_eq!((status.as_u16(), &error["code"]), (503, &json!(code)));
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains("needs 9.1 GiB more"), "{message}");
    }
}

#[tokio::test]
async fn a_stream_that_finds_no_new_plan_ends_with_an_error_and_no_done() {
    let api = Api::over(FakeCluster::answering("Hello."), impatient());
    api.cluster.plan_fault(Fault::SilentAfter(3));
    let response = api.post(PATH, &with(chat("hi"), json!({"stream": true}))).await;
    assert_eq!(response.status(), StatusCode::OK);
    let cluster = api.cluster.clone();
    let reading = async {
        let mut text = String::new();
        let mut stream = response.into_body().into_data_stream();
        while let Some(piece) = stream.next().await {
            text.push_str(std::str::from_utf8(&piece.expect("a piece")).expect("UTF-8"));
            if text.contains(": keep-alive") && cluster.submissions() == 1 {
                // The epoch is over, the next one never works.
                for _ in 0..50 {
                    cluster.plan_fault(Fault::Unreachable);
                }
                cluster.set_route(Route { targets: vec![target(1, 2)], shortage: None });
            }
        }
        text
    };
    let text = tokio::time::timeout(TEST_WAIT, reading).await.expect("an end");
    let frames = super::payloads(&text);
    let last: Value = serde_json::from_str(frames.last().expect("frames")).expect("JSON");
    assert_eq!(last["error"]["code"], "node_lost");
    assert!(!text.contains("[DONE]"));
    assert!(text.contains(": keep-alive\n\n"));
}

#[tokio::test]
async fn service_returns_when_a_plan_does() {
    let api = Api::answering("Hello.");
    api.cluster.set_route(no_capacity("needs 9.1 GiB more"));
    let cluster = api.cluster.clone();
    let request = chat("hi");
    let asking = api.answer(PATH, &request);
    let healing = async {
        tokio::task::yield_now().await;
        cluster.set_route(Route { targets: vec![target(1, 9)], shortage: None });
    };
    let (body, ()) = tokio::join!(asking, healing);
    assert_eq!(body["choices"][0]["message"]["content"], "Hello.");
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_sequence() {
    let api = Api::over(FakeCluster::new(Answer::Letters), GatewayConfig::default());
    api.cluster.plan_fault(Fault::SilentAfter(3));
    let response = api.post(PATH, &with(chat("hi"), json!({"stream": true}))).await;
    let mut stream = response.into_body().into_data_stream();
    stream.next().await.expect("a first chunk").expect("a piece");
    drop(stream);
    cancelled(&api, 1).await;

    api.cluster.plan_fault(Fault::SilentAfter(0));
    api.cluster.plan_fault(Fault::SilentAfter(0));
    let unread = Duration::from_millis(100);
    let asked = with(chat("hi"), json!({"n": 2}));
    let request = api.post(PATH, &asked);
    assert!(tokio::time::timeout(unread, request).await.is_err());
    cancelled(&api, 3).await;
}

pub(super) async fn cancelled(api: &Api, count: u32) {
    let all = async {
        while api.cluster.cancelled() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TEST_WAIT, all).await.expect("the head hears of it");
}
