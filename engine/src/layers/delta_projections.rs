//! From normed rows to a delta net's q, k, v, z, b and a, in whichever matrices a file has them.

use protocol::model_spec::{DeltaNetSpec, DeltaProjections};

use super::linear::{Linear, MatmulScratch, forward_all};
use crate::error::EngineError;
use crate::weights::Tensors;

/// The matrices, and where each part stands in what they make.
pub(super) struct Projections {
    matrices: Matrices,
    pub(super) places: Places,
    /// Outputs of all matrices.
    pub(super) width: usize,
}

enum Matrices {
    Two([Linear; 2]),
    Three([Linear; 3]),
    Four([Linear; 4]),
}

/// The parts of a row.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) query: Place,
    pub(super) key: Place,
    pub(super) value: Place,
    /// z: of the heads' results.
    pub(super) gate: Place,
    /// b: how much is written.
    pub(super) rate: Place,
    /// a: how much is forgotten.
    pub(super) decay: Place,
}

/// A part of each key head, or of each value head of a key head.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Outputs of the matrices before this one, and of this one.
    before: usize,
    width: usize,
    /// Of the first head within a row.
    first: usize,
    /// From a key head to the next, and from a value head of it to the next.
    head_step: usize,
    value_step: usize,
}

impl Place {
    /// The `length` values of value head `value` of key head `head` in row `row` of `rows`.
    pub(super) fn of<'p>(
        &self,
        projected: &'p [f32],
        (row, rows): (usize, usize),
        (head, value): (usize, usize),
        length: usize,
    ) -> &'p [f32] {
        let start = rows * self.before + row * self.width + self.first;
        &projected[start + head * self.head_step + value * self.value_step..][..length]
    }
}

impl Projections {
    pub(super) fn load(
        tensors: &mut Tensors<'_>,
        prefix: &str,
        hidden: usize,
        delta: &DeltaNetSpec,
    ) -> Result<Self, EngineError> {
        let (conv, value) = (delta.conv_width() as usize, delta.value_width() as usize);
        let heads = delta.value_heads as usize;
        let mut linear = |part: &str, outputs| {
            Linear::load(tensors, &format!("{prefix}{part}"), outputs, hidden, false)
        };
        let matrices = match delta.projections {
            DeltaProjections::Joined => {
                Matrices::Two([linear("ssm_in", conv + value)?, linear("ssm_ba", 2 * heads)?])
            }
            DeltaProjections::JoinedGates => Matrices::Three([
                linear("attn_qkv", conv)?,
                linear("attn_gate", value)?,
                linear("ssm_ba", 2 * heads)?,
            ]),
            DeltaProjections::Separate => Matrices::Four([
                linear("attn_qkv", conv)?,
                linear("attn_gate", value)?,
                linear("ssm_beta", heads)?,
                linear("ssm_alpha", heads)?,
            ]),
        };
        let width = delta.projected_width() as usize;
        Ok(Self { matrices, places: Places::of(delta), width })
    }

    /// `x` is `[rows, hidden]`; `out`, of `[rows, width]` values, gets a matrix after the other.
    pub(super) fn forward(
        &self,
        rows: usize,
        x: &[f32],
        out: &mut [f32],
        scratch: &mut MatmulScratch,
    ) {
        match &self.matrices {
            Matrices::Two(linears) => project(linears, rows, x, out, scratch),
            Matrices::Three(linears) => project(linears, rows, x, out, scratch),
            Matrices::Four(linears) => project(linears, rows, x, out, scratch),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        let linears: &[Linear] = match &self.matrices {
            Matrices::Two(linears) => linears,
            Matrices::Three(linears) => linears,
            Matrices::Four(linears) => linears,
        };
        linears.iter().map(Linear::bytes).sum()
    }
}

fn project<const N: usize>(
    linears: &[Linear; N],
    rows: usize,
    x: &[f32],
    out: &mut [f32],
    scratch: &mut MatmulScratch,
) {
    let mut rest = out;
    let layers = linears.each_ref().map(|linear| {
        let (own, others) = std::mem::take(&mut rest).split_at_mut(rows * linear.outputs());
        rest = others;
        (linear, own)
    });
    forward_all(layers, x, scratch);
}

impl Places {
    fn of(delta: &DeltaNetSpec) -> Self {
        let (conv, all_values) = (delta.conv_width() as usize, delta.value_width() as usize);
        let (all_keys, heads) = (delta.key_width() as usize, delta.value_heads as usize);
        let (key, value) = (delta.key_dim as usize, delta.value_dim as usize);
        let group = (delta.value_heads / delta.key_heads) as usize;
        let place = |before, width, first, (head_step, value_step)| Place {
            before,
            width,
            first,
            head_step,
            value_step,
        };
        // Steps of what a value head has `length` values of, where all of it stands together.
        let steps = |length: usize| match delta.tiled_values {
            true => (length, delta.key_heads as usize * length),
            false => (group * length, length),
        };
        let joined = |before| {
            let gates = |first| place(before, 2 * heads, first, (2 * group, 1));
            (gates(0), gates(group))
        };
        let apart = |before| place(before, heads, 0, steps(1));
        let behind = conv + all_values;
        let (rate, decay) = match delta.projections {
            DeltaProjections::Separate => (apart(behind), apart(behind + heads)),
            DeltaProjections::Joined | DeltaProjections::JoinedGates => joined(behind),
        };
        if delta.projections == DeltaProjections::Joined {
            let row = 2 * (key + group * value);
            let part = |first| place(0, behind, first, (row, value));
            let (query, key_of, value_of) = (part(0), part(key), part(2 * key));
            let gate = part(2 * key + group * value);
            return Self { query, key: key_of, value: value_of, gate, rate, decay };
        }
        Self {
            query: place(0, conv, 0, (key, 0)),
            key: place(0, conv, all_keys, (key, 0)),
            value: place(0, conv, 2 * all_keys, steps(value)),
            gate: place(conv, all_values, 0, steps(value)),
            rate,
            decay,
        }
    }
}
