//! Block ids of the paged KV pool: who may write where. The bytes belong to the stages.

use protocol::ids::BlockId;

/// Hands out ids, the last returned first. An id may go out again in the very next batch: stages
/// execute batches in the order dispatched, so rows that still use it run before the new owner's.
#[derive(Debug)]
pub(super) struct BlockAllocator {
    block_size: u32,
    total: u32,
    free: Vec<BlockId>,
}

impl BlockAllocator {
    pub(super) fn new(total: u32, block_size: u32) -> Self {
        let free = (0..total).rev().map(BlockId).collect();
        Self { block_size: block_size.max(1), total, free }
    }

    pub(super) fn blocks_for(&self, tokens: u32) -> u32 {
        tokens.div_ceil(self.block_size)
    }

    /// Appends `count` ids to `out`, or none and says false.
    pub(super) fn take(&mut self, count: u32, out: &mut Vec<BlockId>) -> bool {
        let Some(rest) = self.free.len().checked_sub(count as usize) else {
            return false;
        };
        out.extend(self.free.drain(rest..).rev());
        true
    }

    pub(super) fn give_back(&mut self, blocks: &mut Vec<BlockId>) {
        self.free.extend(blocks.drain(..).rev());
    }

    pub(super) fn free(&self) -> u32 {
        self.free.len() as u32
    }

    pub(super) fn free_ids(&self) -> &[BlockId] {
        &self.free
    }

    pub(super) fn total(&self) -> u32 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_all_or_nothing_and_reuses_what_came_back() {
        let mut allocator = BlockAllocator::new(3, 16);
        let mut held = Vec::new();
        assert!(!allocator.take(4, &mut held));
        assert!(held.is_empty());
        assert!(allocator.take(2, &mut held));
        assert_eq!(held, [BlockId(0), BlockId(1)]);
        assert_eq!(allocator.free(), 1);
        allocator.give_back(&mut held);
        assert!(allocator.take(3, &mut held));
        assert_eq!(held, [BlockId(0), BlockId(1), BlockId(2)]);
    }

    #[test]
    fn a_partly_filled_block_counts_whole() {
        let allocator = BlockAllocator::new(3, 16);
        let blocks = [0, 1, 16, 17].map(|tokens| allocator.blocks_for(tokens));
        assert_eq!(blocks, [0, 1, 1, 2]);
    }
}
