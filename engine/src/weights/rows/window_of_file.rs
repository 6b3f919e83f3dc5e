//! Reads what a rank needs of a tensor's rows, and no byte beside it.

use std::ops::Range;

use checkpoint::TensorEntry;

use super::{dequantise, read_part};
use crate::error::EngineError;
use crate::weights::source::WeightSource;

/// A part of a tensor's rows, seen as bytes.
pub(super) struct FileWindow<'a> {
    pub(super) entry: &'a TensorEntry,
    /// Of a whole row.
    pub(super) row_bytes: usize,
    /// The first row, and how far it is from each to the next.
    pub(super) first: usize,
    pub(super) step: usize,
    /// Of each row.
    pub(super) bytes: Range<usize>,
}

impl FileWindow<'_> {
    /// Fills `out` with as many rows as it takes, one behind the other.
    pub(super) fn read(
        &self,
        out: &mut [u8],
        source: &dyn WeightSource,
    ) -> Result<(), EngineError> {
        let start = |row: usize| (row * self.row_bytes + self.bytes.start) as u64;
        if self.step == 1 && self.bytes.len() == self.row_bytes {
            return read_part(self.entry, start(self.first), out, source);
        }
        let rows = out.chunks_exact_mut(self.bytes.len().max(1)).enumerate();
        rows.map(|(i, row)| (start(self.first + i * self.step), row))
            .try_for_each(|(start, row)| read_part(self.entry, start, row, source))
    }
}

/// Columns of some rows of a tensor of floats, `[rows, columns]`.
pub(super) fn read_floats(
    entry: &TensorEntry,
    row_values: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    source: &dyn WeightSource,
) -> Result<Vec<f32>, EngineError> {
    let size = entry.weight_type.block_bytes() as usize;
    let mut bytes = vec![0; rows.len() * columns.len() * size];
    let mut values = vec![0.0; rows.len() * columns.len()];
    let bytes_of = columns.start * size..columns.end * size;
    let row_bytes = row_values * size;
    FileWindow { entry, row_bytes, first: rows.start, step: 1, bytes: bytes_of }
        .read(&mut bytes, source)?;
    dequantise(entry.weight_type, &bytes, &mut values);
    Ok(values)
}
