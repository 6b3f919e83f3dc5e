//! Gemma 2 and 3: a norm before and one behind each half.

use super::{LayerParts, ResidualBlock};
use crate::error::EngineError;

pub(super) fn load_layer<P: LayerParts>(
    parts: &mut P,
) -> Result<ResidualBlock<P::Made>, EngineError> {
    Ok(ResidualBlock {
        attention_norm: parts.norm("attn_norm")?,
        attention: parts.attention()?,
        attention_post_norm: Some(parts.norm("post_attention_norm")?),
        ffn_norm: parts.norm("ffn_norm")?,
        feed_forward: parts.feed_forward()?,
        ffn_post_norm: Some(parts.norm("post_ffw_norm")?),
    })
}
