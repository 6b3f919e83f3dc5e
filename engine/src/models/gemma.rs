//! Gemma 2 and 3: a norm before and one behind each half.

use super::{DecoderLayer, LayerParts};
use crate::error::EngineError;
use crate::layers::{AttentionKind, ResidualBlock};

pub(super) fn load_layer(
    parts: &mut LayerParts<'_, '_>,
) -> Result<Box<dyn DecoderLayer>, EngineError> {
    Ok(Box::new(ResidualBlock {
        attention_norm: parts.norm("attn_norm")?,
        attention: AttentionKind::Grouped(parts.attention()?),
        attention_post_norm: Some(parts.norm("post_attention_norm")?),
        ffn_norm: parts.norm("ffn_norm")?,
        feed_forward: parts.feed_forward()?,
        ffn_post_norm: Some(parts.norm("post_ffw_norm")?),
    }))
}
