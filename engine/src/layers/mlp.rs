//! The gated feed-forward block.

use super::linear::{Linear, MatmulScratch, forward_all};
use crate::error::EngineError;
use crate::kernels::cpu;
use crate::weights::Tensors;

/// `down(silu(gate(x)) * up(x))`
pub(crate) struct SwigluMlp {
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl SwigluMlp {
    /// Loads `{prefix}ffn_{gate,up,down}.weight`.
    pub(crate) fn load(
        tensors: &mut Tensors<'_>,
        prefix: &str,
        hidden: usize,
        width: usize,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            gate: Linear::load(tensors, &format!("{prefix}ffn_gate"), width, hidden, false)?,
            up: Linear::load(tensors, &format!("{prefix}ffn_up"), width, hidden, false)?,
            down: Linear::load(tensors, &format!("{prefix}ffn_down"), hidden, width, false)?,
        })
    }

    /// `x` and `out` are `[rows, hidden]`; `gate` and `up` are space of `[rows, width]`.
    pub(crate) fn forward(
        &self,
        x: &[f32],
        gate: &mut [f32],
        up: &mut [f32],
        out: &mut [f32],
        scratch: &mut MatmulScratch,
    ) {
        forward_all([(&self.gate, &mut *gate), (&self.up, &mut *up)], x, scratch);
        cpu::silu_times(gate, up);
        self.down.forward(gate, out, scratch);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.gate.bytes() + self.up.bytes() + self.down.bytes()
    }
}
