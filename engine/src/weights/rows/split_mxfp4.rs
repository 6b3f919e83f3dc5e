//! MXFP4 whose codes and powers lie in two tensors (gpt-oss): joined to the blocks of GGUF, where
//! the columns of a byte are 16 apart instead of neighbours. No code changes.

use checkpoint::{RowView, TensorEntry, WeightType};

use super::{MatrixRows, read_part};
use crate::error::EngineError;
use crate::weights::source::WeightSource;
use crate::weights::window::Window;

/// Bytes of a block's codes.
const CODES: usize = 16;

pub(super) struct SplitMxfp4<'a> {
    pub(super) codes: &'a TensorEntry,
    pub(super) scales: &'a TensorEntry,
    /// Which rows of both are the matrix's.
    pub(super) view: RowView,
    /// Blocks of a row of both.
    pub(super) row_blocks: usize,
    pub(super) window: Window,
    pub(super) source: &'a dyn WeightSource,
}

impl MatrixRows for SplitMxfp4<'_> {
    fn weight(&self) -> WeightType {
        WeightType::Mxfp4
    }

    fn shape(&self) -> [usize; 2] {
        [self.window.rows.len(), self.window.columns.len()]
    }

    fn tensor(&self) -> &TensorEntry {
        self.codes
    }

    fn stored_bytes(&self) -> u64 {
        (self.window.rows.len() * self.window.columns.len() / 32 * (CODES + 1)) as u64
    }

    fn read(
        &self,
        first: usize,
        blocks: &mut [u8],
        stored: &mut Vec<u8>,
    ) -> Result<(), EngineError> {
        let width = self.window.columns.len() / 32;
        let rows = blocks.len() / (width * (CODES + 1)).max(1);
        if rows == 0 {
            return Ok(());
        }
        let (step, row_blocks) = (self.view.step as usize, self.row_blocks);
        // From the first row that is meant to the last: between them those of the other matrix.
        let first_row = self.view.first as usize + (self.window.rows.start + first) * step;
        let stored_blocks = ((rows - 1) * step + 1) * row_blocks;
        stored.resize(stored_blocks * (CODES + 1), 0);
        let (codes, scales) = stored.split_at_mut(stored_blocks * CODES);
        let start = (first_row * row_blocks) as u64;
        read_part(self.codes, start * CODES as u64, codes, self.source)?;
        read_part(self.scales, start, scales, self.source)?;
        let codes = codes.as_chunks::<CODES>().0;
        let first_block = self.window.columns.start / 32;
        for (i, block) in blocks.as_chunks_mut::<{ CODES + 1 }>().0.iter_mut().enumerate() {
            let at = i / width * step * row_blocks + first_block + i % width;
            let [power, own @ ..] = block;
            *power = scales[at];
            halves_from_pairs(&codes[at], own);
        }
        Ok(())
    }
}

/// From columns 2 i and 2 i + 1 in byte i to columns i and i + 16.
fn halves_from_pairs(pairs: &[u8; CODES], halves: &mut [u8]) {
    let code = |column: usize| pairs[column / 2] >> (column % 2 * 4) & 15;
    for (i, byte) in halves.iter_mut().enumerate() {
        *byte = code(i) | code(i + 16) << 4;
    }
}
