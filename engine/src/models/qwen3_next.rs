//! Qwen3-Next and Qwen3.5: gated delta nets beside gated attention, dense or with experts.

use super::{DecoderLayer, LayerParts};
use crate::error::EngineError;
use crate::layers::{AttentionKind, ResidualBlock};

pub(super) fn load_layer(
    parts: &mut LayerParts<'_, '_>,
) -> Result<Box<dyn DecoderLayer>, EngineError> {
    Ok(Box::new(ResidualBlock {
        attention_norm: parts.norm("attn_norm")?,
        attention: match parts.is_recurrent() {
            true if parts.is_first_rank() => AttentionKind::DeltaNet(Box::new(parts.delta_net()?)),
            true => AttentionKind::Elsewhere,
            false => AttentionKind::Grouped(parts.attention()?),
        },
        attention_post_norm: None,
        ffn_norm: parts.norm("ffn_norm")?,
        feed_forward: parts.feed_forward()?,
        ffn_post_norm: None,
    }))
}
