//! Rotary position embedding: angles of a step's rows, and the rotation of q and k heads.

use std::f64::consts::TAU;

use protocol::model_spec::{ModelSpec, RopeLayout, RopeScaling, RopeSpec};

use crate::error::EngineError;

/// One rotation: radians per position of each pair, and the angles of a step's rows, computed once
/// for all layers.
#[derive(Debug)]
pub(crate) struct Rope {
    // [dims / 2]
    frequencies: Vec<f32>,
    layout: RopeLayout,
    /// Factor of sines and cosines.
    magnitude: f32,
    // [rows, dims / 2]
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rope {
    /// A model's rotations: of its layers, and of those with a window if it is another.
    pub(crate) fn all_of(
        spec: &ModelSpec,
        context_length: u32,
        rows: usize,
    ) -> Result<Vec<Self>, EngineError> {
        let ropes = std::iter::once(&spec.rope).chain(&spec.window_rope);
        ropes.map(|rope| Self::new(rope, context_length, rows)).collect()
    }

    /// Floats of the angles of `rows` rows.
    pub(crate) fn angle_floats(spec: &ModelSpec, rows: usize) -> usize {
        let ropes = std::iter::once(&spec.rope).chain(&spec.window_rope);
        ropes.map(|rope| rows * rope.dims as usize).sum()
    }

    /// `context_length` is the planned one: it decides between short and long factors, because
    /// the length of a sequence changes while it is computed.
    fn new(spec: &RopeSpec, context_length: u32, rows: usize) -> Result<Self, EngineError> {
        let half = spec.dims as usize / 2;
        let frequency = |i: usize| {
            let exponent = f64::from((2 * i) as f32 / spec.dims as f32);
            (1.0 / f64::from(spec.theta).powf(exponent)) as f32
        };
        let mut frequencies: Vec<f32> = (0..half).map(frequency).collect();
        let magnitude = scale(&mut frequencies, spec, context_length)?;
        let angles = || Vec::with_capacity(rows * half);
        Ok(Self { frequencies, layout: spec.layout, magnitude, cos: angles(), sin: angles() })
    }

    /// The angle is an f32 product, as in the implementations that models are trained with; only
    /// its sine and cosine are computed wider and rounded once.
    pub(crate) fn fill(&mut self, positions: impl Iterator<Item = u32>) {
        self.cos.clear();
        self.sin.clear();
        for position in positions {
            for frequency in &self.frequencies {
                let (sin, cos) = f64::from(position as f32 * frequency).sin_cos();
                self.cos.push(cos as f32 * self.magnitude);
                self.sin.push(sin as f32 * self.magnitude);
            }
        }
    }

    /// Cosines and sines of the rows (`[rows, dims / 2]`).
    #[cfg(feature = "candle")]
    pub(crate) fn angles(&self) -> (&[f32], &[f32]) {
        (&self.cos, &self.sin)
    }

    #[cfg(feature = "candle")]
    pub(crate) fn layout(&self) -> RopeLayout {
        self.layout
    }

    /// Rotates the first elements of each head in `heads` (`[heads, head_dim]`, one row's) by the
    /// angles of `row`.
    pub(crate) fn rotate(&self, heads: &mut [f32], head_dim: usize, row: usize) {
        let half = self.frequencies.len();
        let cos = &self.cos[row * half..(row + 1) * half];
        let sin = &self.sin[row * half..(row + 1) * half];
        for head in heads.chunks_exact_mut(head_dim) {
            let head = &mut head[..2 * half];
            match self.layout {
                RopeLayout::HalfSplit => rotate_halves(head, cos, sin),
                RopeLayout::Interleaved => rotate_pairs(head, cos, sin),
            }
        }
    }
}

/// Applies a model's scaling to its plain frequencies; returns the factor of sines and cosines.
fn scale(
    frequencies: &mut [f32],
    spec: &RopeSpec,
    context_length: u32,
) -> Result<f32, EngineError> {
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
        RopeScaling::FrequencyFactors { factors } => divide(frequencies, factors)?,
        RopeScaling::LongRope { short, long, original_context_length, magnitude } => {
            let is_long = context_length > *original_context_length;
            divide(frequencies, if is_long { long } else { short })?;
            return Ok(*magnitude);
        }
        RopeScaling::Yarn { factor, magnitude, .. } => {
            let (low, high) = yarn_ramp(spec);
            for (i, frequency) in frequencies.iter_mut().enumerate() {
                let stretched = ((i as f32 - low) / (high - low)).clamp(0.0, 1.0);
                *frequency = *frequency / factor * stretched + *frequency * (1.0 - stretched);
            }
            return Ok(*magnitude);
        }
    }
    Ok(1.0)
}

fn divide(frequencies: &mut [f32], factors: &[f32]) -> Result<(), EngineError> {
    if factors.len() != frequencies.len() {
        return Err(EngineError::BadSpec {
            field: "count of rope frequency factors",
            value: factors.len() as u64,
            expected: "expected half of the rotated elements",
        });
    }
    frequencies.iter_mut().zip(factors).for_each(|(f, factor)| *f /= factor);
    Ok(())
}

/// Between which frequencies YaRN goes over from keeping to stretching: those that turn
/// `beta_fast` and `beta_slow` times within the trained context.
fn yarn_ramp(spec: &RopeSpec) -> (f32, f32) {
    let RopeScaling::Yarn { original_context_length, beta_fast, beta_slow, rounded_ramp, .. } =
        spec.scaling
    else {
        return (0.0, 1.0);
    };
    let (dims, theta) = (f64::from(spec.dims), f64::from(spec.theta));
    let index = |turns: f32| {
        let wavelength = f64::from(original_context_length) / (f64::from(turns) * TAU);
        dims * wavelength.ln() / (2.0 * theta.ln())
    };
    let (mut low, mut high) = (index(beta_fast), index(beta_slow));
    if rounded_ramp {
        (low, high) = (low.floor(), high.ceil());
    }
    let (low, mut high) = (low.max(0.0), high.min(dims - 1.0));
    if low == high {
        high += 0.001;
    }
    (low as f32, high as f32)
}

/// Llama 3.1's scaling: long wavelengths are stretched, short ones kept, a ramp between.
fn llama3(frequency: f32, factor: f32, (low, high): (f32, f32), context: f32) -> f32 {
    let wavelength = TAU as f32 / frequency;
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
