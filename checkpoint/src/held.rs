//! Bytes that weights take in a stage's memory: a plan books them before a stage takes them.
//!
//! Matrices are held in panels (`WeightType::panel_bytes`), all else as 32-bit floats.

use std::collections::HashMap;

use protocol::model_spec::{LayerRange, ModelSpec, ShareSlice};
use protocol::plan::Share;

use crate::layout::{ExpectedTensor, expected_tensors};
use crate::manifest::Manifest;
use crate::shard::{TensorPart, part_of};
use crate::stored::{StorageError, StoredForm, StoredMatrix};
use crate::tensor::{TensorEntry, TensorPlace};

/// What a rank with `share` of the layers of `range` holds. A tied matrix that serves both ends of
/// one stage is there once, where the rank has all of it.
pub fn held_bytes(
    manifest: &Manifest,
    range: LayerRange,
    share: Share,
) -> Result<u64, StorageError> {
    let spec = &manifest.spec;
    let entries: HashMap<_, _> =
        manifest.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let find = |name: &str| entries.get(name).copied();
    let slice = spec.slice(share);
    let (embeds, last) = (spec.embeds(range), range.end.0 == spec.layer_count());
    let held = |tensor: &ExpectedTensor| {
        let is_held = match TensorPlace::of(&tensor.name) {
            TensorPlace::Embedding => embeds,
            TensorPlace::Layer(layer) => range.start <= layer && layer < range.end,
            TensorPlace::Output => last,
            TensorPlace::EveryStage => {
                let one = of_each_layer(spec, tensor, find)?;
                return Ok(one * range.indices().len() as u64);
            }
            TensorPlace::Global => false,
        };
        if is_held { of_part(spec, &slice, tensor, find) } else { Ok(0) }
    };
    let expected = expected_tensors(spec);
    let of_parts: u64 = expected.iter().map(held).sum::<Result<_, _>>()?;
    let is_whole = share.units == share.of;
    if !(spec.tied_embeddings && last && !(embeds && is_whole)) {
        return Ok(of_parts);
    }
    let embedding = expected.iter().find(|tensor| tensor.name == "token_embd.weight");
    let rows = u64::from(slice.vocabulary.start)..u64::from(slice.vocabulary.end);
    let head = embedding.map(|tensor| of_tensor(tensor, TensorPart::Rows(rows), find));
    Ok(of_parts + head.transpose()?.unwrap_or(0))
}

/// What all of a tensor takes.
pub(crate) fn whole<'a>(
    tensor: &ExpectedTensor,
    find: impl Fn(&str) -> Option<&'a TensorEntry>,
) -> Result<u64, StorageError> {
    of_tensor(tensor, TensorPart::Whole, find)
}

/// What a layer takes of a tensor that all layers share out: its columns, or all of a vector.
pub(crate) fn of_each_layer<'a>(
    spec: &ModelSpec,
    tensor: &ExpectedTensor,
    find: impl Fn(&str) -> Option<&'a TensorEntry>,
) -> Result<u64, StorageError> {
    let part = match tensor.shape[..] {
        [_, columns] => TensorPart::Columns(0..columns / u64::from(spec.layer_count().max(1))),
        _ => TensorPart::Whole,
    };
    of_tensor(tensor, part, find)
}

fn of_part<'a>(
    spec: &ModelSpec,
    slice: &ShareSlice,
    tensor: &ExpectedTensor,
    find: impl Fn(&str) -> Option<&'a TensorEntry>,
) -> Result<u64, StorageError> {
    of_tensor(tensor, part_of(spec, slice, &tensor.name), find)
}

fn of_tensor<'a>(
    tensor: &ExpectedTensor,
    part: TensorPart,
    find: impl Fn(&str) -> Option<&'a TensorEntry>,
) -> Result<u64, StorageError> {
    let [rows, columns] = match shape_of(tensor, part) {
        PartShape::Vector(floats) => return Ok(floats * 4),
        PartShape::Nothing => return Ok(0),
        PartShape::Matrix(shape) => shape,
    };
    let stored = StoredMatrix::find(&tensor.name, find)?;
    let order = match stored.form {
        StoredForm::Int4(parts) if parts.order.is_some() => columns * 4,
        _ => 0,
    };
    Ok(stored.packed_type().panel_bytes(rows, columns).saturating_add(order))
}

/// What a part of a tensor is.
pub(crate) enum PartShape {
    Nothing,
    Vector(u64),
    /// Rows and columns.
    Matrix([u64; 2]),
}

pub(crate) fn shape_of(tensor: &ExpectedTensor, part: TensorPart) -> PartShape {
    let length = |range: std::ops::Range<u64>| range.end.saturating_sub(range.start);
    match (&tensor.shape[..], part) {
        (_, TensorPart::Nothing) => PartShape::Nothing,
        (&[rows, columns], TensorPart::Whole) => PartShape::Matrix([rows, columns]),
        (&[_, columns], TensorPart::Rows(range)) => PartShape::Matrix([length(range), columns]),
        (&[rows, _], TensorPart::Columns(range)) => PartShape::Matrix([rows, length(range)]),
        (shape, TensorPart::Whole) => PartShape::Vector(shape.iter().product()),
        (_, TensorPart::Rows(range) | TensorPart::Columns(range)) => {
            PartShape::Vector(length(range))
        }
    }
}
