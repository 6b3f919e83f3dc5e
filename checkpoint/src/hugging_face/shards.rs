//! Which safetensors files a model consists of: one, or those that its index names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::tensor_names::Naming;
use super::{json_file, safetensors};
use crate::error::CheckpointError;
use crate::source::Source;
use crate::tensor::TensorEntry;

const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";
const FILES_MAX: usize = 1024;

/// The files in order, and the tensors of all of them.
pub(super) fn read(
    folder: &Path,
    naming: Naming,
) -> Result<(Vec<PathBuf>, Vec<TensorEntry>), CheckpointError> {
    let index = folder.join(INDEX);
    if !index.is_file() {
        let single = folder.join(SINGLE);
        if !single.is_file() {
            let path = folder.to_owned();
            return Err(CheckpointError::NotAModel { path });
        }
        let tensors = safetensors::read(&mut Source::open(&single)?, 0, naming)?;
        return Ok((vec![single], tensors));
    }
    let weight_map = weight_map(&index)?;
    let names: BTreeSet<&str> = weight_map.values().map(String::as_str).collect();
    let files: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    let mut tensors = Vec::new();
    for (number, file) in files.iter().enumerate() {
        tensors.extend(safetensors::read(&mut Source::open(file)?, number as u32, naming)?);
    }
    check_index((&index, naming), &weight_map, &files, &tensors)?;
    Ok((files, tensors))
}

/// Tensor name to file name, both as the index has them.
fn weight_map(index: &Path) -> Result<BTreeMap<String, String>, CheckpointError> {
    let json = json_file::read(index)?;
    let bad = |value: String, expected: &str| CheckpointError::BadField {
        path: index.to_owned(),
        field: "weight_map".to_owned(),
        value,
        expected: expected.to_owned(),
    };
    let Some(Value::Object(map)) = json.get("weight_map") else {
        let (path, field) = (index.to_owned(), "weight_map".to_owned());
        return Err(CheckpointError::MissingField { path, field });
    };
    let mut weight_map = BTreeMap::new();
    for (tensor, file) in map {
        // The name comes from a file of unknown origin and must not leave the folder.
        let plain = file
            .as_str()
            .filter(|name| !name.is_empty() && !name.contains(['/', '\\', '\0']) && *name != "..");
        let Some(name) = plain else {
            return Err(bad(format!("{file} for `{tensor}`"), "names of files in the folder"));
        };
        weight_map.insert(tensor.clone(), name.to_owned());
    }
    let files: BTreeSet<_> = weight_map.values().collect();
    if files.is_empty() || files.len() > FILES_MAX {
        return Err(bad(format!("{} files", files.len()), "1 to 1024 files"));
    }
    Ok(weight_map)
}

/// What the index promises must be in the file it names.
fn check_index(
    (index, naming): (&Path, Naming),
    weight_map: &BTreeMap<String, String>,
    files: &[PathBuf],
    tensors: &[TensorEntry],
) -> Result<(), CheckpointError> {
    let found: BTreeMap<&str, u32> = tensors.iter().map(|t| (t.name.as_str(), t.file)).collect();
    for (name, file) in weight_map {
        let Some(canonical) = naming.canonical(name) else {
            continue;
        };
        let place = found.get(canonical.as_str()).and_then(|file| files.get(*file as usize));
        if place.is_none_or(|path| !path.ends_with(file)) {
            return Err(CheckpointError::MissingTensor {
                path: index.with_file_name(file),
                tensor: name.clone(),
            });
        }
    }
    Ok(())
}
