//! A model's shape as its configuration says it, checked against the tensors that are there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use protocol::ids::LayerIndex;
use protocol::model_spec::{
    Architecture, AttentionSpec, LayerSpec, ModelSpec, RopeScaling, RopeSpec, StateKind,
};

use crate::error::CheckpointError;
use crate::tensor::{TensorEntry, TensorPlace};
use crate::weight_type::WeightType;

mod expected;

use expected::Expected;

/// Larger than any published model; keeps every later product of sizes inside 64 bits.
const SIZE_MAX: u32 = 1 << 24;
const LAYERS_MAX: u32 = 4096;

/// The numbers of a configuration, before any tensor was looked at.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) architecture: Architecture,
    pub(crate) hidden_size: u32,
    pub(crate) ffn_size: u32,
    pub(crate) vocab_size: u32,
    pub(crate) context_length: u32,
    pub(crate) layer_count: u32,
    pub(crate) attention: AttentionSpec,
    pub(crate) rope: RopeSpec,
    pub(crate) norm_epsilon: f32,
    pub(crate) tied_embeddings: bool,
}

/// The family of that name, or an error that lists the known ones.
pub(crate) fn architecture(path: &Path, name: &str) -> Result<Architecture, CheckpointError> {
    let known = Architecture::ALL;
    known.into_iter().find(|family| family.name() == name).ok_or_else(|| {
        CheckpointError::UnknownArchitecture {
            path: path.to_owned(),
            found: name.chars().take(80).collect(),
            known: known.map(Architecture::name).join(", "),
        }
    })
}

/// Head length where the configuration leaves it to arithmetic.
pub(crate) fn head_dim(path: &Path, hidden: u32, heads: u32) -> Result<u32, CheckpointError> {
    if heads == 0 || !hidden.is_multiple_of(heads) {
        return Err(CheckpointError::BadField {
            path: path.to_owned(),
            field: "attention heads".to_owned(),
            value: heads.to_string(),
            expected: format!("a divisor of the hidden size, {hidden}"),
        });
    }
    Ok(hidden / heads)
}

impl Layout {
    /// Every expected tensor is there once, in the expected shape, and no other; the result is
    /// in the order of the model. `files` name the tensor's file in an error, `path` the model.
    pub(crate) fn check(
        self,
        path: &Path,
        files: &[PathBuf],
        tensors: Vec<TensorEntry>,
        label: Option<String>,
    ) -> Result<(ModelSpec, Vec<TensorEntry>), CheckpointError> {
        self.check_numbers(path)?;
        let file = |tensor: &TensorEntry| {
            files.get(tensor.file as usize).map_or(path, PathBuf::as_path).to_owned()
        };
        let mut found = BTreeMap::new();
        for tensor in tensors {
            if let Some(twin) = found.insert(tensor.name.clone(), tensor) {
                let path = file(&twin);
                return Err(CheckpointError::DuplicateTensor { path, tensor: twin.name });
            }
        }
        let mut ordered = Vec::with_capacity(found.len());
        for expected in expected::tensors(&self) {
            let Some(tensor) = found.remove(&expected.name) else {
                let path = path.to_owned();
                return Err(CheckpointError::MissingTensor { path, tensor: expected.name });
            };
            check_tensor(&file(&tensor), &tensor, &expected)?;
            ordered.push(tensor);
        }
        for tensor in found.into_values() {
            if !expected::is_ignored(&tensor.name) {
                return Err(CheckpointError::UnexpectedTensor {
                    path: file(&tensor),
                    tensor: tensor.name,
                    architecture: self.architecture.to_string(),
                });
            }
            ordered.push(tensor);
        }
        Ok((self.spec(&ordered, label), ordered))
    }

    /// Refuses sizes that are zero, beyond every known model, or at odds with each other.
    pub(crate) fn check_numbers(&self, path: &Path) -> Result<(), CheckpointError> {
        let bad = |field: &str, value: String, expected: String| {
            let field = field.to_owned();
            Err(CheckpointError::BadField { path: path.to_owned(), field, value, expected })
        };
        let attention = self.attention;
        let sizes = [
            ("hidden size", self.hidden_size, SIZE_MAX),
            ("feed-forward size", self.ffn_size, SIZE_MAX),
            ("vocabulary size", self.vocab_size, SIZE_MAX),
            ("context length", self.context_length, u32::MAX),
            ("number of layers", self.layer_count, LAYERS_MAX),
            ("attention heads", attention.heads, 1 << 14),
            ("key-value heads", attention.kv_heads, 1 << 14),
            ("head length", attention.head_dim, 1 << 14),
        ];
        for (field, value, limit) in sizes {
            if value == 0 || value > limit {
                return bad(field, value.to_string(), format!("1 to {limit}"));
            }
        }
        if !attention.heads.is_multiple_of(attention.kv_heads) {
            let expected = format!("a divisor of the {} attention heads", attention.heads);
            return bad("key-value heads", attention.kv_heads.to_string(), expected);
        }
        if !attention.head_dim.is_multiple_of(2) {
            let value = attention.head_dim.to_string();
            return bad("head length", value, "an even number (its halves rotate)".to_owned());
        }
        if !(self.norm_epsilon >= 0.0 && self.norm_epsilon < 1.0) {
            return bad("norm epsilon", self.norm_epsilon.to_string(), "0 to 1".to_owned());
        }
        if !(self.rope.theta.is_finite() && self.rope.theta > 0.0) {
            return bad("rope base", self.rope.theta.to_string(), "above 0".to_owned());
        }
        if let Some(value) = bad_scaling(&self.rope.scaling) {
            return bad("rope scaling", value, "positive finite factors".to_owned());
        }
        Ok(())
    }

    fn spec(self, tensors: &[TensorEntry], label: Option<String>) -> ModelSpec {
        let sum = |place: TensorPlace| -> u64 {
            tensors.iter().filter(|t| t.place == place).map(|t| t.bytes).sum()
        };
        let macs = |layer: u32| -> u64 {
            let place = TensorPlace::Layer(LayerIndex(layer));
            let matrices = tensors.iter().filter(|t| t.place == place && t.shape.len() == 2);
            matrices.map(|t| t.shape.iter().product::<u64>()).sum()
        };
        let layers = (0..self.layer_count).map(|layer| LayerSpec {
            state: StateKind::PagedKv { window: None },
            weight_bytes: sum(TensorPlace::Layer(LayerIndex(layer))),
            macs_per_token: macs(layer),
        });
        let embedding_bytes = sum(TensorPlace::Embedding);
        let tied = if self.tied_embeddings { embedding_bytes } else { 0 };
        ModelSpec {
            layers: layers.collect(),
            embedding_bytes,
            head_bytes: sum(TensorPlace::Output) + tied,
            weight_label: label.unwrap_or_else(|| dominant_type(tensors)),
            architecture: self.architecture,
            hidden_size: self.hidden_size,
            ffn_size: self.ffn_size,
            vocab_size: self.vocab_size,
            context_length: self.context_length,
            attention: self.attention,
            rope: self.rope,
            norm_epsilon: self.norm_epsilon,
            tied_embeddings: self.tied_embeddings,
        }
    }
}

fn bad_scaling(scaling: &RopeScaling) -> Option<String> {
    let positive = |values: &[f32]| values.iter().all(|f| f.is_finite() && *f > 0.0);
    let good = match scaling {
        RopeScaling::None => true,
        RopeScaling::Linear { factor } => positive(&[*factor]),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, .. } => {
            positive(&[*factor, *low_freq_factor, *high_freq_factor])
                && high_freq_factor > low_freq_factor
        }
        RopeScaling::FrequencyFactors { factors } => positive(factors),
    };
    (!good).then(|| format!("{scaling:?}"))
}

fn check_tensor(
    path: &Path,
    tensor: &TensorEntry,
    expected: &Expected,
) -> Result<(), CheckpointError> {
    if tensor.shape != expected.shape {
        return Err(CheckpointError::WrongShape {
            path: path.to_owned(),
            tensor: tensor.name.clone(),
            found: tensor.shape.clone(),
            expected: expected.shape.clone(),
        });
    }
    if expected.shape.len() == 1 && tensor.weight_type.is_quantised() {
        return Err(CheckpointError::BadTensor {
            path: path.to_owned(),
            tensor: tensor.name.clone(),
            reason: format!("a vector of type {}, expected F32, F16 or BF16", tensor.weight_type),
        });
    }
    Ok(())
}

/// The type that holds most bytes.
fn dominant_type(tensors: &[TensorEntry]) -> String {
    let bytes = |wanted: WeightType| -> u64 {
        tensors.iter().filter(|t| t.weight_type == wanted).map(|t| t.bytes).sum()
    };
    let most = WeightType::ALL.into_iter().max_by_key(|wanted| bytes(*wanted));
    most.map_or_else(String::new, |wanted| wanted.name().to_owned())
}
