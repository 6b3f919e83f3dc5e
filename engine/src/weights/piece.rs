//! A tensor, or some rows or columns of it, as byte ranges of its file.

use checkpoint::{TensorEntry, TensorPart};

use crate::error::EngineError;

/// `rows` runs of `row_bytes`, each `stride` bytes behind the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) entry: &'a TensorEntry,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Of the first row.
    pub(super) offset: u64,
    pub(super) row_bytes: usize,
    pub(super) stride: u64,
}

impl<'a> Piece<'a> {
    /// `part` of `entry`, which must then have the shape `shape` (a vector is one row).
    pub(super) fn of(
        entry: &'a TensorEntry,
        part: TensorPart,
        shape: &[u64],
    ) -> Result<Self, EngineError> {
        let (name, weight) = (entry.name.clone(), entry.weight_type);
        let bad_shape = || EngineError::BadShape {
            name: name.clone(),
            found: entry.shape.clone(),
            expected: shape.to_vec(),
        };
        let &columns = entry.shape.last().ok_or_else(bad_shape)?;
        let Some(bytes) = weight.tensor_bytes(&entry.shape) else {
            let block = weight.block_elements();
            return Err(EngineError::BadColumns { name, weight, columns, block });
        };
        if bytes != entry.bytes {
            let found = entry.bytes;
            return Err(EngineError::BadLength { name, weight, found, expected: bytes });
        }
        let vector = entry.shape.len() == 1;
        let whole = [if vector { 1 } else { entry.shape[0] }, columns];
        let (rows, columns) = match (part, vector) {
            (TensorPart::Whole, _) => (0..whole[0], 0..whole[1]),
            (TensorPart::Rows(rows), false) => (rows, 0..whole[1]),
            (TensorPart::Rows(columns), true) => (0..1, columns),
            (TensorPart::Columns(columns), _) => (0..whole[0], columns),
            (TensorPart::Nothing, _) => (0..0, 0..whole[1]),
        };
        let found =
            [rows.end.saturating_sub(rows.start), columns.end.saturating_sub(columns.start)];
        let found = if vector { &found[1..] } else { &found[..] };
        if entry.shape.len() > 2 || found != shape || rows.end > whole[0] || columns.end > whole[1]
        {
            return Err(bad_shape());
        }
        let block = weight.block_elements();
        let bytes_of = |elements: u64| elements / block * weight.block_bytes();
        if !columns.start.is_multiple_of(block) || !columns.end.is_multiple_of(block) {
            let columns = columns.end - columns.start;
            return Err(EngineError::BadColumns { name, weight, columns, block });
        }
        let stride = bytes_of(whole[1]);
        Ok(Self {
            entry,
            rows: (rows.end - rows.start) as usize,
            columns: (columns.end - columns.start) as usize,
            offset: entry.offset + rows.start * stride + bytes_of(columns.start),
            row_bytes: bytes_of(columns.end - columns.start) as usize,
            stride,
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.rows as u64 * self.row_bytes as u64
    }

    /// Whole rows of the file: one run of bytes.
    pub(super) fn is_run(&self) -> bool {
        self.row_bytes as u64 == self.stride
    }
}
