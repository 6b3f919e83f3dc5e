//! Qwen3-Next and Qwen3.5: gated delta nets beside gated attention, dense or with experts.

use super::{LayerParts, ResidualBlock};
use crate::error::EngineError;

pub(super) fn load_layer<P: LayerParts>(
    parts: &mut P,
) -> Result<ResidualBlock<P::Made>, EngineError> {
    Ok(ResidualBlock {
        attention_norm: parts.norm("attn_norm")?,
        attention: match parts.is_recurrent() {
            true => parts.delta_net()?,
            false => parts.attention()?,
        },
        attention_post_norm: None,
        ffn_norm: parts.norm("ffn_norm")?,
        feed_forward: parts.feed_forward()?,
        ffn_post_norm: None,
    })
}
