//! The heads of a gated delta net: convolution, normed q and k, the delta rule, gated norm.
//!
//! A row goes through a head as it does alone, one after the other in the order of the batch; the
//! key heads, each with its value heads, are computed side by side.

use std::cell::RefCell;

use protocol::model_spec::{DeltaNetSpec, ModelSpec};

use super::activation::sigmoid;
use super::delta_projections::Places;
use super::paged_attention::RowPlace;
use crate::error::EngineError;
use crate::kernels::delta_rule::{DeltaToken, step};
use crate::kernels::{Compute, KernelSet, cpu};
use crate::state::SlotPool;
use crate::weights::Tensors;

/// Added to the squares of a query or key before the root, as in the authors' kernels.
const NORM_EPSILON: f32 = 1e-6;

pub(super) struct DeltaHeads {
    key_heads: usize,
    /// Value heads of a key head.
    group: usize,
    key_dim: usize,
    value_dim: usize,
    tiled: bool,
    taps: usize,
    /// Of the convolution over q, k and the values of a key head.
    // [key heads, taps, channels]
    convolution: Vec<f32>,
    // [value heads], negative
    rates: Vec<f32>,
    time_bias: Vec<f32>,
    // [value_dim]
    norm: Vec<f32>,
    norm_epsilon: f32,
}

thread_local! {
    /// A row's q, k and values of one key head.
    static CHANNELS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl DeltaHeads {
    /// Loads `{prefix}ssm_{conv1d,a,dt,norm}`.
    pub(super) fn load(
        tensors: &mut Tensors<'_>,
        prefix: &str,
        spec: &ModelSpec,
        delta: &DeltaNetSpec,
    ) -> Result<Self, EngineError> {
        let (heads, taps) = (delta.value_heads as usize, delta.conv_taps as usize);
        let mut vector = |part: &str, length| tensors.vector(&format!("{prefix}{part}"), length);
        let stored = vector("ssm_conv1d.weight", delta.conv_width() as usize * taps)?;
        let mut rates = vector(if delta.log_decay { "ssm_a_log" } else { "ssm_a" }, heads)?;
        if delta.log_decay {
            rates.iter_mut().for_each(|rate| *rate = -cpu::exp(*rate));
        }
        let mut loaded = Self {
            key_heads: delta.key_heads as usize,
            group: (delta.value_heads / delta.key_heads) as usize,
            key_dim: delta.key_dim as usize,
            value_dim: delta.value_dim as usize,
            tiled: delta.tiled_values,
            taps,
            convolution: Vec::with_capacity(stored.len()),
            rates,
            time_bias: vector("ssm_dt.bias", heads)?,
            norm: vector("ssm_norm.weight", delta.value_dim as usize)?,
            norm_epsilon: spec.norm_epsilon,
        };
        loaded.convolution = loaded.by_key_head(&stored);
        Ok(loaded)
    }

    /// Runs the rows (`projected`, `[matrices][rows, outputs]`) over the states of their slots;
    /// `out` is `[key heads][rows, value heads of it, value_dim]`.
    pub(super) fn forward(
        &self,
        compute: &Compute,
        rows: &[RowPlace<'_>],
        (projected, places): (&[f32], &Places),
        (slots, layer): (&mut SlotPool, usize),
        out: &mut [f32],
    ) {
        let part = slots.part();
        let states = slots.layer(layer);
        let produced = rows.len() * self.group * self.value_dim;
        compute.run_chunk_pairs(states, (out, produced), |head, states, out| {
            let produced = out.chunks_exact_mut(self.group * self.value_dim);
            CHANNELS.with_borrow_mut(|channels| {
                channels.resize(self.channels(), 0.0);
                for (row, (place, out)) in rows.iter().zip(produced).enumerate() {
                    let state = &mut states[place.slot * part..][..part];
                    if place.position == 0 {
                        // Whoever had the slot before has left something here.
                        state.fill(0.0);
                    }
                    let row = Row { projected, places, at: (row, rows.len()), head };
                    self.row(compute.set(), &row, state, channels, out);
                }
            });
        });
    }

    /// The number of value head `value` of key head `head` in the model's order.
    pub(super) fn number(&self, head: usize, value: usize) -> usize {
        if self.tiled { value * self.key_heads + head } else { head * self.group + value }
    }

    pub(super) fn bytes(&self) -> u64 {
        let vectors = [&self.convolution, &self.rates, &self.time_bias, &self.norm];
        vectors.iter().map(|vector| size_of_val(&vector[..]) as u64).sum()
    }

    fn row(
        &self,
        set: KernelSet,
        row: &Row<'_>,
        state: &mut [f32],
        channels: &mut [f32],
        out: &mut [f32],
    ) {
        let (past, matrices) = state.split_at_mut((self.taps - 1) * channels.len());
        self.gather(row, channels);
        let taps = self.taps * channels.len();
        cpu::convolve(&self.convolution[row.head * taps..][..taps], past, channels);
        let (both, values) = channels.split_at_mut(2 * self.key_dim);
        let (query, key) = both.split_at_mut(self.key_dim);
        normalise(query, 1.0 / (self.key_dim as f32).sqrt());
        normalise(key, 1.0);
        let states = matrices.chunks_exact_mut(self.key_dim * self.value_dim);
        let heads =
            values.chunks_exact_mut(self.value_dim).zip(out.chunks_exact_mut(self.value_dim));
        for (value, (state, (own, out))) in states.zip(heads).enumerate() {
            let number = self.number(row.head, value);
            let (rate, time) =
                (row.part(|p| p.rate, value, 1)[0], row.part(|p| p.decay, value, 1)[0]);
            let time = cpu::softplus(time + self.time_bias[number]);
            let token = DeltaToken {
                query,
                key,
                value: own,
                decay: cpu::exp(self.rates[number] * time),
                rate: sigmoid(rate),
            };
            step(set, state, &token, out);
            // `norm(out) * silu(gate)`
            let mean = cpu::sum_of_squares(out) / out.len() as f32;
            cpu::scale_into(out, 1.0 / (mean + self.norm_epsilon).sqrt(), &self.norm, own);
            out.copy_from_slice(row.part(|p| p.gate, value, self.value_dim));
            cpu::silu_times(out, own);
        }
    }

    /// A row's q, k and values, as they are before the convolution.
    fn gather(&self, row: &Row<'_>, channels: &mut [f32]) {
        let (query, rest) = channels.split_at_mut(self.key_dim);
        let (key, values) = rest.split_at_mut(self.key_dim);
        query.copy_from_slice(row.part(|p| p.query, 0, self.key_dim));
        key.copy_from_slice(row.part(|p| p.key, 0, self.key_dim));
        for (value, own) in values.chunks_exact_mut(self.value_dim).enumerate() {
            own.copy_from_slice(row.part(|p| p.value, value, self.value_dim));
        }
    }

    /// The stored taps (`[channels of all q, all k, all v][taps]`) in the order of `convolution`.
    fn by_key_head(&self, stored: &[f32]) -> Vec<f32> {
        let keys = self.key_heads * self.key_dim;
        let mut ordered = Vec::with_capacity(stored.len());
        for head in 0..self.key_heads {
            let values = (0..self.group).map(|value| {
                (2 * keys + self.number(head, value) * self.value_dim, self.value_dim)
            });
            let parts: Vec<_> = [0, keys]
                .map(|first| (first + head * self.key_dim, self.key_dim))
                .into_iter()
                .chain(values)
                .collect();
            for tap in 0..self.taps {
                for (first, count) in &parts {
                    ordered.extend((*first..first + count).map(|c| stored[c * self.taps + tap]));
                }
            }
        }
        ordered
    }

    /// Values of a key head that go through the convolution.
    fn channels(&self) -> usize {
        2 * self.key_dim + self.group * self.value_dim
    }
}

/// One row as a key head sees it.
struct Row<'a> {
    projected: &'a [f32],
    places: &'a Places,
    /// Its number, and the count of rows.
    at: (usize, usize),
    head: usize,
}

impl<'a> Row<'a> {
    fn part(
        &self,
        place: impl Fn(&Places) -> super::delta_projections::Place,
        value: usize,
        length: usize,
    ) -> &'a [f32] {
        place(self.places).of(self.projected, self.at, (self.head, value), length)
    }
}

/// Brings `x` to the length `scale`.
fn normalise(x: &mut [f32], scale: f32) {
    let factor = scale / (cpu::sum_of_squares(x) + NORM_EPSILON).sqrt();
    cpu::scale(x, factor);
}
