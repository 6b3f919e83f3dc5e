//! One model as this node has it: its manifest, and its weights by reference or by chunk.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use checkpoint::{ChunkEntry, Manifest};
use protocol::ids::Digest;

use super::error::WeightStoreError;
use super::fetched::FetchedFiles;
use super::imported::{self, ImportedFile};

#[derive(Debug)]
pub(super) struct Model {
    pub(super) digest: Digest,
    pub(super) manifest: Arc<Manifest>,
    pub(super) weights: Weights,
    /// One fetch at a time: two replicas of a model want mostly the same chunks.
    pub(super) fetching: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
pub(super) enum Weights {
    Imported(Vec<ImportedFile>),
    Fetched(FetchedFiles),
}

impl Model {
    /// Reads what `folder` says of the model; an empty folder is a model of which nothing is here.
    pub(super) fn open(
        folder: &Path,
        digest: Digest,
        manifest: Arc<Manifest>,
    ) -> Result<Self, WeightStoreError> {
        fs::create_dir_all(folder).map_err(|error| WeightStoreError::file(folder, &error))?;
        let weights = match imported::read_record(folder)? {
            Some(files) => Weights::Imported(files),
            None => Weights::Fetched(FetchedFiles::open(folder, &manifest)?),
        };
        Ok(Self { digest, manifest, weights, fetching: tokio::sync::Mutex::default() })
    }

    /// Whether every chunk is here.
    pub(super) fn is_complete(&self) -> bool {
        match &self.weights {
            Weights::Imported(_) => true,
            Weights::Fetched(files) => files.is_complete(),
        }
    }

    pub(super) fn holds(&self, index: u32) -> bool {
        match &self.weights {
            Weights::Imported(_) => (index as usize) < self.manifest.chunks.len(),
            Weights::Fetched(files) => files.holds(index),
        }
    }

    pub(super) fn chunk(&self, index: u32) -> Result<&ChunkEntry, WeightStoreError> {
        let (manifest, chunks) = (self.digest, self.manifest.chunks.len());
        let entry = self.manifest.chunks.get(index as usize);
        entry.ok_or(WeightStoreError::NoSuchChunk { manifest, index, chunks })
    }

    /// A chunk's bytes, verified as they are read: nothing else is ever served.
    pub(super) fn read_chunk(&self, index: u32) -> Result<Bytes, WeightStoreError> {
        let chunk = self.chunk(index)?;
        if !self.holds(index) {
            return Err(WeightStoreError::ChunkNotHeld { manifest: self.digest, index });
        }
        let mut bytes = vec![0; chunk.bytes as usize];
        let read = match &self.weights {
            Weights::Imported(files) => {
                files[chunk.file as usize].open()?.read_exact_at(&mut bytes, chunk.offset)
            }
            Weights::Fetched(files) => files.read(chunk, &mut bytes),
        };
        read.map_err(|e| WeightStoreError::file(Path::new(self.file_name(chunk)), &e))?;
        self.check(index, &bytes)?;
        Ok(bytes.into())
    }

    /// Checks a chunk that was read from here; a corrupt one is fetched again by the next `ensure`.
    pub(super) fn check(&self, index: u32, bytes: &[u8]) -> Result<(), WeightStoreError> {
        let chunk = self.chunk(index)?;
        if Digest::of(bytes) == chunk.digest {
            return Ok(());
        }
        if let Weights::Fetched(files) = &self.weights {
            files.disown(index)?;
        }
        Err(self.corrupt(chunk))
    }

    pub(super) fn corrupt(&self, chunk: &ChunkEntry) -> WeightStoreError {
        let (file, offset) = (self.file_name(chunk).to_owned(), chunk.offset);
        WeightStoreError::Corrupt { file, offset, end: offset + chunk.bytes }
    }

    /// The weight files, open, in the manifest's order.
    pub(super) fn open_files(&self) -> Result<Vec<File>, WeightStoreError> {
        match &self.weights {
            Weights::Imported(files) => files.iter().map(ImportedFile::open).collect(),
            Weights::Fetched(files) => files.files(),
        }
    }

    pub(super) fn file_name(&self, chunk: &ChunkEntry) -> &str {
        self.manifest.files.get(chunk.file as usize).map_or("", |file| &file.name)
    }
}
