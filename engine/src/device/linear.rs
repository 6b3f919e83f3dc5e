//! A weight matrix on the device: candle's quantised product where candle has the type.

use candle_core::quantized::ggml_file::qtensor_from_ggml;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use checkpoint::WeightType;

use super::{DeviceResult, bytes_of};
use crate::error::EngineError;
use crate::weights::{Blocks, Tensors, dequantise};

/// `y = W x + b`
pub(super) struct Linear {
    weight: Weight,
    // [outputs]
    bias: Option<Tensor>,
    bytes: u64,
}

enum Weight {
    Quantised(QTensor),
    /// Transposed: `[inputs, outputs]`.
    Plain(Tensor),
}

impl Linear {
    /// Loads `{name}.weight` of `[outputs, inputs]`, and `{name}.bias` if there is to be one.
    pub(super) fn load(
        tensors: &mut Tensors<'_>,
        device: &Device,
        name: &str,
        [outputs, inputs]: [usize; 2],
        bias: bool,
    ) -> Result<Self, EngineError> {
        let blocks = tensors.blocks(&format!("{name}.weight"), outputs, inputs)?;
        let mut linear = Self::of(&blocks, device)?;
        if bias {
            let bias = tensors.vector(&format!("{name}.bias"), outputs)?;
            linear.bytes += 4 * outputs as u64;
            linear.bias = Some(Tensor::from_vec(bias, outputs, device)?);
        }
        Ok(linear)
    }

    /// A matrix that was read as it is stored.
    pub(super) fn of(blocks: &Blocks, device: &Device) -> Result<Self, EngineError> {
        let weight = match ggml_type(blocks.weight) {
            Some(kind) => {
                let shape = blocks.shape.to_vec();
                Weight::Quantised(qtensor_from_ggml(kind, &blocks.bytes, shape, device)?)
            }
            None => Weight::Plain(plain(blocks, device)?.t()?.contiguous()?),
        };
        let bytes = match &weight {
            Weight::Quantised(_) => blocks.bytes.len() as u64,
            Weight::Plain(tensor) => bytes_of(tensor),
        };
        Ok(Self { weight, bias: None, bytes })
    }

    /// `x` is f32 `[rows, inputs]`, the result f32 `[rows, outputs]`.
    pub(super) fn forward(&self, x: &Tensor) -> DeviceResult {
        let y = match &self.weight {
            Weight::Quantised(weight) => x.contiguous()?.apply_op1_no_bwd(weight)?,
            Weight::Plain(weight) => {
                x.to_dtype(weight.dtype())?.matmul(weight)?.to_dtype(DType::F32)?
            }
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// `[rows, columns]`: floats as they are stored where the device multiplies them, f16 for what
/// candle has no kernel for, f32 on the CPU, where halves are slow and round the result.
pub(super) fn plain(blocks: &Blocks, device: &Device) -> DeviceResult {
    let [rows, columns] = blocks.shape;
    let dtype = match blocks.weight {
        _ if device.is_cpu() => DType::F32,
        WeightType::F32 => DType::F32,
        WeightType::BF16 => DType::BF16,
        _ => DType::F16,
    };
    let mut values = vec![0.0_f32; rows * columns];
    dequantise(blocks.weight, &blocks.bytes, &mut values);
    Tensor::from_vec(values, (rows, columns), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
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
