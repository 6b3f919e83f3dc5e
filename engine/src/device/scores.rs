//! Softmax attention of query heads over what pages hold, a sequence at a time.

use candle_core::{D, Device, Tensor};

use super::DeviceResult;
use super::pages::Pages;
use super::step::{SequenceStep, Step};

pub(super) struct PagedAttention {
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) scale: f64,
    pub(super) soft_cap: Option<f64>,
    /// Positions that a row sees, its own included.
    pub(super) window: Option<u32>,
    // [heads]
    pub(super) sinks: Option<Tensor>,
}

impl PagedAttention {
    /// `query` is `[rows, heads, dim]`; the result is `[rows, heads, value_dim]`.
    pub(super) fn forward(&self, step: &Step, pages: &Pages, query: &Tensor) -> DeviceResult {
        let attended = step.sequences.iter().map(|sequence| {
            let query = query.narrow(0, sequence.first_row, sequence.rows)?;
            self.sequence(sequence, pages, &query)
        });
        Tensor::cat(&attended.collect::<candle_core::Result<Vec<_>>>()?, 0)
    }

    fn sequence(&self, sequence: &SequenceStep, pages: &Pages, query: &Tensor) -> DeviceResult {
        let (rows, _, dim) = query.dims3()?;
        let end = sequence.position + sequence.rows;
        let window = self.window.map_or(end, |window| window as usize);
        let start = (sequence.position + 1).saturating_sub(window);
        let seen = end - start;
        let slots = sequence.slots.narrow(0, start, seen)?;
        let (keys, values) = pages.read(&slots, self.kv_heads)?;
        let group = self.heads / self.kv_heads;
        let query = query.reshape((rows, self.kv_heads, group, dim))?.permute((1, 2, 0, 3))?;
        let query = query.contiguous()?.reshape((self.kv_heads, group * rows, dim))?;
        let mut scores = (query.matmul(&keys.t()?)? * self.scale)?;
        if let Some(cap) = self.soft_cap {
            scores = ((scores / cap)?.tanh()? * cap)?;
        }
        let scores = scores.reshape((self.kv_heads, group, rows, seen))?;
        let scores = scores.broadcast_add(&mask(sequence, start..end, window, query.device())?)?;
        let weights = self.softmax(&scores)?.reshape((self.kv_heads, group * rows, seen))?;
        let attended = weights.matmul(&values)?;
        let value_dim = attended.dim(2)?;
        let attended = attended.reshape((self.kv_heads, group, rows, value_dim))?;
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
