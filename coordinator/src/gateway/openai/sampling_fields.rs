//! The fields that both endpoints share: how tokens are chosen, how many, and what ends an answer.

use protocol::ids::TokenId;
use protocol::sampling_params::SamplingParams;
use serde_json::Value;

use super::fields::{Fields, wrong_type};
use crate::gateway::error::ApiError;

const STOPS_MAX: usize = 16;
const STOP_BYTES_MAX: usize = 256;
const STOP_TOKENS_MAX: usize = 64;
const BIASES_MAX: usize = 1024;

/// What the client asked for; `stop_tokens` of `params` are only the client's own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SamplingFields {
    pub(super) params: SamplingParams,
    pub(super) choices: u32,
    pub(super) seed: Option<u64>,
    pub(super) stops: Vec<String>,
    /// The model's own stop tokens do not end the answer.
    pub(super) ignore_eos: bool,
    /// Special tokens are left out of the text.
    pub(super) skip_special: bool,
}

/// What values are measured against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldLimits {
    pub(crate) vocab_size: u32,
    pub(crate) context_length: u32,
    pub(crate) choices_max: u32,
}

impl SamplingFields {
    pub(super) fn take(fields: &mut Fields, limits: &FieldLimits) -> Result<Self, ApiError> {
        let choices = fields.integer("n", 1..=i64::from(limits.choices_max))?;
        Ok(Self {
            choices: choices.map_or(1, |n| n as u32),
            seed: seed(fields)?,
            stops: stops(fields)?,
            ignore_eos: fields.boolean("ignore_eos")?.unwrap_or(false),
            skip_special: fields.boolean("skip_special_tokens")?.unwrap_or(true),
            params: params(fields, limits)?,
        })
    }
}

fn params(fields: &mut Fields, limits: &FieldLimits) -> Result<SamplingParams, ApiError> {
    let none = SamplingParams::default();
    // -1 is a usual way to say "all".
    let top_k = fields.integer("top_k", -1..=i64::from(u32::MAX))?.unwrap_or(0);
    let min_tokens = fields.integer("min_tokens", 0..=i64::from(limits.context_length))?;
    let repetition = fields.number("repetition_penalty", 0.01..=10.0)?;
    Ok(SamplingParams {
        temperature: fields.number("temperature", 0.0..=2.0)?.unwrap_or(1.0),
        top_k: u32::try_from(top_k).unwrap_or(0),
        top_p: fields.number("top_p", 0.0..=1.0)?.unwrap_or(none.top_p),
        min_p: fields.number("min_p", 0.0..=1.0)?.unwrap_or(none.min_p),
        repetition_penalty: repetition.unwrap_or(none.repetition_penalty),
        presence_penalty: fields.number("presence_penalty", -2.0..=2.0)?.unwrap_or(0.0),
        frequency_penalty: fields.number("frequency_penalty", -2.0..=2.0)?.unwrap_or(0.0),
        logit_bias: logit_bias(fields, limits)?,
        logprobs: None,
        min_tokens: min_tokens.unwrap_or(0) as u32,
        stop_tokens: stop_tokens(fields, limits)?,
    })
}

/// Any 64-bit integer, signed or not.
fn seed(fields: &mut Fields) -> Result<Option<u64>, ApiError> {
    let Some(value) = fields.take("seed") else { return Ok(None) };
    match value.as_i64().map(i64::cast_unsigned).or_else(|| value.as_u64()) {
        Some(seed) => Ok(Some(seed)),
        None => Err(wrong_type("seed", "a 64-bit integer", &value)),
    }
}

fn stops(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let values = match fields.take("stop") {
        None => return Ok(Vec::new()),
        Some(Value::String(one)) => vec![Value::String(one)],
        Some(Value::Array(values)) => values,
        Some(other) => return Err(wrong_type("stop", "a string or a list of strings", &other)),
    };
    if values.len() > STOPS_MAX {
        let message = format!("'stop' has {} strings; at most {STOPS_MAX}.", values.len());
        return Err(ApiError::invalid("stop", message));
    }
    values.into_iter().map(stop).collect()
}

fn stop(value: Value) -> Result<String, ApiError> {
    match value {
        Value::String(text) if (1..=STOP_BYTES_MAX).contains(&text.len()) => Ok(text),
        Value::String(text) => Err(ApiError::invalid(
            "stop",
            format!("A stop string has {} bytes; 1 to {STOP_BYTES_MAX} are possible.", text.len()),
        )),
        other => Err(wrong_type("stop", "a string or a list of strings", &other)),
    }
}

fn stop_tokens(fields: &mut Fields, limits: &FieldLimits) -> Result<Vec<TokenId>, ApiError> {
    let name = "stop_token_ids";
    let values = fields.list(name)?.unwrap_or_default();
    if values.len() > STOP_TOKENS_MAX {
        let message = format!("'{name}' has {} ids; at most {STOP_TOKENS_MAX}.", values.len());
        return Err(ApiError::invalid(name, message));
    }
    values.iter().map(|v| token_id(name, v, limits.vocab_size)).collect()
}

fn logit_bias(fields: &mut Fields, limits: &FieldLimits) -> Result<Vec<(TokenId, f32)>, ApiError> {
    let name = "logit_bias";
    let map = fields.object(name)?.unwrap_or_default();
    if map.len() > BIASES_MAX {
        let message = format!("'{name}' has {} entries; at most {BIASES_MAX}.", map.len());
        return Err(ApiError::invalid(name, message));
    }
    let mut biases = Vec::with_capacity(map.len());
    for (key, value) in &map {
        let id = key.parse::<u64>().map_err(|_| {
            ApiError::invalid(name, format!("The keys of '{name}' are token ids in digits."))
        })?;
        let bias = value.as_f64().filter(|b| (-100.0..=100.0).contains(b)).ok_or_else(|| {
            ApiError::invalid(name, format!("The bias of token {id} is not from -100 to 100."))
        })?;
        biases.push((token_id(name, &Value::from(id), limits.vocab_size)?, bias as f32));
    }
    Ok(biases)
}

/// A token id inside the vocabulary.
pub(super) fn token_id(name: &str, value: &Value, vocab_size: u32) -> Result<TokenId, ApiError> {
    let id = value.as_u64().ok_or_else(|| wrong_type(name, "token ids", value))?;
    match u32::try_from(id) {
        Ok(id) if id < vocab_size => Ok(TokenId(id)),
        _ => Err(ApiError::invalid(
            name,
            format!("'{name}' names token {id}; the model's vocabulary has {vocab_size} tokens."),
        )),
    }
}
