//! Attention of one row's query heads over the paged keys and values of one KV head.
//!
//! Positions come in spans with fixed, absolute borders. Each span has a softmax of its own, and
//! the spans are merged in order ("Online normalizer calculation for softmax", Milakov and
//! Gimelshein, 2018). So a row's bits follow from its own query, position and state, whatever rows
//! are beside it, and the space does not grow with the context.

mod compiled;
mod eight_bits;
mod element;
mod paged_head;
mod passes;

use std::ops::Range;

use protocol::ids::BlockId;

use super::KernelSet;
use super::cpu;
use compiled::{Pass, passes};
#[cfg(feature = "candle")]
pub(crate) use eight_bits::widen_rows_of;
pub(crate) use eight_bits::{plane_bytes, spread_key, store_row};
pub(crate) use paged_head::{Elements, KEY_GROUP, PagedHead};

/// Positions whose weights exist at a time.
const SPAN: usize = 256;

/// What a row asks of one KV head.
pub(crate) struct RowQuery<'a> {
    /// `[heads, key_dim]`
    pub(crate) query: &'a [f32],
    /// Entry i holds positions `i * block_size` and on.
    pub(crate) blocks: &'a [BlockId],
    /// What the row sees, itself the last.
    pub(crate) positions: Range<usize>,
    /// Of the dot products.
    pub(crate) scale: f32,
    /// Scores are kept below it by `cap * tanh(score / cap)`.
    pub(crate) soft_cap: Option<f32>,
    /// `[heads]`: a score each that takes weight and gives no value.
    pub(crate) sinks: Option<&'a [f32]>,
}

/// Space of one row's heads, kept by a thread from task to task.
#[derive(Default)]
pub(crate) struct AttentionScratch {
    // [heads, SPAN]
    weights: Vec<f32>,
    // [heads, value_dim]
    attended: Vec<f32>,
    // [heads], of the spans so far and of the span at hand
    so_far: Vec<Softmax>,
    span: Vec<Softmax>,
    /// Of elements that are widened first.
    // [SPAN, key_dim], [SPAN, value_dim]
    widened: Vec<f32>,
}

/// The sums of a softmax over some positions.
#[derive(Clone, Copy)]
struct Softmax {
    largest: f32,
    /// Sum of `exp(score - largest)`.
    total: f32,
}

impl AttentionScratch {
    /// Floats that the scratch of `heads` grows to, with keys and values that are `widened`.
    pub(crate) fn floats(heads: u64, value_dim: u64, widened: bool) -> u64 {
        let span = if widened { 2 * SPAN as u64 * value_dim } else { 0 };
        heads.saturating_mul(value_dim.saturating_add(SPAN as u64 + 4)).saturating_add(span)
    }
}

/// Writes what each head attends to, to `out` (`[heads, value_dim]`).
pub(crate) fn attend(
    set: KernelSet,
    row: &RowQuery<'_>,
    head: &PagedHead<'_>,
    out: &mut [f32],
    scratch: &mut AttentionScratch,
) {
    let heads = row.query.len() / head.key_dim;
    assert!(row.query.len() == heads * head.key_dim && out.len() == heads * head.value_dim);
    assert!(row.sinks.is_none_or(|sinks| sinks.len() == heads));
    assert!(set.is_available() && head.holds(row.blocks, &row.positions));
    let AttentionScratch { weights, attended, so_far, span: sums, widened } = scratch;
    weights.resize(heads * SPAN, 0.0);
    attended.resize(heads * head.value_dim, 0.0);
    out.fill(0.0);
    // A sink is a position of weight exp(0) without a value.
    let first = |i: usize| match row.sinks {
        Some(sinks) => Softmax { largest: sinks[i], total: 1.0 },
        None => Softmax { largest: f32::NEG_INFINITY, total: 0.0 },
    };
    so_far.clear();
    so_far.extend((0..heads).map(first));
    let passes = passes(set, head.elements);
    for span in spans(&row.positions) {
        let local = eight_bits::widened(head, row.blocks, &span, widened);
        let pass = match &local {
            Some(head) => {
                let first = span.start % SPAN;
                Pass { head, blocks: &[BlockId(0)], span: first..first + span.len(), heads }
            }
            None => Pass { head, blocks: row.blocks, span, heads },
        };
        // SAFETY: the machine has the set, the head holds the span's blocks, and query, weights and
        // attended have a row for each head.
        unsafe { (passes.scores)(&pass, row.query.as_ptr(), weights.as_mut_ptr()) };
        sums.clear();
        sums.extend(weights.chunks_exact_mut(SPAN).map(|weights| {
            let first = pass.span.start % SPAN;
            soften(&mut weights[first..first + pass.span.len()], row)
        }));
        // SAFETY: as above.
        unsafe { (passes.values)(&pass, weights.as_ptr(), attended.as_mut_ptr()) };
        let rows = out.chunks_exact_mut(head.value_dim).zip(attended.chunks_exact(head.value_dim));
        for ((so_far, span), (out, attended)) in so_far.iter_mut().zip(&*sums).zip(rows) {
            merge(so_far, *span, out, attended);
        }
    }
    for (so_far, out) in so_far.iter().zip(out.chunks_exact_mut(head.value_dim)) {
        out.iter_mut().for_each(|x| *x /= so_far.total);
    }
}

/// `positions` cut at the multiples of `SPAN`.
fn spans(positions: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let Range { start, end } = *positions;
    let borders = (start / SPAN * SPAN..end).step_by(SPAN);
    borders.map(move |border| border.max(start)..end.min(border + SPAN))
}

/// Turns a span's dot products into weights.
fn soften(scores: &mut [f32], row: &RowQuery<'_>) -> Softmax {
    scores.iter_mut().for_each(|score| *score *= row.scale);
    if let Some(cap) = row.soft_cap {
        cpu::soft_cap(scores, cap);
    }
    let largest = cpu::max(scores);
    cpu::exp_shifted(scores, largest);
    Softmax { largest, total: cpu::sum(scores) }
}

/// Adds a span to what came before it.
fn merge(so_far: &mut Softmax, span: Softmax, out: &mut [f32], attended: &[f32]) {
    let largest = so_far.largest.max(span.largest);
    let (old, new) = (cpu::exp(so_far.largest - largest), cpu::exp(span.largest - largest));
    for (out, attended) in out.iter_mut().zip(attended) {
        *out = *out * old + *attended * new;
    }
    *so_far = Softmax { largest, total: so_far.total * old + span.total * new };
}

#[cfg(test)]
mod tests;
