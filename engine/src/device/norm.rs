//! Root-mean-square normalisation.

use candle_core::{D, DType, Tensor};
use protocol::model_spec::ModelSpec;

use super::target::{Target, threads_for};
use super::{DeviceResult, bytes_of};
use crate::error::EngineError;
use crate::kernels::cuda::{Argument, Kernel, space};
use crate::weights::Tensors;

pub(crate) struct RmsNorm {
    // [width]
    weight: Tensor,
    epsilon: f32,
    target: Target,
}

impl RmsNorm {
    pub(super) fn load(
        tensors: &mut Tensors<'_>,
        target: &Target,
        name: &str,
        width: usize,
        spec: &ModelSpec,
    ) -> Result<Self, EngineError> {
        let mut weight = tensors.vector(name, width)?;
        weight.iter_mut().for_each(|x| *x += spec.norm_offset);
        Ok(Self::of(Tensor::from_vec(weight, width, &target.device)?, target, spec))
    }

    /// Without weights.
    pub(super) fn plain(
        target: &Target,
        width: usize,
        spec: &ModelSpec,
    ) -> candle_core::Result<Self> {
        let weight = Tensor::ones(width, DType::F32, &target.device)?;
        Ok(Self::of(weight, target, spec))
    }

    fn of(weight: Tensor, target: &Target, spec: &ModelSpec) -> Self {
        Self { weight, epsilon: spec.norm_epsilon, target: target.clone() }
    }

    /// Multiplies what it gives by `factor`.
    pub(super) fn times(self, factor: f32) -> candle_core::Result<Self> {
        Ok(Self { weight: (self.weight * f64::from(factor))?, ..self })
    }

    /// `x / rms(x) * weight` over the last dimension.
    pub(super) fn forward(&self, x: &Tensor) -> DeviceResult {
        if self.target.kernels.are_plain() {
            let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
            let rms = (mean + f64::from(self.epsilon))?.sqrt()?;
            return x.broadcast_div(&rms)?.broadcast_mul(&self.weight);
        }
        let x = x.contiguous()?;
        self.fill(Kernel::RmsNorm, x.dims(), &[Argument::In(&x)])
    }

    /// `x + y`, and the norm of that. All are `[rows, width]`.
    pub(super) fn forward_sum(
        &self,
        x: &Tensor,
        y: &Tensor,
    ) -> candle_core::Result<(Tensor, Tensor)> {
        if self.target.kernels.are_plain() {
            let sum = (x + y)?;
            let normed = self.forward(&sum)?;
            return Ok((sum, normed));
        }
        let (rows, width) = x.dims2()?;
        let inputs = [Argument::In(x), Argument::In(y)];
        let both = self.fill(Kernel::AddRmsNorm, &[2, rows, width], &inputs)?;
        Ok((both.get(0)?, both.get(1)?))
    }

    /// `x + norm(y)`
    pub(super) fn add_to(&self, x: &Tensor, y: &Tensor) -> DeviceResult {
        if self.target.kernels.are_plain() {
            return x + self.forward(y)?;
        }
        self.fill(Kernel::RmsNormAdd, x.dims(), &[Argument::In(x), Argument::In(y)])
    }

    /// A block for each row of the first input.
    fn fill(&self, kernel: Kernel, shape: &[usize], inputs: &[Argument<'_>]) -> DeviceResult {
        let width = self.weight.dim(0)?;
        let out = space(shape, DType::F32, &self.target.device)?;
        let mut rows = out.elem_count() / width;
        if kernel == Kernel::AddRmsNorm {
            rows /= 2;
        }
        let mut arguments = inputs.to_vec();
        let rest = [Argument::In(&self.weight), Argument::Out, Argument::Int(width)];
        arguments.extend(rest.into_iter().chain([Argument::Float(self.epsilon)]));
        self.target.launch(kernel, [rows, 1, 1], threads_for(width), &arguments, &out)?;
        Ok(out)
    }

    pub(super) fn bytes(&self) -> u64 {
        bytes_of(&self.weight)
    }
}
