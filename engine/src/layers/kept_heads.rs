//! What makes the keys and values that a layer keeps.

use protocol::model_spec::{AttentionSpec, ModelSpec};

use super::linear::Linear;
use super::rms_norm::RmsNorm;
use crate::error::EngineError;
use crate::weights::Tensors;

pub(super) struct KeptHeads {
    pub(super) key: Linear,
    key_norm: Option<RmsNorm>,
    /// None where values are the keys, before their norm and rotation.
    pub(super) value: Option<Linear>,
    value_norm: Option<RmsNorm>,
}

impl KeptHeads {
    /// Loads `{prefix}attn_{k,v}` and their norms.
    pub(super) fn load(
        tensors: &mut Tensors<'_>,
        prefix: &str,
        spec: &ModelSpec,
        shape: &AttentionSpec,
    ) -> Result<Self, EngineError> {
        let (dim, width) = (shape.head_dim as usize, shape.key_width() as usize);
        let mut linear = |part: &str| {
            let (name, hidden) = (format!("{prefix}attn_{part}"), spec.hidden_size as usize);
            Linear::load(tensors, &name, width, hidden, shape.qkv_bias)
        };
        let key = linear("k")?;
        let value = (!shape.values_are_keys).then(|| linear("v")).transpose()?;
        let key_norm = format!("{prefix}attn_k_norm.weight");
        let key_norm = shape.qk_norm.then(|| RmsNorm::load(tensors, &key_norm, dim, spec));
        let value_norm = shape.value_norm.then(|| RmsNorm::plain(dim, spec));
        Ok(Self { key, key_norm: key_norm.transpose()?, value, value_norm })
    }

    /// Makes values of the keys if they are to be, and normalises both (`[rows, kv_heads, dim]`).
    pub(super) fn finish(&self, key: &mut [f32], value: &mut [f32]) {
        if self.value.is_none() {
            value.copy_from_slice(key);
        }
        if let Some(norm) = &self.key_norm {
            norm.normalise(key);
        }
        if let Some(norm) = &self.value_norm {
            norm.normalise(value);
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        let norms = [&self.key_norm, &self.value_norm].into_iter().flatten().map(RmsNorm::bytes);
        self.key.bytes() + self.value.as_ref().map_or(0, Linear::bytes) + norms.sum::<u64>()
    }
}
