//! IQ4_NL, IQ4_XS and MXFP4: nibbles that point into a table of 16 steps.

use super::small_blocks::halved_nibbles;
use crate::kernels::lanes::Lanes;
use crate::kernels::panels::block_scheme::{BlockQuant, BlockScheme};
use crate::kernels::panels::k_scheme::{KQuant, KScheme, SubScales};
use crate::kernels::panels::panel_type::{PANEL_ROWS, PanelType, VECTOR_BYTES};
use crate::kernels::panels::rows_side_by_side::{Blocks, Unit};

/// The steps of IQ4_NL and IQ4_XS (`kvalues_iq4nl` in ggml), raised by 128.
const UNEVEN: [u8; 16] = [1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241];

/// Twice the values of an E2M1 float (OCP Microscaling Formats 1.0), raised by 16.
const DOUBLED_E2M1: [u8; 16] = [16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4];

/// Two blocks: 4 vectors of nibbles each, as in the file, and one vector of both scales.
pub(in crate::kernels) struct Iq4Nl;

/// Half a vector of d and as much to spare, two vectors of scales in a byte each, and four of
/// nibbles per sub-block of 32.
pub(in crate::kernels) struct Iq4Xs;

/// Four blocks: 4 vectors of nibbles each, and one vector of the exponents of all.
pub(in crate::kernels) struct Mxfp4;

impl PanelType for Iq4Nl {
    const UNIT_COLUMNS: usize = 64;
    const UNIT_BYTES: usize = 9 * VECTOR_BYTES;
    const BLOCK_COLUMNS: usize = 32;
    const BLOCK_BYTES: usize = 18;
    type Scheme = BlockScheme<Self>;

    #[inline(always)]
    fn pack(block: Blocks<'_>, index: usize, unit: &mut Unit<'_>) -> bool {
        let scales = block.halves(0);
        unit.halves(16 + index, scales);
        for i in 0..4 {
            unit.words(index * 4 + i, block.words(2 + i * 4));
        }
        scales.are_finite_f16()
    }
}

impl BlockQuant for Iq4Nl {
    const CENTRE_BITS: i32 = 7;
    const WIDE: bool = true;

    #[inline(always)]
    unsafe fn codes<V: Lanes>(unit: *const u8, block: usize) -> [V::Int; 8] {
        // SAFETY: the caller's promise; the vectors are within the unit.
        unsafe { looked_up::<V>(&UNEVEN, unit.add(block * 4 * VECTOR_BYTES)) }
    }

    #[inline(always)]
    unsafe fn scale<V: Lanes>(unit: *const u8, block: usize) -> V::Float {
        // SAFETY: the caller's promise; the scales are the unit's last vector.
        unsafe { V::load_f16(unit.add(8 * VECTOR_BYTES + block * 2 * PANEL_ROWS)) }
    }
}

impl PanelType for Mxfp4 {
    const UNIT_COLUMNS: usize = 128;
    const UNIT_BYTES: usize = 17 * VECTOR_BYTES;
    const BLOCK_COLUMNS: usize = 32;
    const BLOCK_BYTES: usize = 17;
    type Scheme = BlockScheme<Self>;

    /// The exponent 255 stands for NaN.
    #[inline(always)]
    fn pack(block: Blocks<'_>, index: usize, unit: &mut Unit<'_>) -> bool {
        let exponents = block.bytes(0);
        unit.bytes(16 * VECTOR_BYTES + index * PANEL_ROWS, exponents);
        for i in 0..4 {
            unit.words(index * 4 + i, block.words(1 + i * 4));
        }
        exponents.iter().all(|exponent| *exponent != u8::MAX)
    }
}

impl BlockQuant for Mxfp4 {
    const CENTRE_BITS: i32 = 4;

    #[inline(always)]
    unsafe fn codes<V: Lanes>(unit: *const u8, block: usize) -> [V::Int; 8] {
        // SAFETY: the caller's promise; the vectors are within the unit.
        unsafe { looked_up::<V>(&DOUBLED_E2M1, unit.add(block * 4 * VECTOR_BYTES)) }
    }

    #[inline(always)]
    unsafe fn scale<V: Lanes>(unit: *const u8, block: usize) -> V::Float {
        // SAFETY: the caller's promise; the exponents are the unit's last vector.
        unsafe { V::load_half_powers(unit.add(16 * VECTOR_BYTES + block * PANEL_ROWS)) }
    }
}

impl PanelType for Iq4Xs {
    const UNIT_COLUMNS: usize = 256;
    const UNIT_BYTES: usize = (3 + 32) * VECTOR_BYTES;
    const BLOCK_COLUMNS: usize = 256;
    const BLOCK_BYTES: usize = 136;
    type Scheme = KScheme<Self>;

    /// A scale's two upper bits are a pair of a u16, the others a nibble; 32 is zero.
    #[inline(always)]
    fn pack(block: Blocks<'_>, _: usize, unit: &mut Unit<'_>) -> bool {
        let d = block.halves(0);
        unit.halves(0, d);
        let (lower, upper) = (block.words(4), block.words(0) >> 16);
        for half in 0..2 {
            let scale = |i: usize| {
                let sub = half * 4 + i;
                (lower >> (sub * 4) & 0x0f | (upper >> (sub * 2) & 3) << 4) << (8 * i)
            };
            let scales = scale(0) | scale(1) | scale(2) | scale(3);
            unit.words(1 + half, scales.less_32_each());
        }
        for i in 0..32 {
            unit.words(3 + i, block.words(8 + i * 4));
        }
        d.are_finite_f16()
    }
}

impl KQuant for Iq4Xs {
    const SUB_COLUMNS: usize = 32;
    const MINS: bool = false;
    const CENTRE_BITS: i32 = 7;
    const WIDE: bool = true;

    #[inline(always)]
    unsafe fn scales<V: Lanes>(unit: *const u8) -> SubScales<V> {
        // SAFETY: the caller's promise; the scales are the unit's second and third vector.
        unsafe {
            let high = V::load(unit.add(2 * VECTOR_BYTES));
            [V::load(unit.add(VECTOR_BYTES)), high, high, high]
        }
    }

    #[inline(always)]
    unsafe fn codes<V: Lanes>(unit: *const u8, part: usize) -> [V::Int; 8] {
        // SAFETY: the caller's promise; the vectors are within the unit.
        unsafe { looked_up::<V>(&UNEVEN, unit.add((3 + part * 4) * VECTOR_BYTES)) }
    }

    #[inline(always)]
    unsafe fn factors<V: Lanes>(unit: *const u8) -> [V::Float; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let d = V::load_f16(unit);
            [d, d]
        }
    }
}

/// # Safety
/// As `Lanes`, for four vectors.
#[inline(always)]
unsafe fn looked_up<V: Lanes>(table: &[u8; 16], at: *const u8) -> [V::Int; 8] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut codes = halved_nibbles::<V>(at);
        for codes in &mut codes {
            *codes = V::lookup(table, *codes);
        }
        codes
    }
}
