//! A weight matrix in its stored type: quantised or not is its own property, not the model's.

use super::packing::read_packed;
use super::rows::MatrixRows;
use crate::error::EngineError;
use crate::kernels::panels::PackedMatrix;
use crate::kernels::{Compute, KernelSet};

/// `[rows, columns]`, packed for products.
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) packed: PackedMatrix,
    set: KernelSet,
}

impl Matrix {
    pub(super) fn read(
        from: &dyn MatrixRows,
        compute: &Compute,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, EngineError> {
        Ok(Self::of(read_packed(from, compute, progress)?, from.shape(), compute))
    }

    /// What is packed already.
    pub(super) fn of(packed: PackedMatrix, [rows, columns]: [usize; 2], compute: &Compute) -> Self {
        Self { rows, columns, packed, set: compute.set() }
    }

    /// Memory that the values take.
    pub(crate) fn bytes(&self) -> u64 {
        self.packed.bytes() as u64
    }

    /// Writes row `row` to `out` (`[columns]`), dequantised.
    pub(crate) fn row_to_f32(&self, row: usize, out: &mut [f32]) {
        self.packed.row_to_f32(self.set, row, out);
    }
}
