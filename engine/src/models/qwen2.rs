//! Qwen2 and Qwen2.5: Llama's block with a bias on the q, k and v projections.

use protocol::ids::LayerIndex;
use protocol::model_spec::{Architecture, AttentionSpec, ModelSpec};

use super::{DecoderLayer, Family};
use crate::error::EngineError;
use crate::layers::{Attention, PreNormBlock, RmsNorm, SwigluMlp};
use crate::weights::Tensors;

pub(super) const FAMILY: Family = Family { architecture: Architecture::Qwen2, load_layer };

fn load_layer(
    tensors: &mut Tensors<'_>,
    spec: &ModelSpec,
    layer: LayerIndex,
) -> Result<Box<dyn DecoderLayer>, EngineError> {
    let prefix = format!("blk.{layer}.");
    let (hidden, ffn) = (spec.hidden_size as usize, spec.ffn_size as usize);
    // The family always has them, whatever the configuration leaves out.
    let attention = AttentionSpec { qkv_bias: true, ..spec.attention };
    Ok(Box::new(PreNormBlock {
        attention_norm: RmsNorm::load(tensors, &format!("{prefix}attn_norm.weight"), spec)?,
        attention: Attention::load(tensors, &prefix, attention, hidden)?,
        mlp_norm: RmsNorm::load(tensors, &format!("{prefix}ffn_norm.weight"), spec)?,
        mlp: SwigluMlp::load(tensors, &prefix, hidden, ffn)?,
    }))
}
