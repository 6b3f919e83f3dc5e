//! Causal softmax attention of query heads over the paged KV pool.
//!
//! Keys and values are read as stored, also those of the row's own chunk, and summed in the order
//! of positions: a row sees the same numbers whether its prompt came in one chunk or in many.

use std::cell::RefCell;

use protocol::ids::{BlockId, TokenId};
use protocol::model_spec::{AttentionSpec, KvType, ModelSpec};

use crate::kernels::Compute;
use crate::kernels::attention::{AttentionScratch, RowQuery, attend};
use crate::state::KvPool;

/// Below this many key values to read, one thread is faster.
const PARALLEL_VALUES: usize = 1 << 17;

/// One row of a step: its token, where its sequence stands and where its state lives.
#[derive(Clone, Copy)]
pub(crate) struct RowPlace<'a> {
    pub(crate) token: TokenId,
    pub(crate) position: u32,
    /// Entry i holds positions i * block_size and on.
    pub(crate) blocks: &'a [BlockId],
    /// Where its recurrent layers' state lives.
    pub(crate) slot: usize,
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
            let (row, head) = (rows[index / self.kv_heads], index % self.kv_heads);
            let heads = group / self.dim;
            let asked = RowQuery {
                query: &query[index * group..(index + 1) * group],
                blocks: row.blocks,
                positions: self.seen(row),
                scale: self.scale,
                soft_cap: self.soft_cap,
                sinks: self.sinks.as_ref().map(|sinks| &sinks[head * heads..(head + 1) * heads]),
            };
            SCRATCH.with_borrow_mut(|scratch| {
                attend(compute.set(), &asked, &pool.head(layer, head), out, scratch);
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

    pub(crate) fn bytes(&self) -> u64 {
        self.sinks.as_ref().map_or(0, |sinks| size_of_val(&sinks[..])) as u64
    }
}

thread_local! {
    static SCRATCH: RefCell<AttentionScratch> = RefCell::default();
}

/// Floats that a thread's scratch grows to.
pub(crate) fn attention_scratch_floats(spec: &ModelSpec, kv_type: KvType) -> u64 {
    let floats = |attention: &AttentionSpec| {
        let (group, dim) = match attention.latent {
            None => (attention.heads_per_kv_head(), attention.head_dim),
            Some(latent) => (attention.heads, latent.rank.saturating_add(latent.rope_dim)),
        };
        AttentionScratch::floats(group.into(), dim.into(), kv_type == KvType::Q8_0)
    };
    spec.attentions().map(floats).max().unwrap_or(0)
}
