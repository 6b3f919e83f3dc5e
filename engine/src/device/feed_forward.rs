//! The half of a layer behind attention: one gated block for all rows, or experts.

use candle_core::Tensor;
use protocol::model_spec::{Activation, ExpertSpec};

use super::activation::{activate, sigmoid};
use super::linear::Linear;
use super::target::Target;
use super::{DeviceResult, bytes_of};
use crate::error::EngineError;
use crate::layers::choose_experts;
use crate::weights::Tensors;

pub(crate) enum FeedForward {
    Dense(Box<GatedMlp>),
    Experts(Box<Experts>),
}

/// `down(activation(gate(x), up(x)))`
pub(crate) struct GatedMlp {
    gate: Linear,
    up: Linear,
    down: Linear,
    activation: Activation,
    /// 0 on a rank that has no part of it but perhaps the bias.
    width: usize,
    target: Target,
}

pub(crate) struct Experts {
    spec: ExpertSpec,
    router: Linear,
    // [experts]
    selection_bias: Option<Vec<f32>>,
    experts: Vec<GatedMlp>,
    shared: Option<GatedMlp>,
    /// Whose sigmoid the shared expert's result is multiplied by.
    // [hidden, 1]
    shared_gate: Option<Tensor>,
    /// Factors of the experts' results.
    // [experts]
    scales: Option<Vec<f32>>,
}

impl FeedForward {
    /// Experts are chosen by `routed`, which is `x` in most families.
    pub(super) fn forward(&self, x: &Tensor, routed: &Tensor) -> DeviceResult {
        match self {
            Self::Dense(mlp) => mlp.forward(x),
            Self::Experts(experts) => experts.forward(x, routed),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Dense(mlp) => mlp.bytes(),
            Self::Experts(experts) => experts.bytes(),
        }
    }
}

impl GatedMlp {
    /// Loads `{prefix}ffn_{gate,up,down}{suffix}`.
    pub(super) fn load(
        tensors: &mut Tensors<'_>,
        target: &Target,
        (prefix, suffix): (&str, &str),
        (hidden, width): (usize, usize),
        activation: Activation,
        bias: bool,
    ) -> Result<Self, EngineError> {
        let mut load = |part: &str, size| {
            let name = format!("{prefix}ffn_{part}{suffix}");
            Linear::load(tensors, target, &name, size, bias)
        };
        Ok(Self {
            gate: load("gate", [width, hidden])?,
            up: load("up", [width, hidden])?,
            down: load("down", [hidden, width])?,
            activation,
            width,
            target: target.clone(),
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> DeviceResult {
        if self.width == 0 {
            return self.down.forward(x);
        }
        let (gate, up) = (self.gate.forward(x)?, self.up.forward(x)?);
        self.down.forward(&activate(&self.target, self.activation, &gate, &up)?)
    }

    fn bytes(&self) -> u64 {
        self.gate.bytes() + self.up.bytes() + self.down.bytes()
    }
}

impl Experts {
    pub(super) fn load(
        tensors: &mut Tensors<'_>,
        target: &Target,
        prefix: &str,
        hidden: usize,
        spec: ExpertSpec,
        activation: Activation,
    ) -> Result<Self, EngineError> {
        let count = spec.count as usize;
        let router = format!("{prefix}ffn_gate_inp");
        let router = Linear::load(tensors, target, &router, [count, hidden], spec.bias)?;
        let bias = format!("{prefix}exp_probs_b.bias");
        let bias = spec.routing.selection_bias.then(|| tensors.vector(&bias, count));
        let selection_bias = bias.transpose()?;
        let mut block = |suffix: &str, width: u32, bias: bool| {
            let size = (hidden, width as usize);
            GatedMlp::load(tensors, target, (prefix, suffix), size, activation, bias)
        };
        let expert = |id| block(&format!(".{id}"), spec.ffn_size, spec.bias);
        let experts = (0..count).map(expert).collect::<Result<_, _>>()?;
        let shared = spec.shared_ffn_size;
        let shared = (shared > 0).then(|| block("_shexp", shared, false)).transpose()?;
        let gate = format!("{prefix}ffn_gate_inp_shexp.weight");
        let gate = spec.shared_gate.then(|| tensors.vector(&gate, hidden)).transpose()?;
        let gate =
            gate.map(|gate| Tensor::from_vec(gate, (hidden, 1), &target.device)).transpose()?;
        let scales = format!("{prefix}expert_scales.weight");
        let scales = spec.beside_dense.then(|| tensors.vector(&scales, count)).transpose()?;
        Ok(Self { spec, router, selection_bias, experts, shared, shared_gate: gate, scales })
    }

    /// The choice is made on the host, by the rule of the CPU's experts; a row adds its experts up
    /// by ascending id.
    fn forward(&self, x: &Tensor, routed: &Tensor) -> DeviceResult {
        let mut weights = self.router.forward(routed)?.to_vec2::<f32>()?;
        let bias = self.selection_bias.as_deref();
        weights.iter_mut().for_each(|row| choose_experts(row, bias, &self.spec));
        let mut out = x.zeros_like()?;
        for (id, expert) in self.experts.iter().enumerate() {
            let column = weights.iter().map(|row| row[id]).zip(0_u32..);
            // A weight that is no number is kept: it must show in the logits.
            let chosen = column.filter(|(weight, _)| weight.is_nan() || *weight >= 0.0);
            let scale = self.scales.as_ref().map_or(1.0, |scales| scales[id]);
            let (weights, rows): (Vec<f32>, Vec<u32>) =
                chosen.map(|(weight, row)| (weight * scale, row)).unzip();
            if rows.is_empty() {
                continue;
            }
            let count = rows.len();
            let rows = Tensor::from_vec(rows, count, x.device())?;
            let weights = Tensor::from_vec(weights, (count, 1), x.device())?;
            let produced = expert.forward(&x.index_select(&rows, 0)?)?.broadcast_mul(&weights)?;
            out = out.index_add(&rows, &produced, 0)?;
        }
        let Some(shared) = &self.shared else { return Ok(out) };
        let shared = shared.forward(x)?;
        match &self.shared_gate {
            Some(gate) => {
                let gate = self.router.target().rows(x, |x| x.matmul(gate))?;
                out + shared.broadcast_mul(&sigmoid(&gate)?)?
            }
            None => out + shared,
        }
    }

    fn bytes(&self) -> u64 {
        let experts: u64 = self.experts.iter().chain(&self.shared).map(GatedMlp::bytes).sum();
        self.router.bytes() + experts + self.shared_gate.as_ref().map_or(0, bytes_of)
    }
}
