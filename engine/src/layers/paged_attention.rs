//! Causal softmax attention of query heads over the paged KV pool.
//!
//! Keys and values are read as stored, also those of the row's own chunk, and summed in the order
//! of positions: a row sees the same numbers whether its prompt came in one chunk or in many.

use std::cell::RefCell;

use protocol::ids::BlockId;
use protocol::model_spec::ModelSpec;

use super::activation::soft_cap;
use crate::kernels::{Compute, cpu};
use crate::state::KvPool;

/// Below this many key values to read, one thread is faster.
const PARALLEL_VALUES: usize = 1 << 17;

/// One row of a step: where its sequence stands and where its state lives.
#[derive(Clone, Copy)]
pub(crate) struct RowPlace<'a> {
    pub(crate) position: u32,
    /// Entry i holds positions i * block_size and on.
    pub(crate) blocks: &'a [BlockId],
}

/// What query heads make of stored keys and values.
pub(crate) struct PagedAttention {
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    /// Of a key and of a value.
    pub(crate) dim: usize,
    pub(crate) scale: f32,
    pub(crate) soft_cap: Option<f32>,
    /// Positions that a row sees, its own included.
    pub(crate) window: Option<u32>,
    // [heads]
    pub(crate) sinks: Option<Vec<f32>>,
}

impl PagedAttention {
    /// Each row with each KV head is a task of its own; `query` and `out` are
    /// `[rows, heads, dim]`, the layer counts the stage's own layers.
    pub(crate) fn forward(
        &self,
        compute: &Compute,
        rows: &[RowPlace<'_>],
        (pool, layer): (&KvPool, usize),
        query: &[f32],
        out: &mut [f32],
    ) {
        let group = self.heads / self.kv_heads * self.dim;
        let task = |index: usize, out: &mut [f32]| {
            let (row, head) = (index / self.kv_heads, index % self.kv_heads);
            let query = &query[index * group..(index + 1) * group];
            SCRATCH.with_borrow_mut(|scratch| {
                self.attend_group(query, rows[row], (layer, head), pool, out, scratch);
            });
        };
        let positions: usize = rows.iter().map(|row| self.seen(*row).len()).sum();
        if positions * self.kv_heads * self.dim < PARALLEL_VALUES {
            let chunks = out.chunks_exact_mut(group).enumerate();
            chunks.for_each(|(index, out)| task(index, out));
        } else {
            compute.run_chunks(out, group, task);
        }
    }

    /// The positions that a row attends to.
    fn seen(&self, row: RowPlace<'_>) -> std::ops::Range<usize> {
        let end = row.position as usize + 1;
        end.saturating_sub(self.window.map_or(end, |window| window as usize))..end
    }

    /// One row's query heads that share a KV head; `query` and `out` are `[group, dim]`.
    fn attend_group(
        &self,
        query: &[f32],
        row: RowPlace<'_>,
        (layer, head): (usize, usize),
        pool: &KvPool,
        out: &mut [f32],
        scratch: &mut Vec<f32>,
    ) {
        let (dim, block_size) = (self.dim, pool.block_size());
        let seen = self.seen(row);
        // Whole blocks are scored; what lies before the window is cut off then.
        let first = seen.start / block_size * block_size;
        let (scored, skipped) = (seen.end - first, seen.start - first);
        let group = query.len() / dim;
        scratch.resize(block_size * dim + group * (scored + 1), 0.0);
        let (wide, scores) = scratch.split_at_mut(block_size * dim);
        let (scores, totals) = scores.split_at_mut(group * scored);
        let spans = (0..scored).step_by(block_size);
        let spans = spans.map(|start| start..scored.min(start + block_size));
        let spans = spans.zip(&row.blocks[first / block_size..]);
        for (span, block) in spans.clone() {
            let keys = pool.keys(layer, *block, head, span.len(), wide);
            for (query, scores) in query.chunks_exact(dim).zip(scores.chunks_exact_mut(scored)) {
                cpu::dot_rows(keys, query, self.scale, &mut scores[span.clone()]);
            }
        }
        let each = scores.chunks_exact_mut(scored).zip(&mut *totals);
        for (index, (scores, total)) in each.enumerate() {
            *total = self.weigh(head * group + index, &mut scores[skipped..]);
        }
        out.fill(0.0);
        for (span, block) in spans {
            let values = pool.values(layer, *block, head, span.len(), wide);
            let unseen = skipped.saturating_sub(span.start);
            for (out, scores) in out.chunks_exact_mut(dim).zip(scores.chunks_exact(scored)) {
                let scores = &scores[span.start + unseen..span.end];
                cpu::weighted_sum(&values[unseen * dim..], scores, out);
            }
        }
        for (out, total) in out.chunks_exact_mut(dim).zip(totals) {
            out.iter_mut().for_each(|x| *x /= *total);
        }
    }

    /// Makes weights of a head's scores and returns what they are to be divided by.
    fn weigh(&self, head: usize, scores: &mut [f32]) -> f32 {
        if let Some(cap) = self.soft_cap {
            soft_cap(scores, cap);
        }
        let largest = cpu::max(scores);
        let Some(sinks) = &self.sinks else {
            cpu::exp_shifted(scores, largest);
            return cpu::sum(scores);
        };
        let largest = if sinks[head] > largest { sinks[head] } else { largest };
        cpu::exp_shifted(scores, largest);
        cpu::sum(scores) + cpu::exp(sinks[head] - largest)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.sinks.as_ref().map_or(0, |sinks| size_of_val(&sinks[..])) as u64
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Floats that a thread's scratch grows to at the longest context.
pub(crate) fn attention_scratch_floats(
    spec: &ModelSpec,
    context_length: u32,
    block_size: u32,
) -> u64 {
    let attention = spec.attention;
    let (group, dim) = match attention.latent {
        None => (attention.heads / attention.kv_heads.max(1), attention.head_dim),
        Some(latent) => (attention.heads, latent.rank.saturating_add(latent.rope_dim)),
    };
    let block = u64::from(block_size) * u64::from(dim);
    block.saturating_add(u64::from(group).saturating_mul(u64::from(context_length) + 1))
}
