//! F8_128: floats of 8 bits (E4M3 of the OCP 8-bit Floating Point Specification 1.0, which has no
//! infinity) and a scale in f32 for 128 of them.

use crate::kernels::lanes::Lanes;
use crate::kernels::panels::panel_type::{Lane, PANEL_ROWS, PanelType, VECTOR_BYTES, word};
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
    fn pack(block: &[u8], _: usize, lane: &mut Lane<'_>) -> bool {
        let scale = f32::from_bits(word(block, 0)) * 256.0;
        lane.word(0, scale.to_bits());
        let mut finite = scale.is_finite();
        for (column, code) in block[4..].iter().enumerate() {
            lane.byte(VECTOR_BYTES + column * PANEL_ROWS, *code);
            finite &= code & 0x7f != 0x7f;
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
