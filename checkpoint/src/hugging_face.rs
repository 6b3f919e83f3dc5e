//! Hugging Face directories: `config.json`, safetensors (one file or many), tokenizer files.

use std::path::Path;

use protocol::model_spec::ModelSpec;

use crate::Checkpoint;
use crate::error::CheckpointError;
use crate::layout;
use crate::tensor::TensorEntry;
use crate::text_assets::TextAssets;

mod config;
mod json_file;
mod quantisation;
mod rope_config;
mod safetensors;
mod shards;
mod surplus_biases;
mod tensor_names;
mod tokenizer_files;

/// Reads the headers of a model's folder; the weights stay where they are.
pub(crate) fn open(folder: &Path) -> Result<Checkpoint, CheckpointError> {
    let config_path = folder.join("config.json");
    if !config_path.is_file() {
        return Err(CheckpointError::NotAModel { path: folder.to_owned() });
    }
    let config = config::text_part(json_file::read(&config_path)?);
    let spec = config::spec(&config_path, &config)?;
    let fields = json_file::Fields { path: &config_path, map: &config };
    let quantisation = quantisation::read(&fields)?;
    let naming = tensor_names::Naming { architecture: spec.architecture, quantisation };
    let (files, mut tensors) = shards::read(folder, naming)?;
    // A tied model may still carry a copy of its embedding as a head; the tie is what counts.
    if spec.tied_embeddings {
        tensors.retain(|tensor| tensor.name != "output.weight");
    }
    drop_draft_layers(&fields, &spec, &mut tensors)?;
    surplus_biases::drop_zeros(&spec, &files, &mut tensors)?;
    let label = quantisation.label();
    let (spec, tensors) = layout::check(spec, folder, &files, tensors, label)?;
    let name = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = name.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Checkpoint { spec, name, files, tensors, text: open_text(folder)? })
}

/// Layers behind the last that guess the token after the next: not part of the model proper.
fn drop_draft_layers(
    fields: &json_file::Fields<'_>,
    spec: &ModelSpec,
    tensors: &mut Vec<TensorEntry>,
) -> Result<(), CheckpointError> {
    let count = fields.u32("num_nextn_predict_layers")?.unwrap_or(0);
    let draft = spec.layer_count()..spec.layer_count().saturating_add(count);
    tensors.retain(|tensor| {
        let name = tensor.name.strip_prefix("model.layers.");
        let layer = name.or(tensor.name.strip_prefix("blk.")).and_then(|n| n.split('.').next());
        !layer.and_then(|n| n.parse().ok()).is_some_and(|n: u32| draft.contains(&n))
    });
    Ok(())
}

/// The tokenizer and template of a model's folder.
pub(crate) fn open_text(folder: &Path) -> Result<TextAssets, CheckpointError> {
    tokenizer_files::read(folder)
}
