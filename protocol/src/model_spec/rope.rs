//! Rotary position embedding: which elements rotate together, and how fast.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead, ToSchema)]
pub struct RopeSpec {
    pub theta: f32,
    pub scaling: RopeScaling,
    pub layout: RopeLayout,
    /// Elements of a head that rotate, the first ones; even.
    pub dims: u32,
}

impl RopeSpec {
    /// Unscaled, in halves.
    pub fn plain(theta: f32, dims: u32) -> Self {
        Self { theta, scaling: RopeScaling::None, layout: RopeLayout::HalfSplit, dims }
    }
}

/// Which two elements of a head rotate together.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RopeLayout {
    /// Element i with i + dims/2: Hugging Face weights, and most families in GGUF.
    HalfSplit,
    /// Element 2i with 2i + 1: Llama in GGUF, whose q and k rows are permuted for it.
    Interleaved,
}

/// How rotation frequencies are stretched beyond the trained context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RopeScaling {
    None,
    Linear {
        factor: f32,
    },
    /// Llama 3.1's frequency-dependent scaling (`rope_type: llama3` in `config.json`).
    Llama3 {
        factor: f32,
        low_freq_factor: f32,
        high_freq_factor: f32,
        original_context_length: u32,
    },
    /// A divisor per frequency, read from a GGUF's `rope_freqs.weight`; dims / 2 values.
    FrequencyFactors {
        factors: Vec<f32>,
    },
    /// YaRN (arXiv 2309.00071): frequencies that turn often in the trained context are kept.
    Yarn {
        factor: f32,
        original_context_length: u32,
        beta_fast: f32,
        beta_slow: f32,
        /// Factor of sines and cosines.
        magnitude: f32,
        /// The ends of the ramp are rounded to whole frequencies.
        rounded_ramp: bool,
    },
    /// LongRoPE (arXiv 2402.13753): a divisor per frequency, one set for contexts up to the
    /// trained one and one for longer ones; dims / 2 values each.
    LongRope {
        short: Vec<f32>,
        long: Vec<f32>,
        original_context_length: u32,
        /// Factor of sines and cosines.
        magnitude: f32,
    },
}
