//! Q4_K and Q5_K: eight sub-blocks of 32 codes of four or five bits, with 6-bit scales and mins.

use super::small_blocks::with_fifths;
use crate::kernels::lanes::Lanes;
use crate::kernels::panels::k_scheme::{KQuant, KScheme, SubScales};
use crate::kernels::panels::panel_type::{PANEL_ROWS, PanelType, VECTOR_BYTES, nibbles};
use crate::kernels::panels::rows_side_by_side::{Blocks, Unit, Words};

/// Three vectors of scales as in the file, one of d and dmin; then four vectors of nibbles per
/// sub-block, perhaps with one of fifth bits.
pub(in crate::kernels) struct ScaledNibbles<const FIFTHS: bool>;

pub(in crate::kernels) type Q4K = ScaledNibbles<false>;
pub(in crate::kernels) type Q5K = ScaledNibbles<true>;

const FACTORS: usize = 3;
const CODES: usize = 4;

impl<const FIFTHS: bool> ScaledNibbles<FIFTHS> {
    const SUB_VECTORS: usize = 4 + FIFTHS as usize;
    /// Bytes of a block before its nibbles.
    const HEAD: usize = if FIFTHS { 48 } else { 16 };
}

impl<const FIFTHS: bool> PanelType for ScaledNibbles<FIFTHS> {
    const UNIT_COLUMNS: usize = 256;
    const UNIT_BYTES: usize = (CODES + 8 * Self::SUB_VECTORS) * VECTOR_BYTES;
    const BLOCK_COLUMNS: usize = 256;
    const BLOCK_BYTES: usize = Self::HEAD + 128;
    type Scheme = KScheme<Self>;

    #[inline(always)]
    fn pack(block: Blocks<'_>, _: usize, unit: &mut Unit<'_>) -> bool {
        let (d, dmin) = (block.halves(0), block.halves(2));
        unit.halves(2 * FACTORS, d);
        unit.halves(2 * FACTORS + 1, dmin);
        for i in 0..3 {
            unit.words(i, block.words(4 + i * 4));
        }
        for sub in 0..8 {
            let vector = CODES + sub * Self::SUB_VECTORS;
            pack_nibbles(block, Self::HEAD, sub, (vector, unit));
            if FIFTHS {
                // Bit `sub` of byte `4 g + j` goes to bit g of byte j.
                let bits = |group: usize| block.words(16 + group * 4) >> sub & 0x0101_0101;
                let fifths =
                    (0..8).fold(Words::ZERO, |fifths, group| fifths | bits(group) << group);
                unit.words(vector + 4, fifths);
            }
        }
        d.are_finite_f16() && dmin.are_finite_f16()
    }
}

/// A sub-block's nibbles, which share bytes with those of its neighbour in the file, to four
/// vectors: low nibbles for one group of four columns, high for the next.
#[inline(always)]
fn pack_nibbles(
    block: Blocks<'_>,
    codes: usize,
    sub: usize,
    (vector, unit): (usize, &mut Unit<'_>),
) {
    let shift = sub % 2 * 4;
    for i in 0..4 {
        let at = codes + sub / 2 * 32 + i * 8;
        let low = block.words(at) >> shift & 0x0f0f_0f0f;
        let high = block.words(at + 4) >> shift & 0x0f0f_0f0f;
        unit.words(vector + i, low | high << 4);
    }
}

impl<const FIFTHS: bool> KQuant for ScaledNibbles<FIFTHS> {
    const SUB_COLUMNS: usize = 32;
    const MINS: bool = true;
    // 4 * 32 * 15 * 127 * 63 is 15,361,920.
    const EXACT: bool = !FIFTHS;

    /// The file's 12 bytes a, b, c (a word each): scales 0 to 3 are the low six bits of a, mins of
    /// b; the others have four bits in c and two in the highest of a and b.
    #[inline(always)]
    unsafe fn scales<V: Lanes>(unit: *const u8) -> SubScales<V> {
        // SAFETY: the caller's promise; the unit begins with a, b, c.
        unsafe {
            let (a, c) = (V::load(unit), V::load(unit.add(2 * VECTOR_BYTES)));
            let high = upper::<V>(c, a);
            [V::and(a, V::splat(0x3f3f_3f3f)), high, high, high]
        }
    }

    #[inline(always)]
    unsafe fn mins<V: Lanes>(unit: *const u8) -> SubScales<V> {
        // SAFETY: as above.
        unsafe {
            let (b, c) = (V::load(unit.add(VECTOR_BYTES)), V::load(unit.add(2 * VECTOR_BYTES)));
            let high = upper::<V>(V::shr16(c, 4), b);
            [V::and(b, V::splat(0x3f3f_3f3f)), high, high, high]
        }
    }

    #[inline(always)]
    unsafe fn codes<V: Lanes>(unit: *const u8, part: usize) -> [V::Int; 8] {
        // SAFETY: the caller's promise; the vectors are within the unit.
        unsafe {
            let at = unit.add((CODES + part * Self::SUB_VECTORS) * VECTOR_BYTES);
            let mut codes = [V::splat(0); 8];
            for i in 0..4 {
                [codes[2 * i], codes[2 * i + 1]] = nibbles::<V>(at.add(i * VECTOR_BYTES));
            }
            match FIFTHS {
                true => with_fifths::<V>(codes, V::load(at.add(4 * VECTOR_BYTES))),
                false => codes,
            }
        }
    }

    #[inline(always)]
    unsafe fn factors<V: Lanes>(unit: *const u8) -> [V::Float; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let at = unit.add(FACTORS * VECTOR_BYTES);
            [V::load_f16(at), V::load_f16(at.add(2 * PANEL_ROWS))]
        }
    }
}

/// # Safety
/// As `Lanes`.
#[inline(always)]
unsafe fn upper<V: Lanes>(low_bits: V::Int, high_bits: V::Int) -> V::Int {
    // SAFETY: the caller's promise.
    unsafe {
        let high = V::and(V::shr16(high_bits, 2), V::splat(0x3030_3030));
        V::or(V::and(low_bits, V::splat(0x0f0f_0f0f)), high)
    }
}
