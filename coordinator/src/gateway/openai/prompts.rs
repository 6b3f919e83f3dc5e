//! The prompts of a completion: a text, token ids, or a list of either.

use protocol::ids::TokenId;
use serde_json::Value;

use super::fields::{Fields, wrong_type};
use super::sampling_fields::token_id;
use crate::gateway::error::ApiError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    Text(String),
    Tokens(Vec<TokenId>),
}

pub(super) fn take(fields: &mut Fields, vocab_size: u32) -> Result<Vec<Prompt>, ApiError> {
    let value = fields.take("prompt").ok_or_else(|| ApiError::missing("prompt"))?;
    let values = match value {
        Value::String(text) => return Ok(vec![Prompt::Text(text)]),
        Value::Array(values) => values,
        other => return Err(unreadable(&other)),
    };
    match values.first() {
        None => Err(ApiError::invalid("prompt", "'prompt' is an empty list.")),
        Some(Value::Number(_)) => Ok(vec![tokens(&values, vocab_size)?]),
        Some(_) => values.into_iter().map(|value| one(value, vocab_size)).collect(),
    }
}

fn one(value: Value, vocab_size: u32) -> Result<Prompt, ApiError> {
    match value {
        Value::String(text) => Ok(Prompt::Text(text)),
        Value::Array(values) => tokens(&values, vocab_size),
        other => Err(unreadable(&other)),
    }
}

fn tokens(values: &[Value], vocab_size: u32) -> Result<Prompt, ApiError> {
    let ids: Result<Vec<TokenId>, ApiError> =
        values.iter().map(|value| token_id("prompt", value, vocab_size)).collect();
    Ok(Prompt::Tokens(ids?))
}

fn unreadable(found: &Value) -> ApiError {
    wrong_type("prompt", "a string, token ids, or a list of either", found)
}
