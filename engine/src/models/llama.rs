//! Llama and all that is built like it: pre-norm, grouped-query attention, gated feed-forward.
//!
//! Mistral, Qwen2, Qwen3, Phi-3, their mixtures of experts, gpt-oss and GLM-4.5 differ in what the
//! specification says of attention, feed-forward and state, not in the block.

use super::{DecoderLayer, LayerParts};
use crate::error::EngineError;
use crate::layers::{AttentionKind, ResidualBlock};

pub(super) fn load_layer(
    parts: &mut LayerParts<'_, '_>,
) -> Result<Box<dyn DecoderLayer>, EngineError> {
    Ok(Box::new(ResidualBlock {
        attention_norm: parts.norm("attn_norm")?,
        attention: AttentionKind::Grouped(parts.attention()?),
        attention_post_norm: None,
        ffn_norm: parts.norm("ffn_norm")?,
        feed_forward: parts.feed_forward()?,
        ffn_post_norm: None,
    }))
}
