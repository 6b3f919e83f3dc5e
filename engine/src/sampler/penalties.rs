//! Changes of single logits: penalties, bias, and what may not be sampled at all.

use protocol::step_batch::TokenMask;

use super::sequence::SampledSequence;

/// Applies all of `sequence`'s adjustments; a forbidden token's logit becomes minus infinity.
pub(super) fn apply(sequence: &SampledSequence, allowed: Option<&TokenMask>, logits: &mut [f32]) {
    let params = sequence.params();
    for (token, seen) in sequence.seen() {
        let Some(logit) = logits.get_mut(token.0 as usize) else { continue };
        if params.repetition_penalty != 1.0 {
            let divides = *logit > 0.0;
            let penalty = params.repetition_penalty;
            *logit = if divides { *logit / penalty } else { *logit * penalty };
        }
        if seen.in_answer > 0 {
            *logit -= params.presence_penalty;
            *logit -= params.frequency_penalty * seen.in_answer as f32;
        }
    }
    for (token, bias) in &params.logit_bias {
        if let Some(logit) = logits.get_mut(token.0 as usize) {
            *logit += bias;
        }
    }
    if sequence.answer_len() < params.min_tokens as usize {
        for token in &params.stop_tokens {
            if let Some(logit) = logits.get_mut(token.0 as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
    if let Some(mask) = allowed {
        for (token, logit) in logits.iter_mut().enumerate() {
            if mask.words[token / 32] >> (token % 32) & 1 == 0 {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}
