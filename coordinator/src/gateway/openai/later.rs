//! Fields that ask for what this server does not do: refused by name, unless they ask for nothing.

use serde_json::Value;

use super::fields::Fields;
use crate::gateway::error::ApiError;

/// Takes such fields out; the first that asks for something is the error.
pub(super) fn refuse(fields: &mut Fields) -> Result<(), ApiError> {
    for (name, asks_nothing) in UNSUPPORTED {
        if let Some(value) = fields.take(name)
            && !asks_nothing(&value)
        {
            let message = format!("Unsupported parameter: '{name}' with this value.");
            return Err(ApiError::unsupported(*name, message));
        }
    }
    Ok(())
}

type AsksNothing = fn(&Value) -> bool;

const UNSUPPORTED: &[(&str, AsksNothing)] = &[
    ("tools", empty),
    ("tool_choice", no_tool),
    ("response_format", plain_text),
    ("modalities", includes_text),
    ("bad_words", empty),
    ("allowed_token_ids", empty),
    ("prompt_logprobs", never),
    ("return_token_ids", off),
    ("return_tokens_as_token_ids", off),
    ("continue_final_message", off),
    ("include_stop_str_in_output", off),
    ("truncate_prompt_tokens", never),
    ("use_beam_search", off),
    ("structured_outputs", never),
    ("guided_json", never),
    ("guided_regex", never),
    ("guided_choice", empty),
    ("guided_grammar", never),
    ("json_schema", never),
    ("grammar", empty),
    ("logits_processors", empty),
];

fn never(_: &Value) -> bool {
    false
}

fn off(value: &Value) -> bool {
    *value == Value::Bool(false)
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// Without tools, `auto` leaves nothing to choose.
fn no_tool(value: &Value) -> bool {
    matches!(value.as_str(), Some("none" | "auto"))
}

fn plain_text(value: &Value) -> bool {
    value.get("type").and_then(Value::as_str) == Some("text")
}

fn includes_text(value: &Value) -> bool {
    value.as_array().is_some_and(|m| m.iter().any(|v| v == "text"))
}
