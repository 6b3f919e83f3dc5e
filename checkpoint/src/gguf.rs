//! GGUF files: header, metadata and tensor table, and what a model's fields mean.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use protocol::model_spec::{ModelSpec, RopeScaling};

use crate::Checkpoint;
use crate::error::CheckpointError;
use crate::layout::Layout;
use crate::source::Source;
use crate::tensor::TensorEntry;
use crate::text_assets::TextAssets;
use crate::weight_type::WeightType;

mod header;
mod metadata;
mod shapes;
mod value;
mod vocabulary;

use metadata::Metadata;

const ROPE_FREQS: &str = "rope_freqs.weight";

/// Reads the header of one GGUF file; the weights stay where they are.
pub(crate) fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let header = header::read(&mut Source::open(path)?)?;
    let fields = Metadata::new(path, header.fields);
    let text = vocabulary::read(&fields)?;
    let mut layout = shapes::layout(&fields, &header.tensors, text.tokens)?;
    layout.check_numbers(path)?;
    if let Some(tensor) = header.tensors.iter().find(|t| t.name == ROPE_FREQS) {
        layout.rope.scaling = rope_factors(path, tensor, &layout)?;
    }
    let files = vec![path.to_owned()];
    let label = fields.file_type_label();
    let (spec, tensors) = layout.check(path, &files, header.tensors, label)?;
    check_vocabulary(path, &spec, text.tokens)?;
    Ok(Checkpoint { name: fields.model_name(), spec, files, tensors, text: text.assets })
}

/// Only the text side: also of a file that holds a vocabulary and no weights.
pub(crate) fn open_text(path: &Path) -> Result<TextAssets, CheckpointError> {
    let header = header::read(&mut Source::open(path)?)?;
    Ok(vocabulary::read(&Metadata::new(path, header.fields))?.assets)
}

/// The divisors of the rotary frequencies: a few hundred bytes, and part of the configuration.
fn rope_factors(
    path: &Path,
    tensor: &TensorEntry,
    layout: &Layout,
) -> Result<RopeScaling, CheckpointError> {
    let expected = vec![u64::from(layout.attention.head_dim) / 2];
    if tensor.shape != expected {
        return Err(CheckpointError::WrongShape {
            path: path.to_owned(),
            tensor: tensor.name.clone(),
            found: tensor.shape.clone(),
            expected,
        });
    }
    let bad = |reason: &str| CheckpointError::BadTensor {
        path: path.to_owned(),
        tensor: tensor.name.clone(),
        reason: reason.to_owned(),
    };
    if tensor.weight_type != WeightType::F32 {
        return Err(bad("not of type F32"));
    }
    if layout.rope.scaling != RopeScaling::None {
        return Err(bad("there beside another rope scaling"));
    }
    let io = |source| CheckpointError::Io { path: path.to_owned(), source };
    let mut bytes = vec![0; tensor.bytes as usize];
    File::open(path).and_then(|f| f.read_exact_at(&mut bytes, tensor.offset)).map_err(io)?;
    let factors: Vec<f32> =
        bytes.as_chunks::<4>().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect();
    if factors.iter().any(|f| !f.is_finite() || *f <= 0.0) {
        return Err(bad("not made of positive numbers"));
    }
    Ok(RopeScaling::FrequencyFactors { factors })
}

fn check_vocabulary(path: &Path, spec: &ModelSpec, tokens: usize) -> Result<(), CheckpointError> {
    // Rows beyond the vocabulary are padding; tokens beyond the rows could not be computed.
    if tokens > spec.vocab_size as usize {
        return Err(CheckpointError::BadField {
            path: path.to_owned(),
            field: "tokenizer.ggml.tokens".to_owned(),
            value: format!("{tokens} tokens"),
            expected: format!("at most the {} rows of token_embd.weight", spec.vocab_size),
        });
    }
    Ok(())
}
