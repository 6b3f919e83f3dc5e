//! Mixture of experts: a router picks some feed-forward blocks for each row.

use protocol::model_spec::{Activation, ExpertSpec};

use super::activation::sigmoid;
use super::linear::{Linear, MatmulScratch};
use super::mlp::GatedMlp;
use super::routing;
use crate::error::EngineError;
use crate::kernels::cpu;
use crate::weights::Tensors;

pub(crate) struct Experts {
    spec: ExpertSpec,
    router: Linear,
    // [experts]
    selection_bias: Option<Vec<f32>>,
    /// By id; each holds its own weights, so that some may live elsewhere one day.
    experts: Vec<GatedMlp>,
    shared: Option<GatedMlp>,
    /// Of the shared one's result.
    // [hidden]
    shared_gate: Option<Vec<f32>>,
    /// Factors of the experts' results.
    // [experts]
    scales: Option<Vec<f32>>,
    hidden: usize,
}

/// Space of one tile.
pub(crate) struct ExpertSpace<'a> {
    /// As `route` leaves them.
    // [rows, experts]
    pub(crate) weights: &'a [f32],
    // [rows, hidden]
    pub(crate) gathered: &'a mut [f32],
    pub(crate) produced: &'a mut [f32],
    // [rows, ffn]
    pub(crate) gate: &'a mut [f32],
    pub(crate) up: &'a mut [f32],
}

impl Experts {
    /// Loads the router `{prefix}ffn_gate_inp`, experts `{prefix}ffn_{gate,up,down}.{id}` and the
    /// shared one, `{prefix}ffn_{gate,up,down}_shexp`, with its gate, `{prefix}ffn_gate_inp_shexp`.
    pub(crate) fn load(
        tensors: &mut Tensors<'_>,
        prefix: &str,
        hidden: usize,
        spec: ExpertSpec,
        activation: Activation,
    ) -> Result<Self, EngineError> {
        let count = spec.count as usize;
        let router = format!("{prefix}ffn_gate_inp");
        let router = Linear::load(tensors, &router, count, hidden, spec.bias)?;
        let bias = spec.routing.selection_bias;
        let bias = bias.then(|| tensors.vector(&format!("{prefix}exp_probs_b.bias"), count));
        let selection_bias = bias.transpose()?;
        let mut block = |suffix: &str, width: u32, bias: bool| {
            let size = (hidden, width as usize);
            GatedMlp::load(tensors, (prefix, suffix), size, activation, bias)
        };
        let expert = |id| block(&format!(".{id}"), spec.ffn_size, spec.bias);
        let experts = (0..count).map(expert).collect::<Result<_, _>>()?;
        let shared = spec.shared_ffn_size;
        let shared = (shared > 0).then(|| block("_shexp", shared, false)).transpose()?;
        let gate = format!("{prefix}ffn_gate_inp_shexp.weight");
        let gate = spec.shared_gate.then(|| tensors.vector(&gate, hidden)).transpose()?;
        let scales = format!("{prefix}expert_scales.weight");
        let scales = spec.beside_dense.then(|| tensors.vector(&scales, count)).transpose()?;
        Ok(Self {
            spec,
            router,
            selection_bias,
            experts,
            shared,
            shared_gate: gate,
            scales,
            hidden,
        })
    }

    /// Leaves the weights of each row's experts in `weights` (`[rows, experts]`).
    pub(crate) fn route(&self, x: &[f32], weights: &mut [f32], scratch: &mut MatmulScratch) {
        self.router.forward(x, weights, scratch);
        let (bias, count) = (self.selection_bias.as_deref(), self.experts.len());
        weights.chunks_exact_mut(count).for_each(|row| routing::choose(row, bias, &self.spec));
    }

    /// `x` and `out` are `[rows, hidden]`. A row adds its experts up by ascending id, whatever the
    /// rows beside it have.
    pub(crate) fn forward(
        &self,
        x: &[f32],
        out: &mut [f32],
        space: ExpertSpace<'_>,
        scratch: &mut MatmulScratch,
    ) {
        let (hidden, count) = (self.hidden, self.experts.len());
        let ExpertSpace { weights, gathered, produced, gate, up } = space;
        out.fill(0.0);
        for (id, expert) in self.experts.iter().enumerate() {
            let column = weights.iter().skip(id).step_by(count);
            // A weight that is no number is kept: it must show in the logits.
            let chosen = column.enumerate().filter(|(_, w)| w.is_nan() || **w >= 0.0);
            let mut rows = 0;
            for (row, _) in chosen.clone() {
                gathered[rows * hidden..(rows + 1) * hidden]
                    .copy_from_slice(&x[row * hidden..(row + 1) * hidden]);
                rows += 1;
            }
            if rows == 0 {
                continue;
            }
            let produced = &mut produced[..rows * hidden];
            expert.forward(&gathered[..rows * hidden], rows, (gate, up), produced, scratch);
            let scale = self.scales.as_ref().map_or(1.0, |scales| scales[id]);
            for ((row, weight), produced) in chosen.zip(produced.chunks_exact(hidden)) {
                let out = &mut out[row * hidden..(row + 1) * hidden];
                cpu::weighted_sum(produced, &[weight * scale], out);
            }
        }
        if let Some(shared) = &self.shared {
            let rows = x.len() / hidden;
            shared.forward(x, rows, (gate, up), produced, scratch);
            if let Some(gate) = &self.shared_gate {
                for (x, produced) in x.chunks_exact(hidden).zip(produced.chunks_exact_mut(hidden)) {
                    cpu::scale(produced, sigmoid(cpu::dot(x, gate)));
                }
            }
            cpu::add(out, produced);
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        let experts: u64 = self.experts.iter().map(GatedMlp::bytes).sum();
        let vectors = [&self.selection_bias, &self.shared_gate, &self.scales];
        let vectors: usize = vectors.into_iter().flatten().map(|v| size_of_val(&v[..])).sum();
        let shared = self.shared.as_ref().map_or(0, GatedMlp::bytes);
        self.router.bytes() + vectors as u64 + experts + shared
    }
}
