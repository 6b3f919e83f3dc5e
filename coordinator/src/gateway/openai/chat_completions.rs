//! `POST /v1/chat/completions`: reads the request.

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Map, Value};

use super::chat_shape::ChatShape;
use super::fields::Fields;
use super::sampling_fields::{FieldLimits, SamplingFields};
use super::stream_fields::StreamFields;
use super::{later, messages};
use crate::gateway::GatewayState;
use crate::gateway::error::ApiError;
use crate::gateway::exchange::{Answering, Exchange, check_bytes, check_tokens, tokenise};
use crate::gateway::generation::Job;
use crate::gateway::model_text::{Chat, Detokenizing, ModelText};

pub(crate) async fn create(State(state): State<GatewayState>, request: Request) -> Response {
    Exchange::run("chat_completions", state, request, serve).await
}

async fn serve(exchange: &mut Exchange) -> Result<Answering, ApiError> {
    let mut fields = Fields::parse(&exchange.body.bytes)?;
    let name = fields.string("model")?.ok_or_else(|| ApiError::missing("model"))?;
    let model = exchange.model(&name)?;
    let asked = ChatRequest::take(fields, &exchange.state.field_limits(&model))?;
    let bytes = asked.chat.messages.iter().map(|m| m.content.len()).sum();
    check_bytes(&model, bytes, "messages")?;
    let text = exchange.text(&model).await?;
    let chat = asked.chat;
    let encode = move |text: &dyn ModelText| text.encode_chat(&chat);
    let prompt = tokenise(text.clone(), bytes, encode, "messages").await?;
    check_tokens(&model, prompt.len(), "messages")?;

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
        prompts: vec![prompt.into()],
        choices,
        sampling: params,
        seed: seed.unwrap_or_else(rand::random),
        stops,
        detokenizing: Detokenizing { skip_special, continuing: false },
        tokens_max: asked.tokens_max,
    };
    let shape = ChatShape::new(&job, asked.stream);
    let stream = asked.stream.stream;
    Ok(Answering { job, shape: Box::new(shape), stream, ignored: asked.ignored })
}

/// The checked fields of a request, without its model.
#[derive(Debug, PartialEq)]
struct ChatRequest {
    chat: Chat,
    sampling: SamplingFields,
    stream: StreamFields,
    tokens_max: Option<u32>,
    logprobs: Option<u8>,
    ignored: Vec<String>,
}

impl ChatRequest {
    fn take(mut fields: Fields, limits: &FieldLimits) -> Result<Self, ApiError> {
        let messages = messages::take(&mut fields)?;
        later::refuse(&mut fields)?;
        refuse_echo(&mut fields)?;
        let add_generation_prompt = fields.boolean("add_generation_prompt")?.unwrap_or(true);
        let variables = variables(&mut fields)?;
        let chat = Chat { messages, add_generation_prompt, variables };
        let sampling = SamplingFields::take(&mut fields, limits)?;
        let stream = StreamFields::take(&mut fields)?;
        let tokens_max = tokens_max(&mut fields)?;
        let logprobs = logprobs(&mut fields)?;
        let ignored = fields.ignored();
        Ok(Self { chat, sampling, stream, tokens_max, logprobs, ignored })
    }
}

fn refuse_echo(fields: &mut Fields) -> Result<(), ApiError> {
    match fields.boolean("echo")? {
        Some(true) => Err(ApiError::unsupported("echo", "Unsupported parameter: 'echo'.")),
        _ => Ok(()),
    }
}

/// The newer name wins.
fn tokens_max(fields: &mut Fields) -> Result<Option<u32>, ApiError> {
    let range = 1..=i64::from(u32::MAX);
    let older = fields.integer("max_tokens", range.clone())?;
    let newer = fields.integer("max_completion_tokens", range)?;
    Ok(newer.or(older).map(|n| n as u32))
}

fn logprobs(fields: &mut Fields) -> Result<Option<u8>, ApiError> {
    let wanted = fields.boolean("logprobs")?.unwrap_or(false);
    let top = fields.integer("top_logprobs", 0..=i64::from(protocol::limits::TOP_LOGPROBS_MAX))?;
    if top.is_some_and(|n| n > 0) && !wanted {
        let message = "'top_logprobs' needs 'logprobs' to be true.";
        return Err(ApiError::invalid("top_logprobs", message));
    }
    Ok(wanted.then(|| top.unwrap_or(0) as u8))
}

/// What the chat template gets besides the messages.
fn variables(fields: &mut Fields) -> Result<Map<String, Value>, ApiError> {
    let mut variables = fields.object("chat_template_kwargs")?.unwrap_or_default();
    if let Some(effort) = fields.string("reasoning_effort")? {
        if !EFFORTS.contains(&effort.as_str()) {
            let message = format!("'reasoning_effort' must be one of {}.", EFFORTS.join(", "));
            return Err(ApiError::invalid("reasoning_effort", message));
        }
        if effort == "none" {
            variables.entry("enable_thinking").or_insert(Value::Bool(false));
        }
        variables.insert("reasoning_effort".into(), Value::String(effort));
    }
    Ok(variables)
}

const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

#[cfg(test)]
#[path = "../tests/chat_fields.rs"]
mod tests;
