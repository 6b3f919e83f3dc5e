//! A model's shape as its configuration says it, checked against the tensors that are there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use protocol::ids::LayerIndex;
use protocol::model_spec::{LayerSpec, ModelSpec, StateKind};

use crate::error::CheckpointError;
use crate::shard;
use crate::tensor::{TensorEntry, TensorPlace};
use crate::weight_type::WeightType;

mod expected;
mod fused;
mod numbers;

pub use expected::{ExpectedTensor, expected_tensors};
pub(crate) use numbers::check_numbers;

const LAYERS_MAX: u32 = 4096;

/// `count` layers that keep what `state` says, their sizes still unknown.
pub(crate) fn layers(
    path: &Path,
    count: u32,
    state: impl Fn(u32) -> StateKind,
) -> Result<Vec<LayerSpec>, CheckpointError> {
    if count == 0 || count > LAYERS_MAX {
        return Err(CheckpointError::BadField {
            path: path.to_owned(),
            field: "number of layers".to_owned(),
            value: count.to_string(),
            expected: format!("1 to {LAYERS_MAX}"),
        });
    }
    let layer = |i| LayerSpec { state: state(i), weight_bytes: 0, macs_per_token: 0 };
    Ok((0..count).map(layer).collect())
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

/// Every expected tensor is there once, in the expected shape, and no other; the result is in the
/// order of the model, with fused tensors cut. `files` name the tensor's file in an error, `path`
/// the model.
pub(crate) fn check(
    spec: ModelSpec,
    path: &Path,
    files: &[PathBuf],
    tensors: Vec<TensorEntry>,
    label: Option<String>,
) -> Result<(ModelSpec, Vec<TensorEntry>), CheckpointError> {
    check_numbers(path, &spec)?;
    let file = |tensor: &TensorEntry| {
        files.get(tensor.file as usize).map_or(path, PathBuf::as_path).to_owned()
    };
    let mut found = BTreeMap::new();
    for tensor in fused::cut(&spec, path, files, tensors)? {
        if let Some(twin) = found.insert(tensor.name.clone(), tensor) {
            let path = file(&twin);
            return Err(CheckpointError::DuplicateTensor { path, tensor: twin.name });
        }
    }
    let mut ordered = Vec::with_capacity(found.len());
    for expected in expected_tensors(&spec) {
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
                architecture: spec.architecture.to_string(),
            });
        }
        ordered.push(tensor);
    }
    Ok((with_sizes(spec, &ordered, label), ordered))
}

/// Fills in what follows from the tensors.
fn with_sizes(mut spec: ModelSpec, tensors: &[TensorEntry], label: Option<String>) -> ModelSpec {
    let used = spec.experts.map_or(1.0, |e| f64::from(e.used) / f64::from(e.count.max(1)));
    let (mut embedding_bytes, mut head_bytes) = (0, 0);
    for tensor in tensors {
        match tensor.place {
            TensorPlace::Embedding => embedding_bytes += tensor.bytes,
            TensorPlace::Output => head_bytes += tensor.bytes,
            TensorPlace::Global => {}
            TensorPlace::Layer(LayerIndex(layer)) => {
                let layer = &mut spec.layers[layer as usize];
                layer.weight_bytes += tensor.bytes;
                if let [rows, columns] = tensor.shape[..] {
                    // A token goes through some of the experts only.
                    let part = if is_expert(&tensor.name) { used } else { 1.0 };
                    layer.macs_per_token += ((rows * columns) as f64 * part) as u64;
                }
            }
        }
    }
    spec.embedding_bytes = embedding_bytes;
    spec.head_bytes = head_bytes + if spec.tied_embeddings { embedding_bytes } else { 0 };
    spec.share_units = shard::share_units(&spec, tensors);
    spec.weight_label = label.unwrap_or_else(|| dominant_type(tensors));
    spec
}

/// `blk.0.ffn_gate.7.weight` is one of several experts.
fn is_expert(name: &str) -> bool {
    name.contains(".ffn_") && name.split('.').count() == 5
}

fn check_tensor(
    path: &Path,
    tensor: &TensorEntry,
    expected: &ExpectedTensor,
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
