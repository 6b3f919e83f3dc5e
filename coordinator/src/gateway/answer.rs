//! Collects the events of a generation: counts for streams, whole answers for plain replies.

use protocol::generate::FinishReason;
use serde_json::{Value, json};

use super::answer_text::{Piece, TokenLine};
use super::choice::ChoiceEvent;
use super::error::ApiError;
use super::generation::Generation;
use super::metrics::RequestMeter;

/// How an endpoint writes an answer down.
pub(super) trait Shape: Send + 'static {
    /// Chunks before the first token.
    fn opening(&mut self) -> Vec<Value>;
    fn piece(&mut self, index: u32, piece: Piece, totals: &Totals) -> Value;
    /// The chunk with the finish reason.
    fn last(&mut self, index: u32, reason: FinishReason, totals: &Totals) -> Value;
    /// The chunk after all choices, if the client asked for one.
    fn usage(&mut self, totals: &Totals) -> Vec<Value>;
    /// The body of a reply that is not streamed.
    fn whole(&mut self, answers: Vec<Answer>, totals: &Totals) -> Value;
}

/// One whole choice.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) lines: Vec<TokenLine>,
    pub(super) finish: Option<FinishReason>,
}

/// Tokens of each choice so far.
#[derive(Clone, Debug)]
pub(super) struct Totals {
    tokens: Vec<u32>,
    first_finish: Option<FinishReason>,
    reshared_after: Option<u32>,
}

impl Totals {
    pub(super) fn new(choices: u32) -> Self {
        Self { tokens: vec![0; choices as usize], first_finish: None, reshared_after: None }
    }

    pub(super) fn note(&mut self, index: u32, event: &ChoiceEvent) {
        if let ChoiceEvent::Finished { reason, .. } = event {
            self.first_finish = self.first_finish.or(Some(*reason));
        }
        if let ChoiceEvent::Reshared { tokens } = event {
            self.reshared_after.get_or_insert(*tokens);
        }
        if let ChoiceEvent::Piece { tokens, .. } | ChoiceEvent::Finished { tokens, .. } = event
            && let Some(known) = self.tokens.get_mut(index as usize)
        {
            *known = *tokens;
        }
    }

    pub(super) fn completion_tokens(&self) -> u64 {
        self.tokens.iter().map(|&t| u64::from(t)).sum()
    }

    /// Says in an object of the answer that, and after how many tokens, it went on in other
    /// tensor-parallel shares. The fingerprint is another one then: the same seed need not give
    /// these words again.
    pub(super) fn mark(&self, object: &mut Value) {
        let Some(tokens) = self.reshared_after else { return };
        if let Some(fingerprint) = object["system_fingerprint"].as_str() {
            object["system_fingerprint"] = format!("{fingerprint}-reshared").into();
        }
        object["trireme"] = json!({ "reshared_after_tokens": tokens });
    }

    /// For the metrics: how the first choice to end did so.
    pub(super) fn finish(&self) -> &'static str {
        self.first_finish.map_or("stop", finish_word)
    }

    pub(super) fn usage(&self, prompt_tokens: usize) -> Value {
        let prompt = prompt_tokens as u64;
        let completion = self.completion_tokens();
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        })
    }
}

pub(super) fn finish_word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Length => "length",
        FinishReason::Stop | FinishReason::Cancelled => "stop",
    }
}

/// Waits for all choices; the first failure fails the request.
pub(super) async fn collect(
    mut generation: Generation,
    meter: &mut RequestMeter,
) -> Result<(Vec<Answer>, Totals), ApiError> {
    let mut answers = vec![Answer::default(); generation.choices() as usize];
    let mut totals = Totals::new(generation.choices());
    while let Some((index, event)) = generation.next().await {
        totals.note(index, &event);
        meter.completion_tokens = totals.completion_tokens();
        let Some(answer) = answers.get_mut(index as usize) else { continue };
        match event {
            ChoiceEvent::Accepted | ChoiceEvent::Reshared { .. } => {}
            ChoiceEvent::Piece { mut piece, .. } => {
                answer.text.push_str(&piece.text);
                answer.lines.append(&mut piece.lines);
            }
            ChoiceEvent::Finished { reason, .. } => answer.finish = Some(reason),
            ChoiceEvent::Failed(failure) => return Err(ApiError::from_failure(failure)),
        }
    }
    Ok((answers, totals))
}
