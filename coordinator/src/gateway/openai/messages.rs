//! The messages of a chat, from the wire's many forms to role and text.

use serde_json::{Map, Value};

use super::fields::{Fields, kind, wrong_type};
use crate::gateway::error::ApiError;
use crate::gateway::model_text::Message;

const MESSAGES_MAX: usize = 4096;

pub(super) fn take(fields: &mut Fields) -> Result<Vec<Message>, ApiError> {
    let values = fields.list("messages")?.ok_or_else(|| ApiError::missing("messages"))?;
    if values.is_empty() || values.len() > MESSAGES_MAX {
        let message = format!("'messages' has {} items; 1 to {MESSAGES_MAX}.", values.len());
        return Err(ApiError::invalid("messages", message));
    }
    values.into_iter().enumerate().map(|(index, value)| message(index, value)).collect()
}

fn message(index: usize, value: Value) -> Result<Message, ApiError> {
    let path = format!("messages[{index}]");
    let Value::Object(map) = value else { return Err(wrong_type(&path, "an object", &value)) };
    let role = role(&path, &map)?;
    refuse_calls(&path, &map)?;
    let content = match map.get("content") {
        None | Some(Value::Null) if role == "assistant" => String::new(),
        None | Some(Value::Null) => return Err(ApiError::missing(&format!("{path}.content"))),
        Some(value) => content(&format!("{path}.content"), value)?,
    };
    let name = match map.get("name") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name.clone()),
        Some(other) => return Err(wrong_type(&format!("{path}.name"), "a string", other)),
    };
    Ok(Message { role: role.to_owned(), content, name })
}

fn role(path: &str, map: &Map<String, Value>) -> Result<&'static str, ApiError> {
    let param = format!("{path}.role");
    let role = match map.get("role") {
        None | Some(Value::Null) => return Err(ApiError::missing(&param)),
        Some(Value::String(role)) => role,
        Some(other) => return Err(wrong_type(&param, "a string", other)),
    };
    match role.as_str() {
        // What OpenAI calls developer, every chat template calls system.
        "system" | "developer" => Ok("system"),
        "user" => Ok("user"),
        "assistant" => Ok("assistant"),
        "tool" | "function" => {
            let message = format!("Unsupported role in '{param}': tools are not available.");
            Err(ApiError::unsupported(param, message))
        }
        _ => {
            let roles = "system, developer, user, assistant";
            let message = format!("Invalid value for '{param}': expected one of {roles}.");
            Err(ApiError::invalid(param, message))
        }
    }
}

fn refuse_calls(path: &str, map: &Map<String, Value>) -> Result<(), ApiError> {
    for name in ["tool_calls", "function_call", "audio"] {
        let asks = match map.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::Array(calls)) => !calls.is_empty(),
            Some(_) => true,
        };
        if asks {
            let param = format!("{path}.{name}");
            let message = format!("Unsupported parameter: '{param}'.");
            return Err(ApiError::unsupported(param, message));
        }
    }
    Ok(())
}

/// A string, or parts whose texts are joined.
fn content(path: &str, value: &Value) -> Result<String, ApiError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => {
            let mut text = String::new();
            for (index, part) in parts.iter().enumerate() {
                text.push_str(part_text(&format!("{path}[{index}]"), part)?);
            }
            Ok(text)
        }
        other => Err(wrong_type(path, "a string or a list of parts", other)),
    }
}

fn part_text<'a>(path: &str, part: &'a Value) -> Result<&'a str, ApiError> {
    let Some(part_type) = part.get("type").and_then(Value::as_str) else {
        return Err(match part {
            Value::Object(_) => ApiError::missing(&format!("{path}.type")),
            other => wrong_type(path, "an object with a type", other),
        });
    };
    let field = match part_type {
        "text" | "input_text" | "output_text" => "text",
        "refusal" => "refusal",
        other => {
            let shown: String = other.chars().take(40).collect();
            let message = format!("Unsupported content part type '{shown}' in '{path}'.");
            return Err(ApiError::unsupported(format!("{path}.type"), message));
        }
    };
    match part.get(field) {
        Some(Value::String(text)) => Ok(text),
        None => Err(ApiError::missing(&format!("{path}.{field}"))),
        Some(other) => {
            let message = format!("'{path}.{field}' must be a string, not {}.", kind(other));
            Err(ApiError::invalid(format!("{path}.{field}"), message))
        }
    }
}
