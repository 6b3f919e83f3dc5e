//! The matrix unit of AMX: products of int8 tiles, 16 input rows by 16 weight rows.
//!
//! Rust has no stable functions for it, so each sequence is a block of assembly; the compiler
//! itself never uses tile registers.

use std::arch::asm;
use std::sync::OnceLock;

use super::input::InputStep;
use super::panel_type::VECTOR_BYTES;

/// Input rows of a tile.
pub(super) const TILE_ROWS: usize = 16;
/// One tile of 16 rows by 16 lanes.
pub(super) const TILE_VALUES: usize = 256;

/// 256 columns of a panel as bytes that tiles take: `[columns / 4][16 rows][4]`.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Plane(pub(super) [u8; 4096]);

/// Results of up to eight tile products, `[tile][input row][weight row]`.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct TileSums(pub(super) [i32; 8 * TILE_VALUES]);

/// Whether the CPU has int8 tiles and the system lets this process use them.
pub(in crate::kernels) fn are_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let leaf = std::arch::x86_64::__cpuid_count(7, 0);
        let (tile, int8) = (leaf.edx >> 24 & 1, leaf.edx >> 25 & 1);
        tile == 1 && int8 == 1 && may_use_tiles()
    })
}

/// Asks Linux for the tiles' state, for this process and all its threads.
#[cfg(target_os = "linux")]
fn may_use_tiles() -> bool {
    const ARCH_REQ_XCOMP_PERM: i32 = 0x1023;
    const XFEATURE_XTILE_DATA: usize = 18;
    // SAFETY: the call takes two numbers and touches no memory of ours.
    let refused =
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA) };
    refused == 0
}

#[cfg(not(target_os = "linux"))]
fn may_use_tiles() -> bool {
    false
}

/// Shapes of the eight tile registers, as `ldtilecfg` reads them.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Loads the shapes: tiles 0 to 3 are sums, 4 and 5 inputs, 6 and 7 weights, `columns` of them
/// (32 or 64) at a time.
///
/// # Safety
/// `are_available`.
pub(super) unsafe fn configure(columns: usize) {
    let mut shapes =
        Shapes { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    for tile in 0..8 {
        shapes.row_bytes[tile] = VECTOR_BYTES as u16;
        shapes.rows[tile] = TILE_ROWS as u8;
    }
    for i in 0..2 {
        shapes.row_bytes[4 + i] = columns as u16;
        shapes.rows[6 + i] = (columns / 4) as u8;
    }
    // SAFETY: the shapes are valid for palette 1: at most 16 rows of 64 bytes.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &shapes, options(nostack, readonly)) };
}

/// Gives the tiles' state back, which would else be saved with every switch of threads.
///
/// # Safety
/// `are_available`.
pub(super) unsafe fn release() {
    // SAFETY: nobody relies on the tiles' contents.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

macro_rules! two_planes {
    ($multiply:literal, $first:expr, $second:expr, $planes:expr, $sums:expr) => {
        asm!(
            "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{first} + {row}*1]",
            "tileloadd tmm6, [{high} + {vector}*1]",
            concat!($multiply, " tmm0, tmm4, tmm6"),
            "tileloadd tmm7, [{low} + {vector}*1]",
            concat!($multiply, " tmm1, tmm4, tmm7"),
            "tileloadd tmm5, [{second} + {row}*1]",
            concat!($multiply, " tmm2, tmm5, tmm6"),
            concat!($multiply, " tmm3, tmm5, tmm7"),
            "add {first}, 64", "add {second}, 64", "add {high}, 1024", "add {low}, 1024",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{sums} + {vector}*1], tmm0",
            "tilestored [{sums} + {vector}*1 + 1024], tmm1",
            "tilestored [{sums} + {vector}*1 + 2048], tmm2",
            "tilestored [{sums} + {vector}*1 + 3072], tmm3",
            first = inout(reg) $first => _,
            second = inout(reg) $second => _,
            high = inout(reg) $planes[0].0.as_ptr() => _,
            low = inout(reg) $planes[1].0.as_ptr() => _,
            steps = inout(reg) 4_usize => _,
            sums = in(reg) $sums.0.as_mut_ptr(),
            vector = in(reg) VECTOR_BYTES,
            row = in(reg) size_of::<InputStep>(),
            options(nostack),
        )
    };
}

/// Products of 256 columns of two groups of 16 input rows with two planes of weight bytes: tiles 0
/// and 1 of the first group, 2 and 3 of the second. The planes' bytes have a sign or not.
///
/// # Safety
/// `are_available`, configured for 64 columns; 16 steps follow `first`, and `second`.
#[inline(always)]
pub(super) unsafe fn multiply_planes<const SIGNED: bool>(
    first: *const InputStep,
    second: *const InputStep,
    planes: &[Plane; 2],
    sums: &mut TileSums,
) {
    // SAFETY: the caller's promise; a step begins with its 256 values, which four tiles of 64
    // columns cover, and so do they the planes; four tiles of sums are written.
    unsafe {
        match SIGNED {
            true => two_planes!("tdpbssd", first, second, planes, sums),
            false => two_planes!("tdpbsud", first, second, planes, sums),
        }
    }
}

macro_rules! four_blocks {
    ($x:expr, $plane:expr, $sums:expr) => {
        asm!(
            "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
            "tileloadd tmm4, [{x} + {row}*1]",
            "tileloadd tmm6, [{plane} + {vector}*1]",
            "tdpbssd tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{x} + {row}*1 + 32]",
            "tileloadd tmm7, [{plane} + {vector}*1 + 512]",
            "tdpbssd tmm1, tmm5, tmm7",
            "tileloadd tmm4, [{x} + {row}*1 + 64]",
            "tileloadd tmm6, [{plane} + {vector}*1 + 1024]",
            "tdpbssd tmm2, tmm4, tmm6",
            "tileloadd tmm5, [{x} + {row}*1 + 96]",
            "tileloadd tmm7, [{plane} + {vector}*1 + 1536]",
            "tdpbssd tmm3, tmm5, tmm7",
            "tilestored [{sums} + {vector}*1], tmm0",
            "tilestored [{sums} + {vector}*1 + 1024], tmm1",
            "tilestored [{sums} + {vector}*1 + 2048], tmm2",
            "tilestored [{sums} + {vector}*1 + 3072], tmm3",
            x = in(reg) $x,
            plane = in(reg) $plane,
            sums = in(reg) $sums,
            vector = in(reg) VECTOR_BYTES,
            row = in(reg) size_of::<InputStep>(),
            options(nostack),
        )
    };
}

/// Products of 16 input rows with a plane of signed bytes, each of eight blocks of 32 columns in a
/// tile of its own.
///
/// # Safety
/// `are_available`, configured for 32 columns; 16 steps follow `rows`.
#[inline(always)]
pub(super) unsafe fn multiply_blocks(rows: *const InputStep, plane: &Plane, sums: &mut TileSums) {
    let (x, plane, sums) = (rows.cast::<u8>(), plane.0.as_ptr(), sums.0.as_mut_ptr());
    // SAFETY: the caller's promise; as in `multiply_planes`, 128 columns at a time.
    unsafe {
        four_blocks!(x, plane, sums);
        four_blocks!(x.add(128), plane.add(2048), sums.add(4 * TILE_VALUES));
    }
}
