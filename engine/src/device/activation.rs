//! The gated activations of feed-forwards.

use candle_core::{DType, Tensor};
use protocol::model_spec::Activation;

use super::DeviceResult;
use super::target::Target;
use crate::kernels::cuda::{Argument, Kernel, space};

/// `activation(gate) * up`
pub(super) fn activate(
    target: &Target,
    activation: Activation,
    gate: &Tensor,
    up: &Tensor,
) -> DeviceResult {
    if target.kernels.are_plain() {
        return plain(activation, gate, up);
    }
    // As the kernel numbers them.
    let (kind, alpha, limit) = match activation {
        Activation::Silu => (0, 0.0, 0.0),
        Activation::GeluTanh => (1, 0.0, 0.0),
        Activation::ClampedSwiglu { alpha, limit } => (2, alpha, limit),
    };
    let out = space(gate.dims(), DType::F32, &target.device)?;
    let count = gate.elem_count();
    let arguments = [
        Argument::In(gate),
        Argument::In(up),
        Argument::Out,
        Argument::Int(count),
        Argument::Int(kind),
        Argument::Float(alpha),
        Argument::Float(limit),
    ];
    target.launch_each(Kernel::Activate, count, &arguments, &out)?;
    Ok(out)
}

fn plain(activation: Activation, gate: &Tensor, up: &Tensor) -> DeviceResult {
    match activation {
        Activation::Silu => gate.silu()?.mul(up),
        Activation::GeluTanh => gate.gelu()?.mul(up),
        Activation::ClampedSwiglu { alpha, limit } => {
            let (alpha, limit) = (f64::from(alpha), f64::from(limit));
            let gate = gate.minimum(limit)?;
            gate.mul(&sigmoid(&(&gate * alpha)?)?)?.mul(&(up.clamp(-limit, limit)? + 1.0)?)
        }
    }
}

pub(super) fn sigmoid(x: &Tensor) -> DeviceResult {
    (x.neg()?.exp()? + 1.0)?.recip()
}

/// `cap * tanh(x / cap)`
pub(super) fn soft_cap(x: &Tensor, cap: f32) -> DeviceResult {
    (x / f64::from(cap))?.tanh()? * f64::from(cap)
}
