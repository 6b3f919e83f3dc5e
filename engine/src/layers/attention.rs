//! Grouped-query attention: projections, norms and rotation of heads around the paged kernel.

use protocol::ids::LayerIndex;
use protocol::model_spec::{ModelSpec, StateKind, TemperatureSpec};

use super::linear::{Linear, forward_all};
use super::output_gate;
use super::paged_attention::{PagedAttention, RowPlace};
use super::rms_norm::RmsNorm;
use super::rope::Rope;
use crate::error::EngineError;
use crate::state::KvPool;
use crate::weights::Tensors;
use crate::workspace::TileRows;

/// The rows that run through a layer together, and their angles.
pub(crate) struct Tile<'a> {
    pub(crate) rows: &'a [RowPlace<'a>],
    /// Position of the first of them among the rows of `ropes`.
    pub(crate) first: usize,
    pub(crate) ropes: &'a [Rope],
}

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
    /// Which of the tile's rotations.
    rope: usize,
}

impl Attention {
    /// Loads `{prefix}attn_{q,k,v,output}` and what the model has beside them.
    pub(crate) fn load(
        tensors: &mut Tensors<'_>,
        prefix: &str,
        spec: &ModelSpec,
        layer: LayerIndex,
    ) -> Result<Self, EngineError> {
        let (shape, hidden) = (spec.attention, spec.hidden_size as usize);
        let dim = shape.head_dim as usize;
        let (wide, narrow) = (shape.query_width() as usize, shape.key_width() as usize);
        let window = match spec.layers[layer.0 as usize].state {
            StateKind::PagedKv { window } => window,
            _ => None,
        };
        let mut linear = |part: &str, outputs, inputs, bias| {
            Linear::load(tensors, &format!("{prefix}attn_{part}"), outputs, inputs, bias)
        };
        let query = linear("q", shape.query_rows() as usize, hidden, shape.qkv_bias)?;
        let key = linear("k", narrow, hidden, shape.qkv_bias)?;
        let value = linear("v", narrow, hidden, shape.qkv_bias)?;
        let output = linear("output", hidden, wide, shape.output_bias)?;
        let mut norm =
            |part: &str| RmsNorm::load(tensors, &format!("{prefix}attn_{part}.weight"), dim, spec);
        let norms = if shape.qk_norm { Some((norm("q_norm")?, norm("k_norm")?)) } else { None };
        let sinks = format!("{prefix}attn_sinks.weight");
        let sinks = shape.sinks.then(|| tensors.vector(&sinks, shape.heads as usize));
        let heads = PagedAttention {
            heads: shape.heads as usize,
            kv_heads: shape.kv_heads as usize,
            dim,
            scale: shape.score_scale(),
            soft_cap: shape.soft_cap,
            window,
            sinks: sinks.transpose()?,
        };
        let rope = usize::from(spec.window_rope.is_some() && window.is_some());
        let (gated, temperature) = (shape.output_gate, shape.temperature);
        Ok(Self { query, key, value, output, norms, heads, gated, temperature, rope })
    }

    /// Reads `space.normed`, leaves the result in `space.output`; `layer` counts the stage's own.
    pub(crate) fn forward(
        &self,
        tile: &Tile<'_>,
        layer: usize,
        pool: &mut KvPool,
        space: &mut TileRows<'_>,
    ) {
        if self.heads.heads == 0 {
            return space.output.fill(0.0);
        }
        let rows = tile.rows.len();
        let asked = if self.gated {
            &mut space.projected[..2 * rows * self.heads.heads * self.heads.dim]
        } else {
            &mut *space.query
        };
        let projections = [
            (&self.query, &mut *asked),
            (&self.key, &mut *space.key),
            (&self.value, &mut *space.value),
        ];
        forward_all(projections, space.normed, space.matmul);
        if self.gated {
            output_gate::split(space.projected, space.query, self.heads.dim);
        }
        if let Some((query, key)) = &self.norms {
            query.normalise(space.query);
            key.normalise(space.key);
        }
        let (dim, rope) = (self.heads.dim, &tile.ropes[self.rope]);
        let (wide, narrow) = (self.heads.heads * dim, self.heads.kv_heads * dim);
        for (i, place) in tile.rows.iter().enumerate() {
            let key = &mut space.key[i * narrow..(i + 1) * narrow];
            let query = &mut space.query[i * wide..(i + 1) * wide];
            rope.rotate(query, dim, tile.first + i);
            if let Some(temperature) = &self.temperature {
                let factor = temperature.factor(place.position);
                query.iter_mut().for_each(|x| *x *= factor);
            }
            rope.rotate(key, dim, tile.first + i);
            pool.store(layer, *place, key, &space.value[i * narrow..(i + 1) * narrow]);
        }
        let (kv, compute) = ((&*pool, layer), space.matmul.compute());
        self.heads.forward(compute, tile.rows, kv, space.query, space.attended);
        if self.gated {
            output_gate::apply(space.projected, space.attended, self.heads.dim);
        }
        self.output.forward(space.attended, space.output, space.matmul);
    }

    pub(crate) fn bytes(&self) -> u64 {
        let norms = self.norms.as_ref().map_or(0, |(query, key)| query.bytes() + key.bytes());
        let linears = [&self.query, &self.key, &self.value, &self.output];
        linears.iter().map(|linear| linear.bytes()).sum::<u64>() + norms + self.heads.bytes()
    }
}
