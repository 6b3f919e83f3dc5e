//! Tests over whole files: those in `fixtures/`, random ones, and broken ones.

mod bent_numbers;
mod broken_files;
mod broken_folders;
mod golden_files;
mod hostile_bytes;
mod manifests;
mod random_models;

use std::path::PathBuf;

use protocol::model_spec::Architecture;

use crate::WeightType;
use crate::testing::{self, RandomModel};

/// A file or folder under `fixtures/`.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// A tiny GGUF file in a folder that goes away with the first value.
fn tiny_file(architecture: Architecture, kind: WeightType) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tiny.gguf");
    let model = RandomModel::tiny(architecture, kind, 1);
    testing::write_random_gguf(&path, &model).expect("the file is written");
    (folder, path)
}
