//! Weights of 8-bit floats with a scale for each 128 columns: the fused multiply-adds of
//! `float_scheme` over these columns, then one more with the scale.

use std::marker::PhantomData;

#[cfg(target_arch = "x86_64")]
use super::dispatch::PanelJob;
use super::input::{InputKind, PanelInput};
use super::panel_type::{PANEL_ROWS, PanelType, Scheme, prefetch};
use crate::kernels::lanes::Lanes;

/// A type of small floats; a unit has one scale per row.
pub(super) trait ScaledFloat: PanelType {
    /// A column's 16 values, a power of two smaller than they are.
    ///
    /// # Safety
    /// As `Scheme::dequantise`; the unit has the column.
    unsafe fn column<V: Lanes>(unit: *const u8, column: usize) -> V::Float;

    /// The rows' scales, as much larger.
    ///
    /// # Safety
    /// As `Scheme::dequantise`.
    unsafe fn scale<V: Lanes>(unit: *const u8) -> V::Float;
}

pub(super) struct ScaledFloatScheme<T>(PhantomData<T>);

impl<T: ScaledFloat> Scheme for ScaledFloatScheme<T> {
    const INPUT: InputKind = InputKind::Floats;
    #[cfg(target_arch = "x86_64")]
    const TILES: bool = false;

    #[cfg(target_arch = "x86_64")]
    unsafe fn tiles(_: &PanelJob<'_>, _: usize, _: usize) {}

    #[inline(always)]
    unsafe fn product<V: Lanes, const M: usize>(
        panel: *const u8,
        input: &PanelInput<'_>,
        row: usize,
    ) -> [V::Float; M] {
        // SAFETY: the panel has a unit for each `UNIT_COLUMNS` columns, of which the input has a
        // whole number; rows past the last are its copies.
        unsafe {
            let rows: [*const f32; M] = std::array::from_fn(|m| {
                let row = (row + m).min(input.rows - 1);
                input.floats.as_ptr().add(row * input.columns)
            });
            let mut products = [V::splat_f32(0.0); M];
            for index in 0..input.columns / T::UNIT_COLUMNS {
                let unit = panel.add(index * T::UNIT_BYTES);
                prefetch::<V>(unit.wrapping_add(T::UNIT_BYTES), T::UNIT_BYTES);
                let rows = rows.map(|row| row.add(index * T::UNIT_COLUMNS));
                let mut sums = [[V::splat_f32(0.0); 2]; M];
                for pair in 0..T::UNIT_COLUMNS / 2 {
                    let column = pair * 2;
                    let weights = [T::column::<V>(unit, column), T::column::<V>(unit, column + 1)];
                    for m in 0..M {
                        for odd in 0..2 {
                            let x = V::splat_f32(*rows[m].add(column + odd));
                            sums[m][odd] = V::fma(weights[odd], x, sums[m][odd]);
                        }
                    }
                }
                let scale = T::scale::<V>(unit);
                for m in 0..M {
                    let sum = V::add_f32(sums[m][0], sums[m][1]);
                    products[m] = V::fma(sum, scale, products[m]);
                }
            }
            products
        }
    }

    #[inline(always)]
    unsafe fn dequantise<V: Lanes>(unit: *const u8, out: *mut f32) {
        // SAFETY: the caller's promise; the loop covers the unit's columns.
        unsafe {
            let scale = T::scale::<V>(unit);
            for column in 0..T::UNIT_COLUMNS {
                let value = V::mul_f32(T::column::<V>(unit, column), scale);
                V::store(value, out.add(column * PANEL_ROWS));
            }
        }
    }
}
