//! Plain completions: bodies, streams, echo, the older log probabilities.

use serde_json::{Value, json};

use super::{Api, chunks, with};

const PATH: &str = "/v1/completions";

fn prompt(prompt: Value) -> Value {
    json!({"model": "demo", "prompt": prompt})
}

fn streamed_text(chunks: &[Value], index: u64) -> String {
    let choices = chunks.iter().flat_map(|c| c["choices"].as_array().expect("list"));
    choices.filter(|c| c["index"] == index).filter_map(|c| c["text"].as_str()).collect()
}

#[tokio::test]
async fn a_reply_has_exactly_the_standard_body() {
    let api = Api::answering("Hello.");
    let mut body = api.answer(PATH, &prompt(json!("hi"))).await;
    assert!(body["id"].as_str().is_some_and(|id| id.starts_with("cmpl-")));
    body["id"] = json!("ID");
    body["created"] = json!(0);
    let expected = json!({
        "id": "ID", "object": "text_completion", "created": 0, "model": "demo",
        "system_fingerprint": "fp_07070707",
        "choices": [{"index": 0, "text": "Hello.", "logprobs": null, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 2, "completion_tokens": 6, "total_tokens": 8,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn text_and_its_tokens_are_the_same_prompt() {
    let api = Api::answering("x");
    for form in [json!("hi"), json!([104, 105]), json!(["hi"]), json!([[104, 105]])] {
        api.answer(PATH, &prompt(form)).await;
    }
    let seen = api.cluster.seen();
    assert!(seen.iter().all(|request| request.prompt == seen[0].prompt));
}

#[tokio::test]
async fn several_prompts_give_their_choices_in_order() {
    let api = Api::answering("!");
    let asked = with(prompt(json!(["a", "bc"])), json!({"n": 2, "echo": true}));
    let body = api.answer(PATH, &asked).await;
    let choices = body["choices"].as_array().expect("choices");
    let texts: Vec<&str> = choices.iter().map(|c| c["text"].as_str().expect("text")).collect();
    assert_eq!(texts, ["a!", "a!", "bc!", "bc!"]);
    assert_eq!(body["usage"]["prompt_tokens"], 3);

    let chunks = chunks(&api.stream(PATH, &with(asked, json!({"stream": true}))).await);
    for (index, text) in texts.iter().enumerate() {
        assert_eq!(streamed_text(&chunks, index as u64), *text);
    }
}

#[tokio::test]
async fn echo_of_nothing_more_asks_no_head() {
    let api = Api::answering("never");
    let asked = with(prompt(json!("hi")), json!({"echo": true, "max_tokens": 0}));
    let body = api.answer(PATH, &asked).await;
    assert_eq!(body["choices"][0]["text"], "hi");
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    let chunks = chunks(&api.stream(PATH, &with(asked, json!({"stream": true}))).await);
    assert_eq!(streamed_text(&chunks, 0), "hi");
    assert_eq!(api.cluster.submissions(), 0);
}

#[tokio::test]
async fn log_probabilities_have_the_older_form() {
    let api = Api::answering("ab");
    let body = api.answer(PATH, &with(prompt(json!("hi")), json!({"logprobs": 1}))).await;
    let expected = json!({
        "tokens": ["a", "b"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{"A": -1.0, "a": -0.5}, {"A": -1.0, "b": -0.5}],
        "text_offset": [0, 1],
    });
    assert_eq!(body["choices"][0]["logprobs"], expected);
}
