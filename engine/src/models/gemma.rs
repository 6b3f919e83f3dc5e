//! Gemma 2, 3 and 4: a norm before and one behind each half.
//!
//! Gemma 4 scales what leaves a layer, and has experts beside the dense feed-forward (26B-A4B) or
//! an input of each layer's own (E2B, E4B).

use protocol::model_spec::Architecture;

use super::{BesideExperts, LayerParts, ResidualBlock};
use crate::error::EngineError;

pub(super) fn load_layer<P: LayerParts>(
    parts: &mut P,
) -> Result<ResidualBlock<P::Made>, EngineError> {
    let block = ResidualBlock::plain(
        (parts.norm("attn_norm")?, parts.attention()?),
        (parts.norm("ffn_norm")?, parts.feed_forward()?),
    );
    Ok(ResidualBlock {
        attention_post_norm: Some(parts.norm("post_attention_norm")?),
        beside: if parts.has_experts_beside() { Some(load_beside(parts)?) } else { None },
        ffn_post_norm: Some(parts.norm("post_ffw_norm")?),
        per_layer_input: parts.per_layer_input()?,
        output_scale: match parts.architecture() {
            Architecture::Gemma4 => Some(parts.number("layer_output_scale")?),
            _ => None,
        },
        ..block
    })
}

fn load_beside<P: LayerParts>(parts: &mut P) -> Result<BesideExperts<P::Made>, EngineError> {
    Ok(BesideExperts {
        dense_post_norm: parts.norm("post_ffw_norm_1")?,
        router_norm: parts.router_norm()?,
        norm: parts.norm("pre_ffw_norm_2")?,
        experts: parts.experts()?,
        post_norm: parts.norm("post_ffw_norm_2")?,
    })
}
