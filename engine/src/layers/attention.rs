//! Grouped-query attention: projections, norms and rotation of heads around the paged kernel.

use protocol::ids::LayerIndex;
use protocol::model_spec::{ModelSpec, TemperatureSpec};

use super::kept_heads::KeptHeads;
use super::linear::{Linear, MatmulScratch, forward_all};
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
    /// Embedded tokens, where layers make something of them themselves; else empty.
    // [rows, hidden]
    pub(crate) embedded: &'a [f32],
}

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
        let (shape, hidden) = (spec.attention_of(layer), spec.hidden_size as usize);
        let dim = shape.head_dim as usize;
        let wide = shape.query_width() as usize;
        let window = spec.window_of(layer);
        let mut linear = |part: &str, outputs, inputs, bias| {
            Linear::load(tensors, &format!("{prefix}attn_{part}"), outputs, inputs, bias)
        };
        let query = linear("q", shape.query_rows() as usize, hidden, shape.qkv_bias)?;
        let output = linear("output", hidden, wide, shape.output_bias)?;
        let keeps = spec.kv_layer(layer) == layer;
        let kept = keeps.then(|| KeptHeads::load(tensors, prefix, spec, shape)).transpose()?;
        let query_norm = format!("{prefix}attn_q_norm.weight");
        let query_norm = shape.qk_norm.then(|| RmsNorm::load(tensors, &query_norm, dim, spec));
        let query_norm = query_norm.transpose()?;
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
        Ok(Self { query, query_norm, kept, output, heads, gated, temperature, rope })
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
        let (dim, rows) = (self.heads.dim, tile.rows.len());
        let (wide, narrow) = (self.heads.heads * dim, self.heads.kv_heads * dim);
        // Layers of another kind may have wider ones.
        let query = &mut space.query[..rows * wide];
        let (key, value) = (&mut space.key[..rows * narrow], &mut space.value[..rows * narrow]);
        let all = (&mut *query, &mut *key, &mut *value);
        self.project(space.normed, all, space.projected, space.matmul);
        if let Some(norm) = &self.query_norm {
            norm.normalise(query);
        }
        let rope = &tile.ropes[self.rope];
        for (i, place) in tile.rows.iter().enumerate() {
            let query = &mut query[i * wide..(i + 1) * wide];
            rope.rotate(query, dim, tile.first + i);
            if let Some(temperature) = &self.temperature {
                let factor = temperature.factor(place.position);
                query.iter_mut().for_each(|x| *x *= factor);
            }
        }
        if let Some(kept) = &self.kept {
            kept.finish(key, value);
            for (i, place) in tile.rows.iter().enumerate() {
                let key = &mut key[i * narrow..(i + 1) * narrow];
                rope.rotate(key, dim, tile.first + i);
                pool.store(layer, *place, key, &value[i * narrow..(i + 1) * narrow]);
            }
        }
        let (kv, compute) = ((&*pool, layer), space.matmul.compute());
        let attended = &mut space.attended[..rows * wide];
        self.heads.forward(compute, tile.rows, kv, query, attended);
        if self.gated {
            output_gate::apply(space.projected, attended, dim);
        }
        self.output.forward(attended, space.output, space.matmul);
    }

    /// Queries, keys and values of `x` as those matrices give them that there are; gates of the
    /// output stay in `projected`.
    fn project(
        &self,
        x: &[f32],
        (query, key, value): (&mut [f32], &mut [f32], &mut [f32]),
        projected: &mut [f32],
        scratch: &mut MatmulScratch,
    ) {
        let width = query.len();
        let asked = if self.gated { &mut projected[..2 * width] } else { &mut *query };
        let asked = (&self.query, &mut *asked);
        match &self.kept {
            Some(KeptHeads { key: key_linear, value: Some(value_linear), .. }) => {
                forward_all([asked, (key_linear, key), (value_linear, value)], x, scratch);
            }
            Some(kept) => forward_all([asked, (&kept.key, key)], x, scratch),
            None => forward_all([asked], x, scratch),
        }
        if self.gated {
            output_gate::split(projected, query, self.heads.dim);
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        let kept = self.kept.as_ref().map_or(0, KeptHeads::bytes);
        let norm = self.query_norm.as_ref().map_or(0, RmsNorm::bytes);
        self.query.bytes() + self.output.bytes() + kept + norm + self.heads.bytes()
    }
}
