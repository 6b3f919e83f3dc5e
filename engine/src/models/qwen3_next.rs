//! Qwen3-Next and Qwen3.5: gated delta nets beside gated attention, dense or with experts.

use super::{LayerParts, ResidualBlock};
use crate::error::EngineError;

pub(super) fn load_layer<P: LayerParts>(
    parts: &mut P,
) -> Result<ResidualBlock<P::Made>, EngineError> {
    let attention = match parts.is_recurrent() {
        true => parts.delta_net()?,
        false => parts.attention()?,
    };
    Ok(ResidualBlock::plain(
        (parts.norm("attn_norm")?, attention),
        (parts.norm("ffn_norm")?, parts.feed_forward()?),
    ))
}
