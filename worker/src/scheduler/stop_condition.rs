//! When an answer is over.

use protocol::generate::FinishReason;
use protocol::ids::TokenId;

use super::sequence::Sequence;

/// What a sampled token means for its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Emit it and go on.
    Continue,
    /// Emit it; it is the last.
    EmitAndFinish(FinishReason),
    /// Neither shown, counted nor kept.
    Finish(FinishReason),
}

/// Judges `token`, sampled after all of `sequence`'s known tokens. `min_tokens` is the sampler's
/// business: it does not sample a stop token too early.
pub(super) fn judge(sequence: &Sequence, token: TokenId, tokens_limit: u32) -> Verdict {
    if sequence.sampling.stop_tokens.contains(&token) {
        return Verdict::Finish(FinishReason::Stop);
    }
    let emitted = sequence.emitted.len() as u32 + 1;
    if emitted >= sequence.tokens_max || sequence.len() + 1 >= tokens_limit {
        return Verdict::EmitAndFinish(FinishReason::Length);
    }
    Verdict::Continue
}
