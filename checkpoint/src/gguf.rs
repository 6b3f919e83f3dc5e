//! GGUF files: header, metadata and tensor table, and what a model's fields mean.

use std::path::{Path, PathBuf};

use protocol::model_spec::ModelSpec;

use crate::Checkpoint;
use crate::error::CheckpointError;
use crate::layout;
use crate::source::Source;
use crate::text_assets::TextAssets;

mod delta_net;
mod experts;
mod gemma4;
mod header;
mod latent;
mod metadata;
mod parts;
mod rope;
mod shapes;
mod tensor_names;
mod value;
mod vocabulary;

use metadata::Metadata;
use parts::Parts;
use shapes::Shapes;

/// Reads the headers of a model's files; the weights stay where they are.
pub(crate) fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let Parts { fields, files, mut tensors } = parts::read(path)?;
    let text = vocabulary::read(&fields)?;
    let shapes = Shapes::new(&fields, &tensors)?;
    let mut spec = shapes::spec(&shapes, text.tokens)?;
    let draft = shapes.u32("nextn_predict_layers")?.unwrap_or(0);
    let file = |tensor: &crate::TensorEntry| {
        files.get(tensor.file as usize).map_or(path, PathBuf::as_path).to_owned()
    };
    rope::with_divisors(&shapes, file, &mut spec)?;
    tensor_names::make_canonical(&spec, draft, &mut tensors);
    let label = fields.file_type_label();
    let (spec, tensors) = layout::check(spec, path, &files, tensors, label)?;
    check_vocabulary(path, &spec, text.tokens)?;
    Ok(Checkpoint { name: fields.model_name(), spec, files, tensors, text: text.assets })
}

/// Only the text side: also of a file that holds a vocabulary and no weights.
pub(crate) fn open_text(path: &Path) -> Result<TextAssets, CheckpointError> {
    let header = header::read(&mut Source::open(path)?)?;
    Ok(vocabulary::read(&Metadata::new(path, header.fields))?.assets)
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
