//! DeepSeek-V3 and R1: latent attention, leading dense layers, then routed and shared experts.

use super::{LayerParts, ResidualBlock};
use crate::error::EngineError;

pub(super) fn load_layer<P: LayerParts>(
    parts: &mut P,
) -> Result<ResidualBlock<P::Made>, EngineError> {
    Ok(ResidualBlock {
        attention_norm: parts.norm("attn_norm")?,
        attention: parts.latent_attention()?,
        attention_post_norm: None,
        ffn_norm: parts.norm("ffn_norm")?,
        feed_forward: parts.feed_forward()?,
        ffn_post_norm: None,
    })
}
