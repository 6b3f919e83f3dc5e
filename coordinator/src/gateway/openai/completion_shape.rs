//! The bodies and chunks of a plain completion.

use protocol::generate::FinishReason;
use protocol::ids::TokenId;
use serde_json::{Map, Value, json};

use super::identity::{Identity, finite};
use super::stream_fields::StreamFields;
use crate::gateway::answer::{Answer, Shape, Totals, finish_word};
use crate::gateway::answer_text::{Piece, TokenLine};
use crate::gateway::generation::Job;
use crate::gateway::model_text::{Detokenizing, ModelText};

pub(super) struct CompletionShape {
    identity: Identity,
    stream: StreamFields,
    prompt_tokens: usize,
    logprobs: Option<usize>,
    /// Text in front of each choice: its prompt when `echo` is asked for.
    echoes: Vec<String>,
}

impl CompletionShape {
    pub(super) fn new(job: &Job, stream: StreamFields, echo: bool) -> Self {
        let echo_of =
            |prompt: &[TokenId]| if echo { plain(&*job.text, prompt) } else { String::new() };
        let echoes = job.prompts.iter().map(|p| echo_of(p));
        let repeat = |echo: String| vec![echo; job.choices as usize];
        Self {
            identity: Identity::new("cmpl", &job.model),
            stream,
            prompt_tokens: job.prompt_tokens(),
            logprobs: job.sampling.logprobs.map(usize::from),
            echoes: echoes.flat_map(repeat).collect(),
        }
    }

    fn chunk(&self, choices: Value, usage: Value) -> Value {
        let mut chunk = self.identity.object("text_completion");
        chunk.insert("choices".into(), choices);
        if self.stream.include_usage || self.stream.continuous_usage {
            chunk.insert("usage".into(), usage);
        }
        Value::Object(chunk)
    }

    fn choice(&self, index: u32, text: &str, lines: &[TokenLine], finish: Value) -> Value {
        let logprobs = match self.logprobs {
            Some(top) => legacy_logprobs(lines, top),
            None => Value::Null,
        };
        json!({"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish})
    }

    fn usage_so_far(&self, totals: &Totals) -> Value {
        if self.stream.continuous_usage { totals.usage(self.prompt_tokens) } else { Value::Null }
    }
}

impl Shape for CompletionShape {
    fn opening(&mut self) -> Vec<Value> {
        let mut chunks = Vec::new();
        for (index, echo) in self.echoes.iter().enumerate().filter(|(_, echo)| !echo.is_empty()) {
            let choice = self.choice(index as u32, echo, &[], Value::Null);
            chunks.push(self.chunk(json!([choice]), Value::Null));
        }
        chunks
    }

    fn piece(&mut self, index: u32, piece: Piece, totals: &Totals) -> Value {
        let choice = self.choice(index, &piece.text, &piece.lines, Value::Null);
        self.chunk(json!([choice]), self.usage_so_far(totals))
    }

    fn last(&mut self, index: u32, reason: FinishReason, totals: &Totals) -> Value {
        let choice = self.choice(index, "", &[], finish_word(reason).into());
        self.chunk(json!([choice]), self.usage_so_far(totals))
    }

    fn usage(&mut self, totals: &Totals) -> Vec<Value> {
        if !self.stream.include_usage {
            return Vec::new();
        }
        vec![self.chunk(json!([]), totals.usage(self.prompt_tokens))]
    }

    fn whole(&mut self, answers: Vec<Answer>, totals: &Totals) -> Value {
        let choice = |(index, answer): (usize, Answer)| {
            let text = format!("{}{}", self.echoes[index], answer.text);
            let finish = answer.finish.map(finish_word).into();
            self.choice(index as u32, &text, &answer.lines, finish)
        };
        let choices: Vec<Value> = answers.into_iter().enumerate().map(choice).collect();
        let mut body = self.identity.object("text_completion");
        body.insert("choices".into(), Value::Array(choices));
        body.insert("usage".into(), totals.usage(self.prompt_tokens));
        Value::Object(body)
    }
}

/// Four lists of equal length, one entry per token.
fn legacy_logprobs(lines: &[TokenLine], top: usize) -> Value {
    let alternatives = |line: &TokenLine| -> Value {
        let mut map = Map::new();
        for (bytes, logprob) in line.top.iter().take(top) {
            map.insert(String::from_utf8_lossy(bytes).into_owned(), finite(*logprob).into());
        }
        // The chosen token stands among them, as clients expect of this interface.
        map.entry(line.text()).or_insert_with(|| finite(line.logprob).into());
        Value::Object(map)
    };
    json!({
        "tokens": lines.iter().map(TokenLine::text).collect::<Vec<_>>(),
        "token_logprobs": lines.iter().map(|l| finite(l.logprob)).collect::<Vec<_>>(),
        "top_logprobs": lines.iter().map(alternatives).collect::<Vec<_>>(),
        "text_offset": lines.iter().map(|l| l.offset_chars).collect::<Vec<_>>(),
    })
}

/// The text of a prompt, without what the tokenizer put around it.
fn plain(text: &dyn ModelText, tokens: &[TokenId]) -> String {
    let mut detokenizer = text.detokenizer(Detokenizing { skip_special: true, continuing: false });
    let mut plain: String = tokens.iter().map(|&token| detokenizer.push(token)).collect();
    plain.push_str(&detokenizer.finish());
    plain
}
