//! The bodies and chunks of a chat completion.

use protocol::generate::FinishReason;
use serde_json::{Value, json};

use super::identity::Identity;
use super::stream_fields::StreamFields;
use crate::gateway::answer::{Answer, Shape, Totals, finish_word};
use crate::gateway::answer_text::{Piece, TokenLine};
use crate::gateway::generation::Job;

pub(super) struct ChatShape {
    identity: Identity,
    stream: StreamFields,
    choices: u32,
    prompt_tokens: usize,
    logprobs: bool,
    top: usize,
}

impl ChatShape {
    pub(super) fn new(job: &Job, stream: StreamFields) -> Self {
        Self {
            identity: Identity::new("chatcmpl", &job.model),
            stream,
            choices: job.choices,
            prompt_tokens: job.prompt_tokens(),
            logprobs: job.sampling.logprobs.is_some(),
            top: usize::from(job.sampling.logprobs.unwrap_or(0)),
        }
    }

    fn chunk(&self, choices: Value, usage: Value) -> Value {
        let mut chunk = self.identity.object("chat.completion.chunk");
        chunk.insert("choices".into(), choices);
        if self.stream.include_usage || self.stream.continuous_usage {
            chunk.insert("usage".into(), usage);
        }
        Value::Object(chunk)
    }

    fn choice(&self, index: u32, delta: Value, lines: &[TokenLine], finish: Value) -> Value {
        let logprobs = if lines.is_empty() { Value::Null } else { self.logprobs(lines) };
        json!([{"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}])
    }

    fn logprobs(&self, lines: &[TokenLine]) -> Value {
        let content: Vec<Value> = lines.iter().map(|line| self.line(line)).collect();
        json!({"content": content, "refusal": null})
    }

    fn line(&self, line: &TokenLine) -> Value {
        let top: Vec<Value> =
            line.top.iter().take(self.top).map(|(bytes, logprob)| token(bytes, *logprob)).collect();
        let mut entry = token(&line.bytes, line.logprob);
        entry["top_logprobs"] = Value::Array(top);
        entry
    }

    fn usage_so_far(&self, totals: &Totals) -> Value {
        if self.stream.continuous_usage { totals.usage(self.prompt_tokens) } else { Value::Null }
    }
}

impl Shape for ChatShape {
    fn opening(&mut self) -> Vec<Value> {
        let role = |index| {
            let delta = json!({"role": "assistant", "content": ""});
            self.chunk(self.choice(index, delta, &[], Value::Null), Value::Null)
        };
        (0..self.choices).map(role).collect()
    }

    fn piece(&mut self, index: u32, piece: Piece, totals: &Totals) -> Value {
        let delta = json!({"content": piece.text});
        let choice = self.choice(index, delta, &piece.lines, Value::Null);
        self.chunk(choice, self.usage_so_far(totals))
    }

    fn last(&mut self, index: u32, reason: FinishReason, totals: &Totals) -> Value {
        let choice = self.choice(index, json!({}), &[], finish_word(reason).into());
        self.chunk(choice, self.usage_so_far(totals))
    }

    fn usage(&mut self, totals: &Totals) -> Vec<Value> {
        if !self.stream.include_usage {
            return Vec::new();
        }
        vec![self.chunk(json!([]), totals.usage(self.prompt_tokens))]
    }

    fn whole(&mut self, answers: Vec<Answer>, totals: &Totals) -> Value {
        let choices: Vec<Value> = answers
            .into_iter()
            .enumerate()
            .map(|(index, answer)| {
                let logprobs =
                    if self.logprobs { self.logprobs(&answer.lines) } else { Value::Null };
                json!({
                    "index": index,
                    "message": {"role": "assistant", "content": answer.text, "refusal": null},
                    "logprobs": logprobs,
                    "finish_reason": answer.finish.map(finish_word),
                })
            })
            .collect();
        let mut body = self.identity.object("chat.completion");
        body.insert("choices".into(), Value::Array(choices));
        body.insert("usage".into(), totals.usage(self.prompt_tokens));
        Value::Object(body)
    }
}

fn token(bytes: &[u8], logprob: f32) -> Value {
    json!({
        "token": String::from_utf8_lossy(bytes),
        "logprob": super::identity::finite(logprob),
        "bytes": bytes,
    })
}
