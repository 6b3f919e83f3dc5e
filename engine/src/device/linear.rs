//! A weight matrix on the device: candle's quantised product where candle has the type.

use candle_core::quantized::QTensor;
use candle_core::{DType, Tensor};

use super::placed::{place, place_quantised};
use super::target::Target;
use super::{DeviceResult, bytes_of};
use crate::error::EngineError;
use crate::weights::{Blocks, Tensors};

/// `y = W x + b`
pub(super) struct Linear {
    weight: Weight,
    /// Which of the inputs stands at each place (GPTQ's desc_act).
    // [inputs]
    order: Option<Tensor>,
    // [outputs]
    bias: Option<Tensor>,
    bytes: u64,
    target: Target,
}

enum Weight {
    Quantised(Box<QTensor>),
    // [outputs, inputs]
    Plain(Tensor),
    /// The rank has none of the inputs: only a bias is left of so many outputs.
    Nothing(usize),
}

impl Linear {
    /// Loads `{name}.weight` of `[outputs, inputs]`, and `{name}.bias` if there is to be one.
    pub(super) fn load(
        tensors: &mut Tensors<'_>,
        target: &Target,
        name: &str,
        [outputs, inputs]: [usize; 2],
        bias: bool,
    ) -> Result<Self, EngineError> {
        let mut linear = if inputs == 0 || outputs == 0 {
            let weight = Weight::Nothing(outputs);
            Self { weight, order: None, bias: None, bytes: 0, target: target.clone() }
        } else {
            Self::of(tensors.blocks(&format!("{name}.weight"), outputs, inputs)?, target)?
        };
        if bias && outputs > 0 {
            let bias = tensors.vector(&format!("{name}.bias"), outputs)?;
            linear.bytes += 4 * outputs as u64;
            linear.bias = Some(Tensor::from_vec(bias, outputs, &target.device)?);
        }
        Ok(linear)
    }

    /// A matrix that was read as it is stored.
    pub(super) fn of(blocks: Blocks, target: &Target) -> Result<Self, EngineError> {
        let (weight, bytes) = match place_quantised(&blocks, &target.device)? {
            Some(weight) => (Weight::Quantised(Box::new(weight)), blocks.bytes.len() as u64),
            None => {
                let tensor = place(&blocks, &target.device)?;
                let bytes = bytes_of(&tensor);
                (Weight::Plain(tensor), bytes)
            }
        };
        let order = blocks.order.map(|order| {
            let inputs = order.len();
            Tensor::from_vec(order, inputs, &target.device)
        });
        let order = order.transpose()?;
        let bytes = bytes + order.as_ref().map_or(0, bytes_of);
        Ok(Self { weight, order, bias: None, bytes, target: target.clone() })
    }

    /// `x` is f32 `[rows, inputs]`, the result f32 `[rows, outputs]`.
    pub(super) fn forward(&self, x: &Tensor) -> DeviceResult {
        let ordered = self.order.as_ref().map(|order| x.index_select(order, 1)).transpose()?;
        let x = ordered.as_ref().unwrap_or(x);
        let y = match &self.weight {
            Weight::Quantised(weight) => {
                self.target.rows(x, |x| x.contiguous()?.apply_op1_no_bwd(&**weight))?
            }
            Weight::Plain(weight) => {
                let (x, turned) = (x.to_dtype(weight.dtype())?, weight.t()?);
                self.target.rows(&x, |x| x.matmul(&turned))?.to_dtype(DType::F32)?
            }
            Weight::Nothing(outputs) => {
                Tensor::zeros((x.dim(0)?, *outputs), DType::F32, x.device())?
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

    pub(super) fn target(&self) -> &Target {
        &self.target
    }
}
