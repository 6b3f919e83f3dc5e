//! INT4_32, INT4_64 and INT4_128: unsigned 4-bit codes in groups that share a half-precision scale
//! and the code that stands for zero (GPTQ, AWQ).

use super::small_blocks::halved_nibbles;
use crate::kernels::lanes::Lanes;
use crate::kernels::panels::block_scheme::{BLOCK, BlockQuant, BlockScheme};
use crate::kernels::panels::panel_type::{PANEL_ROWS, PanelType, VECTOR_BYTES};
use crate::kernels::panels::rows_side_by_side::{Blocks, Unit};

/// 128 columns: four vectors of nibbles for each 32; then the groups' scales, half a vector each,
/// and their zeros, a quarter each.
pub(in crate::kernels) struct GroupedNibbles<const GROUP: usize>;

pub(in crate::kernels) type Int4x32 = GroupedNibbles<32>;
pub(in crate::kernels) type Int4x64 = GroupedNibbles<64>;
pub(in crate::kernels) type Int4x128 = GroupedNibbles<128>;

const COLUMNS: usize = 128;
/// Vectors of codes.
const CODES: usize = COLUMNS / 8;

impl<const GROUP: usize> GroupedNibbles<GROUP> {
    const GROUPS: usize = COLUMNS / GROUP;
    const ZEROS: usize = CODES * VECTOR_BYTES + Self::GROUPS * 2 * PANEL_ROWS;
}

impl<const GROUP: usize> PanelType for GroupedNibbles<GROUP> {
    const UNIT_COLUMNS: usize = COLUMNS;
    const UNIT_BYTES: usize =
        (Self::ZEROS + Self::GROUPS * PANEL_ROWS).next_multiple_of(VECTOR_BYTES);
    const BLOCK_COLUMNS: usize = GROUP;
    const BLOCK_BYTES: usize = 3 + GROUP / 2;
    type Scheme = BlockScheme<Self>;

    #[inline(always)]
    fn pack(block: Blocks<'_>, index: usize, unit: &mut Unit<'_>) -> bool {
        let scales = block.halves(0);
        unit.halves(2 * CODES + index, scales);
        unit.bytes(Self::ZEROS + index * PANEL_ROWS, block.bytes(2).map(|zero| zero & 15));
        for i in 0..GROUP / 8 {
            unit.words(index * GROUP / 8 + i, block.words(3 + i * 4));
        }
        scales.are_finite_f16()
    }
}

impl<const GROUP: usize> BlockQuant for GroupedNibbles<GROUP> {
    const ZEROS: bool = true;

    #[inline(always)]
    unsafe fn codes<V: Lanes>(unit: *const u8, block: usize) -> [V::Int; 8] {
        // SAFETY: the caller's promise; the vectors are within the unit.
        unsafe { halved_nibbles::<V>(unit.add(block * 4 * VECTOR_BYTES)) }
    }

    #[inline(always)]
    unsafe fn scale<V: Lanes>(unit: *const u8, block: usize) -> V::Float {
        let group = block * BLOCK / GROUP;
        // SAFETY: the caller's promise; the scales follow the codes.
        unsafe { V::load_f16(unit.add(CODES * VECTOR_BYTES + group * 2 * PANEL_ROWS)) }
    }

    #[inline(always)]
    unsafe fn zero<V: Lanes>(unit: *const u8, block: usize) -> V::Int {
        let group = block * BLOCK / GROUP;
        // SAFETY: the caller's promise; the zeros follow the scales.
        unsafe { V::load_bytes(unit.add(Self::ZEROS + group * PANEL_ROWS)) }
    }
}
