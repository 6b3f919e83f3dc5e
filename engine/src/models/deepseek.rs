//! DeepSeek-V3 and R1: latent attention, leading dense layers, then routed and shared experts.

use super::{LayerParts, ResidualBlock};
use crate::error::EngineError;

pub(super) fn load_layer<P: LayerParts>(
    parts: &mut P,
) -> Result<ResidualBlock<P::Made>, EngineError> {
    Ok(ResidualBlock::plain(
        (parts.norm("attn_norm")?, parts.latent_attention()?),
        (parts.norm("ffn_norm")?, parts.feed_forward()?),
    ))
}
