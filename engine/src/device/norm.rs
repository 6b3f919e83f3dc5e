//! Root-mean-square normalisation.

use candle_core::{D, DType, Device, Tensor};
use protocol::model_spec::ModelSpec;

use super::{DeviceResult, bytes_of};
use crate::error::EngineError;
use crate::weights::Tensors;

pub(crate) struct RmsNorm {
    // [width]
    weight: Tensor,
    epsilon: f64,
}

impl RmsNorm {
    pub(super) fn load(
        tensors: &mut Tensors<'_>,
        device: &Device,
        name: &str,
        width: usize,
        spec: &ModelSpec,
    ) -> Result<Self, EngineError> {
        let mut weight = tensors.vector(name, width)?;
        weight.iter_mut().for_each(|x| *x += spec.norm_offset);
        let weight = Tensor::from_vec(weight, width, device)?;
        Ok(Self { weight, epsilon: spec.norm_epsilon.into() })
    }

    /// Without weights.
    pub(super) fn plain(
        device: &Device,
        width: usize,
        spec: &ModelSpec,
    ) -> candle_core::Result<Self> {
        let weight = Tensor::ones(width, DType::F32, device)?;
        Ok(Self { weight, epsilon: spec.norm_epsilon.into() })
    }

    /// Multiplies what it gives by `factor`.
    pub(super) fn times(self, factor: f32) -> candle_core::Result<Self> {
        Ok(Self { weight: (self.weight * f64::from(factor))?, ..self })
    }

    /// `x / rms(x) * weight` over the last dimension.
    pub(super) fn forward(&self, x: &Tensor) -> DeviceResult {
        let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
        x.broadcast_div(&(mean + self.epsilon)?.sqrt()?)?.broadcast_mul(&self.weight)
    }

    pub(super) fn bytes(&self) -> u64 {
        bytes_of(&self.weight)
    }
}
