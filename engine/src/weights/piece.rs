//! A tensor, or some rows or columns of it, as byte ranges of its file.

use checkpoint::{StorageError, TensorEntry, TensorPart};

use super::window::Window;
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
        check_length(entry)?;
        let weight = entry.weight_type;
        let (whole, wanted, part) = match (&entry.shape[..], shape, part) {
            (&[rows, columns], &[wanted, width], part) => ([rows, columns], [wanted, width], part),
            (&[length], &[wanted], TensorPart::Rows(range)) => {
                ([1, length], [1, wanted], TensorPart::Columns(range))
            }
            (&[length], &[wanted], part) => ([1, length], [1, wanted], part),
            (found, expected, _) => {
                let (tensor, found) = (entry.name.clone(), found.to_vec());
                let expected = expected.to_vec();
                return Err(StorageError::WrongShape { tensor, found, expected }.into());
            }
        };
        let Window { rows, columns } = Window::of(&entry.name, whole, part, wanted, weight)
            .map_err(|error| match error {
                EngineError::Storage(StorageError::WrongShape { tensor, .. }) => {
                    let (found, expected) = (entry.shape.clone(), shape.to_vec());
                    StorageError::WrongShape { tensor, found, expected }.into()
                }
                other => other,
            })?;
        let bytes_of = |elements: u64| elements / weight.block_elements() * weight.block_bytes();
        let stride = bytes_of(whole[1]);
        Ok(Self {
            entry,
            rows: rows.len(),
            columns: columns.len(),
            offset: entry.offset + rows.start as u64 * stride + bytes_of(columns.start as u64),
            row_bytes: bytes_of(columns.len() as u64) as usize,
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

/// A tensor's bytes are those that its type and shape take.
pub(super) fn check_length(entry: &TensorEntry) -> Result<(), EngineError> {
    let (name, weight) = (entry.name.clone(), entry.weight_type);
    match weight.tensor_bytes(&entry.shape) {
        None => {
            let columns = entry.shape.last().copied().unwrap_or(0);
            let block = weight.block_elements();
            Err(EngineError::BadColumns { name, weight, columns, block })
        }
        Some(expected) if expected != entry.bytes => {
            Err(EngineError::BadLength { name, weight, found: entry.bytes, expected })
        }
        Some(_) => Ok(()),
    }
}
