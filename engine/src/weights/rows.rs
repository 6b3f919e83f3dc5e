//! A matrix as rows of whole blocks of one type, however it lies in its files.

use checkpoint::{StoredForm, StoredMatrix, TensorEntry, TensorPart, WeightType};

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

    /// Writes the rows from `first` on to `blocks`, which takes whole rows; `stored` is space.
    fn read(
        &self,
        first: usize,
        blocks: &mut [u8],
        stored: &mut Vec<u8>,
    ) -> Result<(), EngineError>;
}

/// `part` of a matrix, which must then have the shape `shape`.
pub(super) fn open<'a>(
    stored: StoredMatrix<'a>,
    part: TensorPart,
    shape: [u64; 2],
    source: &'a dyn WeightSource,
) -> Result<Box<dyn MatrixRows + 'a>, EngineError> {
    stored.entries().try_for_each(check_length)?;
    let window = |codes: &TensorEntry, weight| {
        Window::of(&codes.name, stored.shape, part.clone(), shape, weight)
    };
    Ok(match stored.form {
        StoredForm::Plain(entry) => {
            Box::new(Plain { piece: Piece::of(entry, part, &shape)?, source })
        }
        StoredForm::Mxfp4 { codes, scales, rows: view } => {
            let window = window(codes, WeightType::Mxfp4)?;
            let row_blocks = stored.shape[1] as usize / 32;
            Box::new(SplitMxfp4 { codes, scales, view, row_blocks, window, source })
        }
        StoredForm::Int4(parts) => {
            let weight = parts.blocks();
            let window = window(parts.codes, weight)?;
            Box::new(Int4::open(parts, stored.shape, (window, weight), source)?)
        }
        StoredForm::Float8 { codes, scales, per } => {
            let window = window(codes, WeightType::F8x128)?;
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

/// All values of a tensor of floats.
fn read_floats(entry: &TensorEntry, source: &dyn WeightSource) -> Result<Vec<f32>, EngineError> {
    let mut bytes = vec![0; entry.bytes as usize];
    read_part(entry, 0, &mut bytes, source)?;
    let mut values = vec![0.0; bytes.len() / entry.weight_type.block_bytes() as usize];
    dequantise(entry.weight_type, &bytes, &mut values);
    Ok(values)
}
