//! Panels times tiles of 16 input rows: the sums of `k_scheme` and `block_scheme`, as exact, joined
//! in the same order.
//!
//! A tile adds up 64 columns of bytes, but scales change every 16 or 32. Where they are integers
//! they are multiplied into the codes, which then take two planes of bytes: 256 columns add up in
//! two tiles instead of sixteen. Where they are floats each block has a tile of its own.

use std::arch::x86_64::*;

use super::block_scheme::{BLOCK, BlockQuant};
use super::dispatch::{PanelJob, store_row};
use super::input::{InputStep, STEP_COLUMNS};
use super::k_scheme::{KQuant, join, low_byte};
use super::panel_type::{TILED_ROWS_MAX, VECTOR_BYTES};
use super::tiles::{self, Plane, TILE_ROWS, TILE_VALUES, TileSums};
use crate::kernels::lanes::{Avx512, Lanes};
/// Weight of the high plane, as a power of two: a code times a scale is `high << bits | low`.
const PLANE_BITS_MINS: i32 = 3;
const PLANE_BITS_SIGNED: i32 = 6;

/// # Safety
/// As `Scheme::tiles`.
#[inline(always)]
pub(super) unsafe fn k_product<T: KQuant>(job: &PanelJob<'_>, row: usize, rows: usize) {
    let input = &job.input;
    let mut planes = [Plane([0; 4096]); 2];
    let mut sums = TileSums([0; 8 * TILE_VALUES]);
    // SAFETY: the caller's promise: the input has a step for each row and each 256 columns, the
    // panel a unit.
    unsafe {
        let mut acc = [Avx512::splat_f32(0.0); TILED_ROWS_MAX];
        tiles::configure(64);
        for step in 0..input.columns / STEP_COLUMNS {
            let unit = job.panel.add(step * T::UNIT_BYTES);
            let steps = input.steps.as_ptr().add(step * input.stride + row);
            fill_planes::<T>(unit, &mut planes);
            let (mins, factors) = (T::mins::<Avx512>(unit), T::factors::<Avx512>(unit));
            for start in (0..rows).step_by(2 * TILE_ROWS) {
                let first = steps.add(start);
                let count = (rows - start).min(2 * TILE_ROWS);
                // A lone tile stands in for its missing neighbour.
                let second = first.add(count - TILE_ROWS);
                match T::MINS {
                    true => tiles::multiply_planes::<false>(first, second, &planes, &mut sums),
                    false => tiles::multiply_planes::<true>(first, second, &planes, &mut sums),
                }
                for (m, acc) in acc[start..start + count].iter_mut().enumerate() {
                    let at = m / TILE_ROWS * 2 * TILE_VALUES + m % TILE_ROWS * 16;
                    let high = Avx512::load(sums.0.as_ptr().add(at).cast());
                    let low = Avx512::load(sums.0.as_ptr().add(at + TILE_VALUES).cast());
                    let bits = if T::MINS { PLANE_BITS_MINS } else { PLANE_BITS_SIGNED };
                    let dot = Avx512::add(Avx512::shl32(high, bits), low);
                    let dot = Avx512::to_float(dot);
                    *acc = join::<Avx512, T>(dot, &mins, factors, &*first.add(m), *acc);
                }
            }
        }
        tiles::release();
        for (m, acc) in acc[..rows].iter().enumerate() {
            store_row::<Avx512>(*acc, job, row + m);
        }
    }
}

/// Codes times scales of a unit, in two planes.
///
/// # Safety
/// As `Scheme::dequantise` in AVX-512.
#[inline(always)]
unsafe fn fill_planes<T: KQuant>(unit: *const u8, [high, low]: &mut [Plane; 2]) {
    // SAFETY: the caller's promise; 8 parts of 8 vectors fill a plane.
    unsafe {
        let scales = T::scales::<Avx512>(unit);
        for part in 0..STEP_COLUMNS / 32 {
            let codes = T::codes::<Avx512>(unit, part);
            for (group, codes) in codes.into_iter().enumerate() {
                let sub = (part * 32 + group * 4) / T::SUB_COLUMNS;
                let scale = Avx512::shr32(scales[sub / 4], sub as i32 % 4 * 8);
                let scale = low_byte::<Avx512, T>(scale);
                // In both 16-bit halves of a lane.
                let scale = _mm512_mask_blend_epi16(0xaaaa_aaaa, scale, Avx512::shl32(scale, 16));
                let [above, below] = match T::MINS {
                    true => unsigned_products(codes, scale),
                    false => signed_products(codes, scale, T::CENTRE_BITS),
                };
                let at = (part * 8 + group) * VECTOR_BYTES;
                _mm512_store_si512(high.0.as_mut_ptr().add(at).cast(), above);
                _mm512_store_si512(low.0.as_mut_ptr().add(at).cast(), below);
            }
        }
    }
}

/// `code * scale = 8 * (code * (scale / 8)) + code * (scale % 8)`: both products of codes below 32
/// and scales below 64 fit a byte without a sign, so one 16-bit product makes two of them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn unsigned_products(codes: __m512i, scale: __m512i) -> [__m512i; 2] {
    let (above, below) =
        (_mm512_srli_epi16::<3>(scale), _mm512_and_si512(scale, _mm512_set1_epi16(7)));
    [_mm512_mullo_epi16(codes, above), _mm512_mullo_epi16(codes, below)]
}

/// `(code - centre) * scale = 64 * high + low`, of at most 4096 in magnitude.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn signed_products(codes: __m512i, scale: __m512i, centre_bits: i32) -> [__m512i; 2] {
    let centred = _mm512_sub_epi8(codes, _mm512_set1_epi8((1_u8 << centre_bits) as i8));
    let even = _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(centred));
    let even = _mm512_mullo_epi16(even, scale);
    let odd = _mm512_mullo_epi16(_mm512_srai_epi16::<8>(centred), scale);
    let high = interleaved(_mm512_srai_epi16::<6>(even), _mm512_srai_epi16::<6>(odd));
    [high, _mm512_and_si512(interleaved(even, odd), _mm512_set1_epi8(63))]
}

/// The low bytes of both, those of `odd` in odd places.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn interleaved(even: __m512i, odd: __m512i) -> __m512i {
    _mm512_mask_blend_epi8(0xaaaa_aaaa_aaaa_aaaa, even, _mm512_slli_epi16::<8>(odd))
}

/// # Safety
/// As `Scheme::tiles`.
#[inline(always)]
pub(super) unsafe fn block_product<T: BlockQuant>(job: &PanelJob<'_>, row: usize, rows: usize) {
    let input = &job.input;
    let unit_blocks = T::UNIT_COLUMNS / BLOCK;
    let blocks = input.columns.div_ceil(T::UNIT_COLUMNS) * unit_blocks;
    let mut plane = Plane([0; 4096]);
    let mut sums = TileSums([0; 8 * TILE_VALUES]);
    // SAFETY: the caller's promise, as above; past the columns both sides are zero.
    unsafe {
        let zero = Avx512::splat_f32(0.0);
        let (mut acc, mut factors) = ([zero; TILED_ROWS_MAX], [[zero; 2]; 8]);
        tiles::configure(BLOCK);
        for step in 0..input.columns.div_ceil(STEP_COLUMNS) {
            let count = (blocks - step * 8).min(8);
            for (place, factors) in factors[..count].iter_mut().enumerate() {
                let block = step * 8 + place;
                let unit = job.panel.add(block / unit_blocks * T::UNIT_BYTES);
                let block = block % unit_blocks;
                fill_block::<T>(unit, block, place, &mut plane);
                *factors = [T::scale::<Avx512>(unit, block), zero];
                if T::MINS {
                    factors[1] = T::min::<Avx512>(unit, block);
                }
            }
            let steps = input.steps.as_ptr().add(step * input.stride + row);
            for start in (0..rows).step_by(TILE_ROWS) {
                tiles::multiply_blocks(steps.add(start), &plane, &mut sums);
                for (m, acc) in acc[start..start + TILE_ROWS].iter_mut().enumerate() {
                    let sums = sums.0.as_ptr().add(m * 16);
                    add_blocks::<T>(sums, &factors[..count], &*steps.add(start + m), acc);
                }
            }
        }
        tiles::release();
        for (m, acc) in acc[..rows].iter().enumerate() {
            store_row::<Avx512>(*acc, job, row + m);
        }
    }
}

/// A block's codes as signed bytes.
///
/// # Safety
/// As `BlockQuant::codes` in AVX-512; `place` is below 8.
#[inline(always)]
unsafe fn fill_block<T: BlockQuant>(
    unit: *const u8,
    block: usize,
    place: usize,
    plane: &mut Plane,
) {
    // SAFETY: the caller's promise; 8 places of 8 vectors fill a plane.
    unsafe {
        let codes = T::codes::<Avx512>(unit, block);
        let zero = Avx512::mul(T::zero::<Avx512>(unit, block), Avx512::splat(0x0101_0101));
        for (group, mut codes) in codes.into_iter().enumerate() {
            if T::ZEROS {
                codes = _mm512_sub_epi8(codes, zero);
            } else if !T::MINS {
                codes = _mm512_sub_epi8(codes, _mm512_set1_epi8((1_u8 << T::CENTRE_BITS) as i8));
            }
            let at = (place * 8 + group) * VECTOR_BYTES;
            _mm512_store_si512(plane.0.as_mut_ptr().add(at).cast(), codes);
        }
    }
}

/// Joins the sums of a row's blocks, which are a tile apart.
///
/// # Safety
/// As `Lanes` of AVX-512; `sums` has a tile for each of `factors`.
#[inline(always)]
unsafe fn add_blocks<T: BlockQuant>(
    sums: *const i32,
    factors: &[[__m512; 2]],
    row: &InputStep,
    acc: &mut __m512,
) {
    // SAFETY: the caller's promise.
    unsafe {
        for (block, [scale, min]) in factors.iter().enumerate() {
            let dot = Avx512::to_float(Avx512::load(sums.add(block * TILE_VALUES).cast()));
            let dx = Avx512::splat_f32(row.scales[block]);
            *acc = Avx512::fma(dot, Avx512::mul_f32(*scale, dx), *acc);
            if T::MINS {
                let minus_sum = Avx512::to_float(Avx512::splat(row.sums[block]));
                *acc = Avx512::fnma(minus_sum, Avx512::mul_f32(*min, dx), *acc);
            }
        }
    }
}
