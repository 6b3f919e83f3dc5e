//! How weights are packed: blocks of 16 rows side by side, whose words become vectors.
//!
//! A row's bytes are copied into a tile first, a stretch at a time: each row is read forward, and
//! rows whose distance is a power of two do not fight for the same cache lines. One word of each of
//! the 16 rows is then a vector of the panel, perhaps after some shifting that all lanes share.

use std::ops::{BitAnd, BitOr, BitXor, Shl, Shr};

use super::panel_type::{PANEL_ROWS, VECTOR_BYTES};

/// Bytes of a row in a tile; more than any block has.
pub(super) const TILE_BYTES: usize = 256;
/// With a line to spare, so that the rows begin in different sets of the cache.
const STRIDE: usize = TILE_BYTES + 64;

/// A stretch of each of 16 rows; rows that a matrix has not are zeros.
pub(super) struct RowTile([[u8; STRIDE]; PANEL_ROWS]);

/// The same block of 16 rows.
#[derive(Clone, Copy)]
pub(super) struct Blocks<'a> {
    tile: &'a RowTile,
    at: usize,
}

/// 32 bits of each row.
#[derive(Clone, Copy)]
pub(super) struct Words(pub(super) [u32; PANEL_ROWS]);

/// 16 bits of each row.
#[derive(Clone, Copy)]
pub(super) struct Halves([u16; PANEL_ROWS]);

/// A unit of a panel, to be written.
pub(super) struct Unit<'a>(pub(super) &'a mut [u8]);

impl RowTile {
    pub(super) fn zeros() -> Self {
        Self([[0; STRIDE]; PANEL_ROWS])
    }

    pub(super) fn fill(&mut self, row: usize, bytes: &[u8]) {
        self.0[row][..bytes.len()].copy_from_slice(bytes);
    }

    /// The blocks that begin at byte `at` of the stretch.
    pub(super) fn blocks(&self, at: usize) -> Blocks<'_> {
        Blocks { tile: self, at }
    }
}

impl Blocks<'_> {
    /// 32 bits from byte `at` of the block on.
    #[inline(always)]
    pub(super) fn words(self, at: usize) -> Words {
        Words(self.each(at).map(u32::from_le_bytes))
    }

    #[inline(always)]
    pub(super) fn halves(self, at: usize) -> Halves {
        Halves(self.each(at).map(u16::from_le_bytes))
    }

    #[inline(always)]
    pub(super) fn bytes(self, at: usize) -> [u8; PANEL_ROWS] {
        self.each::<1>(at).map(|[byte]| byte)
    }

    #[inline(always)]
    fn each<const N: usize>(self, at: usize) -> [[u8; N]; PANEL_ROWS] {
        let at = self.at + at;
        std::array::from_fn(|row| {
            let bytes = &self.tile.0[row][at..at + N];
            std::array::from_fn(|i| bytes[i])
        })
    }
}

impl Words {
    pub(super) const ZERO: Self = Self([0; PANEL_ROWS]);

    /// Each of the four bytes of 0 to 63, less 32.
    #[inline(always)]
    pub(super) fn less_32_each(self) -> Self {
        // No borrow goes from one byte to the next.
        Self(self.0.map(|x| ((x | 0x8080_8080) - 0x2020_2020) ^ 0x8080_8080))
    }

    /// Byte `index` of each word.
    #[inline(always)]
    pub(super) fn byte(self, index: usize) -> [u8; PANEL_ROWS] {
        (self >> (8 * index)).0.map(|x| x as u8)
    }
}

impl Halves {
    /// Whether all are finite half-precision numbers.
    #[inline(always)]
    pub(super) fn are_finite_f16(self) -> bool {
        self.0.iter().fold(true, |finite, bits| finite & (bits & 0x7c00 != 0x7c00))
    }

    #[inline(always)]
    pub(super) fn are_finite_bf16(self) -> bool {
        self.0.iter().fold(true, |finite, bits| finite & (bits & 0x7f80 != 0x7f80))
    }
}

impl Unit<'_> {
    #[inline(always)]
    pub(super) fn words(&mut self, vector: usize, words: Words) {
        let lanes = &mut self.0[vector * VECTOR_BYTES..][..VECTOR_BYTES];
        for (lane, word) in lanes.as_chunks_mut::<4>().0.iter_mut().zip(words.0) {
            *lane = word.to_le_bytes();
        }
    }

    /// Half a vector.
    #[inline(always)]
    pub(super) fn halves(&mut self, half_vector: usize, halves: Halves) {
        let lanes = &mut self.0[half_vector * (VECTOR_BYTES / 2)..][..VECTOR_BYTES / 2];
        for (lane, half) in lanes.as_chunks_mut::<2>().0.iter_mut().zip(halves.0) {
            *lane = half.to_le_bytes();
        }
    }

    /// A quarter of a vector, from byte `at` on.
    #[inline(always)]
    pub(super) fn bytes(&mut self, at: usize, bytes: [u8; PANEL_ROWS]) {
        self.0[at..at + PANEL_ROWS].copy_from_slice(&bytes);
    }
}

/// One operation on all 16.
macro_rules! lanes {
    ($operation:ident, $method:ident, $right:ty, $apply:expr) => {
        impl $operation<$right> for Words {
            type Output = Self;

            #[inline(always)]
            fn $method(self, right: $right) -> Self {
                let apply: fn(u32, $right) -> u32 = $apply;
                Self(self.0.map(|x| apply(x, right)))
            }
        }
    };
}

lanes!(BitAnd, bitand, u32, |x, mask| x & mask);
lanes!(BitXor, bitxor, u32, |x, bits| x ^ bits);
lanes!(Shl, shl, usize, |x, bits| x << bits);
lanes!(Shr, shr, usize, |x, bits| x >> bits);

impl BitOr for Words {
    type Output = Self;

    #[inline(always)]
    fn bitor(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] | other.0[i]))
    }
}
