//! The gated feed-forward block.

use protocol::model_spec::Activation;

use super::activation::activate;
use super::linear::{Linear, MatmulScratch, forward_all};
use crate::error::EngineError;
use crate::weights::Tensors;

/// `down(activation(gate(x), up(x)))`
pub(crate) struct GatedMlp {
    gate: Linear,
    up: Linear,
    down: Linear,
    activation: Activation,
    width: usize,
}

impl GatedMlp {
    /// Loads `{prefix}ffn_{gate,up,down}{suffix}`.
    pub(crate) fn load(
        tensors: &mut Tensors<'_>,
        (prefix, suffix): (&str, &str),
        (hidden, width): (usize, usize),
        activation: Activation,
        bias: bool,
    ) -> Result<Self, EngineError> {
        let mut load = |part: &str, outputs, inputs| {
            Linear::load(tensors, &format!("{prefix}ffn_{part}{suffix}"), outputs, inputs, bias)
        };
        Ok(Self {
            gate: load("gate", width, hidden)?,
            up: load("up", width, hidden)?,
            down: load("down", hidden, width)?,
            activation,
            width,
        })
    }

    /// `x` and `out` are `[rows, hidden]`; `gate` and `up` are space of `[rows, width]` or more.
    pub(crate) fn forward(
        &self,
        x: &[f32],
        rows: usize,
        (gate, up): (&mut [f32], &mut [f32]),
        out: &mut [f32],
        scratch: &mut MatmulScratch,
    ) {
        if self.width == 0 {
            return out[..x.len()].fill(0.0);
        }
        let (gate, up) = (&mut gate[..rows * self.width], &mut up[..rows * self.width]);
        forward_all([(&self.gate, &mut *gate), (&self.up, &mut *up)], x, scratch);
        activate(self.activation, gate, up);
        self.down.forward(gate, out, scratch);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.gate.bytes() + self.up.bytes() + self.down.bytes()
    }
}
