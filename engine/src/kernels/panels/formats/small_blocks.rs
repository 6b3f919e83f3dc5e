//! Q4_0, Q4_1, Q5_0 and Q5_1: 32 codes of four or five bits and a half-precision scale; the first
//! of each has its zero in the middle of the codes, the second a min.

use crate::kernels::lanes::Lanes;
use crate::kernels::panels::block_scheme::{BlockQuant, BlockScheme};
use crate::kernels::panels::panel_type::{PANEL_ROWS, PanelType, VECTOR_BYTES, nibbles};
use crate::kernels::panels::rows_side_by_side::{Blocks, Unit, Words};

/// Two blocks: 4 vectors of nibbles each, as in the file, perhaps with one of fifth bits; then a
/// vector of both scales, perhaps one of both mins.
pub(in crate::kernels) struct SmallBlocks<const FIFTHS: bool, const MINS: bool>;

pub(in crate::kernels) type Q4_0 = SmallBlocks<false, false>;
pub(in crate::kernels) type Q4_1 = SmallBlocks<false, true>;
pub(in crate::kernels) type Q5_0 = SmallBlocks<true, false>;
pub(in crate::kernels) type Q5_1 = SmallBlocks<true, true>;

impl<const FIFTHS: bool, const MINS: bool> SmallBlocks<FIFTHS, MINS> {
    const BLOCK_VECTORS: usize = 4 + FIFTHS as usize;
    const SCALES: usize = 2 * Self::BLOCK_VECTORS;
    /// Bytes of a block before its codes.
    const HEAD: usize = if MINS { 4 } else { 2 };

    /// # Safety
    /// As `BlockQuant::scale`.
    #[inline(always)]
    unsafe fn factor<V: Lanes>(unit: *const u8, vector: usize, block: usize) -> V::Float {
        // SAFETY: the caller's promise; each vector holds the halves of two blocks.
        unsafe { V::load_f16(unit.add(vector * VECTOR_BYTES + block * 2 * PANEL_ROWS)) }
    }
}

impl<const FIFTHS: bool, const MINS: bool> PanelType for SmallBlocks<FIFTHS, MINS> {
    const UNIT_COLUMNS: usize = 64;
    const UNIT_BYTES: usize = (Self::SCALES + 1 + MINS as usize) * VECTOR_BYTES;
    const BLOCK_COLUMNS: usize = 32;
    const BLOCK_BYTES: usize = Self::HEAD + 4 * FIFTHS as usize + 16;
    type Scheme = BlockScheme<Self>;

    #[inline(always)]
    fn pack(block: Blocks<'_>, index: usize, unit: &mut Unit<'_>) -> bool {
        let vector = index * Self::BLOCK_VECTORS;
        let mut finite = true;
        for i in 0..Self::HEAD / 2 {
            let factors = block.halves(2 * i);
            unit.halves(2 * (Self::SCALES + i) + index, factors);
            finite &= factors.are_finite_f16();
        }
        if FIFTHS {
            unit.words(vector + 4, spread_fifths(block.words(Self::HEAD)));
        }
        for i in 0..4 {
            unit.words(vector + i, block.words(Self::HEAD + 4 * (i + FIFTHS as usize)));
        }
        finite
    }
}

impl<const FIFTHS: bool, const MINS: bool> BlockQuant for SmallBlocks<FIFTHS, MINS> {
    const MINS: bool = MINS;
    const CENTRE_BITS: i32 = 3 + FIFTHS as i32;

    #[inline(always)]
    unsafe fn codes<V: Lanes>(unit: *const u8, block: usize) -> [V::Int; 8] {
        // SAFETY: the caller's promise; the vectors are within the unit.
        unsafe {
            let at = unit.add(block * Self::BLOCK_VECTORS * VECTOR_BYTES);
            let codes = halved_nibbles::<V>(at);
            match FIFTHS {
                true => with_fifths::<V>(codes, V::load(at.add(4 * VECTOR_BYTES))),
                false => codes,
            }
        }
    }

    #[inline(always)]
    unsafe fn scale<V: Lanes>(unit: *const u8, block: usize) -> V::Float {
        // SAFETY: the caller's promise.
        unsafe { Self::factor::<V>(unit, Self::SCALES, block) }
    }

    #[inline(always)]
    unsafe fn min<V: Lanes>(unit: *const u8, block: usize) -> V::Float {
        // SAFETY: the caller's promise; only asked of a type with mins.
        unsafe { Self::factor::<V>(unit, Self::SCALES + MINS as usize, block) }
    }
}

/// 32 codes of which the low nibbles are the first half, as in the file's blocks of 32.
///
/// # Safety
/// As `Lanes`, for four vectors.
#[inline(always)]
pub(super) unsafe fn halved_nibbles<V: Lanes>(at: *const u8) -> [V::Int; 8] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut codes = [V::splat(0); 8];
        for i in 0..4 {
            [codes[i], codes[i + 4]] = nibbles::<V>(at.add(i * VECTOR_BYTES));
        }
        codes
    }
}

/// Bit `4 g + j` of the file belongs to column `j` of group `g`: it goes to bit `g` of byte `j`.
#[inline(always)]
fn spread_fifths(bits: Words) -> Words {
    (0..8).fold(Words::ZERO, |spread, group| {
        let four = bits >> (4 * group) & 0xf;
        let bytes = four & 1 | (four & 2) << 7 | (four & 4) << 14 | (four & 8) << 21;
        spread | bytes << group
    })
}

/// Adds bit `g` of each byte as the fifth bit of the codes of group `g`.
///
/// # Safety
/// As `Lanes`.
#[inline(always)]
pub(super) unsafe fn with_fifths<V: Lanes>(mut codes: [V::Int; 8], bits: V::Int) -> [V::Int; 8] {
    // SAFETY: the caller's promise.
    unsafe {
        for (group, codes) in codes.iter_mut().enumerate() {
            let group = group as i32;
            let bits = match group {
                0..=4 => V::shl16(bits, 4 - group),
                _ => V::shr16(bits, group - 4),
            };
            *codes = V::or(*codes, V::and(bits, V::splat(0x1010_1010)));
        }
        codes
    }
}
