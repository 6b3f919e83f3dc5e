//! MXFP4 whose codes and powers lie in two tensors (gpt-oss): joined to the blocks of GGUF, where
//! the columns of a byte are 16 apart instead of neighbours. No code changes.

use checkpoint::{RowView, TensorEntry, WeightType};

use super::MatrixRows;
use super::window_of_file::FileWindow;
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
        stored.resize(rows * width * (CODES + 1), 0);
        let (codes, scales) = stored.split_at_mut(rows * width * CODES);
        let step = self.view.step as usize;
        // Where rows of another matrix lie between them, these are left out.
        let first = self.view.first as usize + (self.window.rows.start + first) * step;
        let first_block = self.window.columns.start / 32;
        for (entry, size, out) in [(self.codes, CODES, &mut *codes), (self.scales, 1, scales)] {
            let row_bytes = self.row_blocks * size;
            let bytes = first_block * size..(first_block + width) * size;
            FileWindow { entry, row_bytes, first, step, bytes }.read(out, self.source)?;
        }
        let (codes, scales) = stored.split_at(rows * width * CODES);
        let codes = codes.as_chunks::<CODES>().0.iter().zip(scales);
        let blocks = blocks.as_chunks_mut::<{ CODES + 1 }>().0.iter_mut();
        for ([power, own @ ..], (codes, scale)) in blocks.zip(codes) {
            *power = *scale;
            halves_from_pairs(codes, own);
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
