//! Llama 2, 3.x and what is built like them: pre-norm, grouped-query attention, gated MLP.

use protocol::ids::LayerIndex;
use protocol::model_spec::{Architecture, ModelSpec};

use super::{DecoderLayer, Family};
use crate::error::EngineError;
use crate::layers::{Attention, PreNormBlock, RmsNorm, SwigluMlp};
use crate::weights::Tensors;

pub(super) const FAMILY: Family = Family { architecture: Architecture::Llama, load_layer };

fn load_layer(
    tensors: &mut Tensors<'_>,
    spec: &ModelSpec,
    layer: LayerIndex,
) -> Result<Box<dyn DecoderLayer>, EngineError> {
    let prefix = format!("blk.{layer}.");
    let (hidden, ffn) = (spec.hidden_size as usize, spec.ffn_size as usize);
    Ok(Box::new(PreNormBlock {
        attention_norm: RmsNorm::load(tensors, &format!("{prefix}attn_norm.weight"), spec)?,
        attention: Attention::load(tensors, &prefix, spec.attention, hidden)?,
        mlp_norm: RmsNorm::load(tensors, &format!("{prefix}ffn_norm.weight"), spec)?,
        mlp: SwigluMlp::load(tensors, &prefix, hidden, ffn)?,
    }))
}
