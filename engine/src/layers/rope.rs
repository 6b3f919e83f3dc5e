//! Rotary position embedding: angles of a step's rows, and the rotation of q and k heads.

use protocol::model_spec::{RopeLayout, RopeScaling, RopeSpec};

use crate::error::EngineError;

/// Radians per position of each rotated pair.
#[derive(Debug)]
pub(crate) struct RopeFrequencies {
    // [head_dim / 2]
    frequencies: Vec<f32>,
    layout: RopeLayout,
}

impl RopeFrequencies {
    pub(crate) fn new(spec: &RopeSpec, head_dim: usize) -> Result<Self, EngineError> {
        let half = head_dim / 2;
        let mut frequencies: Vec<f32> = (0..half)
            .map(|i| {
                let exponent = f64::from((2 * i) as f32 / head_dim as f32);
                (1.0 / f64::from(spec.theta).powf(exponent)) as f32
            })
            .collect();
        match &spec.scaling {
            RopeScaling::None => {}
            RopeScaling::Linear { factor } => {
                frequencies.iter_mut().for_each(|frequency| *frequency /= factor);
            }
            RopeScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_context_length,
            } => {
                let context = *original_context_length as f32;
                let scale = |f: &mut f32| *f = llama3(*f, *factor, (*low, *high), context);
                frequencies.iter_mut().for_each(scale);
            }
            RopeScaling::FrequencyFactors { factors } => {
                if factors.len() != half {
                    return Err(EngineError::BadSpec {
                        field: "count of rope frequency factors",
                        value: factors.len() as u64,
                        expected: "expected half of head_dim",
                    });
                }
                frequencies.iter_mut().zip(factors).for_each(|(f, factor)| *f /= factor);
            }
        }
        Ok(Self { frequencies, layout: spec.layout })
    }

    /// Rotates every head in `heads` (`[heads, head_dim]`, one row's) by the angles of `row`.
    pub(crate) fn rotate(&self, heads: &mut [f32], angles: &RopeRows, row: usize) {
        let half = self.frequencies.len();
        let cos = &angles.cos[row * half..(row + 1) * half];
        let sin = &angles.sin[row * half..(row + 1) * half];
        for head in heads.chunks_exact_mut(2 * half) {
            match self.layout {
                RopeLayout::HalfSplit => rotate_halves(head, cos, sin),
                RopeLayout::Interleaved => rotate_pairs(head, cos, sin),
            }
        }
    }
}

/// Llama 3.1's scaling: long wavelengths are stretched, short ones kept, a ramp between.
fn llama3(frequency: f32, factor: f32, (low, high): (f32, f32), context: f32) -> f32 {
    let wavelength = std::f32::consts::TAU / frequency;
    if wavelength > context / low {
        return frequency / factor;
    }
    if wavelength < context / high {
        return frequency;
    }
    let ramp = (context / wavelength - low) / (high - low);
    (1.0 - ramp) * frequency / factor + ramp * frequency
}

fn rotate_halves(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (first, second) = head.split_at_mut(cos.len());
    for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}

fn rotate_pairs(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    for ((pair, cos), sin) in head.chunks_exact_mut(2).zip(cos).zip(sin) {
        let (a, b) = (pair[0], pair[1]);
        pair[0] = a * cos - b * sin;
        pair[1] = b * cos + a * sin;
    }
}

/// Cosines and sines of a step's rows, computed once for all layers.
#[derive(Debug, Default)]
pub(crate) struct RopeRows {
    // [rows, head_dim / 2]
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl RopeRows {
    pub(crate) fn with_capacity(rows: usize, head_dim: usize) -> Self {
        let floats = rows * head_dim / 2;
        Self { cos: Vec::with_capacity(floats), sin: Vec::with_capacity(floats) }
    }

    /// The angle is an f32 product, as in the implementations that models are trained with; only
    /// its sine and cosine are computed wider and rounded once.
    pub(crate) fn fill(
        &mut self,
        frequencies: &RopeFrequencies,
        positions: impl Iterator<Item = u32>,
    ) {
        self.cos.clear();
        self.sin.clear();
        for position in positions {
            for frequency in &frequencies.frequencies {
                let (sin, cos) = f64::from(position as f32 * frequency).sin_cos();
                self.cos.push(cos as f32);
                self.sin.push(sin as f32);
            }
        }
    }
}
