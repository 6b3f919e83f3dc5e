//! Bytes that weights take on a device: matrices as it multiplies them, all else as 32-bit floats.

use std::collections::HashMap;

use protocol::model_spec::LayerRange;
use protocol::plan::Share;

use crate::held::{PartShape, shape_of};
use crate::layout::{ExpectedTensor, expected_tensors};
use crate::manifest::Manifest;
use crate::shard::{TensorPart, part_of};
use crate::stored::{StorageError, StoredForm, StoredMatrix};
use crate::tensor::TensorPlace;
use crate::weight_type::WeightType;

/// A matrix that a rank holds.
#[derive(Clone, Copy, Debug)]
pub struct HeldMatrix<'a> {
    pub name: &'a str,
    pub weight: WeightType,
    pub rows: u64,
    pub columns: u64,
}

/// What a rank with `share` of the layers of `range` holds on a device, where a matrix takes
/// `matrix_bytes`. Tables that rows are looked up in stay in host memory, and so do layers with a
/// recurrent state.
pub fn held_on_device(
    manifest: &Manifest,
    range: LayerRange,
    share: Share,
    matrix_bytes: &dyn Fn(HeldMatrix<'_>) -> u64,
) -> Result<u64, StorageError> {
    let spec = &manifest.spec;
    let entries: HashMap<_, _> =
        manifest.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let slice = spec.slice(share);
    let last = range.end.0 == spec.layer_count();
    let of = |tensor: &ExpectedTensor, part: TensorPart| {
        Ok(match shape_of(tensor, part) {
            PartShape::Nothing | PartShape::Matrix([0, _] | [_, 0]) => 0,
            PartShape::Vector(floats) => 4 * floats,
            PartShape::Matrix([rows, columns]) => {
                let find = |name: &str| entries.get(name).copied();
                let stored = StoredMatrix::find(&tensor.name, find)?;
                let order = match stored.form {
                    StoredForm::Int4(parts) if parts.order.is_some() => 4 * columns,
                    _ => 0,
                };
                let (name, weight) = (tensor.name.as_str(), stored.packed_type());
                matrix_bytes(HeldMatrix { name, weight, rows, columns }) + order
            }
        })
    };
    let rows = u64::from(slice.vocabulary.start)..u64::from(slice.vocabulary.end);
    let held = |tensor: &ExpectedTensor| match TensorPlace::of(&tensor.name) {
        // Tied, it is the head too.
        TensorPlace::Embedding if last && spec.tied_embeddings => {
            of(tensor, TensorPart::Rows(rows.clone()))
        }
        TensorPlace::Layer(layer) if range.start <= layer && layer < range.end => {
            let recurrent = spec.layers[layer.0 as usize].is_recurrent();
            if recurrent && is_of_recurrence(&tensor.name) {
                return Ok(0);
            }
            of(tensor, part_of(spec, &slice, &tensor.name))
        }
        TensorPlace::Output if last => of(tensor, part_of(spec, &slice, &tensor.name)),
        // A norm, once for each layer.
        TensorPlace::EveryStage if tensor.shape.len() == 1 => {
            Ok(of(tensor, TensorPart::Whole)? * range.indices().len() as u64)
        }
        _ => Ok(0),
    };
    expected_tensors(spec).iter().map(held).sum()
}

/// What a layer with a recurrent state has in the place of attention.
fn is_of_recurrence(name: &str) -> bool {
    let part = name.splitn(3, '.').nth(2).unwrap_or(name);
    part.starts_with("ssm_") || part.starts_with("attn_qkv.") || part.starts_with("attn_gate.")
}
