//! Paths, keys, headers, refusals around the endpoints.

use std::future::IntoFuture;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use metrics_exporter_prometheus::PrometheusBuilder;
use protocol::admin::{ErrorBody, KeyRole};
use protocol::ids::Digest;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tower::ServiceExt;

use super::fake_cluster::{FakeCluster, Fault, no_capacity};
use super::{Api, chat, get, post, with};
use crate::gateway::GatewayState;
use crate::gateway::auth::{self, KeyPolicy};
use crate::gateway::config::GatewayConfig;
use crate::gateway::directory::KeyRecord;

const PATH: &str = "/v1/chat/completions";

#[tokio::test]
async fn every_endpoint_answers_with_and_without_the_prefix() {
    let api = Api::answering("x");
    for path in ["/chat/completions", PATH] {
        api.answer(path, &chat("hi")).await;
    }
    for path in ["/completions", "/v1/completions"] {
        api.answer(path, &json!({"model": "demo", "prompt": "hi"})).await;
    }
    for path in ["/models", "/v1/models", "/health", "/livez", "/readyz", "/readyz/demo", "/"] {
        assert_eq!(api.json(get(path)).await.0, StatusCode::OK, "{path}");
    }
    let head = Request::head("/").body(Body::empty()).expect("a request");
    assert_eq!(api.send(head).await.status(), StatusCode::OK);
    assert_eq!(api.send(post("/v1/chat/completions?beta=true", &chat("hi"))).await.status(), 200);
}

#[tokio::test]
async fn models_are_listed_and_found_also_with_a_slash() {
    let api = Api::answering("x");
    let (_, _, list) = api.json(get("/v1/models")).await;
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"][1]["id"], "org/other");
    let (status, _, model) = api.json(get("/v1/models/org/other")).await;
    assert_eq!((status.as_u16(), &model["object"]), (200, &json!("model")));
    assert_eq!((&model["max_model_len"], &model["created"]), (&json!(1000), &json!(1_700_000_000)));
    let (status, _, body) = api.json(get("/v1/models/dema")).await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (404, &json!("model_not_found")));
    assert!(body["error"]["message"].as_str().is_some_and(|m| m.contains("demo")), "{body}");
}

#[tokio::test]
async fn every_refusal_is_the_standard_object() {
    let api = Api::answering("x");
    let long = chat(&"x".repeat(1000));
    let huge = chat(&"x".repeat(600_000));
    let unknown = with(chat("hi"), json!({"model": "gpt-5.4"}));
    let raise = chat("raise");
    for (request, status, code, param) in [
        (get("/v1/nothing"), 404, "unknown_url", Value::Null),
        (get("/v1/embeddings"), 404, "unknown_url", Value::Null),
        (get(PATH), 405, "method_not_allowed", Value::Null),
        (post(PATH, &json!({})), 400, "missing_required_parameter", json!("model")),
        (post(PATH, &json!({"model": 7})), 400, "invalid_value", json!("model")),
        (post(PATH, &unknown), 404, "model_not_found", json!("model")),
        (post(PATH, &raise), 400, "invalid_value", json!("messages")),
        (post(PATH, &long), 400, "context_length_exceeded", json!("messages")),
        (post(PATH, &huge), 400, "context_length_exceeded", json!("messages")),
    ] {
        let (found, headers, body) = api.json(request).await;
        assert_eq!(found.as_u16(), status, "{body}");
        let error = &body["error"];
        assert_eq!((&error["code"], &error["param"]), (&json!(code), &param), "{body}");
        assert_eq!(error["type"], "invalid_request_error");
        assert_eq!(headers["x-should-retry"], "false");
        if code == "context_length_exceeded" {
            let message = error["message"].as_str().expect("a message");
            assert!(message.contains("This model's maximum context length is 1000 tokens"));
        }
    }
}

#[tokio::test]
async fn broken_json_is_a_400() {
    let api = Api::answering("x");
    let request = Request::post(PATH).body(Body::from("{\"model\": ")).expect("a request");
    let (status, _, body) = api.json(request).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!((&body["error"]["code"], &body["error"]["param"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn replies_carry_the_usual_headers() {
    let api = Api::answering("x");
    let asked = with(chat("hi"), json!({"stream": true, "user": "me", "metadata": {}}));
    let mut request = post(PATH, &asked);
    request.headers_mut().insert("x-request-id", "run-7".parse().expect("a value"));
    let response = api.send(request).await;
    let header = |name: &str| response.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(header("x-request-id"), "run-7");
    assert_eq!(header("content-type"), "text/event-stream");
    assert_eq!(header("cache-control"), "no-cache");
    assert_eq!(header("x-accel-buffering"), "no");
    assert_eq!(header("x-ignored-params"), "metadata, user");
    assert_eq!(header("x-model-revision"), "07070707");
    assert!(header("openai-processing-ms").parse::<u64>().is_ok());
}

#[tokio::test]
async fn keys_close_everything_but_health() {
    let config = GatewayConfig { keys: KeyPolicy::Required, ..GatewayConfig::default() };
    let api = Api::over(FakeCluster::answering("x"), config);
    let hash = Digest::of(b"trk-1");
    api.cluster.set_keys(vec![KeyRecord::new("ci", KeyRole::User, hash)]);
    for path in ["/health", "/readyz", "/"] {
        assert_eq!(api.json(get(path)).await.0, StatusCode::OK, "{path}");
    }
    for path in ["/v1/models", "/models", "/metrics", "/v1/models/demo"] {
        let (status, headers, body) = api.json(get(path)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(headers["www-authenticate"], "Bearer");
        assert_eq!(body["error"]["code"], "invalid_api_key");
    }
    let mut request = post(PATH, &chat("hi"));
    request.headers_mut().insert("authorization", "Bearer trk-1".parse().expect("a value"));
    assert_eq!(api.json(request).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_413() {
    let mut config = GatewayConfig::default();
    config.limits.body_bytes_max = 100;
    let api = Api::over(FakeCluster::answering("x"), config);
    let announced = post(PATH, &chat(&"x".repeat(200)));
    let body = chat(&"x".repeat(200)).to_string();
    let pieces = futures::stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let unannounced = Request::post(PATH).body(Body::from_stream(pieces)).expect("a request");
    for request in [announced, unannounced] {
        let (status, _, body) = api.json(request).await;
        assert_eq!((status.as_u16(), &body["error"]["code"]), (413, &json!("request_too_large")));
    }
}

#[tokio::test]
async fn more_requests_than_places_are_refused_at_once_and_leave_no_trace() {
    let mut config = GatewayConfig::default();
    config.limits.requests_max = 1;
    let api = Api::over(FakeCluster::answering("x"), config);
    let stream = api.post(PATH, &with(chat("hi"), json!({"stream": true}))).await;
    // Its place is taken until its body is read to the end.
    let (status, headers, _) = api.json(post(PATH, &chat("hi"))).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(headers["retry-after"], "1");
    super::text_of(stream).await;
    for _ in 0..100 {
        if api.json(post(PATH, &chat("hi"))).await.0 == StatusCode::OK {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("the place never came back");
}

#[tokio::test]
async fn readiness_says_which_model_waits_for_what() {
    let api = Api::answering("x");
    api.cluster.set_route(no_capacity("degraded: needs 9.1 GiB more"));
    let (status, _, body) = api.json(get("/readyz")).await;
    assert_eq!((status.as_u16(), &body["status"]), (503, &json!("not ready")));
    let verbose = super::text_of(api.send(get("/readyz?verbose")).await).await;
    assert!(verbose.contains("[-]model demo not ready: degraded: needs 9.1 GiB more"), "{verbose}");
    assert_eq!(api.json(get("/readyz/demo")).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_draining_node_takes_nothing_new() {
    let api = Api::answering("x");
    api.state.drain();
    let (status, headers, body) = api.json(post(PATH, &chat("hi"))).await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (503, &json!("overloaded")));
    assert_eq!(headers["x-should-retry"], "true");
    assert_eq!(api.json(get("/readyz")).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

/// At the end of a drain: no answer may look whole, and every client learns that it may ask again.
#[tokio::test]
async fn answers_that_outlast_the_drain_end_with_an_error_that_says_to_ask_again() {
    let api = Api::answering("never ends");
    for stream in [true, false] {
        api.cluster.plan_fault(Fault::SilentAfter(2));
        let seen = api.cluster.seen().len();
        let cutting = async {
            while api.cluster.seen().len() == seen {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            api.state.drain();
            api.state.cut();
        };
        let body = with(chat("hi"), json!({ "stream": stream }));
        let asking = async {
            let response = api.send(post(PATH, &body)).await;
            let retry = response.headers().get("retry-after").is_some();
            (response.status().as_u16(), retry, super::text_of(response).await)
        };
        let ((status, retry, text), ()) = tokio::join!(asking, cutting);
        assert!(text.contains("node_draining") && text.contains("again"), "{text}");
        assert!(!text.contains("[DONE]"), "{text}");
        // What has not begun to stream is an ordinary refusal.
        assert!(status == 200 || (status == 503 && retry), "{status} {text}");
        assert!(stream || status == 503, "{status} {text}");
        api.state.serve_again();
    }
}

#[tokio::test]
async fn any_model_name_may_fall_back_to_one() {
    let config = GatewayConfig { fallback_model: Some("demo".into()), ..Default::default() };
    let api = Api::over(FakeCluster::answering("x"), config);
    let body = api.answer(PATH, &with(chat("hi"), json!({"model": "gpt-5.4"}))).await;
    assert_eq!(body["model"], "demo");
}

#[tokio::test]
async fn metrics_count_requests_and_tokens_and_hold_no_text() {
    let builder = crate::gateway::metrics::configure(PrometheusBuilder::new()).expect("buckets");
    let recorder = builder.build_recorder();
    // Tasks of this test's runtime all run on this thread.
    let _here = metrics::set_default_local_recorder(&recorder);
    let cluster = FakeCluster::answering("canary-answer");
    let state =
        GatewayState::new(GatewayConfig::default(), cluster.clone(), Some(recorder.handle()));
    let api = Api { cluster, state };
    api.answer(PATH, &chat("canary-prompt")).await;
    api.refusal(PATH, &with(chat("hi"), json!({"model": "canary-model"}))).await;
    let text = super::text_of(api.send(get("/metrics")).await).await;
    let ended = |model: &str, code: u16, finish: &str| {
        let endpoint = "endpoint=\"chat_completions\"";
        let labels = format!("model=\"{model}\",{endpoint},code=\"{code}\",finish=\"{finish}\"");
        format!("trireme_requests_total{{{labels}}} 1")
    };
    for line in [
        &ended("demo", 200, "stop"),
        &ended("unknown", 404, "refused"),
        "trireme_rejections_total{reason=\"model_not_found\"} 1",
        "trireme_tokens_total{kind=\"output\",model=\"demo\",key_class=\"admin\"} 13",
        "trireme_ttft_seconds_count{model=\"demo\"} 1",
        "trireme_itl_seconds_count{model=\"demo\"} 12",
        "trireme_requests_running{model=\"demo\"} 0",
        "trireme_requests_waiting{model=\"demo\"} 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn hanging_up_during_a_plain_reply_frees_the_sequence() {
    let api = Api::answering("never ends");
    api.cluster.plan_fault(Fault::SilentAfter(2));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let router = crate::gateway::router(api.state.clone());
    let serving = tokio::spawn(axum::serve(listener, router).into_future());
    let mut client = tokio::net::TcpStream::connect(address).await.expect("connected");
    let body = chat("hi").to_string();
    let head = format!("POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    client.write_all((head + &body).as_bytes()).await.expect("sent");
    while api.cluster.seen().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    drop(client);
    super::recovery::cancelled(&api, 1).await;
    serving.abort();
}

#[tokio::test]
async fn the_admin_api_refuses_in_its_own_words() {
    let config = GatewayConfig { keys: KeyPolicy::Required, ..GatewayConfig::default() };
    let api = Api::over(FakeCluster::answering("x"), config);
    let hash = Digest::of(b"trk-1");
    api.cluster.set_keys(vec![KeyRecord::new("ci", KeyRole::User, hash)]);
    let guard = axum::middleware::from_fn_with_state(api.state.auth(), auth::authorise);
    let admin = Router::new().route("/admin/v1/keys", axum::routing::get(|| async { "keys" }));
    let router = crate::gateway::router_with(api.state.clone(), admin.route_layer(guard));
    for (key, status, code) in [("trk-1", 403, "policy_denied"), ("trk-2", 401, "invalid_api_key")]
    {
        let mut request = get("/admin/v1/keys");
        request.headers_mut().insert("x-api-key", key.parse().expect("a value"));
        let response = router.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status().as_u16(), status);
        let body = super::text_of(response).await;
        let body: ErrorBody = serde_json::from_str(&body).expect("the admin error body");
        assert_eq!(body.error.code, code);
        assert_eq!(body.error.request_id.len(), 26);
    }
}
