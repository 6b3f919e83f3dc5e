//! What can go wrong with a node's weights: on its disk, on the way, or at a holder.

use std::io;
use std::path::{Path, PathBuf};

use checkpoint::CheckpointError;
use protocol::ids::Digest;
use protocol::shard::ShardFailure;

#[derive(Debug, thiserror::Error)]
pub enum WeightStoreError {
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("model {} is not known on this node", manifest.short())]
    UnknownModel { manifest: Digest },
    #[error(
        "{} changed since it was imported ({was} then, {now} now): import the model again",
        path.display()
    )]
    Changed { path: PathBuf, was: String, now: String },
    #[error("{file}: bytes {offset}..{end} do not have the digest of the manifest")]
    Corrupt { file: String, offset: u64, end: u64 },
    #[error("{file}: bytes {offset}..{end} came corrupt {attempts} times, last from node {from}")]
    CorruptAtHolder { file: String, offset: u64, end: u64, attempts: u32, from: String },
    #[error("chunk {index} of model {} is not held here", manifest.short())]
    ChunkNotHeld { manifest: Digest, index: u32 },
    #[error("model {} has {chunks} chunks, there is no chunk {index}", manifest.short())]
    NoSuchChunk { manifest: Digest, index: u32, chunks: usize },
    #[error("no node holds {what} (asked: {asked})")]
    NotHeld { what: String, asked: String },
    #[error("{what} cannot be fetched: {reason}")]
    Interrupted { what: String, reason: String },
    #[error("{} has {free} bytes free, {needed} are needed for weights", path.display())]
    NoSpace { path: PathBuf, needed: u64, free: u64 },
}

impl WeightStoreError {
    pub(super) fn file(path: &Path, error: &io::Error) -> Self {
        Self::File { path: path.to_owned(), reason: error.to_string() }
    }

    /// What a coordinator is told when a shard fails for this reason.
    pub fn shard_failure(&self) -> ShardFailure {
        match self {
            Self::Changed { .. } | Self::Corrupt { .. } | Self::CorruptAtHolder { .. } => {
                ShardFailure::WeightsCorrupt
            }
            Self::UnknownModel { .. }
            | Self::ChunkNotHeld { .. }
            | Self::NotHeld { .. }
            | Self::Interrupted { .. } => ShardFailure::WeightsMissing,
            Self::File { .. }
            | Self::Checkpoint(_)
            | Self::NoSuchChunk { .. }
            | Self::NoSpace { .. } => ShardFailure::Internal,
        }
    }
}
