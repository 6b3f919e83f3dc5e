//! A row of values for each slot of a layer's pages, in the type of the pool.

use candle_core::{DType, Tensor};
use protocol::model_spec::KvType;

use super::DeviceResult;
use super::target::{Target, threads_for};
use crate::kernels::attention::{plane_bytes, store_row, widen_rows_of};
use crate::kernels::cuda::{Argument, Kernel};

/// Keys, or values. In eight bits a row is its codes and then a scale for each 32 of them.
#[derive(Clone)]
pub(super) struct Plane {
    // [slots, bytes or values of a row]
    pub(super) rows: Tensor,
    /// Values of a row.
    pub(super) width: usize,
    kv_type: KvType,
    target: Target,
}

impl Plane {
    /// Zeroed.
    pub(super) fn new(
        slots: usize,
        width: usize,
        kv_type: KvType,
        target: &Target,
    ) -> candle_core::Result<Self> {
        let (dtype, stored) = match kv_type {
            KvType::F32 => (DType::F32, width),
            KvType::F16 => (DType::F16, width),
            KvType::Bf16 => (DType::BF16, width),
            KvType::Q8_0 => (DType::U8, plane_bytes(width)),
        };
        let rows = Tensor::zeros((slots, stored), dtype, &target.device)?;
        Ok(Self { rows, width, kv_type, target: target.clone() })
    }

    /// The kernel that attends to such keys and values.
    pub(super) fn attend_kernel(&self) -> Kernel {
        match self.kv_type {
            KvType::F32 => Kernel::AttendF32,
            KvType::F16 => Kernel::AttendF16,
            KvType::Bf16 => Kernel::AttendBf16,
            KvType::Q8_0 => Kernel::AttendQ8,
        }
    }

    /// Rounds `rows` (`[rows, width]`) and puts them in their `slots` (`[rows]`).
    pub(super) fn store(&self, slots: &Tensor, rows: &Tensor) -> candle_core::Result<()> {
        let rows = rows.contiguous()?;
        if self.target.kernels.are_plain() {
            return self.store_plain(slots, &rows);
        }
        let kernel = match self.kv_type {
            KvType::F32 => Kernel::StoreF32,
            KvType::F16 => Kernel::StoreF16,
            KvType::Bf16 => Kernel::StoreBf16,
            KvType::Q8_0 => Kernel::StoreQ8,
        };
        let width = Argument::Int(self.width);
        let arguments = [Argument::In(&rows), Argument::In(slots), Argument::Out, width];
        let grid = [rows.dim(0)?, 1, 1];
        self.target.launch(kernel, grid, threads_for(self.width), &arguments, &self.rows)
    }

    fn store_plain(&self, slots: &Tensor, rows: &Tensor) -> candle_core::Result<()> {
        let rows = match self.kv_type {
            KvType::Q8_0 => {
                let mut bytes = vec![0; rows.dim(0)? * plane_bytes(self.width)];
                let values = rows.flatten_all()?.to_vec1::<f32>()?;
                let pairs = bytes.chunks_exact_mut(plane_bytes(self.width));
                for (bytes, row) in pairs.zip(values.chunks_exact(self.width)) {
                    store_row(bytes, 0, row);
                }
                Tensor::from_vec(bytes, (rows.dim(0)?, plane_bytes(self.width)), rows.device())?
            }
            _ => rows.to_dtype(self.rows.dtype())?,
        };
        let index = slots.unsqueeze(1)?.broadcast_as(rows.shape())?.contiguous()?;
        self.rows.scatter_set(&index, &rows, 0)
    }

    /// What `slots` (`[positions]`) hold, in f32: `[positions, width]`.
    pub(super) fn read(&self, slots: &Tensor) -> DeviceResult {
        let rows = self.rows.index_select(slots, 0)?;
        if self.kv_type != KvType::Q8_0 {
            return rows.to_dtype(DType::F32);
        }
        let bytes = rows.flatten_all()?.to_vec1::<u8>()?;
        let mut values = vec![0.0; slots.dim(0)? * self.width];
        let pairs = bytes.chunks_exact(plane_bytes(self.width));
        for (bytes, values) in pairs.zip(values.chunks_exact_mut(self.width)) {
            widen_rows_of(bytes, values);
        }
        Tensor::from_vec(values, (slots.dim(0)?, self.width), rows.device())
    }

    /// Copies `count` slots.
    pub(super) fn copy(&self, from: usize, to: usize, count: usize) -> candle_core::Result<()> {
        let rows = self.rows.narrow(0, from, count)?.copy()?;
        self.rows.slice_set(&rows, 0, to)
    }
}
