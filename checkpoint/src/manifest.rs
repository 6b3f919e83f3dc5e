//! The manifest: a model's tensors as byte ranges, cut into chunks that each have a digest.

use std::path::Path;

use protocol::encoding;
use protocol::ids::Digest;
use protocol::model_spec::{LayerRange, ModelSpec};
use wincode::{SchemaRead, SchemaWrite};

use crate::Checkpoint;
use crate::error::CheckpointError;
use crate::layout::check_numbers;
use crate::tensor::{TensorEntry, TensorPlace};

mod chunk_layout;
mod hashing;

/// What a cluster knows a model by; its digest is the model's identity.
#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct Manifest {
    pub name: String,
    pub spec: ModelSpec,
    pub files: Vec<FileEntry>,
    pub tensors: Vec<TensorEntry>,
    /// In the order of `tensors`; each tensor is covered by whole chunks of its own.
    pub chunks: Vec<ChunkEntry>,
    /// Of the encoded `TextAssets`.
    pub text: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct FileEntry {
    /// Without a folder.
    pub name: String,
    pub bytes: u64,
}

/// At most 4 MiB of one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct ChunkEntry {
    pub file: u32,
    pub offset: u64,
    pub bytes: u64,
    pub digest: Digest,
}

impl Manifest {
    /// Reads every weight once to hash it, at most a few chunks in memory at a time.
    ///
    /// `progress` gets bytes done and bytes in total.
    pub fn build(
        checkpoint: &Checkpoint,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, CheckpointError> {
        let ranges = chunk_layout::ranges(&checkpoint.tensors);
        Ok(Self {
            name: checkpoint.name.clone(),
            spec: checkpoint.spec.clone(),
            files: checkpoint.files.iter().map(|p| file_entry(p)).collect::<Result<_, _>>()?,
            tensors: checkpoint.tensors.clone(),
            chunks: hashing::digests(&checkpoint.files, ranges, progress)?,
            text: checkpoint.text.digest()?,
        })
    }

    pub fn encode(&self) -> Result<Vec<u8>, CheckpointError> {
        Ok(encoding::encode("manifest", self)?)
    }

    /// Decodes and checks: a manifest that comes back is consistent with itself.
    pub fn decode(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let manifest: Self = encoding::decode("manifest", bytes)?;
        check_numbers(Path::new(&manifest.name), &manifest.spec)?;
        chunk_layout::check(&manifest)?;
        Ok(manifest)
    }

    /// BLAKE3 of the encoded form.
    pub fn digest(&self) -> Result<Digest, CheckpointError> {
        Ok(Digest::of(&self.encode()?))
    }

    /// What a stage of `range` loads: its layers, the embedding on the first stage, norm and
    /// head on the last, a tied embedding on both.
    pub fn tensors_of(&self, range: LayerRange) -> impl Iterator<Item = &TensorEntry> {
        self.tensors.iter().filter(move |tensor| self.holds(range, tensor.place))
    }

    /// Positions in `chunks` of everything that a stage of `range` loads, ascending.
    pub fn chunks_of(&self, range: LayerRange) -> Vec<u32> {
        let mut next = 0;
        let mut wanted = Vec::new();
        for tensor in &self.tensors {
            let count = chunk_layout::count(tensor.bytes);
            if self.holds(range, tensor.place) {
                wanted.extend(next..next + count);
            }
            next += count;
        }
        wanted
    }

    /// Bytes of the tensors of `range` as stored.
    pub fn stage_bytes(&self, range: LayerRange) -> u64 {
        self.tensors_of(range).map(|tensor| tensor.bytes).sum()
    }

    fn holds(&self, range: LayerRange, place: TensorPlace) -> bool {
        let last = range.end.0 == self.spec.layer_count();
        match place {
            TensorPlace::Embedding => {
                self.spec.embeds(range) || (last && self.spec.tied_embeddings)
            }
            TensorPlace::Layer(layer) => range.start <= layer && layer < range.end,
            TensorPlace::EveryStage => true,
            TensorPlace::Output => last,
            TensorPlace::Global => false,
        }
    }
}

fn file_entry(path: &Path) -> Result<FileEntry, CheckpointError> {
    let metadata = std::fs::metadata(path)
        .map_err(|source| CheckpointError::Io { path: path.to_owned(), source })?;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(FileEntry { name, bytes: metadata.len() })
}
