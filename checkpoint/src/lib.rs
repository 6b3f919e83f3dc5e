//! Bounded readers of model files: header first, weights only as byte ranges with digests.
#![forbid(unsafe_code)]

pub mod byte_level;
pub mod error;
mod families;
mod gguf;
mod held;
mod held_on_device;
mod hugging_face;
mod layout;
pub mod manifest;
pub mod shard;
mod source;
mod stored;
pub mod tensor;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod text_assets;
pub mod weight_type;

use std::path::{Path, PathBuf};

use protocol::model_spec::ModelSpec;

pub use error::CheckpointError;
pub use held::held_bytes;
pub use held_on_device::{HeldMatrix, held_on_device};
pub use layout::{ExpectedTensor, expected_tensors};
pub use manifest::{ChunkEntry, FileEntry, Manifest};
pub use shard::{TensorPart, part_of};
pub use stored::{
    Float8Scales, Int4Layout, Int4Parts, RowView, StorageError, StoredForm, StoredMatrix,
    StoredVector,
};
pub use tensor::{TensorEntry, TensorPlace};
pub use text_assets::{GgufVocabulary, NamedToken, TextAssets, TokenKind, Vocabulary};
pub use weight_type::WeightType;

/// What a model's files say about it; no weight has been read.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub spec: ModelSpec,
    /// The model's own name, or its file's.
    pub name: String,
    /// The files that hold weights; `TensorEntry::file` is a position in here.
    pub files: Vec<PathBuf>,
    /// In the order of the model: embedding, layers, output, the rest.
    pub tensors: Vec<TensorEntry>,
    pub text: TextAssets,
}

/// Reads the headers of a GGUF file, or of a Hugging Face directory (safetensors).
pub fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    if path.is_dir() { hugging_face::open(path) } else { gguf::open(path) }
}

/// Reads only the text side, also of a GGUF file that holds a vocabulary and no weights.
pub fn open_text(path: &Path) -> Result<TextAssets, CheckpointError> {
    if path.is_dir() { hugging_face::open_text(path) } else { gguf::open_text(path) }
}
