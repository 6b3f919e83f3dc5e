//! Hugging Face directories: `config.json`, safetensors (one file or many), tokenizer files.

use std::path::Path;

use crate::Checkpoint;
use crate::error::CheckpointError;
use crate::text_assets::TextAssets;

mod config;
mod json_file;
mod rope_config;
mod safetensors;
mod shards;
mod tensor_names;
mod tokenizer_files;

/// Reads the headers of a model's folder; the weights stay where they are.
pub(crate) fn open(folder: &Path) -> Result<Checkpoint, CheckpointError> {
    let config_path = folder.join("config.json");
    if !config_path.is_file() {
        return Err(CheckpointError::NotAModel { path: folder.to_owned() });
    }
    let config = json_file::read(&config_path)?;
    let (files, mut tensors) = shards::read(folder)?;
    let mut layout = config::layout(&config_path, &config)?;
    // A tied model may still carry a copy of its embedding as a head; the tie is what counts.
    if layout.tied_embeddings {
        tensors.retain(|tensor| tensor.name != "output.weight");
    }
    layout.attention.qkv_bias = tensors.iter().any(|t| t.name == "blk.0.attn_q.bias");
    let (spec, tensors) = layout.check(folder, &files, tensors, None)?;
    let name = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = name.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Checkpoint { spec, name, files, tensors, text: open_text(folder)? })
}

/// The tokenizer and template of a model's folder.
pub(crate) fn open_text(folder: &Path) -> Result<TextAssets, CheckpointError> {
    tokenizer_files::read(folder)
}
