//! From logits to a token: penalties, log probabilities, truncation, a seeded draw.
//!
//! The choice at a position is a function of the logits, the sequence's parameters and tokens, the
//! choice seed and the position alone, so a sequence that is resumed elsewhere goes on the same.

mod draw;
#[cfg(feature = "candle")]
mod likeliest;
mod logprobs;
mod penalties;
mod sequence;
mod truncation;

use std::collections::BTreeMap;

use protocol::ids::{SequenceId, TokenId};
use protocol::step_batch::{SampledToken, SequenceStart, StepBatch, TokenMask};

use crate::error::EngineError;
#[cfg(feature = "candle")]
pub(crate) use likeliest::Needed;
use sequence::SampledSequence;

/// Sequences that one stage keeps at most; a head that never ends any is at fault.
const SEQUENCES_MAX: usize = 16_384;

/// A token and its logit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) logit: f32,
    pub(crate) token: u32,
}

/// The sequences that the last stage samples, and space to choose in.
#[derive(Default)]
pub(crate) struct Sampler {
    sequences: BTreeMap<SequenceId, SampledSequence>,
    candidates: Vec<Candidate>,
}

/// One row to sample.
#[derive(Clone, Copy)]
pub(crate) struct SampleAt<'a> {
    pub(crate) sequence: SequenceId,
    /// Position that the sampled token will have.
    pub(crate) position: u64,
    pub(crate) allowed: Option<&'a TokenMask>,
}

impl SampleAt<'_> {
    pub(crate) fn not_finite(&self) -> EngineError {
        EngineError::NotFinite { sequence: self.sequence, position: self.position }
    }
}

impl Sampler {
    /// Every sequence that `batch` samples is known or starts with it, up to its position.
    pub(crate) fn check<'a>(
        &self,
        batch: &StepBatch,
        mut asked: impl Iterator<Item = &'a SampleAt<'a>>,
    ) -> Result<(), EngineError> {
        let known = self.sequences.len();
        if known + batch.starts.len() > SEQUENCES_MAX + batch.ends.len() {
            return Err(EngineError::TooManySequences { known });
        }
        asked.try_for_each(|at| {
            let sequence = at.sequence;
            let start = batch.starts.iter().rev().find(|start| start.sequence == sequence);
            let (prompt, known) = match (start, self.sequences.get(&sequence)) {
                (Some(start), _) => (start.prompt.len(), start.prompt.len() + start.emitted.len()),
                (None, Some(known)) if !batch.ends.contains(&sequence) => {
                    (known.prompt_len(), known.len())
                }
                (None, _) => return Err(EngineError::UnknownSequence { sequence }),
            };
            let position = at.position;
            if position > known as u64 || position < prompt as u64 {
                return Err(EngineError::UnknownTokens { sequence, position, known: known as u64 });
            }
            Ok(())
        })
    }

    pub(crate) fn end(&mut self, sequence: SequenceId) {
        self.sequences.remove(&sequence);
    }

    /// Begins a sequence of up to `tokens_max` tokens, or begins it anew with what is known of it
    /// now.
    pub(crate) fn start(&mut self, start: &SequenceStart, tokens_max: usize) {
        self.sequences.insert(start.sequence, SampledSequence::new(start, tokens_max));
    }

    /// Chooses the token at `at` and counts it as part of the answer. `logits` (`[vocabulary]`)
    /// are changed.
    pub(crate) fn sample(
        &mut self,
        at: SampleAt<'_>,
        logits: &mut [f32],
    ) -> Result<SampledToken, EngineError> {
        let SampleAt { sequence, position, allowed } = at;
        if logits.iter().any(|logit| !logit.is_finite()) {
            return Err(at.not_finite());
        }
        let Some(state) = self.sequences.get_mut(&sequence) else {
            return Err(EngineError::UnknownSequence { sequence });
        };
        state.forget_from(position);
        penalties::apply(state, allowed, logits);
        let best = truncation::best(logits);
        if best.logit == f32::NEG_INFINITY {
            return Err(EngineError::NothingAllowed { sequence, position });
        }
        let params = state.params();
        let token = if params.temperature > 0.0 {
            let uniform = draw::uniform(state.choice_seed(), position);
            let all = (0..).zip(&*logits).map(|(token, logit)| Candidate { logit: *logit, token });
            truncation::choose(all, best, params, uniform, &mut self.candidates)
        } else {
            best.token
        };
        let logprobs =
            params.logprobs.map(|top| logprobs::of(logits, best, token, top, &mut self.candidates));
        state.push(TokenId(token));
        Ok(SampledToken { sequence, token: TokenId(token), logprobs })
    }
}

/// Likelier first; ties go to the lower id.
fn likelier(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token))
}

#[cfg(test)]
mod tests;
