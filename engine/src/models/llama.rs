//! Llama and all that is built like it: pre-norm, grouped-query attention, gated feed-forward.
//!
//! Mistral, Qwen2, Qwen3, Phi-3, their mixtures of experts, gpt-oss and GLM-4.5 differ in what the
//! specification says of attention, feed-forward and state, not in the block.

use super::{LayerParts, ResidualBlock};
use crate::error::EngineError;

pub(super) fn load_layer<P: LayerParts>(
    parts: &mut P,
) -> Result<ResidualBlock<P::Made>, EngineError> {
    Ok(ResidualBlock::plain(
        (parts.norm("attn_norm")?, parts.attention()?),
        (parts.norm("ffn_norm")?, parts.feed_forward()?),
    ))
}
