//! Chat completions: bodies, streams, what ends them, what they count.

use serde_json::{Value, json};

use super::fake_cluster::{Answer, FakeCluster};
use super::{Api, chat, chat_text, chunks, with};
use crate::gateway::config::GatewayConfig;

const PATH: &str = "/v1/chat/completions";

/// Takes out what differs from run to run, after a look at its form.
fn steady(mut body: Value, prefix: &str) -> Value {
    let id = body["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with(prefix) && id.len() > prefix.len() + 20, "{id}");
    assert!(body["created"].as_u64().expect("unix seconds") > 1_700_000_000);
    body["id"] = json!("ID");
    body["created"] = json!(0);
    body
}

#[tokio::test]
async fn a_reply_has_exactly_the_standard_body() {
    let api = Api::answering("Hello.");
    let body = api.answer(PATH, &chat("hi")).await;
    let expected = json!({
        "id": "ID", "object": "chat.completion", "created": 0, "model": "demo",
        "system_fingerprint": "fp_07070707",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": "Hello.", "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": {
            "prompt_tokens": 19, "completion_tokens": 6, "total_tokens": 25,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    });
    assert_eq!(steady(body, "chatcmpl-"), expected);
}

#[tokio::test]
async fn a_stream_has_exactly_the_standard_chunks() {
    let api = Api::answering("Hé");
    let asked =
        with(chat("hi"), json!({"stream": true, "stream_options": {"include_usage": true}}));
    let chunks = chunks(&api.stream(PATH, &asked).await);
    let choice = |delta: Value, finish: Value| {
        let mut choice = json!({"index": 0, "delta": delta, "logprobs": null});
        choice["finish_reason"] = finish;
        json!([choice])
    };
    let usage = json!({
        "prompt_tokens": 19, "completion_tokens": 3, "total_tokens": 22,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    });
    let expected = [
        (choice(json!({"role": "assistant", "content": ""}), Value::Null), Value::Null),
        (choice(json!({"content": "H"}), Value::Null), Value::Null),
        // The two bytes of a character arrive as two tokens and leave as one piece.
        (choice(json!({"content": "é"}), Value::Null), Value::Null),
        (choice(json!({}), json!("stop")), Value::Null),
        (json!([]), usage),
    ];
    assert_eq!(chunks.len(), expected.len(), "{chunks:?}");
    for (chunk, (choices, usage)) in chunks.iter().zip(expected) {
        assert_eq!((&chunk["id"], &chunk["created"]), (&chunks[0]["id"], &chunks[0]["created"]));
        let expected = json!({
            "id": "ID", "object": "chat.completion.chunk", "created": 0, "model": "demo",
            "system_fingerprint": "fp_07070707", "choices": choices, "usage": usage,
        });
        assert_eq!(steady(chunk.clone(), "chatcmpl-"), expected);
    }
}

#[tokio::test]
async fn without_being_asked_a_stream_says_nothing_about_usage() {
    let api = Api::answering("Hello.");
    let asked = with(chat("hi"), json!({"stream": true}));
    for chunk in chunks(&api.stream(PATH, &asked).await) {
        assert_eq!(chunk.get("usage"), None);
    }
}

#[tokio::test]
async fn continuous_usage_counts_along() {
    let api = Api::answering("abc");
    let options = json!({"stream": true, "stream_options": {"continuous_usage_stats": true}});
    let chunks = chunks(&api.stream(PATH, &with(chat("hi"), options)).await);
    let counts: Vec<u64> =
        chunks.iter().filter_map(|c| c["usage"]["completion_tokens"].as_u64()).collect();
    assert_eq!(counts, [1, 2, 3, 3]);
}

#[tokio::test]
async fn a_stop_string_is_found_across_tokens_and_never_shown() {
    let api = Api::answering("one two three");
    for (stop, text, tokens) in [
        (json!(" three"), "one two", 13),
        (json!(["zzz", "o t"]), "one tw", 9),
        (json!("one"), "", 3),
        (json!("three!"), "one two three", 13),
    ] {
        let asked = with(chat("hi"), json!({"stop": stop}));
        let body = api.answer(PATH, &asked).await;
        let choice = &body["choices"][0];
        assert_eq!(
            (&choice["message"]["content"], &choice["finish_reason"]),
            (&json!(text), &json!("stop"))
        );
        assert_eq!(body["usage"]["completion_tokens"], tokens, "{stop}");
        let streamed = chunks(&api.stream(PATH, &with(asked, json!({"stream": true}))).await);
        assert_eq!(chat_text(&streamed, 0), text);
    }
}

#[tokio::test]
async fn the_token_limit_ends_with_length() {
    let api = Api::answering("Hello.");
    let body = api.answer(PATH, &with(chat("hi"), json!({"max_tokens": 2}))).await;
    assert_eq!(body["choices"][0]["message"]["content"], "He");
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    assert_eq!(body["usage"]["completion_tokens"], 2);
}

#[tokio::test]
async fn the_context_bounds_what_a_client_asks_for() {
    let api = Api::over(FakeCluster::new(Answer::Letters), GatewayConfig::default());
    let body = api.answer(PATH, &with(chat("hi"), json!({"max_tokens": 32000}))).await;
    assert_eq!(body["usage"]["total_tokens"], super::fake_cluster::CONTEXT);
    assert_eq!(body["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn each_choice_is_a_sequence_of_its_own() {
    let api = Api::over(FakeCluster::new(Answer::Letters), GatewayConfig::default());
    let asked = with(chat("hi"), json!({"n": 3, "seed": 5, "max_tokens": 20}));
    let whole = api.answer(PATH, &asked).await;
    let texts: Vec<&str> =
        (0..3).map(|i| whole["choices"][i]["message"]["content"].as_str().expect("text")).collect();
    assert!(texts[0] != texts[1] && texts[1] != texts[2] && texts[0] != texts[2], "{texts:?}");
    assert_eq!(whole["usage"]["completion_tokens"], 60);
    assert_eq!(whole["usage"]["prompt_tokens"], 19);

    let chunks = chunks(&api.stream(PATH, &with(asked, json!({"stream": true}))).await);
    for index in 0..3 {
        assert_eq!(chat_text(&chunks, index), texts[index as usize]);
        let choices = chunks.iter().flat_map(|c| c["choices"].as_array().expect("list"));
        let mine: Vec<&Value> = choices.filter(|c| c["index"] == index).collect();
        assert_eq!(mine.iter().filter(|c| !c["finish_reason"].is_null()).count(), 1);
        assert_eq!(mine[0]["delta"]["role"], "assistant");
    }
}

#[tokio::test]
async fn a_seed_repeats_an_answer_and_choice_zero_is_the_same_alone() {
    let api = Api::over(FakeCluster::new(Answer::Letters), GatewayConfig::default());
    let text = async |more: Value| {
        let asked = with(with(chat("hi"), json!({"max_tokens": 12})), more);
        api.answer(PATH, &asked).await["choices"][0]["message"]["content"].clone()
    };
    assert_eq!(text(json!({"seed": 7})).await, text(json!({"seed": 7, "n": 2})).await);
    assert_ne!(text(json!({"seed": 7})).await, text(json!({"seed": 8})).await);
    assert_ne!(text(json!({})).await, text(json!({})).await);
}

#[tokio::test]
async fn log_probabilities_come_per_token_with_the_alternatives_asked_for() {
    let api = Api::answering("Hé");
    let asked = with(chat("hi"), json!({"logprobs": true, "top_logprobs": 2}));
    let body = api.answer(PATH, &asked).await;
    let top = json!([
        {"token": "A", "logprob": -1.0, "bytes": [65]},
        {"token": "B", "logprob": -2.0, "bytes": [66]},
    ]);
    let line = |token: &str, byte: u8| {
        let mut line = json!({"token": token, "logprob": -0.5, "bytes": [byte]});
        line["top_logprobs"] = top.clone();
        line
    };
    let expected = json!({
        "content": [line("H", 72), line("\u{fffd}", 0xc3), line("\u{fffd}", 0xa9)],
        "refusal": null,
    });
    assert_eq!(body["choices"][0]["logprobs"], expected);

    let chunks = chunks(&api.stream(PATH, &with(asked, json!({"stream": true}))).await);
    let streamed: Vec<Value> = chunks
        .iter()
        .filter_map(|c| c["choices"][0]["logprobs"]["content"].as_array().cloned())
        .flatten()
        .collect();
    assert_eq!(json!(streamed), expected["content"]);
}

#[tokio::test]
async fn tokens_of_a_stop_string_have_no_log_probabilities() {
    let api = Api::answering("ab##cd");
    let asked = with(chat("hi"), json!({"logprobs": true, "stop": "##"}));
    let body = api.answer(PATH, &asked).await;
    let lines = body["choices"][0]["logprobs"]["content"].as_array().expect("lines");
    assert_eq!(lines.len(), 2);
}

#[tokio::test]
async fn the_heads_get_what_the_client_asked_for() {
    let api = Api::answering("x");
    let more = json!({
        "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "seed": 1,
        "repetition_penalty": 1.1, "presence_penalty": 0.2, "frequency_penalty": 0.3,
        "logit_bias": {"65": -100}, "min_tokens": 2, "stop_token_ids": [10], "logprobs": true,
        "max_tokens": 9,
    });
    api.answer(PATH, &with(chat("hi"), more)).await;
    api.answer(PATH, &with(chat("hi"), json!({"ignore_eos": true}))).await;
    let seen = api.cluster.seen();
    let sampling = &seen[0].sampling;
    assert_eq!((sampling.temperature, sampling.top_p, sampling.top_k), (0.5, 0.9, 40));
    assert_eq!((sampling.min_p, sampling.repetition_penalty), (0.05, 1.1));
    assert_eq!((sampling.presence_penalty, sampling.frequency_penalty), (0.2, 0.3));
    assert_eq!(sampling.logit_bias, [(protocol::ids::TokenId(65), -100.0)]);
    assert_eq!((sampling.min_tokens, sampling.logprobs, seen[0].tokens_max), (2, Some(0), 9));
    let stops: Vec<u32> = sampling.stop_tokens.iter().map(|t| t.0).collect();
    assert_eq!(stops, [10, 256]);
    assert_eq!(seen[1].sampling.stop_tokens, []);
    assert!(!seen[0].resumed && seen[0].emitted.is_empty());
}
