//! Choices that need a few of a row's logits, so that the others can stay on a device.
//!
//! What is chosen is what `Sampler::sample` would choose of the whole row.

use protocol::ids::TokenId;
use protocol::step_batch::SampledToken;

use super::{Candidate, SampleAt, Sampler, draw, likelier, truncation};
use crate::error::EngineError;

/// More are as well sent as a row.
const TOP_K_MAX: u32 = 255;

/// Of a row's logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needed {
    /// So many of the likeliest.
    Likeliest(usize),
    All,
}

impl Sampler {
    /// What `sample` will make use of. Penalties, masks and log probabilities need all logits, and
    /// so does a draw that only a mass, or nothing, truncates: it adds up all weights.
    pub(crate) fn needed(&self, at: &SampleAt<'_>) -> Needed {
        let Some(state) = self.sequences.get(&at.sequence) else { return Needed::All };
        let params = state.params();
        let answered = (at.position as usize).saturating_sub(state.prompt_len());
        let plain = at.allowed.is_none()
            && params.logprobs.is_none()
            && params.repetition_penalty == 1.0
            && params.presence_penalty == 0.0
            && params.frequency_penalty == 0.0
            && params.logit_bias.is_empty()
            && answered >= params.min_tokens as usize;
        match params.top_k {
            _ if !plain => Needed::All,
            _ if params.temperature <= 0.0 => Needed::Likeliest(1),
            // One more tells whether something is cut off.
            top_k @ 1..=TOP_K_MAX => Needed::Likeliest(top_k as usize + 1),
            _ => Needed::All,
        }
    }

    /// As `sample` of a row of finite logits, whose largest is `best`, from as many of the
    /// `likeliest` as `needed` says.
    pub(crate) fn sample_likeliest(
        &mut self,
        at: SampleAt<'_>,
        best: Candidate,
        mut likeliest: Vec<Candidate>,
    ) -> Result<SampledToken, EngineError> {
        let SampleAt { sequence, position, .. } = at;
        let Some(state) = self.sequences.get_mut(&sequence) else {
            return Err(EngineError::UnknownSequence { sequence });
        };
        state.forget_from(position);
        let params = state.params();
        let token = if params.temperature > 0.0 {
            let uniform = draw::uniform(state.choice_seed(), position);
            likeliest.sort_unstable_by(likelier);
            likeliest.truncate(params.top_k as usize + 1);
            likeliest.sort_unstable_by_key(|candidate| candidate.token);
            let few = likeliest.into_iter();
            truncation::choose(few, best, params, uniform, &mut self.candidates)
        } else {
            best.token
        };
        state.push(TokenId(token));
        Ok(SampledToken { sequence, token: TokenId(token), logprobs: None })
    }
}
