//! Q2_K and Q3_K: sixteen sub-blocks of 16 codes of two bits, or two and one.

use crate::kernels::lanes::Lanes;
use crate::kernels::panels::k_scheme::{KQuant, KScheme, SubScales};
use crate::kernels::panels::panel_type::{PANEL_ROWS, PanelType, VECTOR_BYTES};
use crate::kernels::panels::rows_side_by_side::{Blocks, Unit, Words};

/// Four vectors of (scale, min) nibbles, one of d and dmin, two of codes per 32 columns.
pub(in crate::kernels) struct Q2K;

/// Three vectors of 6-bit scales as in the file, half of one of d; per 32 columns two vectors of
/// low bits and one of third bits.
pub(in crate::kernels) struct Q3K;

impl PanelType for Q2K {
    const UNIT_COLUMNS: usize = 256;
    const UNIT_BYTES: usize = (5 + 8 * 2) * VECTOR_BYTES;
    const BLOCK_COLUMNS: usize = 256;
    const BLOCK_BYTES: usize = 84;
    type Scheme = KScheme<Self>;

    #[inline(always)]
    fn pack(block: Blocks<'_>, _: usize, unit: &mut Unit<'_>) -> bool {
        for i in 0..4 {
            unit.words(i, block.words(i * 4));
        }
        let (d, dmin) = (block.halves(80), block.halves(82));
        unit.halves(8, d);
        unit.halves(9, dmin);
        for part in 0..8 {
            pack_low_bits(block, 16, part, (5 + part * 2, unit));
        }
        d.are_finite_f16() && dmin.are_finite_f16()
    }
}

impl KQuant for Q2K {
    const SUB_COLUMNS: usize = 16;
    const MINS: bool = true;
    // 256 * 3 * 127 * 15 is 1,463,040.
    const EXACT: bool = true;

    #[inline(always)]
    unsafe fn scales<V: Lanes>(unit: *const u8) -> SubScales<V> {
        // SAFETY: the caller's promise; the unit begins with four vectors of both.
        unsafe {
            let mut scales = [V::splat(0); 4];
            for (i, scales) in scales.iter_mut().enumerate() {
                *scales = V::and(V::load(unit.add(i * VECTOR_BYTES)), V::splat(0x0f0f_0f0f));
            }
            scales
        }
    }

    #[inline(always)]
    unsafe fn mins<V: Lanes>(unit: *const u8) -> SubScales<V> {
        // SAFETY: as above.
        unsafe {
            let mut mins = [V::splat(0); 4];
            for (i, mins) in mins.iter_mut().enumerate() {
                let both = V::load(unit.add(i * VECTOR_BYTES));
                *mins = V::and(V::shr16(both, 4), V::splat(0x0f0f_0f0f));
            }
            mins
        }
    }

    #[inline(always)]
    unsafe fn codes<V: Lanes>(unit: *const u8, part: usize) -> [V::Int; 8] {
        // SAFETY: the caller's promise; the vectors are within the unit.
        unsafe { low_bits::<V>(unit.add((5 + part * 2) * VECTOR_BYTES)) }
    }

    #[inline(always)]
    unsafe fn factors<V: Lanes>(unit: *const u8) -> [V::Float; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let at = unit.add(4 * VECTOR_BYTES);
            [V::load_f16(at), V::load_f16(at.add(2 * PANEL_ROWS))]
        }
    }
}

impl PanelType for Q3K {
    const UNIT_COLUMNS: usize = 256;
    const UNIT_BYTES: usize = (4 + 8 * 3) * VECTOR_BYTES;
    const BLOCK_COLUMNS: usize = 256;
    const BLOCK_BYTES: usize = 110;
    type Scheme = KScheme<Self>;

    #[inline(always)]
    fn pack(block: Blocks<'_>, _: usize, unit: &mut Unit<'_>) -> bool {
        for i in 0..3 {
            unit.words(i, block.words(96 + i * 4));
        }
        let d = block.halves(108);
        unit.halves(6, d);
        for part in 0..8 {
            let vector = 4 + part * 3;
            pack_low_bits(block, 32, part, (vector, unit));
            // Bit `part` of byte `4 g + j` goes to bit g of byte j.
            let bits = |group: usize| block.words(group * 4) >> part & 0x0101_0101;
            let thirds = (0..8).fold(Words::ZERO, |thirds, group| thirds | bits(group) << group);
            unit.words(vector + 2, thirds);
        }
        d.are_finite_f16()
    }
}

impl KQuant for Q3K {
    const SUB_COLUMNS: usize = 16;
    const MINS: bool = false;
    const CENTRE_BITS: i32 = 2;
    // 256 * 7 * 127 * 32 is 7,282,688.
    const EXACT: bool = true;

    /// The file's 12 bytes a, b, c (a word each): the low four bits of the scales are the nibbles
    /// of a and b, low ones first, the two upper ones bit pairs of c; 32 is zero.
    #[inline(always)]
    unsafe fn scales<V: Lanes>(unit: *const u8) -> SubScales<V> {
        // SAFETY: the caller's promise; the unit begins with a, b, c.
        unsafe {
            let words = [V::load(unit), V::load(unit.add(VECTOR_BYTES))];
            let upper = V::load(unit.add(2 * VECTOR_BYTES));
            let mut scales = [V::splat(0); 4];
            for (i, scales) in scales.iter_mut().enumerate() {
                let low = V::shr16(words[i % 2], i as i32 / 2 * 4);
                let low = V::and(low, V::splat(0x0f0f_0f0f));
                let high = match i {
                    0..=2 => V::shl16(upper, 4 - 2 * i as i32),
                    _ => V::shr16(upper, 2),
                };
                let raised = V::or(low, V::and(high, V::splat(0x3030_3030)));
                // Bytes of 0 to 63 minus 32, without a borrow from one to the next.
                let sign = V::splat(0x8080_8080_u32 as i32);
                *scales = V::xor(V::sub(V::or(raised, sign), V::splat(0x2020_2020)), sign);
            }
            scales
        }
    }

    #[inline(always)]
    unsafe fn codes<V: Lanes>(unit: *const u8, part: usize) -> [V::Int; 8] {
        // SAFETY: the caller's promise; the vectors are within the unit.
        unsafe {
            let at = unit.add((4 + part * 3) * VECTOR_BYTES);
            let mut codes = low_bits::<V>(at);
            let thirds = V::load(at.add(2 * VECTOR_BYTES));
            for (group, codes) in codes.iter_mut().enumerate() {
                let group = group as i32;
                let third = match group {
                    0..=2 => V::shl16(thirds, 2 - group),
                    _ => V::shr16(thirds, group - 2),
                };
                *codes = V::or(*codes, V::and(third, V::splat(0x0404_0404)));
            }
            codes
        }
    }

    #[inline(always)]
    unsafe fn factors<V: Lanes>(unit: *const u8) -> [V::Float; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let d = V::load_f16(unit.add(3 * VECTOR_BYTES));
            [d, d]
        }
    }
}

/// 32 columns' low bits, which share bytes with those of three other parts in the file, to two
/// vectors: bit pair `g` of a byte for group `g` of four columns.
#[inline(always)]
fn pack_low_bits(
    block: Blocks<'_>,
    codes: usize,
    part: usize,
    (vector, unit): (usize, &mut Unit<'_>),
) {
    let bits = |group: usize| {
        block.words(codes + part / 4 * 32 + group * 4) >> (part % 4 * 2) & 0x0303_0303
    };
    for i in 0..2 {
        let pairs =
            (0..4).fold(Words::ZERO, |pairs, pair| pairs | bits(i * 4 + pair) << (2 * pair));
        unit.words(vector + i, pairs);
    }
}

/// # Safety
/// As `Lanes`, for two vectors.
#[inline(always)]
unsafe fn low_bits<V: Lanes>(at: *const u8) -> [V::Int; 8] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut codes = [V::splat(0); 8];
        for i in 0..2 {
            let pairs = V::load(at.add(i * VECTOR_BYTES));
            for pair in 0..4 {
                let bits = V::shr16(pairs, 2 * pair as i32);
                codes[i * 4 + pair] = V::and(bits, V::splat(0x0303_0303));
            }
        }
        codes
    }
}
