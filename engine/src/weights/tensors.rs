//! Looks tensors up by name, checks them against the model's shapes, reads them.

use std::collections::HashMap;

use checkpoint::{Manifest, TensorEntry};

use super::matrix::Matrix;
use super::source::WeightSource;
use crate::error::EngineError;
use crate::kernels::Compute;

/// A model's tensors and the place to read them from.
pub(crate) struct Tensors<'a> {
    entries: HashMap<&'a str, &'a TensorEntry>,
    source: &'a dyn WeightSource,
    compute: &'a Compute,
    progress: &'a mut dyn FnMut(u64),
    done_bytes: u64,
}

impl<'a> Tensors<'a> {
    /// `progress` is told the bytes read so far.
    pub(crate) fn new(
        manifest: &'a Manifest,
        source: &'a dyn WeightSource,
        compute: &'a Compute,
        progress: &'a mut dyn FnMut(u64),
    ) -> Self {
        let entries = manifest.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
        Self { entries: entries.collect(), source, compute, progress, done_bytes: 0 }
    }

    /// A matrix of `[rows, columns]`, kept in its stored type.
    pub(crate) fn matrix(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Matrix, EngineError> {
        let entry = entry(&self.entries, name, &[rows as u64, columns as u64])?;
        self.read(entry, rows, columns)
    }

    /// A vector (a norm's weight, a bias), converted to f32.
    pub(crate) fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>, EngineError> {
        let entry = entry(&self.entries, name, &[length as u64])?;
        let stored = self.read(entry, 1, length)?;
        let mut vector = vec![0.0; length];
        stored.row_to_f32(0, &mut vector);
        Ok(vector)
    }

    fn read(
        &mut self,
        entry: &TensorEntry,
        rows: usize,
        columns: usize,
    ) -> Result<Matrix, EngineError> {
        let (done_bytes, progress) = (&mut self.done_bytes, &mut *self.progress);
        let from = (self.source, self.compute);
        Matrix::read(entry, rows, columns, from, &mut |piece| {
            *done_bytes += piece;
            progress(*done_bytes);
        })
    }
}

/// The entry called `name`, whose shape and length are what the model needs.
fn entry<'m>(
    entries: &HashMap<&'m str, &'m TensorEntry>,
    name: &str,
    shape: &[u64],
) -> Result<&'m TensorEntry, EngineError> {
    let Some(entry) = entries.get(name).copied() else {
        return Err(EngineError::MissingTensor { name: name.to_owned() });
    };
    if entry.shape != shape {
        return Err(EngineError::BadShape {
            name: name.to_owned(),
            found: entry.shape.clone(),
            expected: shape.to_vec(),
        });
    }
    let weight = entry.weight_type;
    match weight.tensor_bytes(shape) {
        None => Err(EngineError::BadColumns {
            name: name.to_owned(),
            weight,
            columns: shape.last().copied().unwrap_or(0),
            block: weight.block_elements(),
        }),
        Some(expected) if expected != entry.bytes => Err(EngineError::BadLength {
            name: name.to_owned(),
            weight,
            found: entry.bytes,
            expected,
        }),
        Some(_) => Ok(entry),
    }
}
