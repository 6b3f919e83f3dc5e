//! Takes matrices to the device: as they are stored where it multiplies them so.

use candle_core::quantized::ggml_file::qtensor_from_ggml;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use checkpoint::{HeldMatrix, WeightType};

use super::DeviceResult;
use crate::weights::{Blocks, dequantise};

/// Values that candle puts behind a quantised matrix on CUDA.
const PADDING: u64 = 512;

/// Values of a matrix that are widened at a time.
const WIDENED: usize = 1 << 20;

/// The matrix as candle multiplies it quantised; none where candle does not have the type.
pub(super) fn place_quantised(
    blocks: &Blocks,
    device: &Device,
) -> candle_core::Result<Option<QTensor>> {
    let place = |kind| qtensor_from_ggml(kind, &blocks.bytes, blocks.shape.to_vec(), device);
    ggml_type(blocks.weight).map(place).transpose()
}

/// `[rows, columns]` of floats, straight from the bytes that were read where they are the same.
pub(super) fn place(blocks: &Blocks, device: &Device) -> DeviceResult {
    let ([rows, columns], dtype) = (blocks.shape, placed_type(blocks.weight, device.is_cpu()));
    let stored = match blocks.weight {
        WeightType::F32 => Some(DType::F32),
        WeightType::F16 => Some(DType::F16),
        WeightType::BF16 => Some(DType::BF16),
        _ => None,
    };
    if stored == Some(dtype) {
        return Tensor::from_raw_buffer(&blocks.bytes, dtype, &[rows, columns], device);
    }
    // Some rows at a time: the whole matrix in f32 would be several times what was read.
    let placed = Tensor::zeros((rows, columns), dtype, device)?;
    let together = (WIDENED / columns.max(1)).max(1);
    let row_bytes = blocks.bytes.len() / rows.max(1);
    for (i, bytes) in blocks.bytes.chunks(together * row_bytes.max(1)).enumerate() {
        let count = bytes.len() / row_bytes;
        let mut values = vec![0.0_f32; count * columns];
        dequantise(blocks.weight, bytes, &mut values);
        let some = Tensor::from_vec(values, (count, columns), &Device::Cpu)?.to_dtype(dtype)?;
        placed.slice_set(&some.to_device(device)?, 0, i * together)?;
    }
    Ok(placed)
}

/// Memory of a matrix on a device: what `place_quantised` or `place` take.
pub(super) fn placed_bytes(matrix: HeldMatrix<'_>, is_cpu: bool) -> u64 {
    let HeldMatrix { name, weight, rows, columns } = matrix;
    // Latent attention multiplies these with heads of queries: they are floats.
    let floats = name.contains(".attn_k_b.") || name.contains(".attn_v_b.");
    if ggml_type(weight).is_none() || floats {
        return rows * columns * placed_type(weight, is_cpu).size_in_bytes() as u64;
    }
    let padded = if is_cpu { 0 } else { PADDING };
    (rows * columns + padded) / weight.block_elements() * weight.block_bytes()
}

/// Floats as they are stored where the device multiplies them, f16 for what candle has no kernel
/// for, f32 on candle's CPU device, where halves are slow and round the result.
fn placed_type(weight: WeightType, is_cpu: bool) -> DType {
    match weight {
        _ if is_cpu => DType::F32,
        WeightType::F32 => DType::F32,
        WeightType::BF16 => DType::BF16,
        _ => DType::F16,
    }
}

/// The types that candle multiplies as they are.
fn ggml_type(weight: WeightType) -> Option<GgmlDType> {
    match weight {
        WeightType::Q4_0 => Some(GgmlDType::Q4_0),
        WeightType::Q4_1 => Some(GgmlDType::Q4_1),
        WeightType::Q5_0 => Some(GgmlDType::Q5_0),
        WeightType::Q5_1 => Some(GgmlDType::Q5_1),
        WeightType::Q8_0 => Some(GgmlDType::Q8_0),
        WeightType::Q2K => Some(GgmlDType::Q2K),
        WeightType::Q3K => Some(GgmlDType::Q3K),
        WeightType::Q4K => Some(GgmlDType::Q4K),
        WeightType::Q5K => Some(GgmlDType::Q5K),
        WeightType::Q6K => Some(GgmlDType::Q6K),
        _ => None,
    }
}
