//! What happens between the two halves of a gated feed-forward block.

use protocol::model_spec::Activation;

use crate::kernels::cpu;

/// `gate[i] = activation(gate[i], up[i])`
pub(crate) fn activate(activation: Activation, gate: &mut [f32], up: &[f32]) {
    match activation {
        Activation::Silu => cpu::silu_times(gate, up),
        Activation::GeluTanh => {
            gate.iter_mut().zip(up).for_each(|(gate, up)| *gate = gelu(*gate) * up);
        }
        Activation::ClampedSwiglu { alpha, limit } => {
            for (gate, up) in gate.iter_mut().zip(up) {
                let x = gate.min(limit);
                *gate = x * sigmoid(alpha * x) * (up.clamp(-limit, limit) + 1.0);
            }
        }
    }
}

pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + cpu::exp(-x))
}

/// `x / 2 * (1 + tanh(y))` is `x * sigmoid(2 y)`; Hendrycks and Gimpel, arXiv 1606.08415.
fn gelu(x: f32) -> f32 {
    const SQRT_8_OVER_PI: f32 = 1.595_769_2;
    x * sigmoid(SQRT_8_OVER_PI * (x + 0.044_715 * x * x * x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_and_gates_agree_with_the_library() {
        for i in -1000..1000 {
            let x = i as f32 * 0.013;
            let (mut capped, wide) = ([x], f64::from(x));
            cpu::soft_cap(&mut capped, 5.0);
            let expected = 5.0 * (wide / 5.0).tanh();
            assert!((f64::from(capped[0]) - expected).abs() < 1e-6, "cap of {x}");
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044_715 * wide.powi(3));
            let expected = 0.5 * wide * (1.0 + inner.tanh());
            assert!((f64::from(gelu(x)) - expected).abs() < 2e-6, "gelu of {x}");
        }
    }
}
