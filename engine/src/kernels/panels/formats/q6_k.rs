//! Q6_K: sixteen sub-blocks of 16 six-bit codes, 32 being zero, with signed 8-bit scales.

use crate::kernels::lanes::Lanes;
use crate::kernels::panels::k_scheme::{KQuant, KScheme, SubScales};
use crate::kernels::panels::panel_type::{PanelType, VECTOR_BYTES, nibbles};
use crate::kernels::panels::rows_side_by_side::{Blocks, Unit};

/// Four vectors of scales; for each sub-block two of low nibbles and one of high bits; half a
/// vector of d, and as much to spare so that all vectors stay on cache lines.
pub(in crate::kernels) struct Q6K;

const CODES: usize = 4;
const FACTOR: usize = CODES + 16 * 3;

impl PanelType for Q6K {
    const UNIT_COLUMNS: usize = 256;
    const UNIT_BYTES: usize = (FACTOR + 1) * VECTOR_BYTES;
    const BLOCK_COLUMNS: usize = 256;
    const BLOCK_BYTES: usize = 210;
    type Scheme = KScheme<Self>;

    #[inline(always)]
    fn pack(block: Blocks<'_>, _: usize, unit: &mut Unit<'_>) -> bool {
        // Group: four consecutive columns. The file keeps each 128 columns apart.
        let low = |group: usize| {
            let (half, group) = (group / 32, group % 32);
            block.words(half * 64 + group % 16 * 4) >> (group / 16 * 4) & 0x0f0f_0f0f
        };
        let high = |group: usize| {
            let (half, group) = (group / 32, group % 32);
            block.words(128 + half * 32 + group % 8 * 4) >> (group / 8 * 2) & 0x0303_0303
        };
        for sub in 0..16 {
            let (at, group) = (CODES + sub * 3, sub * 4);
            unit.words(at, low(group) | low(group + 1) << 4);
            unit.words(at + 1, low(group + 2) | low(group + 3) << 4);
            let bits = [high(group), high(group + 1), high(group + 2), high(group + 3)];
            unit.words(at + 2, bits[0] | bits[1] << 2 | bits[2] << 4 | bits[3] << 6);
        }
        for i in 0..4 {
            unit.words(i, block.words(192 + i * 4));
        }
        let d = block.halves(208);
        unit.halves(2 * FACTOR, d);
        d.are_finite_f16()
    }
}

impl KQuant for Q6K {
    const SUB_COLUMNS: usize = 16;
    const MINS: bool = false;
    const CENTRE_BITS: i32 = 5;

    #[inline(always)]
    unsafe fn scales<V: Lanes>(unit: *const u8) -> SubScales<V> {
        // SAFETY: the caller's promise; the unit begins with the scales.
        unsafe {
            [
                V::load(unit),
                V::load(unit.add(VECTOR_BYTES)),
                V::load(unit.add(2 * VECTOR_BYTES)),
                V::load(unit.add(3 * VECTOR_BYTES)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn codes<V: Lanes>(unit: *const u8, part: usize) -> [V::Int; 8] {
        // SAFETY: the caller's promise; the vectors are within the unit.
        unsafe {
            let mut codes = [V::splat(0); 8];
            for sub in 0..2 {
                let at = unit.add((CODES + (part * 2 + sub) * 3) * VECTOR_BYTES);
                let [a, b] = nibbles::<V>(at);
                let [c, d] = nibbles::<V>(at.add(VECTOR_BYTES));
                let (bits, mask) = (V::load(at.add(2 * VECTOR_BYTES)), V::splat(0x3030_3030));
                codes[sub * 4] = V::or(a, V::and(V::shl16(bits, 4), mask));
                codes[sub * 4 + 1] = V::or(b, V::and(V::shl16(bits, 2), mask));
                codes[sub * 4 + 2] = V::or(c, V::and(bits, mask));
                codes[sub * 4 + 3] = V::or(d, V::and(V::shr16(bits, 2), mask));
            }
            codes
        }
    }

    #[inline(always)]
    unsafe fn factors<V: Lanes>(unit: *const u8) -> [V::Float; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let d = V::load_f16(unit.add(FACTOR * VECTOR_BYTES));
            [d, d]
        }
    }
}
