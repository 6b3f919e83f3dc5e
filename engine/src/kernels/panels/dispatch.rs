//! From a stored type and a kernel set, known when running, to the code compiled for them.

use checkpoint::WeightType;

use super::formats::{
    BF16, F8x128, F16, F32, Int4x32, Int4x64, Int4x128, Iq4Nl, Iq4Xs, Mxfp4, Q2K, Q3K, Q4_0, Q4_1,
    Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0,
};
use super::input::{InputKind, PanelInput};
use super::panel_type::{PANEL_ROWS, PanelType, Scheme};
use super::rows_side_by_side::{RowTile, TILE_BYTES, Unit};
#[cfg(target_arch = "x86_64")]
use super::{panel_type::TILED_ROWS_MAX, tiles::TILE_ROWS};
use crate::kernels::KernelSet;
#[cfg(target_arch = "aarch64")]
use crate::kernels::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use crate::kernels::lanes::{Avx2, Avx512};
use crate::kernels::lanes::{Lanes, Portable};

/// What the rest of the engine needs to know about a stored type.
pub(super) struct Layout {
    pub(super) unit_columns: usize,
    pub(super) unit_bytes: usize,
    pub(super) input: InputKind,
    /// Packs up to 16 rows of the file into a zeroed panel of so many columns; false if a scale is
    /// not a finite number.
    pub(super) pack: fn(rows: &[u8], columns: usize, panel: &mut [u8]) -> bool,
}

/// A stored type's code in one set.
pub(super) struct Kernels {
    /// # Safety
    /// The CPU has the set's features; the job's parts are of the type and agree.
    pub(super) product: unsafe fn(&PanelJob<'_>),
    /// # Safety
    /// The CPU has the set's features; as `Scheme::dequantise`.
    pub(super) dequantise: unsafe fn(unit: *const u8, out: *mut f32),
}

/// One panel times all input rows.
pub(super) struct PanelJob<'a> {
    pub(super) panel: *const u8,
    pub(super) input: PanelInput<'a>,
    /// The panel's first output of the first row.
    pub(super) out: *mut f32,
    /// Outputs of a row.
    pub(super) outputs: usize,
    /// Outputs that the panel has: fewer than 16 in the last one.
    pub(super) lanes: usize,
}

macro_rules! for_type {
    ($weight:expr, $function:ident($($arg:expr),*)) => {
        match $weight {
            WeightType::F32 => $function::<F32>($($arg),*),
            WeightType::F16 => $function::<F16>($($arg),*),
            WeightType::BF16 => $function::<BF16>($($arg),*),
            WeightType::Q8_0 => $function::<Q8_0>($($arg),*),
            WeightType::Q4_0 => $function::<Q4_0>($($arg),*),
            WeightType::Q5_0 => $function::<Q5_0>($($arg),*),
            WeightType::Q4K => $function::<Q4K>($($arg),*),
            WeightType::Q6K => $function::<Q6K>($($arg),*),
            WeightType::Q4_1 => $function::<Q4_1>($($arg),*),
            WeightType::Q5_1 => $function::<Q5_1>($($arg),*),
            WeightType::Q2K => $function::<Q2K>($($arg),*),
            WeightType::Q3K => $function::<Q3K>($($arg),*),
            WeightType::Q5K => $function::<Q5K>($($arg),*),
            WeightType::Iq4Nl => $function::<Iq4Nl>($($arg),*),
            WeightType::Iq4Xs => $function::<Iq4Xs>($($arg),*),
            WeightType::Mxfp4 => $function::<Mxfp4>($($arg),*),
            WeightType::F8x128 => $function::<F8x128>($($arg),*),
            WeightType::Int4x32 => $function::<Int4x32>($($arg),*),
            WeightType::Int4x64 => $function::<Int4x64>($($arg),*),
            WeightType::Int4x128 => $function::<Int4x128>($($arg),*),
            WeightType::U8 | WeightType::F8E4M3 | WeightType::I32 => {
                unreachable!("a part of a matrix is never packed")
            }
        }
    };
}

pub(super) fn layout(weight: WeightType) -> Layout {
    for_type!(weight, layout_of())
}

pub(super) fn kernels(weight: WeightType, set: KernelSet) -> Kernels {
    for_type!(weight, kernels_of(set))
}

fn layout_of<T: PanelType>() -> Layout {
    Layout {
        unit_columns: T::UNIT_COLUMNS,
        unit_bytes: T::UNIT_BYTES,
        input: T::Scheme::INPUT,
        pack: pack::<T>,
    }
}

fn pack<T: PanelType>(rows: &[u8], columns: usize, panel: &mut [u8]) -> bool {
    let row_bytes = columns / T::BLOCK_COLUMNS * T::BLOCK_BYTES;
    let unit_blocks = T::UNIT_COLUMNS / T::BLOCK_COLUMNS;
    let together = (TILE_BYTES / (unit_blocks * T::BLOCK_BYTES)).max(1);
    let tile_bytes = together * unit_blocks * T::BLOCK_BYTES;
    let mut tile = RowTile::zeros();
    let mut finite = true;
    for (i, units) in panel.chunks_mut(together * T::UNIT_BYTES).enumerate() {
        let start = i * tile_bytes;
        let end = row_bytes.min(start + tile_bytes);
        for (row, bytes) in rows.chunks_exact(row_bytes).enumerate() {
            tile.fill(row, &bytes[start..end]);
        }
        let blocks = (end - start) / T::BLOCK_BYTES;
        for (index, unit) in units.chunks_exact_mut(T::UNIT_BYTES).enumerate() {
            let first = index * unit_blocks;
            for block in first..blocks.min(first + unit_blocks) {
                let at = block * T::BLOCK_BYTES;
                finite &= T::pack(tile.blocks(at), block - first, &mut Unit(unit));
            }
        }
    }
    finite
}

fn kernels_of<T: PanelType>(set: KernelSet) -> Kernels {
    match set {
        #[cfg(target_arch = "x86_64")]
        KernelSet::Amx => {
            Kernels { product: panel_with_tiles::<T>, dequantise: avx512::dequantise::<T> }
        }
        #[cfg(target_arch = "x86_64")]
        KernelSet::Avx512Vnni => {
            Kernels { product: avx512::panel::<T>, dequantise: avx512::dequantise::<T> }
        }
        #[cfg(target_arch = "x86_64")]
        KernelSet::Avx2 => Kernels { product: avx2::panel::<T>, dequantise: avx2::dequantise::<T> },
        #[cfg(target_arch = "aarch64")]
        KernelSet::Neon => Kernels { product: neon::panel::<T>, dequantise: neon::dequantise::<T> },
        _ => Kernels { product: portable::panel::<T>, dequantise: portable::dequantise::<T> },
    }
}

/// Defines a set's code; `$most` rows and fewer, as listed, share a pass over the panel.
macro_rules! compiled {
    ($name:ident, $lanes:ty, $(#[$features:meta])? [$($left:pat => $together:literal),*]) => {
        mod $name {
            use super::*;

            $(#[$features])?
            pub(super) unsafe fn dequantise<T: PanelType>(unit: *const u8, out: *mut f32) {
                // SAFETY: the caller's promise.
                unsafe { T::Scheme::dequantise::<$lanes>(unit, out) }
            }

            pub(super) unsafe fn panel<T: PanelType>(job: &PanelJob<'_>) {
                // SAFETY: the caller's promise.
                unsafe { panel_from::<T>(job, 0) }
            }

            /// The rows from `row` on.
            ///
            /// # Safety
            /// As `Kernels::product`.
            pub(super) unsafe fn panel_from<T: PanelType>(job: &PanelJob<'_>, mut row: usize) {
                while row < job.input.rows {
                    // SAFETY: the caller's promise; the row is one of the input's.
                    unsafe {
                        row += match job.input.rows - row {
                            $($left => rows::<T, $together>(job, row)),*
                        };
                    }
                }
            }

            $(#[$features])?
            unsafe fn rows<T: PanelType, const M: usize>(job: &PanelJob<'_>, row: usize) -> usize {
                // SAFETY: the caller's promise.
                unsafe {
                    let products =
                        T::Scheme::product::<$lanes, M>(job.panel, &job.input, row);
                    store::<$lanes, M>(&products, job, row);
                }
                M
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
compiled!(
    avx512, Avx512, #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    [1 => 1, 2 => 2, 3..=4 => 4, _ => 8]
);
#[cfg(target_arch = "x86_64")]
compiled!(avx2, Avx2, #[target_feature(enable = "avx2,fma,f16c")] [1 => 1, 2 => 2, _ => 4]);
#[cfg(target_arch = "aarch64")]
compiled!(neon, Neon, #[target_feature(enable = "neon,dotprod")] [1 => 1, 2 => 2, _ => 4]);
compiled!(portable, Portable, [1 => 1, _ => 4]);

/// Whole tiles of rows by the matrix unit, the others by AVX-512.
///
/// # Safety
/// As `Kernels::product`.
#[cfg(target_arch = "x86_64")]
unsafe fn panel_with_tiles<T: PanelType>(job: &PanelJob<'_>) {
    let tiled = if T::Scheme::TILES { job.input.rows / TILE_ROWS * TILE_ROWS } else { 0 };
    // SAFETY: the caller's promise; the rows are the input's.
    unsafe {
        for row in (0..tiled).step_by(TILED_ROWS_MAX) {
            tiles::<T>(job, row, TILED_ROWS_MAX.min(tiled - row));
        }
        avx512::panel_from::<T>(job, tiled);
    }
}

/// # Safety
/// As `Scheme::tiles`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn tiles<T: PanelType>(job: &PanelJob<'_>, row: usize, rows: usize) {
    // SAFETY: the caller's promise.
    unsafe { T::Scheme::tiles(job, row, rows) }
}

/// Writes the products of the rows that exist.
///
/// # Safety
/// As `Lanes`; the job's outputs are there.
#[inline(always)]
unsafe fn store<V: Lanes, const M: usize>(
    products: &[V::Float; M],
    job: &PanelJob<'_>,
    row: usize,
) {
    for (m, products) in products.iter().enumerate().take(job.input.rows - row) {
        // SAFETY: the caller's promise.
        unsafe { store_row::<V>(*products, job, row + m) };
    }
}

/// # Safety
/// As `store`.
#[inline(always)]
pub(super) unsafe fn store_row<V: Lanes>(products: V::Float, job: &PanelJob<'_>, row: usize) {
    // SAFETY: the caller's promise; a narrower panel goes through space of its own.
    unsafe {
        let out = job.out.add(row * job.outputs);
        if job.lanes == PANEL_ROWS {
            V::store(products, out);
        } else {
            let mut all = [0.0; PANEL_ROWS];
            V::store(products, all.as_mut_ptr());
            out.copy_from_nonoverlapping(all.as_ptr(), job.lanes);
        }
    }
}
