//! Floats of 8 bits whose scales lie in a tensor of their own.

use std::ops::Range;

use checkpoint::{Float8Scales, TensorEntry, WeightType};

use super::MatrixRows;
use super::window_of_file::{FileWindow, read_floats};
use crate::error::EngineError;
use crate::weights::source::WeightSource;
use crate::weights::window::Window;

/// Rows and columns of a scale.
const BLOCK: usize = 128;

pub(super) struct Float8<'a> {
    codes: &'a TensorEntry,
    /// Those of the window.
    scales: Vec<f32>,
    per: Float8Scales,
    /// Columns of the whole matrix.
    columns: usize,
    window: Window,
    stored_bytes: u64,
    source: &'a dyn WeightSource,
}

impl<'a> Float8<'a> {
    /// Reads the scales of the window; its codes are read piece by piece.
    pub(super) fn open(
        [codes, scales]: [&'a TensorEntry; 2],
        per: Float8Scales,
        columns: usize,
        window: Window,
        source: &'a dyn WeightSource,
    ) -> Result<Self, EngineError> {
        let own = (window.rows.len() * window.columns.len()) as u64;
        // Of a rank's share of the codes as much of the scales.
        let stored_bytes = own + own * scales.bytes / codes.bytes.max(1);
        let scales = match per {
            Float8Scales::Blocks => {
                let (rows, blocks) = (in_blocks(&window.rows), in_blocks(&window.columns));
                read_floats(scales, columns / BLOCK, rows, blocks, source)?
            }
            Float8Scales::Rows => read_floats(scales, 1, window.rows.clone(), 0..1, source)?,
            Float8Scales::Matrix => read_floats(scales, 1, 0..1, 0..1, source)?,
        };
        Ok(Self { codes, scales, per, columns, window, stored_bytes, source })
    }

    /// Of row `row` and block `block` of the window.
    fn scale(&self, row: usize, block: usize) -> f32 {
        self.scales[match self.per {
            Float8Scales::Blocks => {
                let first = self.window.rows.start;
                let row = (first + row) / BLOCK - first / BLOCK;
                row * (self.window.columns.len() / BLOCK) + block
            }
            Float8Scales::Rows => row,
            Float8Scales::Matrix => 0,
        }]
    }
}

/// The blocks that a range touches.
fn in_blocks(range: &Range<usize>) -> Range<usize> {
    range.start / BLOCK..range.end.div_ceil(BLOCK)
}

impl MatrixRows for Float8<'_> {
    fn weight(&self) -> WeightType {
        WeightType::F8x128
    }

    fn shape(&self) -> [usize; 2] {
        [self.window.rows.len(), self.window.columns.len()]
    }

    fn tensor(&self) -> &TensorEntry {
        self.codes
    }

    fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    fn read(
        &self,
        first: usize,
        blocks: &mut [u8],
        stored: &mut Vec<u8>,
    ) -> Result<(), EngineError> {
        let width = self.window.columns.len() / BLOCK;
        let rows = blocks.len() / (width * (4 + BLOCK)).max(1);
        stored.resize(rows * self.window.columns.len(), 0);
        let first_row = self.window.rows.start + first;
        let (row_bytes, bytes) = (self.columns, self.window.columns.clone());
        FileWindow { entry: self.codes, row_bytes, first: first_row, step: 1, bytes }
            .read(stored, self.source)?;
        let codes = stored.as_chunks::<BLOCK>().0;
        let blocks = blocks.as_chunks_mut::<{ 4 + BLOCK }>().0.iter_mut();
        for (i, (block, codes)) in blocks.zip(codes).enumerate() {
            let scale = self.scale(first + i / width, i % width);
            block[..4].copy_from_slice(&scale.to_le_bytes());
            block[4..].copy_from_slice(codes);
        }
        Ok(())
    }
}
