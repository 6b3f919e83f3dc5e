//! F32, F16 and BF16: a column's 16 values side by side.

use crate::kernels::lanes::Lanes;
use crate::kernels::panels::float_scheme::{FloatScheme, FloatWeight};
use crate::kernels::panels::panel_type::{Lane, PANEL_ROWS, PanelType, is_finite_f16, word};

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
    fn pack(block: &[u8], _: usize, lane: &mut Lane<'_>) -> bool {
        lane.word(0, word(block, 0));
        f32::from_bits(word(block, 0)).is_finite()
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
    fn pack(block: &[u8], _: usize, lane: &mut Lane<'_>) -> bool {
        let bits = [block[0], block[1]];
        lane.half(0, bits);
        is_finite_f16(bits)
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
    fn pack(block: &[u8], _: usize, lane: &mut Lane<'_>) -> bool {
        let bits = [block[0], block[1]];
        lane.half(0, bits);
        half::bf16::from_le_bytes(bits).is_finite()
    }
}

impl FloatWeight for BF16 {
    #[inline(always)]
    unsafe fn column<V: Lanes>(unit: *const u8) -> V::Float {
        // SAFETY: a unit is 16 halves.
        unsafe { V::load_bf16(unit) }
    }
}
