//! Where chunks are cut: at tensor boundaries, and every 4 MiB inside a tensor.

use protocol::limits::CHUNK_BYTES_MAX;

use super::Manifest;
use crate::error::CheckpointError;
use crate::tensor::TensorEntry;

/// A byte range of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkRange {
    pub(super) file: u32,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// The chunks of all tensors, in their order.
pub(super) fn ranges(tensors: &[TensorEntry]) -> Vec<ChunkRange> {
    tensors.iter().flat_map(ranges_of).collect()
}

/// Chunks that a tensor of `bytes` is cut into.
pub(super) fn count(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(CHUNK_BYTES_MAX)).unwrap_or(u32::MAX)
}

/// Refuses a manifest whose ranges leave their files, or whose chunks do not cover its tensors.
pub(super) fn check(manifest: &Manifest) -> Result<(), CheckpointError> {
    let bad = |reason: String| Err(CheckpointError::BadManifest { reason });
    let mut expected_chunks = 0_u64;
    for tensor in &manifest.tensors {
        let Some(file) = manifest.files.get(tensor.file as usize) else {
            return bad(format!("tensor `{}` is in file {}, unknown", tensor.name, tensor.file));
        };
        let end = tensor.offset.checked_add(tensor.bytes);
        if end.is_none_or(|end| end > file.bytes) {
            return bad(format!("tensor `{}` ends outside of {}", tensor.name, file.name));
        }
        if tensor.weight_type.tensor_bytes(&tensor.shape) != Some(tensor.bytes) {
            return bad(format!("tensor `{}` has {} bytes", tensor.name, tensor.bytes));
        }
        expected_chunks += u64::from(count(tensor.bytes));
    }
    if expected_chunks != manifest.chunks.len() as u64 {
        return bad(format!("{} chunks, expected {expected_chunks}", manifest.chunks.len()));
    }
    let expected = manifest.tensors.iter().flat_map(ranges_of);
    for (index, (chunk, range)) in manifest.chunks.iter().zip(expected).enumerate() {
        if (chunk.file, chunk.offset, chunk.bytes) != (range.file, range.offset, range.bytes) {
            return bad(format!("chunk {index} is {chunk:?}, expected {range:?}"));
        }
    }
    Ok(())
}

fn ranges_of(tensor: &TensorEntry) -> impl Iterator<Item = ChunkRange> {
    let (file, offset, bytes) = (tensor.file, tensor.offset, tensor.bytes);
    (0..u64::from(count(bytes))).map(move |index| {
        let start = index * CHUNK_BYTES_MAX;
        ChunkRange { file, offset: offset + start, bytes: CHUNK_BYTES_MAX.min(bytes - start) }
    })
}
