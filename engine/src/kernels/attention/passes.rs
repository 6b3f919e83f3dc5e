//! The two passes over a span: dot products with its keys, and the weighted sum of its values.
//!
//! An output has one chain of fused multiply-adds, by dimension or by position, in every set; how
//! many heads, groups or vectors go together decides the speed alone.

use std::ops::Range;

use protocol::ids::BlockId;

use super::SPAN;
use super::element::Element;
use super::paged_head::{KEY_GROUP, PagedHead};
use crate::kernels::lanes::Lanes;

/// Of a vector.
const LANES: usize = 16;

/// A span of one row, and the heads that look at it.
pub(super) struct Pass<'a> {
    pub(super) head: &'a PagedHead<'a>,
    pub(super) blocks: &'a [BlockId],
    /// Within one multiple of `SPAN`.
    pub(super) span: Range<usize>,
    pub(super) heads: usize,
}

/// Dot products of `H` queries with the keys of `G` groups of 16 positions, the first of them at
/// `position`. `out` is the place of that position in the first head's weights.
///
/// # Safety
/// As `Lanes`; the head holds the groups, `query` has `H` rows, `out` the 16 places of each group
/// in `H` rows of `SPAN`.
#[inline(always)]
pub(super) unsafe fn scores<V: Lanes, E: Element, const H: usize, const G: usize>(
    pass: &Pass<'_>,
    position: usize,
    query: *const f32,
    out: *mut f32,
) {
    let dim = pass.head.key_dim;
    // SAFETY: the caller's promise.
    unsafe {
        let mut keys = [std::ptr::null(); G];
        for (g, keys) in keys.iter_mut().enumerate() {
            *keys = pass.head.key_group(pass.blocks, position + g * KEY_GROUP);
        }
        let mut acc = [[V::splat_f32(0.0); G]; H];
        for d in 0..dim {
            let mut key = [V::splat_f32(0.0); G];
            for (key, group) in key.iter_mut().zip(keys) {
                *key = E::load::<V>(group.add(d * KEY_GROUP * E::BYTES));
            }
            for (h, acc) in acc.iter_mut().enumerate() {
                let query = V::splat_f32(*query.add(h * dim + d));
                for (acc, key) in acc.iter_mut().zip(key) {
                    *acc = V::fma(query, key, *acc);
                }
            }
        }
        for (h, acc) in acc.into_iter().enumerate() {
            for (g, acc) in acc.into_iter().enumerate() {
                V::store(acc, out.add(h * SPAN + g * KEY_GROUP));
            }
        }
    }
}

/// Dot products of `H` queries with the key at `position`, which lies in a row. `out` is the
/// place of the first.
///
/// The chains are those of 16 lanes, which are then added pairwise, halves onto halves.
///
/// # Safety
/// As `Lanes`; the head holds the position, `query` has `H` rows, `out` places in `H` rows of
/// `SPAN`.
#[inline(always)]
pub(super) unsafe fn row_scores<V: Lanes, E: Element, const H: usize>(
    pass: &Pass<'_>,
    position: usize,
    query: *const f32,
    out: *mut f32,
) {
    let dim = pass.head.key_dim;
    let whole = dim / LANES * LANES;
    // SAFETY: the caller's promise.
    unsafe {
        let key = pass.head.key_row(pass.blocks, position);
        let mut acc = [V::splat_f32(0.0); H];
        for d in (0..whole).step_by(LANES) {
            let part = E::load::<V>(key.add(d * E::BYTES));
            for (h, acc) in acc.iter_mut().enumerate() {
                *acc = V::fma(V::load_f32(query.add(h * dim + d)), part, *acc);
            }
        }
        for (h, acc) in acc.into_iter().enumerate() {
            let mut lanes = [0.0; LANES];
            V::store(acc, lanes.as_mut_ptr());
            for d in whole..dim {
                let lane = &mut lanes[d - whole];
                *lane = (*query.add(h * dim + d)).mul_add(E::value(key.add(d * E::BYTES)), *lane);
            }
            let mut width = LANES / 2;
            while width > 0 {
                for i in 0..width {
                    lanes[i] += lanes[i + width];
                }
                width /= 2;
            }
            *out.add(h * SPAN) = lanes[0];
        }
    }
}

/// Dimensions `first` to `first + 16 W` of the weighted sums of `H` heads.
///
/// # Safety
/// As `Lanes`; the head holds the span and has the dimensions, `weights` and `out` have `H` rows.
#[inline(always)]
pub(super) unsafe fn values<V: Lanes, E: Element, const H: usize, const W: usize>(
    pass: &Pass<'_>,
    first: usize,
    weights: *const f32,
    out: *mut f32,
) {
    let dim = pass.head.value_dim;
    // SAFETY: the caller's promise.
    unsafe {
        let mut acc = [[V::splat_f32(0.0); W]; H];
        let mut parts = Parts::of(pass);
        while let Some((value, weight, count)) = parts.next() {
            for i in 0..count {
                let row = value.add((i * dim + first) * E::BYTES);
                let mut value = [V::splat_f32(0.0); W];
                for (w, value) in value.iter_mut().enumerate() {
                    *value = E::load::<V>(row.add(w * KEY_GROUP * E::BYTES));
                }
                for (h, acc) in acc.iter_mut().enumerate() {
                    let weight = V::splat_f32(*weights.add(h * SPAN + weight + i));
                    for (acc, value) in acc.iter_mut().zip(value) {
                        *acc = V::fma(weight, value, *acc);
                    }
                }
            }
        }
        for (h, acc) in acc.into_iter().enumerate() {
            for (w, acc) in acc.into_iter().enumerate() {
                V::store(acc, out.add(h * dim + first + w * KEY_GROUP));
            }
        }
    }
}

/// The dimensions from `first` on, fewer than 16, of one head.
///
/// # Safety
/// As `values`, for one head.
#[inline(always)]
pub(super) unsafe fn last_values<E: Element>(
    pass: &Pass<'_>,
    first: usize,
    weights: *const f32,
    out: *mut f32,
) {
    let dim = pass.head.value_dim;
    for d in first..dim {
        let mut acc = 0.0_f32;
        // SAFETY: the caller's promise.
        unsafe {
            let mut parts = Parts::of(pass);
            while let Some((value, weight, count)) = parts.next() {
                for i in 0..count {
                    let value = E::value(value.add((i * dim + d) * E::BYTES));
                    acc = (*weights.add(weight + i)).mul_add(value, acc);
                }
            }
            *out.add(d) = acc;
        }
    }
}

/// A block's part of a span: its first value, its place among the weights, its positions.
type Part = (*const u8, usize, usize);

/// The span's parts in order.
struct Parts<'a> {
    pass: &'a Pass<'a>,
    position: usize,
}

impl<'a> Parts<'a> {
    #[inline(always)]
    fn of(pass: &'a Pass<'a>) -> Self {
        Self { pass, position: pass.span.start }
    }

    /// # Safety
    /// The head holds the span.
    #[inline(always)]
    unsafe fn next(&mut self) -> Option<Part> {
        let (position, span) = (self.position, &self.pass.span);
        if position >= span.end {
            return None;
        }
        let size = self.pass.head.block_size;
        self.position = span.end.min((position / size + 1) * size);
        // SAFETY: the caller's promise.
        let value = unsafe { self.pass.head.value(self.pass.blocks, position) };
        Some((value, position % SPAN, self.position - position))
    }
}
