//! A model that came over the network: sparse files with this node's chunks, and a record of which
//! of them are verified. Data is synced before it is recorded, so the record never promises more
//! than the disk holds.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use checkpoint::{ChunkEntry, Manifest};
use protocol::identity::durable_file;

use super::chunk_set::ChunkSet;
use super::error::WeightStoreError;

const RECORD: &str = "verified";

/// Weight files that hold some chunks, at the offsets of the original files.
#[derive(Debug)]
pub(super) struct FetchedFiles {
    folder: PathBuf,
    files: Vec<File>,
    verified: Mutex<ChunkSet>,
}

impl FetchedFiles {
    /// Opens or creates the files of a model in `folder`; a record that does not read is taken for
    /// an empty one, which costs a transfer and nothing else.
    pub(super) fn open(folder: &Path, manifest: &Manifest) -> Result<Self, WeightStoreError> {
        let count = manifest.chunks.len();
        let record = folder.join(RECORD);
        let verified = match fs::read(&record) {
            Ok(bytes) => ChunkSet::decode(&bytes, count),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(WeightStoreError::file(&record, &error)),
        };
        let files = manifest.files.iter().enumerate().map(|(index, entry)| {
            let path = path_of(folder, index);
            open_sparse(&path, entry.bytes).map_err(|error| WeightStoreError::file(&path, &error))
        });
        Ok(Self {
            folder: folder.to_owned(),
            files: files.collect::<Result<_, _>>()?,
            verified: Mutex::new(verified.unwrap_or_else(|| ChunkSet::new(count))),
        })
    }

    pub(super) fn files(&self) -> Result<Vec<File>, WeightStoreError> {
        let failed = |error: io::Error| WeightStoreError::file(&self.folder, &error);
        self.files.iter().map(|file| file.try_clone().map_err(failed)).collect()
    }

    pub(super) fn holds(&self, index: u32) -> bool {
        self.verified().contains(index)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.verified().is_full()
    }

    pub(super) fn read(&self, chunk: &ChunkEntry, buffer: &mut [u8]) -> io::Result<()> {
        self.file(chunk)?.read_exact_at(buffer, chunk.offset)
    }

    /// Puts a verified chunk in its place; it counts only after `record`.
    pub(super) fn write(&self, chunk: &ChunkEntry, bytes: &[u8]) -> Result<(), WeightStoreError> {
        let written = self.file(chunk).and_then(|file| file.write_all_at(bytes, chunk.offset));
        written.map_err(|error| {
            WeightStoreError::file(&path_of(&self.folder, chunk.file as usize), &error)
        })
    }

    /// Syncs the data, then records `indices` as verified.
    pub(super) fn record(&self, indices: &[u32]) -> Result<(), WeightStoreError> {
        for (index, file) in self.files.iter().enumerate() {
            let path = path_of(&self.folder, index);
            file.sync_data().map_err(|error| WeightStoreError::file(&path, &error))?;
        }
        self.change(|set| indices.iter().for_each(|index| set.insert(*index)))
    }

    /// A chunk was found corrupt: it will be fetched again.
    pub(super) fn disown(&self, index: u32) -> Result<(), WeightStoreError> {
        self.change(|set| set.remove(index))
    }

    fn change(&self, change: impl FnOnce(&mut ChunkSet)) -> Result<(), WeightStoreError> {
        let mut set = self.verified();
        let mut changed = set.clone();
        change(&mut changed);
        let path = self.folder.join(RECORD);
        durable_file::write(&path, &changed.encode(), durable_file::PUBLIC)
            .map_err(|error| WeightStoreError::file(&path, &error))?;
        *set = changed;
        Ok(())
    }

    fn file(&self, chunk: &ChunkEntry) -> io::Result<&File> {
        let missing = || io::Error::new(io::ErrorKind::InvalidInput, "chunk of an unknown file");
        self.files.get(chunk.file as usize).ok_or_else(missing)
    }

    fn verified(&self) -> MutexGuard<'_, ChunkSet> {
        // The set is replaced as a whole, so a panic elsewhere leaves it sound.
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn path_of(folder: &Path, file: usize) -> PathBuf {
    folder.join(format!("{file}.weights"))
}

fn open_sparse(path: &Path, bytes: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
    if file.metadata()?.len() != bytes {
        file.set_len(bytes)?;
    }
    Ok(file)
}
