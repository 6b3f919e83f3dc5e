//! A matrix as rows of whole blocks of one type, however it lies in its files.

use checkpoint::{StorageError, StoredForm, StoredMatrix, TensorEntry, TensorPart, WeightType};

use super::dequantise::dequantise;
use super::piece::{Piece, check_length};
use super::source::WeightSource;
use super::window::Window;
use crate::error::EngineError;

mod float8;
mod int4;
mod plain;
mod split_mxfp4;
#[cfg(test)]
mod tests;
mod window_of_file;

use float8::Float8;
use int4::Int4;
pub(super) use plain::Plain;
use split_mxfp4::SplitMxfp4;

/// Rows of blocks, as `pack_panels` takes them.
pub(super) trait MatrixRows: Sync {
    /// The type of the blocks.
    fn weight(&self) -> WeightType;

    /// Rows and columns.
    fn shape(&self) -> [usize; 2];

    /// The tensor that holds the codes, for errors.
    fn tensor(&self) -> &TensorEntry;

    /// Bytes of the files that are these rows'.
    fn stored_bytes(&self) -> u64;

    /// Which column stands at each place of a row, where they are not in their own order.
    fn order(&self) -> Option<&[u32]> {
        None
    }

    /// Bytes of blocks that are best read together: large enough for the disk, small enough that
    /// progress shows and that they stay in a core's cache.
    fn read_bytes(&self) -> usize {
        1 << 20
    }

    /// Writes the rows from `first` on to `blocks`, which takes whole rows; `stored` is space.
    fn read(
        &self,
        first: usize,
        blocks: &mut [u8],
        stored: &mut Vec<u8>,
    ) -> Result<(), EngineError>;
}

/// What `part` of a matrix is, which must have the shape `shape`: known before a byte is read.
pub(super) struct Described {
    /// Of the blocks.
    pub(super) weight: WeightType,
    pub(super) window: Window,
}

impl Described {
    /// The first and one past the last row and column.
    pub(super) fn numbers(&self) -> [u64; 4] {
        let Window { rows, columns } = &self.window;
        [rows.start, rows.end, columns.start, columns.end].map(|n| n as u64)
    }

    pub(super) fn of(
        stored: &StoredMatrix<'_>,
        part: TensorPart,
        shape: [u64; 2],
    ) -> Result<Self, EngineError> {
        stored.entries().try_for_each(check_length)?;
        let weight = stored.packed_type();
        let codes = match stored.form {
            StoredForm::Plain(codes)
            | StoredForm::Mxfp4 { codes, .. }
            | StoredForm::Float8 { codes, .. } => codes,
            StoredForm::Int4(parts) => parts.codes,
        };
        let window = Window::of(&codes.name, stored.shape, part, shape, weight);
        let window = window.map_err(|error| match error {
            EngineError::Storage(StorageError::WrongShape { tensor, .. }) => {
                let (found, expected) = (stored.shape.to_vec(), shape.to_vec());
                StorageError::WrongShape { tensor, found, expected }.into()
            }
            other => other,
        });
        Ok(Self { weight, window: window? })
    }
}

/// `part` of a matrix, which must then have the shape `shape`.
pub(super) fn open<'a>(
    stored: StoredMatrix<'a>,
    part: TensorPart,
    shape: [u64; 2],
    source: &'a dyn WeightSource,
) -> Result<Box<dyn MatrixRows + 'a>, EngineError> {
    let Described { weight, window } = Described::of(&stored, part.clone(), shape)?;
    Ok(match stored.form {
        StoredForm::Plain(entry) => {
            Box::new(Plain { piece: Piece::of(entry, part, &shape)?, source })
        }
        StoredForm::Mxfp4 { codes, scales, rows: view } => {
            let row_blocks = stored.shape[1] as usize / 32;
            Box::new(SplitMxfp4 { codes, scales, view, row_blocks, window, source })
        }
        StoredForm::Int4(parts) => {
            Box::new(Int4::open(parts, stored.shape, (window, weight), source)?)
        }
        StoredForm::Float8 { codes, scales, per } => {
            let columns = stored.shape[1] as usize;
            Box::new(Float8::open([codes, scales], per, columns, window, source)?)
        }
    })
}

/// Fills `buffer` from byte `start` of a tensor on.
fn read_part(
    entry: &TensorEntry,
    start: u64,
    buffer: &mut [u8],
    source: &dyn WeightSource,
) -> Result<(), EngineError> {
    let offset = entry.offset + start;
    source.read_at(entry.file, offset, buffer).map_err(|source| EngineError::Read {
        name: entry.name.clone(),
        file: entry.file,
        offset,
        source,
    })
}
