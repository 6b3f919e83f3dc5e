//! The seeded choice among the likeliest: top-k, then top-p, and min-p.

use protocol::sampling_params::SamplingParams;

use super::{Candidate, likelier};
use crate::kernels::cpu;

/// Candidates sorted at first when only a mass bounds them; most distributions need no more.
const SORTED_FIRST: usize = 256;

/// The likeliest token, the lowest id among equals.
pub(super) fn best(logits: &[f32]) -> Candidate {
    let mut best = Candidate { logit: f32::NEG_INFINITY, token: 0 };
    for (token, logit) in logits.iter().enumerate() {
        if *logit > best.logit {
            best = Candidate { logit: *logit, token: token as u32 };
        }
    }
    best
}

/// Draws by `uniform` from the softmax of `logits / temperature`, truncated.
///
/// Candidates stand in order of likelihood where something is cut off, in order of ids where not.
///
/// `logits` are by ascending id. With `top_k` they need not be all, but the `top_k + 1` likeliest.
pub(super) fn choose(
    logits: impl Iterator<Item = Candidate>,
    best: Candidate,
    params: &SamplingParams,
    uniform: f64,
    candidates: &mut Vec<Candidate>,
) -> u32 {
    let weight = |logit: f32| f64::from(cpu::exp((logit - best.logit) / params.temperature));
    candidates.clear();
    let possible =
        |c: &Candidate| c.logit > f32::NEG_INFINITY && weight(c.logit) >= f64::from(params.min_p);
    candidates.extend(logits.filter(possible));
    let top_k = params.top_k as usize;
    if top_k > 0 && top_k < candidates.len() {
        candidates.select_nth_unstable_by(top_k - 1, likelier);
        candidates.truncate(top_k);
        candidates.sort_unstable_by(likelier);
    }
    if params.top_p < 1.0 {
        keep_mass(candidates, f64::from(params.top_p), weight);
    }
    let total: f64 = candidates.iter().map(|c| weight(c.logit)).sum();
    let mut left = uniform * total;
    for candidate in candidates.iter() {
        left -= weight(candidate.logit);
        if left < 0.0 {
            return candidate.token;
        }
    }
    // Rounding may leave a crumb: the last candidate that has any weight takes it.
    candidates.iter().rev().find(|c| weight(c.logit) > 0.0).map_or(best.token, |c| c.token)
}

/// Keeps the likeliest candidates until their part of the total reaches `mass`; at least one.
fn keep_mass(candidates: &mut Vec<Candidate>, mass: f64, weight: impl Fn(f32) -> f64) {
    let wanted = mass * candidates.iter().map(|c| weight(c.logit)).sum::<f64>();
    let (mut sorted, mut sum) = (0, 0.0);
    let mut count = SORTED_FIRST;
    while sorted < candidates.len() {
        let rest = &mut candidates[sorted..];
        let head = count.min(rest.len());
        if head < rest.len() {
            rest.select_nth_unstable_by(head - 1, likelier);
        }
        rest[..head].sort_unstable_by(likelier);
        for (i, candidate) in rest[..head].iter().enumerate() {
            sum += weight(candidate.logit);
            if sum >= wanted {
                candidates.truncate(sorted + i + 1);
                return;
            }
        }
        sorted += head;
        count *= 8;
    }
}
