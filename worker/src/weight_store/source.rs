//! What the engine reads a stage from: local files by position, every chunk checked once.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use engine::WeightSource;

use super::chunk_set::ChunkSet;
use super::error::WeightStoreError;
use super::model::Model;

/// Reads a model's local files. A chunk's digest is checked when a read first touches it, so a disk
/// that decayed is noticed before a token depends on it.
#[derive(Debug)]
pub struct LocalSource {
    model: Arc<Model>,
    files: Vec<File>,
    /// Chunk indices by (file, offset).
    order: Vec<u32>,
    checked: Mutex<ChunkSet>,
}

impl LocalSource {
    pub(super) fn open(model: Arc<Model>) -> Result<Self, WeightStoreError> {
        let files = model.open_files()?;
        let chunks = &model.manifest.chunks;
        let mut order: Vec<u32> = (0..chunks.len() as u32).collect();
        order.sort_by_key(|index| {
            let chunk = &chunks[*index as usize];
            (chunk.file, chunk.offset)
        });
        let checked = Mutex::new(ChunkSet::new(chunks.len()));
        Ok(Self { files, order, checked, model })
    }

    /// The chunks that overlap `offset..end` of a file.
    fn touched(&self, file: u32, offset: u64, end: u64) -> impl Iterator<Item = u32> {
        let chunks = &self.model.manifest.chunks;
        let first = self.order.partition_point(|index| {
            let chunk = &chunks[*index as usize];
            (chunk.file, chunk.offset + chunk.bytes) <= (file, offset)
        });
        let before_end = move |index: &u32| {
            let chunk = &chunks[*index as usize];
            chunk.file == file && chunk.offset < end
        };
        self.order[first..].iter().copied().take_while(before_end)
    }

    fn check(&self, index: u32, offset: u64, read: &[u8]) -> Result<(), WeightStoreError> {
        if self.checked.lock().unwrap_or_else(PoisonError::into_inner).contains(index) {
            return Ok(());
        }
        let chunk = self.model.chunk(index)?;
        let within = chunk.offset.checked_sub(offset).map(|start| start as usize);
        let whole = within.and_then(|start| read.get(start..start + chunk.bytes as usize));
        match whole {
            Some(bytes) if self.model.holds(index) => self.model.check(index, bytes)?,
            // Partly outside of what was read: read it whole, once.
            _ => drop(self.model.read_chunk(index)?),
        }
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).insert(index);
        Ok(())
    }
}

impl WeightSource for LocalSource {
    fn read_at(&self, file: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let unknown = || io::Error::new(io::ErrorKind::InvalidInput, format!("no file {file}"));
        let open = self.files.get(file as usize).ok_or_else(unknown)?;
        open.read_exact_at(buffer, offset)?;
        let end = offset.saturating_add(buffer.len() as u64);
        for index in self.touched(file, offset, end) {
            self.check(index, offset, buffer)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        Ok(())
    }
}
