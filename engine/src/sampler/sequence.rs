//! The tokens of one sequence, counted for penalties and limits.

use std::collections::BTreeMap;

use protocol::ids::TokenId;
use protocol::sampling_params::SamplingParams;
use protocol::step_batch::SequenceStart;

pub(super) struct SampledSequence {
    params: SamplingParams,
    choice_seed: u64,
    prompt_len: usize,
    answer: Vec<TokenId>,
    /// Tokens of prompt and answer; empty while no penalty needs them.
    seen: BTreeMap<TokenId, Seen>,
}

/// Where a token was seen.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    in_prompt: bool,
    pub(super) in_answer: u32,
}

impl SampledSequence {
    pub(super) fn new(start: &SequenceStart, tokens_max: usize) -> Self {
        let mut sequence = Self {
            params: start.sampling.clone(),
            choice_seed: start.choice_seed,
            prompt_len: start.prompt.len(),
            answer: Vec::with_capacity(tokens_max.saturating_sub(start.prompt.len())),
            seen: BTreeMap::new(),
        };
        if sequence.params.repetition_penalty != 1.0 {
            for token in start.prompt.iter() {
                sequence.seen.entry(*token).or_default().in_prompt = true;
            }
        }
        start.emitted.iter().for_each(|token| sequence.push(*token));
        sequence
    }

    pub(super) fn params(&self) -> &SamplingParams {
        &self.params
    }

    pub(super) fn choice_seed(&self) -> u64 {
        self.choice_seed
    }

    pub(super) fn prompt_len(&self) -> usize {
        self.prompt_len
    }

    /// Prompt and answer.
    pub(super) fn len(&self) -> usize {
        self.prompt_len + self.answer.len()
    }

    pub(super) fn answer_len(&self) -> usize {
        self.answer.len()
    }

    pub(super) fn push(&mut self, token: TokenId) {
        self.answer.push(token);
        if self.counts() {
            self.seen.entry(token).or_default().in_answer += 1;
        }
    }

    /// Takes back the answer from `position` on: the position is sampled again.
    pub(super) fn forget_from(&mut self, position: u64) {
        let keep = (position as usize).saturating_sub(self.prompt_len);
        while self.answer.len() > keep {
            let Some(token) = self.answer.pop() else { return };
            if let Some(seen) = self.seen.get_mut(&token) {
                seen.in_answer = seen.in_answer.saturating_sub(1);
            }
        }
    }

    /// Tokens of prompt (only under a repetition penalty) and answer, ascending.
    pub(super) fn seen(&self) -> impl Iterator<Item = (TokenId, Seen)> {
        let seen = self.seen.iter().map(|(token, seen)| (*token, *seen));
        seen.filter(|(_, seen)| seen.in_prompt || seen.in_answer > 0)
    }

    fn counts(&self) -> bool {
        let params = &self.params;
        params.repetition_penalty != 1.0
            || params.presence_penalty != 0.0
            || params.frequency_penalty != 0.0
    }
}
