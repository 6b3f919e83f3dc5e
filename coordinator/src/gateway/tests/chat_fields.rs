//! One row per field of a chat request: accepted, refused, ignored.

use serde_json::json;

use super::*;

const LIMITS: FieldLimits = FieldLimits { vocab_size: 100, context_length: 1000, choices_max: 16 };

fn take(more: Value) -> Result<ChatRequest, ApiError> {
    let mut body = json!({"messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    ChatRequest::take(Fields::parse(body.to_string().as_bytes())?, &LIMITS)
}

#[test]
fn what_a_client_may_send_is_accepted() {
    for body in [
        json!({"max_tokens": 1}),
        json!({"max_completion_tokens": 5000}),
        json!({"temperature": 0}),
        json!({"temperature": 2.0, "top_p": 0, "min_p": 1, "top_k": -1}),
        json!({"top_p": 1, "top_k": 40, "repetition_penalty": 1.1}),
        json!({"presence_penalty": -2, "frequency_penalty": 2}),
        json!({"n": 16}),
        json!({"seed": -1}),
        json!({"seed": u64::MAX}),
        json!({"stop": "x"}),
        json!({"stop": ["a", "b", "c", "d", "e"]}),
        json!({"stop": []}),
        json!({"logprobs": true, "top_logprobs": 20}),
        json!({"logprobs": false, "top_logprobs": 0}),
        json!({"logit_bias": {"99": -100, "0": 100.0}}),
        json!({"logit_bias": {}}),
        json!({"stop_token_ids": [99], "min_tokens": 3, "ignore_eos": true}),
        json!({"stream": true, "stream_options": {"include_usage": true}}),
        json!({"stream": false, "stream_options": null}),
        json!({"reasoning_effort": "none"}),
        json!({"chat_template_kwargs": {"enable_thinking": false}}),
        json!({"add_generation_prompt": false, "skip_special_tokens": false}),
        json!({"temperature": null, "n": null, "stop": null, "seed": null, "logit_bias": null}),
    ] {
        let asked = take(body.clone()).unwrap_or_else(|e| panic!("{body}: {}", e.message));
        assert_eq!(asked.ignored, Vec::<String>::new(), "{body}");
    }
}

#[test]
fn what_asks_for_nothing_passes() {
    for body in [
        json!({"tools": []}),
        json!({"tool_choice": "none"}),
        json!({"tool_choice": "auto"}),
        json!({"response_format": {"type": "text"}}),
        json!({"modalities": ["text"]}),
        json!({"bad_words": []}),
        json!({"prompt_logprobs": null}),
        json!({"echo": false}),
        json!({"continue_final_message": false, "return_token_ids": false}),
    ] {
        assert!(take(body.clone()).is_ok(), "{body}");
    }
}

#[test]
fn bad_values_name_their_field() {
    for (param, body) in [
        ("max_tokens", json!({"max_tokens": 0})),
        ("max_completion_tokens", json!({"max_completion_tokens": "ten"})),
        ("temperature", json!({"temperature": 2.1})),
        ("temperature", json!({"temperature": "hot"})),
        ("top_p", json!({"top_p": -0.1})),
        ("min_p", json!({"min_p": 1.5})),
        ("top_k", json!({"top_k": -2})),
        ("top_k", json!({"top_k": 1.5})),
        ("repetition_penalty", json!({"repetition_penalty": 0})),
        ("presence_penalty", json!({"presence_penalty": 3})),
        ("frequency_penalty", json!({"frequency_penalty": -3})),
        ("n", json!({"n": 0})),
        ("n", json!({"n": 17})),
        ("seed", json!({"seed": 1.5})),
        ("stop", json!({"stop": ""})),
        ("stop", json!({"stop": [1]})),
        ("stop", json!({"stop": vec!["x"; 17]})),
        ("logprobs", json!({"logprobs": 3})),
        ("top_logprobs", json!({"top_logprobs": 3})),
        ("top_logprobs", json!({"logprobs": true, "top_logprobs": 21})),
        ("logit_bias", json!({"logit_bias": {"100": 1}})),
        ("logit_bias", json!({"logit_bias": {"5": 101}})),
        ("logit_bias", json!({"logit_bias": {"five": 1}})),
        ("logit_bias", json!({"logit_bias": []})),
        ("stop_token_ids", json!({"stop_token_ids": [100]})),
        ("stop_token_ids", json!({"stop_token_ids": 5})),
        ("min_tokens", json!({"min_tokens": -1})),
        ("ignore_eos", json!({"ignore_eos": 1})),
        ("stream", json!({"stream": "yes"})),
        ("stream_options", json!({"stream_options": {"include_usage": true}})),
        (
            "stream_options.include_usage",
            json!({"stream": true, "stream_options": {"include_usage": 1}}),
        ),
        ("reasoning_effort", json!({"reasoning_effort": "huge"})),
        ("messages", json!({"messages": []})),
        ("messages", json!({"messages": "hi"})),
        ("messages[0]", json!({"messages": ["hi"]})),
        ("messages[0].role", json!({"messages": [{"role": "robot", "content": "hi"}]})),
        ("messages[0].content", json!({"messages": [{"role": "user", "content": 7}]})),
    ] {
        let error = take(body.clone()).expect_err(param);
        let found = (error.status.as_u16(), error.code, error.param.as_deref());
        assert_eq!(found, (400, Some("invalid_value"), Some(param)), "{body}");
        assert_eq!(error.should_retry, Some(false), "{body}");
    }
}

#[test]
fn missing_fields_are_named() {
    for (param, body) in [
        ("messages", json!({"messages": null})),
        ("messages[0].role", json!({"messages": [{"content": "hi"}]})),
        ("messages[0].content", json!({"messages": [{"role": "user"}]})),
        (
            "messages[0].content[0].type",
            json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}),
        ),
    ] {
        let error = take(body.clone()).expect_err(param);
        let expected = (Some("missing_required_parameter"), Some(param));
        assert_eq!((error.code, error.param.as_deref()), expected, "{body}");
    }
}

#[test]
fn what_asks_for_later_work_is_refused_by_name() {
    let image = json!([{"type": "image_url", "image_url": {"url": "data:"}}]);
    for (param, body) in [
        ("tools", json!({"tools": [{"type": "function", "function": {"name": "f"}}]})),
        ("tool_choice", json!({"tool_choice": "required"})),
        ("tool_choice", json!({"tool_choice": {"type": "function"}})),
        ("response_format", json!({"response_format": {"type": "json_object"}})),
        ("response_format", json!({"response_format": {"type": "json_schema"}})),
        ("modalities", json!({"modalities": ["audio"]})),
        ("prompt_logprobs", json!({"prompt_logprobs": 1})),
        ("bad_words", json!({"bad_words": ["x"]})),
        ("echo", json!({"echo": true})),
        ("continue_final_message", json!({"continue_final_message": true})),
        ("guided_json", json!({"guided_json": {}})),
        ("messages[0].role", json!({"messages": [{"role": "tool", "content": "1"}]})),
        (
            "messages[0].tool_calls",
            json!({"messages": [{"role": "assistant", "tool_calls": [{}]}]}),
        ),
        ("messages[0].content[0].type", json!({"messages": [{"role": "user", "content": image}]})),
    ] {
        let error = take(body.clone()).expect_err(param);
        let found = (error.status.as_u16(), error.code, error.param.as_deref());
        assert_eq!(found, (400, Some("unsupported_parameter"), Some(param)), "{body}");
    }
}

#[test]
fn what_is_not_understood_is_ignored_and_listed() {
    let ignored = [
        "metadata",
        "store",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "service_tier",
        "verbosity",
        "prediction",
        "web_search_options",
        "audio",
        "functions",
        "function_call",
        "parallel_tool_calls",
        "cache_salt",
        "priority",
        "some_new_field",
    ];
    for name in ignored {
        let asked = take(json!({name: "x"})).unwrap_or_else(|e| panic!("{name}: {}", e.message));
        assert_eq!(asked.ignored, [name]);
    }
    assert_eq!(take(json!({"user": null})).expect("nothing").ignored, Vec::<String>::new());
}

#[test]
fn the_newer_name_of_the_token_limit_wins() {
    let asked = take(json!({"max_tokens": 5, "max_completion_tokens": 7})).expect("valid");
    assert_eq!(asked.tokens_max, Some(7));
}

#[test]
fn absent_values_are_the_interface_defaults() {
    let asked = take(json!({})).expect("valid");
    let SamplingFields { params, choices, seed, .. } = asked.sampling;
    assert_eq!((params.temperature, params.top_p, params.top_k), (1.0, 1.0, 0));
    assert_eq!((choices, seed, asked.tokens_max, asked.logprobs), (1, None, None, None));
}

#[test]
fn parts_are_joined_and_developer_means_system() {
    let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
    let asked = take(json!({"messages": [{"role": "developer", "content": parts}]}));
    let messages = asked.expect("valid").chat.messages;
    assert_eq!((messages[0].role.as_str(), messages[0].content.as_str()), ("system", "ab"));
}

#[test]
fn no_reasoning_switches_thinking_off_in_the_template() {
    let variables = take(json!({"reasoning_effort": "none"})).expect("valid").chat.variables;
    assert_eq!(variables.get("enable_thinking"), Some(&json!(false)));
}

#[test]
fn a_body_that_is_no_object_is_refused_without_repeating_it() {
    for body in ["", "{", "[]", "\"secret\"", "{\"messages\": secret}"] {
        let error = Fields::parse(body.as_bytes()).err().expect(body);
        assert_eq!(error.status.as_u16(), 400);
        assert!(!error.message.contains("secret"), "{}", error.message);
    }
}

#[test]
fn no_value_of_any_field_is_more_than_a_bad_request() {
    let names = [
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "repetition_penalty",
        "presence_penalty",
        "frequency_penalty",
        "n",
        "seed",
        "stop",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "stop_token_ids",
        "min_tokens",
        "ignore_eos",
        "stream",
        "stream_options",
        "reasoning_effort",
        "chat_template_kwargs",
        "tools",
        "tool_choice",
        "response_format",
        "modalities",
        "echo",
        "guided_choice",
    ];
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e300),
        json!(-0.0),
        json!(""),
        json!("\u{0}\u{10ffff}"),
        json!([]),
        json!([[]]),
        json!([null]),
        json!([{}]),
        json!({}),
        json!({"": null}),
        json!({"type": 1}),
        json!("x".repeat(100_000)),
    ];
    for name in names {
        for value in &odd {
            if let Err(error) = take(json!({name: value})) {
                assert_eq!(error.status.as_u16(), 400, "{name}");
                let param = error.param.unwrap_or_default();
                assert!(param.starts_with(name) || param == "top_logprobs", "{name}: {param}");
                assert!(error.message.len() < 300, "{name}: a message repeats its value");
            }
        }
    }
}
