//! Causal grouped-query attention over the paged KV pool.
//!
//! Keys and values are read as stored, also those of the row's own chunk, and summed in the order
//! of positions: a row sees the same numbers whether its prompt came in one chunk or in many.

use std::cell::RefCell;

use protocol::ids::BlockId;
use protocol::model_spec::AttentionSpec;

use super::linear::{Linear, MatmulScratch, forward_all};
use super::rope::{RopeFrequencies, RopeRows};
use crate::error::EngineError;
use crate::kernels::{Compute, cpu};
use crate::state::KvPool;
use crate::weights::Tensors;

/// Below this many key values to read, one thread is faster.
const PARALLEL_VALUES: usize = 1 << 17;

/// One row of a step: where its sequence stands and where its state lives.
#[derive(Clone, Copy)]
pub(crate) struct RowPlace<'a> {
    pub(crate) position: u32,
    /// Entry i holds positions i * block_size and on.
    pub(crate) blocks: &'a [BlockId],
}

/// The rows that run through a layer together, and their angles.
pub(crate) struct Tile<'a> {
    pub(crate) rows: &'a [RowPlace<'a>],
    /// Position of the first of them among the rows of `angles`.
    pub(crate) first: usize,
    pub(crate) angles: &'a RopeRows,
    pub(crate) frequencies: &'a RopeFrequencies,
}

pub(crate) struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

/// Space of one tile.
pub(crate) struct AttentionSpace<'a> {
    // [rows, heads * head_dim]
    pub(crate) query: &'a mut [f32],
    pub(crate) attended: &'a mut [f32],
    // [rows, kv_heads * head_dim]
    pub(crate) key: &'a mut [f32],
    pub(crate) value: &'a mut [f32],
}

impl Attention {
    /// Loads `{prefix}attn_{q,k,v,output}`.
    pub(crate) fn load(
        tensors: &mut Tensors<'_>,
        prefix: &str,
        spec: AttentionSpec,
        hidden: usize,
    ) -> Result<Self, EngineError> {
        let (heads, kv_heads) = (spec.heads as usize, spec.kv_heads as usize);
        let head_dim = spec.head_dim as usize;
        let (wide, narrow, bias) = (heads * head_dim, kv_heads * head_dim, spec.qkv_bias);
        Ok(Self {
            query: Linear::load(tensors, &format!("{prefix}attn_q"), wide, hidden, bias)?,
            key: Linear::load(tensors, &format!("{prefix}attn_k"), narrow, hidden, bias)?,
            value: Linear::load(tensors, &format!("{prefix}attn_v"), narrow, hidden, bias)?,
            output: Linear::load(tensors, &format!("{prefix}attn_output"), hidden, wide, false)?,
            heads,
            kv_heads,
            head_dim,
        })
    }

    /// `x` and `out` are `[rows, hidden]`; `layer` counts the stage's own layers.
    pub(crate) fn forward(
        &self,
        x: &[f32],
        out: &mut [f32],
        (tile, layer): (&Tile<'_>, usize),
        pool: &mut KvPool,
        space: AttentionSpace<'_>,
        scratch: &mut MatmulScratch,
    ) {
        let projections = [
            (&self.query, &mut *space.query),
            (&self.key, &mut *space.key),
            (&self.value, &mut *space.value),
        ];
        forward_all(projections, x, scratch);
        let (wide, narrow) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        for (i, place) in tile.rows.iter().enumerate() {
            let query = &mut space.query[i * wide..(i + 1) * wide];
            let key = &mut space.key[i * narrow..(i + 1) * narrow];
            tile.frequencies.rotate(query, tile.angles, tile.first + i);
            tile.frequencies.rotate(key, tile.angles, tile.first + i);
            pool.store(layer, *place, key, &space.value[i * narrow..(i + 1) * narrow]);
        }
        let kv = (&*pool, layer);
        self.attend(scratch.compute(), tile.rows, kv, space.query, space.attended);
        self.output.forward(space.attended, out, scratch);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.query.bytes() + self.key.bytes() + self.value.bytes() + self.output.bytes()
    }

    /// Each row with each KV head is a task of its own.
    fn attend(
        &self,
        compute: &Compute,
        rows: &[RowPlace<'_>],
        (pool, layer): (&KvPool, usize),
        query: &[f32],
        attended: &mut [f32],
    ) {
        let group = self.heads / self.kv_heads * self.head_dim;
        let task = |index: usize, out: &mut [f32]| {
            let (row, head) = (index / self.kv_heads, index % self.kv_heads);
            let query = &query[index * group..(index + 1) * group];
            SCRATCH.with_borrow_mut(|scratch| {
                self.attend_group(query, rows[row], (layer, head), pool, out, scratch);
            });
        };
        let positions: usize = rows.iter().map(|row| row.position as usize + 1).sum();
        if positions * self.kv_heads * self.head_dim < PARALLEL_VALUES {
            let chunks = attended.chunks_exact_mut(group).enumerate();
            chunks.for_each(|(index, out)| task(index, out));
        } else {
            compute.run_chunks(attended, group, task);
        }
    }

    /// One row's query heads that share a KV head; `query` and `out` are `[group, head_dim]`.
    fn attend_group(
        &self,
        query: &[f32],
        row: RowPlace<'_>,
        (layer, head): (usize, usize),
        pool: &KvPool,
        out: &mut [f32],
        scratch: &mut Vec<f32>,
    ) {
        let (dim, block_size) = (self.head_dim, pool.block_size());
        let positions = row.position as usize + 1;
        let scale = 1.0 / (dim as f32).sqrt();
        let group = query.len() / dim;
        scratch.resize(block_size * dim + group * positions, 0.0);
        let (wide, scores) = scratch.split_at_mut(block_size * dim);
        let spans = (0..positions).step_by(block_size);
        let spans = spans.map(|start| start..positions.min(start + block_size)).zip(row.blocks);
        for (span, block) in spans.clone() {
            let keys = pool.keys(layer, *block, head, span.len(), wide);
            for (query, scores) in query.chunks_exact(dim).zip(scores.chunks_exact_mut(positions)) {
                cpu::dot_rows(keys, query, scale, &mut scores[span.clone()]);
            }
        }
        out.fill(0.0);
        for scores in scores.chunks_exact_mut(positions) {
            let largest = cpu::max(scores);
            cpu::exp_shifted(scores, largest);
        }
        for (span, block) in spans {
            let values = pool.values(layer, *block, head, span.len(), wide);
            for (out, scores) in out.chunks_exact_mut(dim).zip(scores.chunks_exact(positions)) {
                cpu::weighted_sum(values, &scores[span.clone()], out);
            }
        }
        for (out, scores) in out.chunks_exact_mut(dim).zip(scores.chunks_exact(positions)) {
            let total = cpu::sum(scores);
            out.iter_mut().for_each(|x| *x /= total);
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Floats that a thread's scratch grows to at the longest context.
pub(crate) fn attention_scratch_floats(
    spec: AttentionSpec,
    context_length: u32,
    block_size: u32,
) -> u64 {
    let group = u64::from(spec.heads / spec.kv_heads.max(1));
    let block = u64::from(block_size) * u64::from(spec.head_dim);
    block.saturating_add(group.saturating_mul(u64::from(context_length)))
}
