//! The fixed part of a GGUF file: magic, version, metadata, tensor table.

use std::collections::BTreeMap;
use std::io::Read;

use super::value::{self, Value};
use crate::error::CheckpointError;
use crate::source::Source;
use crate::tensor::{TensorEntry, TensorPlace};
use crate::weight_type::WeightType;

const MAGIC: [u8; 4] = *b"GGUF";
const FIELDS_MAX: u64 = 1 << 16;
const TENSORS_MAX: u64 = 1 << 16;
const NAME_BYTES_MAX: u64 = 1 << 10;
const DIMENSIONS_MAX: u32 = 4;
/// The largest known headers (256k tokens with merges) take some 16 MB.
const HEADER_BYTES_MAX: u64 = 128 << 20;
const ALIGNMENT_DEFAULT: u64 = 32;
const ALIGNMENT_MAX: u64 = 1 << 20;

pub(super) struct Header {
    pub(super) fields: BTreeMap<String, Value>,
    pub(super) tensors: Vec<TensorEntry>,
}

/// Reads everything before the weights; each tensor's range is known to lie in the file.
pub(super) fn read<R: Read>(source: &mut Source<R>) -> Result<Header, CheckpointError> {
    check_magic(source)?;
    let tensor_count = source.u64("the tensor count")?;
    let field_count = source.u64("the metadata count")?;
    // A tensor takes at least 24 bytes here, a field at least 13.
    within(source, "the number of tensors", tensor_count, TENSORS_MAX, 24)?;
    within(source, "the number of metadata fields", field_count, FIELDS_MAX, 13)?;
    let fields = read_fields(source, field_count)?;
    let alignment = alignment(source, &fields)?;
    let mut tensors = Vec::with_capacity(tensor_count as usize);
    for _ in 0..tensor_count {
        tensors.push(read_tensor(source)?);
    }
    place_tensors(source, &mut tensors, alignment)?;
    Ok(Header { fields, tensors })
}

fn check_magic<R: Read>(source: &mut Source<R>) -> Result<(), CheckpointError> {
    if source.size() < 4 {
        return Err(CheckpointError::NotAModel { path: source.path().to_owned() });
    }
    let found: [u8; 4] = source.array("the magic number")?;
    if found != MAGIC {
        return Err(CheckpointError::BadMagic { path: source.path().to_owned(), found });
    }
    let version = source.u32("the version")?;
    // Versions 2 and 3 have the same little-endian layout.
    if version != 2 && version != 3 {
        let path = source.path().to_owned();
        return Err(CheckpointError::BadVersion { path, found: version });
    }
    Ok(())
}

fn within<R: Read>(
    source: &Source<R>,
    what: &str,
    count: u64,
    limit: u64,
    each: u64,
) -> Result<(), CheckpointError> {
    if count > limit {
        return Err(source.over_limit(what, count, limit));
    }
    source.expect(what, count, each)
}

fn read_fields<R: Read>(
    source: &mut Source<R>,
    count: u64,
) -> Result<BTreeMap<String, Value>, CheckpointError> {
    let mut fields = BTreeMap::new();
    for _ in 0..count {
        let key = value::string(source, "a metadata key", NAME_BYTES_MAX)?;
        let value = value::read(source, &key)?;
        if source.position() > HEADER_BYTES_MAX {
            let what = "the size of the metadata";
            return Err(source.over_limit(what, source.position(), HEADER_BYTES_MAX));
        }
        if fields.insert(key.clone(), value).is_some() {
            return Err(source.malformed(&format!("field `{key}`"), "appears twice"));
        }
    }
    Ok(fields)
}

fn alignment<R: Read>(
    source: &Source<R>,
    fields: &BTreeMap<String, Value>,
) -> Result<u64, CheckpointError> {
    let Some(value) = fields.get("general.alignment") else {
        return Ok(ALIGNMENT_DEFAULT);
    };
    match value.as_u64() {
        Some(n) if n > 0 && n % 8 == 0 && n <= ALIGNMENT_MAX => Ok(n),
        _ => Err(CheckpointError::BadField {
            path: source.path().to_owned(),
            field: "general.alignment".to_owned(),
            value: value.to_string(),
            expected: format!("a multiple of 8 up to {ALIGNMENT_MAX}"),
        }),
    }
}

/// One row of the tensor table; its offset still counts from the start of the weights.
fn read_tensor<R: Read>(source: &mut Source<R>) -> Result<TensorEntry, CheckpointError> {
    let name = value::string(source, "a tensor name", NAME_BYTES_MAX)?;
    let what = format!("the entry of tensor `{name}`");
    let dimensions = source.u32(&what)?;
    if dimensions > DIMENSIONS_MAX {
        let what = format!("the number of dimensions of tensor `{name}`");
        return Err(source.over_limit(&what, dimensions.into(), DIMENSIONS_MAX.into()));
    }
    let mut shape = Vec::with_capacity(dimensions as usize);
    for _ in 0..dimensions {
        shape.push(source.u64(&what)?);
    }
    // GGUF counts the contiguous dimension first.
    shape.reverse();
    let number = source.u32(&what)?;
    let offset = source.u64(&what)?;
    let Some(weight_type) = weight_type(number) else {
        return Err(CheckpointError::UnsupportedType {
            path: source.path().to_owned(),
            tensor: name,
            found: type_name(number),
            supported: supported(),
        });
    };
    let Some(bytes) = weight_type.tensor_bytes(&shape) else {
        let reason = format!(
            "of shape {shape:?}, which blocks of {} {weight_type} values cannot fill",
            weight_type.block_elements()
        );
        let path = source.path().to_owned();
        return Err(CheckpointError::BadTensor { path, tensor: name, reason });
    };
    let place = TensorPlace::of(&name);
    Ok(TensorEntry { name, place, weight_type, shape, file: 0, offset, bytes })
}

/// Makes offsets absolute and checks them against the size of the file.
fn place_tensors<R: Read>(
    source: &Source<R>,
    tensors: &mut [TensorEntry],
    alignment: u64,
) -> Result<(), CheckpointError> {
    let start = source.position().next_multiple_of(alignment);
    for tensor in tensors {
        if tensor.offset % alignment != 0 {
            return Err(CheckpointError::BadTensor {
                path: source.path().to_owned(),
                tensor: tensor.name.clone(),
                reason: format!("at offset {}, not a multiple of {alignment}", tensor.offset),
            });
        }
        let absolute = start.saturating_add(tensor.offset);
        if absolute.checked_add(tensor.bytes).is_none_or(|end| end > source.size()) {
            return Err(CheckpointError::Truncated {
                path: source.path().to_owned(),
                what: format!("tensor `{}`", tensor.name),
                needed: tensor.bytes,
                offset: absolute,
                size: source.size(),
            });
        }
        tensor.offset = absolute;
    }
    Ok(())
}

fn weight_type(number: u32) -> Option<WeightType> {
    WeightType::ALL.into_iter().find(|kind| kind.ggml_number() == Some(number))
}

fn supported() -> String {
    let known = WeightType::ALL.into_iter().filter(|kind| kind.ggml_number().is_some());
    known.map(WeightType::name).collect::<Vec<_>>().join(", ")
}

/// What ggml calls a type that we do not read.
fn type_name(number: u32) -> String {
    const NAMES: [(u32, &str); 18] = [
        (9, "Q8_1"),
        (15, "Q8_K"),
        (16, "IQ2_XXS"),
        (17, "IQ2_XS"),
        (18, "IQ3_XXS"),
        (19, "IQ1_S"),
        (21, "IQ3_S"),
        (22, "IQ2_S"),
        (24, "I8"),
        (25, "I16"),
        (26, "I32"),
        (27, "I64"),
        (28, "F64"),
        (29, "IQ1_M"),
        (34, "TQ1_0"),
        (35, "TQ2_0"),
        (40, "NVFP4"),
        (41, "Q1_0"),
    ];
    let known = NAMES.iter().find(|(n, _)| *n == number);
    known.map_or_else(|| format!("number {number}"), |(_, name)| (*name).to_owned())
}
