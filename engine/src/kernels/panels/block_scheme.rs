//! Blocks of 32 values with a scale each: `d * (code - centre)`, with one centre for all or a zero
//! per block, or `d * code + min`.
//!
//! The dot product of a block is exact; then one fused multiply-add per 32 columns, and one more
//! for the min.

use std::hint::black_box;
use std::marker::PhantomData;

#[cfg(target_arch = "x86_64")]
use super::dispatch::PanelJob;
use super::input::{InputKind, InputStep, PanelInput, STEP_COLUMNS};
use super::panel_type::{PANEL_ROWS, PanelType, Scheme, byte, dot, prefetch};
use crate::kernels::lanes::Lanes;
#[cfg(target_arch = "x86_64")]
use crate::kernels::panels::tile_product;

/// Columns of a block.
pub(super) const BLOCK: usize = 32;

/// A type whose codes come in blocks of 32.
pub(super) trait BlockQuant: PanelType {
    /// Whether the blocks have a min; without, 2 to `CENTRE_BITS` is taken off the codes.
    const MINS: bool = false;
    const CENTRE_BITS: i32 = 0;
    /// Whether the codes are signed bytes raised by 128.
    const WIDE: bool = false;

    /// Whether each block has the code that stands for zero, without a centre.
    const ZEROS: bool = false;

    /// Codes of block `block` of the unit.
    ///
    /// # Safety
    /// As `Scheme::dequantise`; the unit has the block.
    unsafe fn codes<V: Lanes>(unit: *const u8, block: usize) -> [V::Int; 8];

    /// `d` of a block.
    ///
    /// # Safety
    /// As `codes`.
    unsafe fn scale<V: Lanes>(unit: *const u8, block: usize) -> V::Float;

    /// The code of zero in each lane, in a type that has it: below 16.
    ///
    /// # Safety
    /// As `codes`.
    unsafe fn zero<V: Lanes>(_unit: *const u8, _block: usize) -> V::Int {
        // SAFETY: the caller's promise.
        unsafe { V::splat(0) }
    }

    /// The min of a block, in a type that has it.
    ///
    /// # Safety
    /// As `codes`.
    unsafe fn min<V: Lanes>(_unit: *const u8, _block: usize) -> V::Float {
        // SAFETY: the caller's promise.
        unsafe { V::splat_f32(0.0) }
    }
}

/// As `BlockQuant::zero`, or the centre of the codes.
///
/// # Safety
/// As `BlockQuant::codes`.
#[inline(always)]
unsafe fn centre<V: Lanes, T: BlockQuant>(unit: *const u8, block: usize) -> V::Int {
    // SAFETY: the caller's promise.
    unsafe {
        match (T::ZEROS, T::MINS) {
            (true, _) => T::zero::<V>(unit, block),
            (_, true) => V::splat(0),
            _ => V::splat(1 << T::CENTRE_BITS),
        }
    }
}

pub(super) struct BlockScheme<T>(PhantomData<T>);

impl<T: BlockQuant> Scheme for BlockScheme<T> {
    const INPUT: InputKind = InputKind::Blocks32;
    #[cfg(target_arch = "x86_64")]
    const TILES: bool = true;

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn tiles(job: &PanelJob<'_>, row: usize, rows: usize) {
        // SAFETY: the caller's promise.
        unsafe { tile_product::block_product::<T>(job, row, rows) }
    }

    #[inline(always)]
    unsafe fn product<V: Lanes, const M: usize>(
        panel: *const u8,
        input: &PanelInput<'_>,
        row: usize,
    ) -> [V::Float; M] {
        let units = input.columns.div_ceil(T::UNIT_COLUMNS);
        let step_units = STEP_COLUMNS / T::UNIT_COLUMNS;
        // SAFETY: the panel has a unit for each `UNIT_COLUMNS`, the input a step for each 256, with
        // rows padded to a multiple of the rows taken together; both are zero past the columns.
        unsafe {
            let mut acc = [V::splat_f32(0.0); M];
            // Hidden from the compiler, which would unroll it beyond use.
            for index in 0..black_box(units) {
                let unit = panel.add(index * T::UNIT_BYTES);
                let step = index / step_units * input.stride + row;
                if M >= 8 {
                    prefetch::<V>(unit.wrapping_add(4 * T::UNIT_BYTES), T::UNIT_BYTES);
                }
                for block in 0..T::UNIT_COLUMNS / BLOCK {
                    let place = index % step_units * (T::UNIT_COLUMNS / BLOCK) + block;
                    let rows = input.steps.as_ptr().add(step);
                    add_block::<V, T, M>(unit, block, rows, place, &mut acc);
                }
            }
            acc
        }
    }

    #[inline(always)]
    unsafe fn dequantise<V: Lanes>(unit: *const u8, out: *mut f32) {
        // SAFETY: the caller's promise; the loop covers the unit's columns.
        unsafe {
            for column in 0..T::UNIT_COLUMNS {
                let block = column / BLOCK;
                let (codes, centre) = (T::codes::<V>(unit, block), centre::<V, T>(unit, block));
                let code = V::sub(byte::<V>(codes[column % BLOCK / 4], column % 4), centre);
                let scaled = V::mul_f32(T::scale::<V>(unit, block), V::to_float(code));
                let value = match T::MINS {
                    true => V::add_f32(scaled, T::min::<V>(unit, block)),
                    false => scaled,
                };
                V::store(value, out.add(column * PANEL_ROWS));
            }
        }
    }
}

/// Adds the products of a unit's block with block `place` of each of `M` steps.
///
/// # Safety
/// As `Scheme::product`: `unit` is a unit that has the block, `rows` points to `M` steps.
#[inline(always)]
unsafe fn add_block<V: Lanes, T: BlockQuant, const M: usize>(
    unit: *const u8,
    block: usize,
    rows: *const InputStep,
    place: usize,
    acc: &mut [V::Float; M],
) {
    // SAFETY: the caller's promise; `place` is below 8.
    unsafe {
        let codes = T::codes::<V>(unit, block);
        let scale = T::scale::<V>(unit, block);
        let zero = if T::ZEROS { T::zero::<V>(unit, block) } else { V::splat(0) };
        for (m, acc) in acc.iter_mut().enumerate() {
            let row = rows.add(m);
            let x = (*row).values.as_ptr().add(place * BLOCK);
            let minus_sum = V::splat(*(*row).sums.as_ptr().add(place));
            let dx = V::splat_f32(*(*row).scales.as_ptr().add(place));
            let mut sum = dot::<V, M, 8>(T::WIDE, &codes, 0, x);
            if T::ZEROS {
                // Both fit 16 bits; the upper halves of the zeros are none.
                sum = V::dot_pairs(sum, zero, minus_sum);
            } else if !T::MINS && (!T::WIDE || V::RAISED) {
                sum = V::add(sum, V::shl32(minus_sum, T::CENTRE_BITS));
            }
            *acc = V::fma(V::to_float(sum), V::mul_f32(scale, dx), *acc);
            if T::MINS {
                let min = V::mul_f32(T::min::<V>(unit, block), dx);
                *acc = V::fnma(V::to_float(minus_sum), min, *acc);
            }
        }
    }
}
