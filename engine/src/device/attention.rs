//! Grouped-query attention: projections, norms and rotation of heads around the pages.

use candle_core::Tensor;
use protocol::ids::LayerIndex;
use protocol::model_spec::{ModelSpec, TemperatureSpec};

use super::activation::sigmoid;
use super::kept_heads::KeptHeads;
use super::linear::Linear;
use super::norm::RmsNorm;
use super::pages::Pages;
use super::scores::PagedAttention;
use super::step::Step;
use super::target::Target;
use super::{DeviceResult, bytes_of};
use crate::error::EngineError;
use crate::weights::Tensors;

pub(crate) struct Attention {
    query: Linear,
    /// Of each head.
    query_norm: Option<RmsNorm>,
    /// None where another layer's keys and values are read.
    kept: Option<KeptHeads>,
    output: Linear,
    heads: PagedAttention,
    /// The projection of q has a gate behind each head.
    gated: bool,
    temperature: Option<TemperatureSpec>,
    /// Which of the step's rotations.
    rotation: usize,
}

impl Attention {
    pub(super) fn load(
        tensors: &mut Tensors<'_>,
        target: &Target,
        prefix: &str,
        spec: &ModelSpec,
        layer: LayerIndex,
    ) -> Result<Self, EngineError> {
        let (shape, hidden) = (spec.attention_of(layer), spec.hidden_size as usize);
        let wide = shape.query_width() as usize;
        let asked = if shape.output_gate { 2 * wide } else { wide };
        let window = spec.window_of(layer);
        let mut linear = |part: &str, size, bias| {
            Linear::load(tensors, target, &format!("{prefix}attn_{part}"), size, bias)
        };
        let query = linear("q", [asked, hidden], shape.qkv_bias)?;
        let output = linear("output", [hidden, wide], shape.output_bias)?;
        let keeps = spec.kv_layer(layer) == layer;
        let kept = keeps.then(|| KeptHeads::load(tensors, target, prefix, spec, shape));
        let (name, dim) = (format!("{prefix}attn_q_norm.weight"), shape.head_dim as usize);
        let query_norm = shape.qk_norm.then(|| RmsNorm::load(tensors, target, &name, dim, spec));
        let (kept, query_norm) = (kept.transpose()?, query_norm.transpose()?);
        let heads = shape.heads as usize;
        let sinks = format!("{prefix}attn_sinks.weight");
        let sinks = shape.sinks.then(|| tensors.vector(&sinks, heads)).transpose()?;
        let heads = PagedAttention {
            heads,
            kv_heads: shape.kv_heads as usize,
            value_dim: dim,
            scale: shape.score_scale(),
            soft_cap: shape.soft_cap,
            window,
            sinks: sinks.map(|sinks| Tensor::from_vec(sinks, heads, &target.device)).transpose()?,
            target: target.clone(),
        };
        let rotation = usize::from(spec.window_rope.is_some() && window.is_some());
        let (gated, temperature) = (shape.output_gate, shape.temperature);
        Ok(Self { query, query_norm, kept, output, heads, gated, temperature, rotation })
    }

    /// `x` and the result are `[rows, hidden]`.
    pub(super) fn forward(&self, x: &Tensor, step: &Step, pages: &Pages) -> DeviceResult {
        let query = self.query.forward(x)?;
        let dim = query.dim(1)? / self.heads.heads;
        let mut query = query.reshape((step.rows, self.heads.heads, dim))?;
        let mut gate = None;
        if self.gated {
            let dim = query.dim(2)? / 2;
            gate = Some(query.narrow(2, dim, dim)?);
            query = query.narrow(2, 0, dim)?;
        }
        if let Some(norm) = &self.query_norm {
            query = norm.forward(&query)?;
        }
        let rotation = &step.rotations[self.rotation];
        query = rotation.rotate(&query)?;
        if let Some(temperature) = &self.temperature {
            let positions = step.sequences.iter().flat_map(|s| (s.position..).take(s.rows));
            let factors = positions.map(|at| temperature.factor(at as u32)).collect();
            let factors = Tensor::from_vec(factors, (step.rows, 1, 1), x.device())?;
            query = query.broadcast_mul(&factors)?;
        }
        if let Some(kept) = &self.kept {
            let (keys, values) = kept.forward(x, rotation)?;
            pages.store(&step.slots, &keys, Some(&values))?;
        }
        let mut attended = self.heads.forward(step, pages, &query)?;
        if let Some(gate) = gate {
            attended = (attended * sigmoid(&gate)?)?;
        }
        self.output.forward(&attended.flatten_from(1)?)
    }

    pub(super) fn bytes(&self) -> u64 {
        let kept = self.kept.as_ref().map_or(0, KeptHeads::bytes);
        let norm = self.query_norm.as_ref().map_or(0, RmsNorm::bytes);
        let sinks = self.heads.sinks.as_ref().map_or(0, bytes_of);
        self.query.bytes() + self.output.bytes() + kept + norm + sinks
    }
}
