//! Q8_0: 32 signed bytes and a half-precision scale.

use crate::kernels::lanes::Lanes;
use crate::kernels::panels::block_scheme::{BlockQuant, BlockScheme};
use crate::kernels::panels::panel_type::{PANEL_ROWS, PanelType, VECTOR_BYTES};
use crate::kernels::panels::rows_side_by_side::{Blocks, Unit};

/// Two blocks: 8 vectors of codes each, raised by 128, and one vector of both scales.
pub(in crate::kernels) struct Q8_0;

const SCALES: usize = 16;

impl PanelType for Q8_0 {
    const UNIT_COLUMNS: usize = 64;
    const UNIT_BYTES: usize = (SCALES + 1) * VECTOR_BYTES;
    const BLOCK_COLUMNS: usize = 32;
    const BLOCK_BYTES: usize = 34;
    type Scheme = BlockScheme<Self>;

    #[inline(always)]
    fn pack(block: Blocks<'_>, index: usize, unit: &mut Unit<'_>) -> bool {
        let scales = block.halves(0);
        unit.halves(2 * SCALES + index, scales);
        for group in 0..8 {
            unit.words(index * 8 + group, block.words(2 + group * 4) ^ 0x8080_8080);
        }
        scales.are_finite_f16()
    }
}

impl BlockQuant for Q8_0 {
    const CENTRE_BITS: i32 = 7;
    const WIDE: bool = true;

    #[inline(always)]
    unsafe fn codes<V: Lanes>(unit: *const u8, block: usize) -> [V::Int; 8] {
        // SAFETY: the caller's promise; the vectors are within the unit.
        unsafe {
            let mut codes = [V::splat(0); 8];
            for (group, codes) in codes.iter_mut().enumerate() {
                *codes = V::load(unit.add((block * 8 + group) * VECTOR_BYTES));
            }
            codes
        }
    }

    #[inline(always)]
    unsafe fn scale<V: Lanes>(unit: *const u8, block: usize) -> V::Float {
        // SAFETY: the caller's promise; the scales are the unit's last vector.
        unsafe { V::load_f16(unit.add(SCALES * VECTOR_BYTES + block * 2 * PANEL_ROWS)) }
    }
}
