//! Grouped-query attention: projections, norms and rotation of heads around the pages.

use candle_core::{Device, Tensor};
use protocol::ids::LayerIndex;
use protocol::model_spec::{ModelSpec, StateKind, TemperatureSpec};

use super::feed_forward::sigmoid;
use super::linear::Linear;
use super::norm::RmsNorm;
use super::pages::Pages;
use super::scores::PagedAttention;
use super::step::Step;
use super::{DeviceResult, bytes_of};
use crate::error::EngineError;
use crate::weights::Tensors;

pub(crate) struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    /// Of each head of q and of k.
    norms: Option<(RmsNorm, RmsNorm)>,
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
        device: &Device,
        prefix: &str,
        spec: &ModelSpec,
        layer: LayerIndex,
    ) -> Result<Self, EngineError> {
        let (shape, hidden) = (spec.attention, spec.hidden_size as usize);
        let (wide, narrow) = (shape.query_width() as usize, shape.key_width() as usize);
        let asked = if shape.output_gate { 2 * wide } else { wide };
        let window = match spec.layers[layer.0 as usize].state {
            StateKind::PagedKv { window } => window,
            _ => None,
        };
        let mut linear = |part: &str, size, bias| {
            Linear::load(tensors, device, &format!("{prefix}attn_{part}"), size, bias)
        };
        let query = linear("q", [asked, hidden], shape.qkv_bias)?;
        let key = linear("k", [narrow, hidden], shape.qkv_bias)?;
        let value = linear("v", [narrow, hidden], shape.qkv_bias)?;
        let output = linear("output", [hidden, wide], shape.output_bias)?;
        let mut norm = |part: &str| {
            let name = format!("{prefix}attn_{part}.weight");
            RmsNorm::load(tensors, device, &name, shape.head_dim as usize, spec)
        };
        let norms = if shape.qk_norm { Some((norm("q_norm")?, norm("k_norm")?)) } else { None };
        let heads = shape.heads as usize;
        let sinks = format!("{prefix}attn_sinks.weight");
        let sinks = shape.sinks.then(|| tensors.vector(&sinks, heads)).transpose()?;
        let heads = PagedAttention {
            heads,
            kv_heads: shape.kv_heads as usize,
            scale: shape.score_scale().into(),
            soft_cap: shape.soft_cap.map(f64::from),
            window,
            sinks: sinks.map(|sinks| Tensor::from_vec(sinks, heads, device)).transpose()?,
        };
        let rotation = usize::from(spec.window_rope.is_some() && window.is_some());
        let (gated, temperature) = (shape.output_gate, shape.temperature);
        Ok(Self { query, key, value, output, norms, heads, gated, temperature, rotation })
    }

    /// `x` and the result are `[rows, hidden]`.
    pub(super) fn forward(&self, x: &Tensor, step: &Step, pages: &Pages) -> DeviceResult {
        let in_heads = |x: Tensor, heads: usize| {
            let dim = x.dim(1)? / heads;
            x.reshape((step.rows, heads, dim))
        };
        let mut query = in_heads(self.query.forward(x)?, self.heads.heads)?;
        let mut gate = None;
        if self.gated {
            let dim = query.dim(2)? / 2;
            gate = Some(query.narrow(2, dim, dim)?);
            query = query.narrow(2, 0, dim)?;
        }
        let mut key = in_heads(self.key.forward(x)?, self.heads.kv_heads)?;
        if let Some((query_norm, key_norm)) = &self.norms {
            (query, key) = (query_norm.forward(&query)?, key_norm.forward(&key)?);
        }
        let rotation = &step.rotations[self.rotation];
        (query, key) = (rotation.rotate(&query)?, rotation.rotate(&key)?);
        if let Some(temperature) = &self.temperature {
            let positions = step.sequences.iter().flat_map(|s| (s.position..).take(s.rows));
            let factors = positions.map(|at| temperature.factor(at as u32)).collect();
            let factors = Tensor::from_vec(factors, (step.rows, 1, 1), x.device())?;
            query = query.broadcast_mul(&factors)?;
        }
        pages.store(&step.slots, &key.flatten_from(1)?, Some(&self.value.forward(x)?))?;
        let mut attended = self.heads.forward(step, pages, &query)?;
        if let Some(gate) = gate {
            attended = (attended * sigmoid(&gate)?)?;
        }
        self.output.forward(&attended.flatten_from(1)?)
    }

    pub(super) fn bytes(&self) -> u64 {
        let norms = self.norms.as_ref().map_or(0, |(query, key)| query.bytes() + key.bytes());
        let linears = [&self.query, &self.key, &self.value, &self.output];
        let sinks = self.heads.sinks.as_ref().map_or(0, bytes_of);
        linears.iter().map(|linear| linear.bytes()).sum::<u64>() + norms + sinks
    }
}
