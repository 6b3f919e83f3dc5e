//! F32, F16 and BF16: a column's 16 values side by side.

use crate::kernels::lanes::Lanes;
use crate::kernels::panels::float_scheme::{FloatScheme, FloatWeight};
use crate::kernels::panels::panel_type::{PANEL_ROWS, PanelType};
use crate::kernels::panels::rows_side_by_side::{Blocks, Unit};

pub(in crate::kernels) struct F32;
pub(in crate::kernels) struct F16;
pub(in crate::kernels) struct BF16;

impl PanelType for F32 {
    const UNIT_COLUMNS: usize = 1;
    const UNIT_BYTES: usize = 4 * PANEL_ROWS;
    const BLOCK_COLUMNS: usize = 1;
    const BLOCK_BYTES: usize = 4;
    type Scheme = FloatScheme<Self>;

    #[inline(always)]
    fn pack(block: Blocks<'_>, _: usize, unit: &mut Unit<'_>) -> bool {
        let values = block.words(0);
        unit.words(0, values);
        values.0.iter().fold(true, |finite, bits| finite & f32::from_bits(*bits).is_finite())
    }
}

impl FloatWeight for F32 {
    #[inline(always)]
    unsafe fn column<V: Lanes>(unit: *const u8) -> V::Float {
        // SAFETY: a unit is 16 floats.
        unsafe { V::load_f32(unit.cast()) }
    }
}

impl PanelType for F16 {
    const UNIT_COLUMNS: usize = 1;
    const UNIT_BYTES: usize = 2 * PANEL_ROWS;
    const BLOCK_COLUMNS: usize = 1;
    const BLOCK_BYTES: usize = 2;
    type Scheme = FloatScheme<Self>;

    #[inline(always)]
    fn pack(block: Blocks<'_>, _: usize, unit: &mut Unit<'_>) -> bool {
        let values = block.halves(0);
        unit.halves(0, values);
        values.are_finite_f16()
    }
}

impl FloatWeight for F16 {
    #[inline(always)]
    unsafe fn column<V: Lanes>(unit: *const u8) -> V::Float {
        // SAFETY: a unit is 16 halves.
        unsafe { V::load_f16(unit) }
    }
}

impl PanelType for BF16 {
    const UNIT_COLUMNS: usize = 1;
    const UNIT_BYTES: usize = 2 * PANEL_ROWS;
    const BLOCK_COLUMNS: usize = 1;
    const BLOCK_BYTES: usize = 2;
    type Scheme = FloatScheme<Self>;

    #[inline(always)]
    fn pack(block: Blocks<'_>, _: usize, unit: &mut Unit<'_>) -> bool {
        let values = block.halves(0);
        unit.halves(0, values);
        values.are_finite_bf16()
    }
}

impl FloatWeight for BF16 {
    #[inline(always)]
    unsafe fn column<V: Lanes>(unit: *const u8) -> V::Float {
        // SAFETY: a unit is 16 halves.
        unsafe { V::load_bf16(unit) }
    }
}
