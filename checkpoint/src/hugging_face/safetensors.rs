//! The header of one safetensors file: a length, then JSON with a byte range per tensor.

use std::io::Read;

use serde_json::{Map, Value};

use super::tensor_names::Naming;
use crate::error::CheckpointError;
use crate::source::Source;
use crate::tensor::{TensorEntry, TensorPlace};
use crate::weight_type::WeightType;

/// The format's own bound is 100 MB; a large model's header holds some hundred kilobytes.
const HEADER_BYTES_MAX: u64 = 32 << 20;
const WHAT: &str = "the safetensors header";

/// The tensors of file number `file`, under canonical names.
pub(super) fn read<R: Read>(
    source: &mut Source<R>,
    file: u32,
    naming: Naming,
) -> Result<Vec<TensorEntry>, CheckpointError> {
    let length = source.u64(WHAT)?;
    if length > HEADER_BYTES_MAX {
        // A file that is no safetensors file shows itself here.
        return Err(source.over_limit("the length of the header", length, HEADER_BYTES_MAX));
    }
    let bytes = source.bytes(WHAT, length)?;
    let header: Map<String, Value> =
        serde_json::from_slice(&bytes).map_err(|e| source.malformed(WHAT, e.to_string()))?;
    let mut tensors = Vec::with_capacity(header.len());
    for (name, entry) in &header {
        if name == "__metadata__" {
            continue;
        }
        let Some(canonical) = naming.canonical(name) else {
            continue;
        };
        tensors.push(tensor(source, file, name, canonical, entry)?);
    }
    Ok(tensors)
}

fn tensor<R>(
    source: &Source<R>,
    file: u32,
    name: &str,
    canonical: String,
    entry: &Value,
) -> Result<TensorEntry, CheckpointError>
where
    R: Read,
{
    let what = format!("the entry of tensor `{name}`");
    let dtype = entry.get("dtype").and_then(Value::as_str).unwrap_or("missing");
    let Some(weight_type) = weight_type(dtype) else {
        return Err(CheckpointError::UnsupportedType {
            path: source.path().to_owned(),
            tensor: name.to_owned(),
            found: dtype.chars().take(40).collect(),
            supported: "F32, F16, BF16, F8_E4M3, I32, U8".to_owned(),
        });
    };
    let numbers = |field: &str| -> Option<Vec<u64>> {
        entry.get(field)?.as_array()?.iter().map(Value::as_u64).collect()
    };
    let Some(shape) = numbers("shape").filter(|shape| shape.len() <= 8) else {
        return Err(source.malformed(&what, "`shape` is not a short list of sizes"));
    };
    let range = numbers("data_offsets");
    let Some([begin, end]) = range.as_deref().and_then(|r| <[u64; 2]>::try_from(r).ok()) else {
        return Err(source.malformed(&what, "`data_offsets` is not a pair of offsets"));
    };
    let bytes = weight_type.tensor_bytes(&shape);
    if end.checked_sub(begin) != bytes {
        let reason = format!("{begin}..{end} does not hold {shape:?} values of {weight_type}");
        return Err(source.malformed(&what, reason));
    }
    let (offset, bytes) = (source.position().saturating_add(begin), end - begin);
    if offset.checked_add(bytes).is_none_or(|end| end > source.size()) {
        return Err(CheckpointError::Truncated {
            path: source.path().to_owned(),
            what: format!("tensor `{name}`"),
            needed: bytes,
            offset,
            size: source.size(),
        });
    }
    let place = TensorPlace::of(&canonical);
    Ok(TensorEntry { name: canonical, place, weight_type, shape, file, offset, bytes })
}

fn weight_type(dtype: &str) -> Option<WeightType> {
    match dtype {
        "F32" => Some(WeightType::F32),
        "F16" => Some(WeightType::F16),
        "BF16" => Some(WeightType::BF16),
        "U8" => Some(WeightType::U8),
        "I32" => Some(WeightType::I32),
        "F8_E4M3" => Some(WeightType::F8E4M3),
        _ => None,
    }
}
