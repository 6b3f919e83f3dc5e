//! A model's shape as its configuration says it, checked against the tensors that are there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use protocol::ids::LayerIndex;
use protocol::model_spec::{LayerSpec, ModelSpec, StateKind};

use crate::error::CheckpointError;
use crate::held;
use crate::shard;
use crate::stored::{StorageError, StoredMatrix, StoredVector};
use crate::tensor::{TensorEntry, TensorPlace};
use crate::weight_type::WeightType;

mod expected;
mod flattened;
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

/// Lets the last `count` layers read the keys and values of the last layer of their kind before
/// them; false if there is none.
pub(crate) fn share_keys(spec: &mut ModelSpec, count: u32) -> bool {
    let Some(first) = spec.layer_count().checked_sub(count) else { return false };
    let (own, reusing) = spec.layers.split_at_mut(first as usize);
    reusing.iter_mut().all(|layer| {
        let found = own.iter().rposition(|earlier| earlier.state == layer.state);
        let (Some(source), StateKind::PagedKv { window }) = (found, layer.state) else {
            return false;
        };
        layer.state = StateKind::KvOf { layer: LayerIndex(source as u32), window };
        true
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

/// Every expected tensor is there once, in the expected shape, and no other; the result is in the
/// order of the model, with fused tensors cut. `files` name the tensor's file in an error, `path`
/// the model.
pub(crate) fn check(
    spec: ModelSpec,
    path: &Path,
    files: &[PathBuf],
    mut tensors: Vec<TensorEntry>,
    label: Option<String>,
) -> Result<(ModelSpec, Vec<TensorEntry>), CheckpointError> {
    check_numbers(path, &spec)?;
    tensors.retain(|tensor| !is_of_own_keys(&spec, tensor));
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
    let expected = expected_tensors(&spec);
    let mut ordered = Vec::with_capacity(found.len());
    let mut taken = BTreeSet::new();
    for expected in &expected {
        let entries = stored(expected, &found).map_err(|error| {
            let path = found.get(error.tensor()).map_or_else(|| path.to_owned(), file);
            storage_error(path, error)
        })?;
        for tensor in entries {
            if taken.insert(tensor.name.clone()) {
                ordered.push(tensor.clone());
            }
        }
    }
    for tensor in found.into_values().filter(|tensor| !taken.contains(&tensor.name)) {
        if !expected::is_ignored(&tensor.name) {
            return Err(CheckpointError::UnexpectedTensor {
                path: file(&tensor),
                tensor: tensor.name,
                architecture: spec.architecture.to_string(),
            });
        }
        ordered.push(tensor);
    }
    let spec = with_sizes(spec, &expected, &ordered, label);
    spec.map(|spec| (spec, ordered)).map_err(|error| storage_error(path.to_owned(), error))
}

/// Keys and values of a layer that reads another's: published, and never read.
fn is_of_own_keys(spec: &ModelSpec, tensor: &TensorEntry) -> bool {
    let TensorPlace::Layer(layer) = tensor.place else { return false };
    let part = tensor.name.splitn(3, '.').nth(2).and_then(|part| part.split('.').next());
    spec.kv_layer(layer) != layer
        && matches!(part, Some("attn_k" | "attn_v" | "attn_k_norm" | "attn_v_norm"))
}

/// The tensors that hold an expected one.
fn stored<'a>(
    expected: &ExpectedTensor,
    found: &'a BTreeMap<String, TensorEntry>,
) -> Result<Vec<&'a TensorEntry>, StorageError> {
    let find = |name: &str| found.get(name);
    let name = &expected.name;
    let (shape, entries): (_, Vec<_>) = if expected.shape.len() == 2 {
        let stored = StoredMatrix::find(name, find)?;
        (stored.shape.to_vec(), stored.entries().collect())
    } else {
        let stored = StoredVector::find(name, find)?;
        (stored.shape(), vec![stored.entry])
    };
    if shape != expected.shape {
        let (tensor, expected) = (entries[0].name.clone(), expected.shape.clone());
        return Err(StorageError::WrongShape { tensor, found: shape, expected });
    }
    Ok(entries)
}

fn storage_error(path: PathBuf, error: StorageError) -> CheckpointError {
    match error {
        StorageError::Missing { tensor } => CheckpointError::MissingTensor { path, tensor },
        StorageError::WrongShape { tensor, found, expected } => {
            CheckpointError::WrongShape { path, tensor, found, expected }
        }
        StorageError::WrongType { tensor, found } => {
            let reason = format!("of type {found}, which its place does not take");
            CheckpointError::BadTensor { path, tensor, reason }
        }
        StorageError::BadColumns { tensor, columns, block } => {
            let reason = format!("of {columns} columns, expected a multiple of {block}");
            CheckpointError::BadTensor { path, tensor, reason }
        }
        StorageError::NotAMatrix { tensor, found } => {
            let reason = format!("of shape {found:?}, which is none of a matrix");
            CheckpointError::BadTensor { path, tensor, reason }
        }
    }
}

/// Fills in what follows from the tensors.
fn with_sizes(
    mut spec: ModelSpec,
    expected: &[ExpectedTensor],
    tensors: &[TensorEntry],
    label: Option<String>,
) -> Result<ModelSpec, StorageError> {
    let used = spec.experts.map_or(1.0, |e| f64::from(e.used) / f64::from(e.count.max(1)));
    let entries: HashMap<_, _> =
        tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let (mut embedding_bytes, mut head_bytes) = (0, 0);
    for tensor in expected {
        let find = |name: &str| entries.get(name).copied();
        let bytes = held::whole(tensor, find)?;
        match TensorPlace::of(&tensor.name) {
            TensorPlace::Embedding => embedding_bytes += bytes,
            TensorPlace::Output => head_bytes += bytes,
            TensorPlace::Global => {}
            // Each layer has its columns of it.
            TensorPlace::EveryStage => {
                let bytes = held::of_each_layer(&spec, tensor, find)?;
                spec.layers.iter_mut().for_each(|layer| layer.weight_bytes += bytes);
            }
            TensorPlace::Layer(LayerIndex(layer)) => {
                spec.layers[layer as usize].weight_bytes += bytes;
            }
        }
    }
    for matrix in expected {
        if let ([rows, columns], TensorPlace::Layer(layer)) =
            (&matrix.shape[..], TensorPlace::of(&matrix.name))
        {
            // A token goes through some of the experts only.
            let part = if is_expert(&matrix.name) { used } else { 1.0 };
            spec.layers[layer.0 as usize].macs_per_token += ((rows * columns) as f64 * part) as u64;
        }
    }
    spec.embedding_bytes = embedding_bytes;
    spec.head_bytes = head_bytes + if spec.tied_embeddings { embedding_bytes } else { 0 };
    spec.share_units = shard::share_units(&spec, tensors);
    spec.weight_label = label.unwrap_or_else(|| dominant_type(tensors));
    Ok(spec)
}

/// `blk.0.ffn_gate.7.weight` is one of several experts.
fn is_expert(name: &str) -> bool {
    name.contains(".ffn_") && name.split('.').count() == 5
}

/// The type that holds most bytes.
fn dominant_type(tensors: &[TensorEntry]) -> String {
    let bytes = |wanted: WeightType| -> u64 {
        tensors.iter().filter(|t| t.weight_type == wanted).map(|t| t.bytes).sum()
    };
    let most = WeightType::ALL.into_iter().max_by_key(|wanted| bytes(*wanted));
    most.map_or_else(String::new, |wanted| wanted.name().to_owned())
}
