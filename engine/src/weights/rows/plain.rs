//! Rows of blocks that lie in one tensor as they are.

use checkpoint::{TensorEntry, WeightType};

use super::MatrixRows;
use crate::error::EngineError;
use crate::weights::piece::Piece;
use crate::weights::source::WeightSource;

pub(in crate::weights) struct Plain<'a> {
    pub(in crate::weights) piece: Piece<'a>,
    pub(in crate::weights) source: &'a dyn WeightSource,
}

impl MatrixRows for Plain<'_> {
    fn weight(&self) -> WeightType {
        self.piece.entry.weight_type
    }

    fn shape(&self) -> [usize; 2] {
        [self.piece.rows, self.piece.columns]
    }

    fn tensor(&self) -> &TensorEntry {
        self.piece.entry
    }

    fn stored_bytes(&self) -> u64 {
        self.piece.bytes()
    }

    fn read(&self, first: usize, blocks: &mut [u8], _: &mut Vec<u8>) -> Result<(), EngineError> {
        let Piece { entry, row_bytes, stride, .. } = self.piece;
        let offset = self.piece.offset + first as u64 * stride;
        let read = if self.piece.is_run() {
            self.source.read_at(entry.file, offset, blocks)
        } else {
            let rows = blocks.chunks_exact_mut(row_bytes).zip(0..);
            rows.map(|(row, i)| (row, offset + i * stride))
                .try_for_each(|(row, offset)| self.source.read_at(entry.file, offset, row))
        };
        read.map_err(|source| EngineError::Read {
            name: entry.name.clone(),
            file: entry.file,
            offset,
            source,
        })
    }
}
