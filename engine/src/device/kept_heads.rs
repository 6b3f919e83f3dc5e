//! What makes the keys and values that a layer keeps.

use candle_core::Tensor;
use protocol::model_spec::{AttentionSpec, ModelSpec};

use super::linear::Linear;
use super::norm::RmsNorm;
use super::rotation::Rotation;
use super::target::Target;
use crate::error::EngineError;
use crate::weights::Tensors;

pub(super) struct KeptHeads {
    key: Linear,
    key_norm: Option<RmsNorm>,
    /// None where values are the keys, before their norm and rotation.
    value: Option<Linear>,
    value_norm: Option<RmsNorm>,
    count: usize,
}

impl KeptHeads {
    /// Loads `{prefix}attn_{k,v}` and their norms.
    pub(super) fn load(
        tensors: &mut Tensors<'_>,
        target: &Target,
        prefix: &str,
        spec: &ModelSpec,
        shape: &AttentionSpec,
    ) -> Result<Self, EngineError> {
        let (dim, size) =
            (shape.head_dim as usize, [shape.key_width() as usize, spec.hidden_size as usize]);
        let mut linear = |part: &str| {
            let name = format!("{prefix}attn_{part}");
            Linear::load(tensors, target, &name, size, shape.qkv_bias)
        };
        let key = linear("k")?;
        let value = (!shape.values_are_keys).then(|| linear("v")).transpose()?;
        let name = format!("{prefix}attn_k_norm.weight");
        let key_norm = shape.qk_norm.then(|| RmsNorm::load(tensors, target, &name, dim, spec));
        let value_norm = shape.value_norm.then(|| RmsNorm::plain(target, dim, spec)).transpose()?;
        let count = shape.kv_heads as usize;
        Ok(Self { key, key_norm: key_norm.transpose()?, value, value_norm, count })
    }

    /// Keys and values of `x` (`[rows, hidden]`), each `[rows, width]`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        rotation: &Rotation,
    ) -> candle_core::Result<(Tensor, Tensor)> {
        let in_heads = |x: Tensor| {
            let (rows, width) = x.dims2()?;
            x.reshape((rows, self.count, width / self.count))
        };
        let mut key = in_heads(self.key.forward(x)?)?;
        let mut value = match &self.value {
            Some(linear) => in_heads(linear.forward(x)?)?,
            None => key.clone(),
        };
        if let Some(norm) = &self.key_norm {
            key = norm.forward(&key)?;
        }
        if let Some(norm) = &self.value_norm {
            value = norm.forward(&value)?;
        }
        Ok((rotation.rotate(&key)?.flatten_from(1)?, value.flatten_from(1)?))
    }

    pub(super) fn bytes(&self) -> u64 {
        let norms = [&self.key_norm, &self.value_norm].into_iter().flatten().map(RmsNorm::bytes);
        self.key.bytes() + self.value.as_ref().map_or(0, Linear::bytes) + norms.sum::<u64>()
    }
}
