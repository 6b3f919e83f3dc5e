//! Log probabilities of the chosen token and of the likeliest ones.

use protocol::ids::TokenId;
use protocol::step_batch::TokenLogprobs;

use super::{Candidate, likelier};
use crate::kernels::cpu;

/// Over the softmax of `logits` as adjusted, at temperature 1 and before truncation.
pub(super) fn of(
    logits: &[f32],
    best: Candidate,
    chosen: u32,
    top: u8,
    candidates: &mut Vec<Candidate>,
) -> TokenLogprobs {
    let total: f64 = logits.iter().map(|l| f64::from(cpu::exp(l - best.logit))).sum();
    let log_total = total.ln();
    let logprob = |logit: f32| (f64::from(logit) - f64::from(best.logit) - log_total) as f32;
    candidates.clear();
    if top > 0 {
        let possible = logits.iter().enumerate().filter(|(_, l)| **l > f32::NEG_INFINITY);
        candidates.extend(possible.map(|(token, l)| Candidate { logit: *l, token: token as u32 }));
        let top = usize::from(top);
        if top < candidates.len() {
            candidates.select_nth_unstable_by(top - 1, likelier);
            candidates.truncate(top);
        }
        candidates.sort_unstable_by(likelier);
    }
    TokenLogprobs {
        chosen: logprob(logits[chosen as usize]),
        top: candidates.iter().map(|c| (TokenId(c.token), logprob(c.logit))).collect(),
    }
}
