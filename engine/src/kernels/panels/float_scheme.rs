//! Weights that are floats already: fused multiply-adds in the order of columns, those of even and
//! of odd columns in a sum of their own.

use std::marker::PhantomData;

#[cfg(target_arch = "x86_64")]
use super::dispatch::PanelJob;
use super::input::{InputKind, PanelInput};
use super::panel_type::{PANEL_ROWS, PanelType, Scheme};
use crate::kernels::lanes::Lanes;

/// A type of plain floats; a unit is one column.
pub(super) trait FloatWeight: PanelType {
    /// One column's 16 values.
    ///
    /// # Safety
    /// As `Scheme::dequantise`.
    unsafe fn column<V: Lanes>(unit: *const u8) -> V::Float;
}

pub(super) struct FloatScheme<T>(PhantomData<T>);

impl<T: FloatWeight> Scheme for FloatScheme<T> {
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
        let columns = input.columns;
        // SAFETY: the panel has a unit for each column; rows past the last are its copies.
        unsafe {
            let rows: [*const f32; M] = std::array::from_fn(|m| {
                let row = (row + m).min(input.rows - 1);
                input.floats.as_ptr().add(row * columns)
            });
            let mut sums = [[V::splat_f32(0.0); 2]; M];
            for pair in 0..columns / 2 {
                let at = panel.add(pair * 2 * T::UNIT_BYTES);
                let weights = [T::column::<V>(at), T::column::<V>(at.add(T::UNIT_BYTES))];
                for m in 0..M {
                    for odd in 0..2 {
                        let x = V::splat_f32(*rows[m].add(pair * 2 + odd));
                        sums[m][odd] = V::fma(weights[odd], x, sums[m][odd]);
                    }
                }
            }
            if columns % 2 == 1 {
                let weight = T::column::<V>(panel.add((columns - 1) * T::UNIT_BYTES));
                for m in 0..M {
                    let x = V::splat_f32(*rows[m].add(columns - 1));
                    sums[m][0] = V::fma(weight, x, sums[m][0]);
                }
            }
            let mut products = [V::splat_f32(0.0); M];
            for m in 0..M {
                products[m] = V::add_f32(sums[m][0], sums[m][1]);
            }
            products
        }
    }

    #[inline(always)]
    unsafe fn dequantise<V: Lanes>(unit: *const u8, out: *mut f32) {
        debug_assert!(T::UNIT_COLUMNS == 1 && T::BLOCK_COLUMNS == 1 && PANEL_ROWS == 16);
        // SAFETY: the caller's promise.
        unsafe { V::store(T::column::<V>(unit), out) };
    }
}
