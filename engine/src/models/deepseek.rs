//! DeepSeek-V3 and R1: latent attention, leading dense layers, then routed and shared experts.

use super::{DecoderLayer, LayerParts};
use crate::error::EngineError;
use crate::layers::{AttentionKind, ResidualBlock};

pub(super) fn load_layer(
    parts: &mut LayerParts<'_, '_>,
) -> Result<Box<dyn DecoderLayer>, EngineError> {
    Ok(Box::new(ResidualBlock {
        attention_norm: parts.norm("attn_norm")?,
        attention: AttentionKind::Latent(parts.latent_attention()?),
        attention_post_norm: None,
        ffn_norm: parts.norm("ffn_norm")?,
        feed_forward: parts.feed_forward()?,
        ffn_post_norm: None,
    }))
}
