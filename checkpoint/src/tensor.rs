//! One tensor of a model: what it is, where it belongs, and the byte range that holds it.

use protocol::ids::LayerIndex;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::weight_type::WeightType;

/// A tensor under its canonical (GGUF) name, also when it comes from a Hugging Face directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct TensorEntry {
    /// E.g. `blk.0.attn_q.weight`.
    pub name: String,
    pub place: TensorPlace,
    pub weight_type: WeightType,
    /// Rows first: `[out, in]` for a matrix.
    pub shape: Vec<u64>,
    /// Position in the list of files.
    pub file: u32,
    /// From the start of the file.
    pub offset: u64,
    pub bytes: u64,
}

/// Which part of the model a tensor belongs to.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    SchemaWrite,
    SchemaRead,
)]
pub enum TensorPlace {
    /// The token embedding, used by the first stage, and by the last one if the head is tied.
    Embedding,
    Layer(LayerIndex),
    /// What every stage needs some columns or all of (Gemma 4's table of the layers' own inputs).
    EveryStage,
    /// Output norm and output matrix, used by the last stage.
    Output,
    /// What no stage loads because `ModelSpec` already says it (`rope_freqs.weight`).
    Global,
}

impl TensorPlace {
    /// The place that a canonical name says.
    pub fn of(name: &str) -> Self {
        if name.starts_with("token_embd.") {
            return Self::Embedding;
        }
        if name.starts_with("per_layer_") {
            return Self::EveryStage;
        }
        if name.starts_with("output_norm.") || name.starts_with("output.") {
            return Self::Output;
        }
        let layer = name.strip_prefix("blk.").and_then(|rest| rest.split('.').next());
        match layer.and_then(|digits| digits.parse().ok()) {
            Some(layer) => Self::Layer(LayerIndex(layer)),
            None => Self::Global,
        }
    }
}
