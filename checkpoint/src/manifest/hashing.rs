//! Hashes chunks in parallel with bounded memory: one buffer of at most 4 MiB per thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use protocol::ids::Digest;
use rayon::prelude::*;

use super::ChunkEntry;
use super::chunk_layout::ChunkRange;
use crate::error::CheckpointError;

/// Chunks between two reports of progress; some hundred megabytes.
const BATCH: usize = 64;

/// The digest of every range, in order.
pub(super) fn digests(
    paths: &[PathBuf],
    ranges: Vec<ChunkRange>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<ChunkEntry>, CheckpointError> {
    let files = open_all(paths)?;
    let total = ranges.iter().map(|range| range.bytes).sum();
    let mut done = 0;
    let mut chunks = Vec::with_capacity(ranges.len());
    progress(done, total);
    for batch in ranges.chunks(BATCH) {
        let hashed: Vec<io::Result<ChunkEntry>> = batch
            .par_iter()
            .map_init(Vec::new, |buffer, range| hash(&files, *range, buffer))
            .collect();
        for (range, chunk) in batch.iter().zip(hashed) {
            let path = || paths[range.file as usize].clone();
            chunks.push(chunk.map_err(|source| CheckpointError::Io { path: path(), source })?);
            done += range.bytes;
        }
        progress(done, total);
    }
    Ok(chunks)
}

fn open_all(paths: &[PathBuf]) -> Result<Vec<File>, CheckpointError> {
    paths
        .iter()
        .map(|path| {
            File::open(path).map_err(|source| CheckpointError::Io { path: path.clone(), source })
        })
        .collect()
}

fn hash(files: &[File], range: ChunkRange, buffer: &mut Vec<u8>) -> io::Result<ChunkEntry> {
    buffer.resize(range.bytes as usize, 0);
    files[range.file as usize].read_exact_at(buffer, range.offset)?;
    let digest = Digest::of(buffer);
    Ok(ChunkEntry { file: range.file, offset: range.offset, bytes: range.bytes, digest })
}
