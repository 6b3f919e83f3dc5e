//! `POST /v1/completions`: reads the request.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use protocol::ids::TokenId;
use serde_json::Value;

use super::completion_shape::CompletionShape;
use super::fields::Fields;
use super::later;
use super::prompts::{self, Prompt};
use super::sampling_fields::{FieldLimits, SamplingFields};
use super::stream_fields::StreamFields;
use crate::gateway::GatewayState;
use crate::gateway::directory::ServedModel;
use crate::gateway::error::ApiError;
use crate::gateway::exchange::{Answering, Exchange, check_bytes, check_tokens, tokenise};
use crate::gateway::generation::Job;
use crate::gateway::model_text::{Detokenizing, ModelText};

/// The length of an answer when the client names none, as the interface has it.
const TOKENS_DEFAULT: u32 = 16;

pub(crate) async fn create(State(state): State<GatewayState>, request: Request) -> Response {
    Exchange::run("completions", state, request, serve).await
}

async fn serve(exchange: &mut Exchange) -> Result<Answering, ApiError> {
    let mut fields = Fields::parse(&exchange.body.bytes)?;
    let name = fields.string("model")?.ok_or_else(|| ApiError::missing("model"))?;
    let model = exchange.model(&name)?;
    let asked = CompletionRequest::take(fields, &exchange.state.field_limits(&model))?;
    let text = exchange.text(&model).await?;
    let mut prompts = Vec::with_capacity(asked.prompts.len());
    for prompt in asked.prompts {
        prompts.push(encode(&model, &text, prompt).await?);
    }

    let SamplingFields { mut params, choices, seed, stops, ignore_eos, skip_special } =
        asked.sampling;
    if !ignore_eos {
        params.stop_tokens.extend(text.stop_tokens());
    }
    params.logprobs = asked.logprobs;
    let job = Job {
        request_id: exchange.request_id.clone(),
        model: model.clone(),
        text,
        prompts,
        choices,
        sampling: params,
        seed: seed.unwrap_or_else(rand::random),
        stops,
        detokenizing: Detokenizing { skip_special, continuing: true },
        tokens_max: Some(asked.tokens_max),
    };
    let shape = CompletionShape::new(&job, asked.stream, asked.echo);
    let stream = asked.stream.stream;
    Ok(Answering { job, shape: Box::new(shape), stream, ignored: asked.ignored })
}

async fn encode(
    model: &ServedModel,
    text: &Arc<dyn ModelText>,
    prompt: Prompt,
) -> Result<Arc<[TokenId]>, ApiError> {
    let tokens = match prompt {
        Prompt::Tokens(tokens) => tokens,
        Prompt::Text(prompt) => {
            let bytes = prompt.len();
            check_bytes(model, bytes, "prompt")?;
            let encode = move |text: &dyn ModelText| text.encode(&prompt, true);
            tokenise(text.clone(), bytes, encode, "prompt").await?
        }
    };
    check_tokens(model, tokens.len(), "prompt")?;
    Ok(tokens.into())
}

/// The checked fields of a request, without its model.
#[derive(Debug, PartialEq)]
struct CompletionRequest {
    prompts: Vec<Prompt>,
    sampling: SamplingFields,
    stream: StreamFields,
    tokens_max: u32,
    logprobs: Option<u8>,
    echo: bool,
    ignored: Vec<String>,
}

impl CompletionRequest {
    fn take(mut fields: Fields, limits: &FieldLimits) -> Result<Self, ApiError> {
        let prompts = prompts::take(&mut fields, limits.vocab_size)?;
        later::refuse(&mut fields)?;
        refuse_suffix(&mut fields)?;
        let sampling = SamplingFields::take(&mut fields, limits)?;
        refuse_best_of(&mut fields, sampling.choices)?;
        let asked = prompts.len() as u64 * u64::from(sampling.choices);
        if asked > u64::from(limits.choices_max) {
            let most = limits.choices_max;
            let message = format!("Prompts times 'n' are {asked} answers; at most {most}.");
            return Err(ApiError::invalid("n", message));
        }
        let stream = StreamFields::take(&mut fields)?;
        let tokens_max = fields.integer("max_tokens", 0..=i64::from(u32::MAX))?;
        let echo = fields.boolean("echo")?.unwrap_or(false);
        let logprobs = logprobs(&mut fields, echo)?;
        let ignored = fields.ignored();
        let tokens_max = tokens_max.map_or(TOKENS_DEFAULT, |n| n as u32);
        Ok(Self { prompts, sampling, stream, tokens_max, logprobs, echo, ignored })
    }
}

fn refuse_suffix(fields: &mut Fields) -> Result<(), ApiError> {
    match fields.take("suffix") {
        None => Ok(()),
        Some(Value::String(text)) if text.is_empty() => Ok(()),
        Some(_) => Err(ApiError::unsupported("suffix", "Unsupported parameter: 'suffix'.")),
    }
}

/// Choosing among more answers than are returned is not done.
fn refuse_best_of(fields: &mut Fields, choices: u32) -> Result<(), ApiError> {
    match fields.integer("best_of", 1..=128)? {
        Some(n) if n != i64::from(choices) => {
            let message = "Unsupported parameter: 'best_of' other than 'n'.";
            Err(ApiError::unsupported("best_of", message))
        }
        _ => Ok(()),
    }
}

fn logprobs(fields: &mut Fields, echo: bool) -> Result<Option<u8>, ApiError> {
    let most = i64::from(protocol::limits::TOP_LOGPROBS_MAX);
    let logprobs = fields.integer("logprobs", 0..=most)?;
    if echo && logprobs.is_some() {
        let message = "Unsupported parameter: 'echo' together with 'logprobs'.";
        return Err(ApiError::unsupported("echo", message));
    }
    Ok(logprobs.map(|n| n as u8))
}

#[cfg(test)]
#[path = "../tests/completion_fields.rs"]
mod tests;
