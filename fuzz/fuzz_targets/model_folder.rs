//! A Hugging Face directory of the fixtures, one file of which is replaced by other bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/golden/llama-tied");

/// The folder, its file `name` being `bytes`; the same folder in every call.
pub fn with(name: &str, bytes: &[u8]) -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
            let from = Path::new(FIXTURE).join(file);
            if from.is_file() {
                fs::copy(from, folder.path().join(file)).expect("copied");
            }
        }
        folder
    });
    fs::write(folder.path().join(name), bytes).expect("written");
    folder.path().to_owned()
}
