//! The blocks of one sequence: entry i holds positions i x block size and on.

use protocol::ids::BlockId;

use super::block_allocator::BlockAllocator;

/// Grows with its sequence and is given back whole.
#[derive(Debug, Default)]
pub(super) struct BlockTable {
    blocks: Vec<BlockId>,
}

impl BlockTable {
    /// Makes room for `tokens` positions. Takes all that is missing, or nothing and says false.
    pub(super) fn grow(&mut self, tokens: u32, allocator: &mut BlockAllocator) -> bool {
        let wanted = allocator.blocks_for(tokens);
        let held = self.blocks.len() as u32;
        wanted <= held || allocator.take(wanted - held, &mut self.blocks)
    }

    pub(super) fn release(&mut self, allocator: &mut BlockAllocator) {
        allocator.give_back(&mut self.blocks);
    }

    pub(super) fn blocks(&self) -> &[BlockId] {
        &self.blocks
    }
}
