//! Keys and values of eight bits: how they are rounded, and widened again a span at a time.
//!
//! A head of a block is a plane of codes in the order of other types' elements, then its scales in
//! the same order. The rounding is that of the Q8_0 weight type.

use std::ops::Range;

use half::f16;
use protocol::ids::BlockId;

use super::SPAN;
use super::paged_head::{Elements, KEY_GROUP, PagedHead};
use crate::kernels::cpu::widened;

/// Values that share a scale.
const BLOCK: usize = 32;

/// Bytes of `values` values with their scales.
pub(crate) fn plane_bytes(values: usize) -> usize {
    values / BLOCK * (BLOCK + 2)
}

/// Writes `row` (`[dim]`) to position `slot` of a plane whose positions lie one behind another.
pub(crate) fn store_row(plane: &mut [u8], slot: usize, row: &[f32]) {
    let (codes, scales) = parts_mut(plane);
    let first = slot * row.len();
    for (i, values) in row.as_chunks::<BLOCK>().0.iter().enumerate() {
        let (scale, rounded) = round(values);
        codes[first + i * BLOCK..][..BLOCK].copy_from_slice(&rounded);
        scales[first / BLOCK + i] = scale.to_le_bytes();
    }
}

/// Writes `key` (`[dim]`) to position `slot` of a plane of interleaved keys.
pub(crate) fn spread_key(plane: &mut [u8], slot: usize, key: &[f32]) {
    let (codes, scales) = parts_mut(plane);
    let (first, lane) = (slot / KEY_GROUP * KEY_GROUP * key.len(), slot % KEY_GROUP);
    for (i, values) in key.as_chunks::<BLOCK>().0.iter().enumerate() {
        let (scale, rounded) = round(values);
        let places = codes[first + i * BLOCK * KEY_GROUP + lane..].iter_mut().step_by(KEY_GROUP);
        places.zip(rounded).for_each(|(place, code)| *place = code);
        scales[first / BLOCK + i * KEY_GROUP + lane] = scale.to_le_bytes();
    }
}

/// A span of `head` in f32, with its first group at the place that the span's start has in a span;
/// `None` for elements that need no widening.
pub(super) fn widened<'a>(
    head: &PagedHead<'_>,
    blocks: &[BlockId],
    span: &Range<usize>,
    space: &'a mut Vec<f32>,
) -> Option<PagedHead<'a>> {
    let Elements::Q8_0(bytes) = head.elements else { return None };
    let values_at = if head.row_keys { 0 } else { SPAN * head.key_dim };
    space.resize(values_at + SPAN * head.value_dim, 0.0);
    for position in (span.start / KEY_GROUP * KEY_GROUP..span.end).step_by(KEY_GROUP) {
        let block = blocks[position / head.block_size].0 as usize * head.stride;
        let plane = |offset: usize, dim: usize| {
            let first = plane_bytes(block + offset);
            parts(&bytes[first..first + plane_bytes(head.block_size * dim)])
        };
        let (slot, place) = (position % head.block_size, position % SPAN);
        let group = |dim: usize| slot * dim..(slot + KEY_GROUP) * dim;
        if !head.row_keys {
            let (codes, scales) = plane(head.keys, head.key_dim);
            let group = group(head.key_dim);
            let out = &mut space[place * head.key_dim..][..group.len()];
            widen_group(&codes[group.clone()], &scales[group.start / BLOCK..], out);
        }
        let (codes, scales) = plane(head.values, head.value_dim);
        let group = group(head.value_dim);
        let out = &mut space[values_at + place * head.value_dim..][..group.len()];
        widen_rows(&codes[group.clone()], &scales[group.start / BLOCK..], out);
    }
    Some(PagedHead {
        elements: Elements::F32(space),
        row_keys: head.row_keys,
        keys: 0,
        values: values_at,
        stride: 0,
        block_size: SPAN,
        key_dim: head.key_dim,
        value_dim: head.value_dim,
    })
}

/// Widens the values of a plane whose positions lie one behind another.
#[cfg(feature = "candle")]
pub(crate) fn widen_rows_of(plane: &[u8], out: &mut [f32]) {
    let (codes, scales) = parts(plane);
    widen_rows(codes, scales, out);
}

type Scale = [u8; 2];

fn parts(plane: &[u8]) -> (&[u8], &[Scale]) {
    let (codes, scales) = plane.split_at(plane.len() / (BLOCK + 2) * BLOCK);
    (codes, scales.as_chunks().0)
}

fn parts_mut(plane: &mut [u8]) -> (&mut [u8], &mut [Scale]) {
    let (codes, scales) = plane.split_at_mut(plane.len() / (BLOCK + 2) * BLOCK);
    (codes, scales.as_chunks_mut().0)
}

/// What is no number, or too large for the scale, becomes a scale that is none: it must show.
fn round(values: &[f32; BLOCK]) -> (f16, [u8; BLOCK]) {
    let largest = values.iter().fold(0.0, |m: f32, x| if x.is_nan() { *x } else { m.max(x.abs()) });
    let scale = largest / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    (f16::from_f32(scale), values.map(|x| (x * inverse).round() as i8 as u8))
}

widened! {
    /// Rows of codes, each 32 with a scale.
    fn widen_rows(codes: &[u8], scales: &[Scale], out: &mut [f32]) = rows_body
}

widened! {
    /// Codes of 16 positions by dimension, each 32 dimensions with 16 scales.
    fn widen_group(codes: &[u8], scales: &[Scale], out: &mut [f32]) = group_body
}

#[inline(always)]
fn rows_body(codes: &[u8], scales: &[Scale], out: &mut [f32]) {
    let blocks = codes.as_chunks::<BLOCK>().0.iter().zip(out.as_chunks_mut::<BLOCK>().0);
    for ((codes, out), scale) in blocks.zip(scales) {
        let scale = f16::from_le_bytes(*scale).to_f32();
        for (out, code) in out.iter_mut().zip(codes) {
            *out = f32::from(*code as i8) * scale;
        }
    }
}

#[inline(always)]
fn group_body(codes: &[u8], scales: &[Scale], out: &mut [f32]) {
    let blocks = codes.chunks_exact(BLOCK * KEY_GROUP).zip(out.chunks_exact_mut(BLOCK * KEY_GROUP));
    for ((codes, out), scales) in blocks.zip(scales.as_chunks::<KEY_GROUP>().0) {
        let scales = scales.map(|scale| f16::from_le_bytes(scale).to_f32());
        let rows = codes.as_chunks::<KEY_GROUP>().0.iter();
        for (codes, out) in rows.zip(out.as_chunks_mut::<KEY_GROUP>().0) {
            for ((out, code), scale) in out.iter_mut().zip(codes).zip(scales) {
                *out = f32::from(*code as i8) * scale;
            }
        }
    }
}
