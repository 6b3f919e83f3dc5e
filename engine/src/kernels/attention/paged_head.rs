//! Where the keys and values of one KV head lie in the pool's memory.

use std::ops::Range;

use protocol::ids::BlockId;

/// Positions whose keys lie interleaved, so that a vector holds one dimension of all of them.
pub(crate) const KEY_GROUP: usize = 16;

/// Stored elements of a layer's blocks.
#[derive(Clone, Copy)]
pub(crate) enum Elements<'a> {
    /// Bits of f16.
    F16(&'a [u16]),
    F32(&'a [f32]),
    /// Bits of bf16.
    Bf16(&'a [u16]),
    /// Per head of a block: codes in the order of the others' elements, then an f16 scale for each
    /// 32 dimensions of a position, in the same order.
    Q8_0(&'a [u8]),
}

/// A block's values are `[slot][value_dim]`. Its keys are `[slot / 16][key_dim][slot % 16]`, or
/// `[slot][key_dim]` where a vector is key and value at once.
#[derive(Clone, Copy)]
pub(crate) struct PagedHead<'a> {
    pub(crate) elements: Elements<'a>,
    /// Whether keys lie row after row.
    pub(crate) row_keys: bool,
    /// Where the head's keys and values begin in block 0, in elements.
    pub(crate) keys: usize,
    pub(crate) values: usize,
    /// Elements from one block to the next.
    pub(crate) stride: usize,
    pub(crate) block_size: usize,
    pub(crate) key_dim: usize,
    pub(crate) value_dim: usize,
}

impl PagedHead<'_> {
    /// Whether `blocks` has a block of the pool for each of `positions`.
    pub(super) fn holds(&self, blocks: &[BlockId], positions: &Range<usize>) -> bool {
        let keys = self.keys + self.block_size * self.key_dim;
        let values = self.values + self.block_size * self.value_dim;
        let (end, count) = (keys.max(values), self.elements.len());
        let fits = |block: &BlockId| {
            let start = (block.0 as usize).checked_mul(self.stride);
            start.and_then(|start| start.checked_add(end)).is_some_and(|end| end <= count)
        };
        let needed = positions.end.div_ceil(self.block_size);
        self.block_size.is_multiple_of(KEY_GROUP)
            && blocks.len() >= needed
            && blocks[positions.start / self.block_size..needed].iter().all(fits)
    }

    /// The group of 16 keys that `position` is in.
    ///
    /// # Safety
    /// The head holds the position.
    #[inline(always)]
    pub(super) unsafe fn key_group(&self, blocks: &[BlockId], position: usize) -> *const u8 {
        let group = position % self.block_size / KEY_GROUP * KEY_GROUP;
        let offset = self.keys + group * self.key_dim;
        // SAFETY: the caller's promise: the block is one of the pool's.
        unsafe { self.at(blocks, position, offset) }
    }

    /// The key at `position`, where keys lie row after row.
    ///
    /// # Safety
    /// The head holds the position.
    #[inline(always)]
    pub(super) unsafe fn key_row(&self, blocks: &[BlockId], position: usize) -> *const u8 {
        let offset = self.keys + position % self.block_size * self.key_dim;
        // SAFETY: the caller's promise: the block is one of the pool's.
        unsafe { self.at(blocks, position, offset) }
    }

    /// The value at `position`.
    ///
    /// # Safety
    /// The head holds the position.
    #[inline(always)]
    pub(super) unsafe fn value(&self, blocks: &[BlockId], position: usize) -> *const u8 {
        let slot = position % self.block_size;
        let offset = self.values + slot * self.value_dim;
        // SAFETY: the caller's promise: the block is one of the pool's.
        unsafe { self.at(blocks, position, offset) }
    }

    #[inline(always)]
    unsafe fn at(&self, blocks: &[BlockId], position: usize, offset: usize) -> *const u8 {
        // SAFETY: the caller's promise: the table has the block, the pool its elements.
        unsafe {
            let block = blocks.get_unchecked(position / self.block_size).0 as usize;
            let element = block * self.stride + offset;
            match self.elements {
                Elements::F16(values) | Elements::Bf16(values) => {
                    values.as_ptr().add(element).cast()
                }
                Elements::F32(values) => values.as_ptr().add(element).cast(),
                Elements::Q8_0(bytes) => bytes.as_ptr().add(element / 32 * 34),
            }
        }
    }
}

impl Elements<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F16(values) | Self::Bf16(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::Q8_0(bytes) => bytes.len() / 34 * 32,
        }
    }
}
