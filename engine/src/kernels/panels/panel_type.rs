//! How a stored weight type lies in a panel of 16 rows.
//!
//! A panel is a row of units; a unit holds the same columns of 16 weight rows. It is made of
//! vectors of 64 bytes with a 32-bit lane per row, mostly four consecutive codes of that row: the
//! operand shape of `vpdpbusd`, and of a tile of AMX. The bits are the file's own, permuted once
//! when the weights are loaded.

use crate::kernels::lanes::Lanes;
#[cfg(target_arch = "x86_64")]
use crate::kernels::panels::dispatch::PanelJob;
use crate::kernels::panels::input::{InputKind, PanelInput};
use crate::kernels::panels::rows_side_by_side::{Blocks, Unit};

/// Weight rows of a panel.
pub(crate) const PANEL_ROWS: usize = 16;
pub(super) const VECTOR_BYTES: usize = 64;
/// Input rows whose sums are on the way together.
pub(super) const TILED_ROWS_MAX: usize = 128;

/// A stored type's place in a panel.
pub(super) trait PanelType {
    /// Columns of a unit.
    const UNIT_COLUMNS: usize;
    const UNIT_BYTES: usize;
    /// Values and bytes of a block of the file.
    const BLOCK_COLUMNS: usize;
    const BLOCK_BYTES: usize;
    /// How its products are summed.
    type Scheme: Scheme;

    /// Writes the file's block `index` of a unit, of all its rows. False if a scale is not a finite
    /// number.
    fn pack(block: Blocks<'_>, index: usize, unit: &mut Unit<'_>) -> bool;
}

/// The arithmetic that weight types share.
pub(super) trait Scheme {
    const INPUT: InputKind;

    /// Whether `tiles` computes it.
    #[cfg(target_arch = "x86_64")]
    const TILES: bool;

    /// Writes the products of `rows` input rows from `row` on, a multiple of 16 up to
    /// `TILED_ROWS_MAX`, computed by the matrix unit.
    ///
    /// # Safety
    /// `tiles::are_available`; as `Lanes` of AVX-512; the job's parts agree.
    #[cfg(target_arch = "x86_64")]
    unsafe fn tiles(job: &PanelJob<'_>, row: usize, rows: usize);

    /// Products of a panel with `M` input rows from `row` on; rows past the last yield anything.
    ///
    /// # Safety
    /// As `Lanes`; `panel` is a whole panel of the type, of `input.columns` columns, and `input`
    /// holds rows of that width in the form of `INPUT`, `row` to `row + M` rounded up to
    /// `ROWS_TOGETHER_MAX`.
    unsafe fn product<V: Lanes, const M: usize>(
        panel: *const u8,
        input: &PanelInput<'_>,
        row: usize,
    ) -> [V::Float; M];

    /// Values of one unit, `[columns][16]`.
    ///
    /// # Safety
    /// As `Lanes`; `unit` is a whole unit, `out` has room for it.
    unsafe fn dequantise<V: Lanes>(unit: *const u8, out: *mut f32);
}

/// Two vectors of nibbles in one: low halves first.
///
/// # Safety
/// As `Lanes`.
#[inline(always)]
pub(super) unsafe fn nibbles<V: Lanes>(at: *const u8) -> [V::Int; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        let (mask, both) = (V::splat(0x0f0f_0f0f), V::load(at));
        [V::and(both, mask), V::and(V::shr16(both, 4), mask)]
    }
}

/// Byte `index` of each lane.
///
/// # Safety
/// As `Lanes`.
#[inline(always)]
pub(super) unsafe fn byte<V: Lanes>(lanes: V::Int, index: usize) -> V::Int {
    // SAFETY: the caller's promise.
    unsafe { V::and(V::shr32(lanes, index as i32 * 8), V::splat(0xff)) }
}

/// The dot product of the `N` vectors of codes from `first` on with as many groups of four inputs,
/// from group `first` of `x` on. `M` rows are on the way together.
///
/// # Safety
/// As `Lanes`; `x` has the 32 inputs of the codes.
#[inline(always)]
pub(super) unsafe fn dot<V: Lanes, const M: usize, const N: usize>(
    wide: bool,
    codes: &[V::Int; 8],
    first: usize,
    x: *const i8,
) -> V::Int {
    // SAFETY: the caller's promise.
    unsafe {
        // Few rows leave the multipliers waiting for one chain of sums: use two.
        let chains = if M < 4 { 2 } else { 1 };
        let mut sums = [V::splat(0); 2];
        for group in first..first + N {
            let x = V::splat(x.add(group * 4).cast::<i32>().read_unaligned());
            let sum = &mut sums[group % chains];
            *sum = match wide {
                true => V::dot_wide(*sum, codes[group], x),
                false => V::dot(*sum, codes[group], x),
            };
        }
        if chains == 2 { V::add(sums[0], sums[1]) } else { sums[0] }
    }
}

/// Asks for the cache lines of the next unit.
///
/// # Safety
/// As `Lanes`.
#[inline(always)]
pub(super) unsafe fn prefetch<V: Lanes>(unit: *const u8, bytes: usize) {
    for line in (0..bytes).step_by(VECTOR_BYTES) {
        // SAFETY: the caller's promise; the address need not exist.
        unsafe { V::prefetch(unit.wrapping_add(line)) };
    }
}
