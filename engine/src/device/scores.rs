//! Softmax attention of query heads over what pages hold: by kernels, or by candle's operations, a
//! sequence at a time.

use candle_core::{D, Device, Tensor};

use super::DeviceResult;
use super::activation::soft_cap;
use super::pages::Pages;
use super::spans;
use super::step::{SequenceStep, Step};
use super::target::Target;

pub(super) struct PagedAttention {
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    /// Elements of a value that are wanted: the first ones, where values are keys.
    pub(super) value_dim: usize,
    pub(super) scale: f32,
    pub(super) soft_cap: Option<f32>,
    /// Positions that a row sees, its own included.
    pub(super) window: Option<u32>,
    // [heads]
    pub(super) sinks: Option<Tensor>,
    pub(super) target: Target,
}

impl PagedAttention {
    /// `query` is `[rows, heads, dim]`; the result is `[rows, heads, value_dim]`.
    pub(super) fn forward(&self, step: &Step, pages: &Pages, query: &Tensor) -> DeviceResult {
        if !self.target.kernels.are_plain() {
            return spans::attend(self, step, pages, query);
        }
        let attended = step.sequences.iter().enumerate().map(|(index, sequence)| {
            let query = query.narrow(0, sequence.first_row, sequence.rows)?;
            let table = step.tables.get(index)?.to_vec1::<u32>()?;
            self.sequence(sequence, (pages, &table), &query)
        });
        Tensor::cat(&attended.collect::<candle_core::Result<Vec<_>>>()?, 0)
    }

    fn sequence(
        &self,
        sequence: &SequenceStep,
        (pages, table): (&Pages, &[u32]),
        query: &Tensor,
    ) -> DeviceResult {
        let (rows, _, dim) = query.dims3()?;
        let end = sequence.position + sequence.rows;
        let window = self.window.map_or(end, |window| window as usize);
        let start = (sequence.position + 1).saturating_sub(window);
        let seen = end - start;
        let size = pages.block_size as usize;
        let slot = |at: usize| table[at / size] * pages.block_size + (at % size) as u32;
        let slots: Vec<u32> = (start..end).map(slot).collect();
        let slots = Tensor::from_vec(slots, seen, query.device())?;
        let (keys, values) = pages.read(&slots, self.kv_heads)?;
        let group = self.heads / self.kv_heads;
        let query = query.reshape((rows, self.kv_heads, group, dim))?.permute((1, 2, 0, 3))?;
        let query = query.contiguous()?.reshape((self.kv_heads, group * rows, dim))?;
        let mut scores = (query.matmul(&keys.t()?)? * f64::from(self.scale))?;
        if let Some(cap) = self.soft_cap {
            scores = soft_cap(&scores, cap)?;
        }
        let scores = scores.reshape((self.kv_heads, group, rows, seen))?;
        let scores = scores.broadcast_add(&mask(sequence, start..end, window, query.device())?)?;
        let weights = self.softmax(&scores)?.reshape((self.kv_heads, group * rows, seen))?;
        let value_dim = self.value_dim;
        let attended = weights.matmul(&values)?.narrow(2, 0, value_dim)?;
        let attended = attended.contiguous()?.reshape((self.kv_heads, group, rows, value_dim))?;
        attended.permute((2, 0, 1, 3))?.contiguous()?.reshape((rows, self.heads, value_dim))
    }

    /// Over the last dimension of `[kv_heads, group, rows, seen]`; a sink takes its part.
    fn softmax(&self, scores: &Tensor) -> DeviceResult {
        let (kv_heads, group, _, _) = scores.dims4()?;
        let mut largest = scores.max_keepdim(D::Minus1)?;
        let sinks = self.sinks.as_ref().map(|sinks| sinks.reshape((kv_heads, group, 1, 1)));
        let sinks = sinks.transpose()?;
        if let Some(sinks) = &sinks {
            largest = largest.broadcast_maximum(sinks)?;
        }
        let weights = scores.broadcast_sub(&largest)?.exp()?;
        let mut total = weights.sum_keepdim(D::Minus1)?;
        if let Some(sinks) = &sinks {
            total = (total + sinks.broadcast_sub(&largest)?.exp()?)?;
        }
        weights.broadcast_div(&total)
    }
}

/// `[rows, seen]`: zero where a row sees a position, minus infinity where not.
fn mask(
    sequence: &SequenceStep,
    seen: std::ops::Range<usize>,
    window: usize,
    device: &Device,
) -> DeviceResult {
    let mut mask = Vec::with_capacity(sequence.rows * seen.len());
    for own in sequence.position..sequence.position + sequence.rows {
        let sees = |at: usize| at <= own && own - at < window;
        mask.extend(seen.clone().map(|at| if sees(at) { 0.0 } else { f32::NEG_INFINITY }));
    }
    Tensor::from_vec(mask, (sequence.rows, seen.len()), device)
}
