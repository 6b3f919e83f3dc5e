//! Tensors that hold several of ours one behind the other: cut into their parts, no byte moved.
//!
//! Rows are contiguous and made of whole blocks in every type, so a part is a byte range.

use std::path::{Path, PathBuf};

use protocol::model_spec::{LayerSpec, ModelSpec};

use super::flattened::flatten;
use crate::error::CheckpointError;
use crate::stored::FLOAT8_BLOCK;
use crate::tensor::{TensorEntry, TensorPlace};

/// Cuts every fused tensor of `tensors`; the others pass as they are.
pub(super) fn cut(
    spec: &ModelSpec,
    path: &Path,
    files: &[PathBuf],
    tensors: Vec<TensorEntry>,
) -> Result<Vec<TensorEntry>, CheckpointError> {
    let mut all = Vec::with_capacity(tensors.len());
    for mut tensor in tensors {
        flatten(spec, &mut tensor);
        let Some(mut parts) = parts(spec, &tensor) else {
            all.push(tensor);
            continue;
        };
        let turned = ["gptq_groups", "gptq_codes", "awq_codes"];
        if turned.iter().any(|ending| tensor.name.ends_with(ending)) {
            let path = files.get(tensor.file as usize).map_or(path, PathBuf::as_path).to_owned();
            let reason = "several matrices in one, which 4-bit codes cannot be cut into".to_owned();
            return Err(CheckpointError::BadTensor { path, tensor: tensor.name, reason });
        }
        if tensor.name.ends_with(".scales") && !to_scales(&mut parts) {
            let path = files.get(tensor.file as usize).map_or(path, PathBuf::as_path).to_owned();
            let reason = format!("not of whole blocks of {FLOAT8_BLOCK} rows in each of its parts");
            return Err(CheckpointError::BadTensor { path, tensor: tensor.name, reason });
        }
        let expected: Vec<u64> = expected_shape(&parts, &tensor);
        if tensor.shape != expected {
            let path = files.get(tensor.file as usize).map_or(path, PathBuf::as_path);
            return Err(CheckpointError::WrongShape {
                path: path.to_owned(),
                tensor: tensor.name,
                found: tensor.shape,
                expected,
            });
        }
        all.extend(pieces(&tensor, &parts));
    }
    Ok(all)
}

/// One tensor of ours inside of a fused one.
struct Part {
    name: String,
    /// Of the fused tensor's outermost dimension.
    rows: u64,
    /// A part of one row of three dimensions is a matrix, of two a vector.
    whole: bool,
}

/// Rows of 8-bit floats to rows of their scales; false if a part begins inside a block.
fn to_scales(parts: &mut [Part]) -> bool {
    parts.iter_mut().filter(|part| part.whole).all(|part| {
        let whole = part.rows.is_multiple_of(FLOAT8_BLOCK);
        part.rows /= FLOAT8_BLOCK;
        whole
    })
}

/// What a fused tensor consists of; `None` for a plain one.
fn parts(spec: &ModelSpec, tensor: &TensorEntry) -> Option<Vec<Part>> {
    if let Some(ending) = tensor.name.strip_prefix("per_layer_model_proj.") {
        let name = |layer| format!("blk.{layer}.per_layer_model_proj.{ending}");
        let rows = u64::from(spec.per_layer_width);
        let parts = (0..spec.layers.len()).map(|i| Part { name: name(i), rows, whole: true });
        return Some(parts.collect());
    }
    let rest = tensor.name.strip_prefix("blk.")?;
    let (layer, part) = rest.split_once('.')?;
    let (part, ending) = part.rsplit_once('.')?;
    let of = |part: String, rows: u64| Part {
        name: format!("blk.{layer}.{part}.{ending}"),
        rows,
        whole: true,
    };
    let attention = spec.attention;
    match part {
        // Of a recurrent layer it stays whole.
        "attn_qkv" if !is_recurrent(spec, layer) => Some(vec![
            of("attn_q".into(), attention.query_width()),
            of("attn_k".into(), attention.key_width()),
            of("attn_v".into(), attention.key_width()),
        ]),
        "ffn_gate_up" => {
            let width = u64::from(spec.ffn_size);
            Some(vec![of("ffn_gate".into(), width), of("ffn_up".into(), width)])
        }
        "attn_kv_b" => {
            let latent = attention.latent?;
            let both = |head| {
                [
                    of(format!("attn_k_b.{head}"), latent.plain_dim.into()),
                    of(format!("attn_v_b.{head}"), latent.value_dim.into()),
                ]
            };
            Some((0..attention.heads).flat_map(both).collect())
        }
        "attn_k_b" | "attn_v_b" => {
            attention.latent?;
            Some(singles(part, attention.heads, of))
        }
        // gpt-oss has rows of both in turn instead, in tensors of its own kind.
        "ffn_gate_up_exps" if ending == "weight" => {
            let experts = spec.experts?;
            let both = |expert| {
                ["gate", "up"].map(|p| of(format!("ffn_{p}.{expert}"), experts.ffn_size.into()))
            };
            Some((0..experts.count).flat_map(both).collect())
        }
        "ffn_gate_exps" | "ffn_up_exps" | "ffn_down_exps" | "ffn_gate_up_exps" => {
            Some(singles(part.strip_suffix("_exps")?, spec.experts?.count, of))
        }
        _ => None,
    }
}

fn is_recurrent(spec: &ModelSpec, layer: &str) -> bool {
    let layer = layer.parse().ok().and_then(|layer: usize| spec.layers.get(layer));
    layer.is_some_and(LayerSpec::is_recurrent)
}

fn singles(part: &str, count: u32, of: impl Fn(String, u64) -> Part) -> Vec<Part> {
    (0..count).map(|i| Part { whole: false, ..of(format!("{part}.{i}"), 1) }).collect()
}

/// The outermost dimension is the parts' sum; the inner ones are checked part by part later.
fn expected_shape(parts: &[Part], tensor: &TensorEntry) -> Vec<u64> {
    let mut shape = tensor.shape.clone();
    let rows = parts.iter().map(|part| part.rows).sum();
    match shape.first_mut() {
        Some(first) => *first = rows,
        None => shape.push(rows),
    }
    shape
}

fn pieces(tensor: &TensorEntry, parts: &[Part]) -> Vec<TensorEntry> {
    let row_bytes = tensor.bytes / tensor.shape.first().copied().unwrap_or(1).max(1);
    let mut offset = tensor.offset;
    let piece = |part: &Part| {
        let mut shape = tensor.shape.clone();
        if part.whole {
            shape[0] = part.rows;
        } else {
            shape.remove(0);
        }
        let bytes = part.rows * row_bytes;
        offset += bytes;
        let (name, offset) = (part.name.clone(), offset - bytes);
        let place = TensorPlace::of(&name);
        TensorEntry { name, place, shape, offset, bytes, ..*tensor }
    };
    parts.iter().map(piece).collect()
}
