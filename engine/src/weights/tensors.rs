//! Looks tensors up by name and reads the parts that a rank holds.

use std::collections::HashMap;

use checkpoint::{
    Manifest, StorageError, StoredMatrix, StoredVector, TensorEntry, TensorPart, part_of,
};
use protocol::ids::LayerIndex;
use protocol::model_spec::{ModelSpec, ShareSlice};

#[cfg(feature = "candle")]
use super::blocks::Blocks;
use super::matrix::Matrix;
use super::piece::Piece;
use super::rows::{self, Described, MatrixRows, Plain};
use super::source::WeightSource;
use crate::error::EngineError;
use crate::kernels::Compute;

/// A rank's tensors and the place to read them from. A tensor has the shape that the rank holds.
pub(crate) struct Tensors<'a> {
    entries: HashMap<&'a str, &'a TensorEntry>,
    spec: &'a ModelSpec,
    slice: ShareSlice,
    source: &'a dyn WeightSource,
    compute: &'a Compute,
    progress: &'a mut dyn FnMut(u64),
    done_bytes: u64,
}

impl<'a> Tensors<'a> {
    /// `progress` is told the bytes read so far.
    pub(crate) fn new(
        manifest: &'a Manifest,
        slice: ShareSlice,
        source: &'a dyn WeightSource,
        compute: &'a Compute,
        progress: &'a mut dyn FnMut(u64),
    ) -> Self {
        let entries = manifest.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
        let (entries, spec) = (entries.collect(), &manifest.spec);
        Self { entries, spec, slice, source, compute, progress, done_bytes: 0 }
    }

    /// The rank's first head of the whole model's, where each has keys of its own (MLA).
    pub(crate) fn first_head(&self) -> usize {
        self.slice.kv_heads.start as usize
    }

    pub(crate) fn is_first(&self) -> bool {
        self.slice.is_first
    }

    /// A matrix of `[rows, columns]`, kept in its stored type.
    pub(crate) fn matrix(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Matrix, EngineError> {
        let part = part_of(self.spec, &self.slice, name);
        self.part(name, part, [rows as u64, columns as u64])
    }

    /// The rank's rows of the head, which is the embedding where the two are tied.
    pub(crate) fn head(&mut self) -> Result<Matrix, EngineError> {
        let (name, part, shape) = self.head_part();
        self.part(name, part, shape)
    }

    fn head_part(&self) -> (&'static str, TensorPart, [u64; 2]) {
        let tied = self.spec.tied_embeddings;
        let name = if tied { "token_embd.weight" } else { "output.weight" };
        let rows = self.slice.vocabulary.clone();
        let part = TensorPart::Rows(rows.start.into()..rows.end.into());
        (name, part, [rows.len() as u64, self.spec.hidden_size.into()])
    }

    /// A layer's columns of the table of the layers' own inputs, `[vocabulary, width]`.
    pub(crate) fn layer_table(&mut self, layer: LayerIndex) -> Result<Matrix, EngineError> {
        let width = u64::from(self.spec.per_layer_width);
        let start = u64::from(layer.0) * width;
        let part = TensorPart::Columns(start..start + width);
        self.part("per_layer_token_embd.weight", part, [self.spec.vocab_size.into(), width])
    }

    /// As `matrix`, not packed: for a device that multiplies blocks as they are stored.
    #[cfg(feature = "candle")]
    pub(crate) fn blocks(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Blocks, EngineError> {
        let part = part_of(self.spec, &self.slice, name);
        self.part_blocks(name, part, [rows as u64, columns as u64])
    }

    /// As `head`, not packed.
    #[cfg(feature = "candle")]
    pub(crate) fn head_blocks(&mut self) -> Result<Blocks, EngineError> {
        let (name, part, shape) = self.head_part();
        self.part_blocks(name, part, shape)
    }

    #[cfg(feature = "candle")]
    fn part_blocks(
        &mut self,
        name: &str,
        part: TensorPart,
        shape: [u64; 2],
    ) -> Result<Blocks, EngineError> {
        let stored = StoredMatrix::find(name, |name| self.entry(name))?;
        let from = rows::open(stored, part, shape, self.source)?;
        let blocks = Blocks::read(&*from)?;
        self.done_bytes += from.stored_bytes();
        (self.progress)(self.done_bytes);
        Ok(blocks)
    }

    /// A vector (a norm's weight, a bias), converted to f32; zeros where another rank adds it.
    pub(crate) fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>, EngineError> {
        let part = part_of(self.spec, &self.slice, name);
        if part == TensorPart::Nothing {
            return Ok(vec![0.0; length]);
        }
        let StoredVector { entry, elements } = StoredVector::find(name, |name| self.entry(name))?;
        let step = elements.step as usize;
        // Of two in turn all is read, and then the part.
        let (part, stored, first) = match part {
            TensorPart::Rows(range) if step > 1 => {
                (TensorPart::Whole, entry.shape.first().copied().unwrap_or(0), range.start as usize)
            }
            part => (part, (length * step) as u64, 0),
        };
        let piece = Piece::of(entry, part, &[stored])?;
        let mut all = vec![0.0; piece.columns];
        self.read(&Plain { piece, source: self.source })?.row_to_f32(0, &mut all);
        let own = all.into_iter().skip(elements.first as usize).step_by(step).skip(first);
        let own: Vec<f32> = own.take(length).collect();
        if own.len() != length {
            let (tensor, found) = (entry.name.clone(), entry.shape.clone());
            let expected = vec![(length * step) as u64];
            return Err(StorageError::WrongShape { tensor, found, expected }.into());
        }
        Ok(own)
    }

    /// Reads a part of a matrix that is to have the shape `shape`.
    fn part(
        &mut self,
        name: &str,
        part: TensorPart,
        shape: [u64; 2],
    ) -> Result<Matrix, EngineError> {
        let stored = StoredMatrix::find(name, |name| self.entry(name))?;
        let Some(shard) = self.source.packed() else {
            return self.read(&*rows::open(stored, part, shape, self.source)?);
        };
        let described = Described::of(&stored, part.clone(), shape)?;
        if let Some(packed) = shard.find(name, &described) {
            let matrix = Matrix::of(packed, shape.map(|size| size as usize), self.compute);
            self.done_bytes += matrix.bytes();
            (self.progress)(self.done_bytes);
            return Ok(matrix);
        }
        let matrix = self.read(&*rows::open(stored, part, shape, self.source)?)?;
        shard.note(name, &described, &matrix.packed);
        Ok(matrix)
    }

    fn entry(&self, name: &str) -> Option<&'a TensorEntry> {
        self.entries.get(name).copied()
    }

    fn read(&mut self, from: &dyn MatrixRows) -> Result<Matrix, EngineError> {
        let (done_bytes, progress) = (&mut self.done_bytes, &mut *self.progress);
        Matrix::read(from, self.compute, &mut |bytes| {
            *done_bytes += bytes;
            progress(*done_bytes);
        })
    }
}
