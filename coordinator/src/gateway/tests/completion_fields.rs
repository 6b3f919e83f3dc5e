//! One row per field that only a plain completion has.

use serde_json::json;

use super::*;

const LIMITS: FieldLimits = FieldLimits { vocab_size: 100, context_length: 1000, choices_max: 16 };

fn take(more: Value) -> Result<CompletionRequest, ApiError> {
    let mut body = json!({"prompt": "hi"});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    CompletionRequest::take(Fields::parse(body.to_string().as_bytes())?, &LIMITS)
}

#[test]
fn a_prompt_comes_in_four_forms() {
    let text = |t: &str| Prompt::Text(t.into());
    let ids = |ids: &[u32]| Prompt::Tokens(ids.iter().map(|&id| TokenId(id)).collect());
    for (prompt, expected) in [
        (json!("a"), vec![text("a")]),
        (json!(["a", "b"]), vec![text("a"), text("b")]),
        (json!([1, 2]), vec![ids(&[1, 2])]),
        (json!([[1], [2, 3]]), vec![ids(&[1]), ids(&[2, 3])]),
    ] {
        assert_eq!(take(json!({"prompt": prompt})).expect("valid").prompts, expected);
    }
}

#[test]
fn values_are_accepted_or_refused_by_name() {
    for (body, refused) in [
        (json!({"max_tokens": 0}), None),
        (json!({"echo": true}), None),
        (json!({"logprobs": 5}), None),
        (json!({"suffix": ""}), None),
        (json!({"best_of": 3, "n": 3}), None),
        (json!({"prompt": ["a", "b"], "n": 8}), None),
        (json!({"prompt": null}), Some(("missing_required_parameter", "prompt"))),
        (json!({"prompt": []}), Some(("invalid_value", "prompt"))),
        (json!({"prompt": {}}), Some(("invalid_value", "prompt"))),
        (json!({"prompt": [1, "a"]}), Some(("invalid_value", "prompt"))),
        (json!({"prompt": [100]}), Some(("invalid_value", "prompt"))),
        (json!({"prompt": [-1]}), Some(("invalid_value", "prompt"))),
        (json!({"prompt": ["a", "b"], "n": 9}), Some(("invalid_value", "n"))),
        (json!({"max_tokens": -1}), Some(("invalid_value", "max_tokens"))),
        (json!({"logprobs": true}), Some(("invalid_value", "logprobs"))),
        (json!({"logprobs": 21}), Some(("invalid_value", "logprobs"))),
        (json!({"suffix": "x"}), Some(("unsupported_parameter", "suffix"))),
        (json!({"best_of": 2}), Some(("unsupported_parameter", "best_of"))),
        (json!({"echo": true, "logprobs": 1}), Some(("unsupported_parameter", "echo"))),
    ] {
        let error = take(body.clone()).err();
        let found =
            error.as_ref().map(|e| (e.code.unwrap_or(""), e.param.as_deref().unwrap_or("")));
        assert_eq!(found, refused, "{body}");
    }
}

#[test]
fn an_answer_has_sixteen_tokens_when_nothing_is_said() {
    assert_eq!(take(json!({})).expect("valid").tokens_max, 16);
}
