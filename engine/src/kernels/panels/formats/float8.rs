//! F8_128: floats of 8 bits (E4M3 of the OCP 8-bit Floating Point Specification 1.0, which has no
//! infinity) and a scale in f32 for 128 of them.

use crate::kernels::lanes::Lanes;
use crate::kernels::panels::panel_type::{PANEL_ROWS, PanelType, VECTOR_BYTES};
use crate::kernels::panels::rows_side_by_side::{Blocks, Unit, Words};
use crate::kernels::panels::scaled_float_scheme::{ScaledFloat, ScaledFloatScheme};

/// One vector of scales, 256 times as large as in the file, then a column's 16 codes side by side.
pub(in crate::kernels) struct F8x128;

impl PanelType for F8x128 {
    const UNIT_COLUMNS: usize = 128;
    const UNIT_BYTES: usize = VECTOR_BYTES + 128 * PANEL_ROWS;
    const BLOCK_COLUMNS: usize = 128;
    const BLOCK_BYTES: usize = 4 + 128;
    type Scheme = ScaledFloatScheme<Self>;

    #[inline(always)]
    fn pack(block: Blocks<'_>, _: usize, unit: &mut Unit<'_>) -> bool {
        let scales = Words(block.words(0).0.map(|x| (f32::from_bits(x) * 256.0).to_bits()));
        unit.words(0, scales);
        let mut finite = scales.0.iter().all(|scale| f32::from_bits(*scale).is_finite());
        for column in 0..128 {
            let codes = block.words(4 + column / 4 * 4).byte(column % 4);
            unit.bytes(VECTOR_BYTES + column * PANEL_ROWS, codes);
            finite &= codes.iter().fold(true, |finite, code| finite & (code & 0x7f != 0x7f));
        }
        finite
    }
}

impl ScaledFloat for F8x128 {
    #[inline(always)]
    unsafe fn column<V: Lanes>(unit: *const u8, column: usize) -> V::Float {
        // SAFETY: the caller's promise; a column is 16 bytes.
        unsafe { V::load_e4m3(unit.add(VECTOR_BYTES + column * PANEL_ROWS)) }
    }

    #[inline(always)]
    unsafe fn scale<V: Lanes>(unit: *const u8) -> V::Float {
        // SAFETY: the unit begins with 16 floats.
        unsafe { V::load_f32(unit.cast()) }
    }
}
