//! Floats of 8 bits whose scales lie in a tensor of their own.

use checkpoint::{Float8Scales, TensorEntry, WeightType};

use super::{MatrixRows, read_floats, read_part};
use crate::error::EngineError;
use crate::weights::source::WeightSource;
use crate::weights::window::Window;

/// Rows and columns of a scale.
const BLOCK: usize = 128;

pub(super) struct Float8<'a> {
    codes: &'a TensorEntry,
    scales: Vec<f32>,
    per: Float8Scales,
    /// Columns of the whole matrix.
    columns: usize,
    window: Window,
    stored_bytes: u64,
    source: &'a dyn WeightSource,
}

impl<'a> Float8<'a> {
    /// Reads the scales of a matrix of so many columns; its codes are read piece by piece.
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
        let scales = read_floats(scales, source)?;
        Ok(Self { codes, scales, per, columns, window, stored_bytes, source })
    }

    fn scale(&self, row: usize, block: usize) -> f32 {
        self.scales[match self.per {
            Float8Scales::Blocks => row / BLOCK * (self.columns / BLOCK) + block,
            Float8Scales::Rows => row,
            Float8Scales::Matrix => 0,
        }]
    }
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
        let first_row = self.window.rows.start + first;
        stored.resize(rows * self.columns, 0);
        read_part(self.codes, (first_row * self.columns) as u64, stored, self.source)?;
        let first_block = self.window.columns.start / BLOCK;
        let codes = stored.as_chunks::<BLOCK>().0;
        for (i, block) in blocks.as_chunks_mut::<{ 4 + BLOCK }>().0.iter_mut().enumerate() {
            let (row, column) = (i / width, first_block + i % width);
            let scale = self.scale(first_row + row, column);
            block[..4].copy_from_slice(&scale.to_le_bytes());
            block[4..].copy_from_slice(&codes[row * (self.columns / BLOCK) + column]);
        }
        Ok(())
    }
}
