//! A model that stays where the operator put it: paths, with what tells whether they changed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use protocol::identity::durable_file;
use serde::{Deserialize, Serialize};

use super::error::WeightStoreError;

const RECORD: &str = "imported.json";

/// A weight file by reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ImportedFile {
    path: PathBuf,
    bytes: u64,
    modified_ns: u64,
}

impl ImportedFile {
    /// Notes the file's present size and time of change.
    pub(super) fn note(path: &Path) -> Result<Self, WeightStoreError> {
        let failed = |error: io::Error| WeightStoreError::file(path, &error);
        let path = fs::canonicalize(path).map_err(failed)?;
        let metadata = fs::metadata(&path).map_err(failed)?;
        Ok(Self { bytes: metadata.len(), modified_ns: modified_ns(&metadata), path })
    }

    /// Opens the file; a size or time other than noted is an error that says so.
    pub(super) fn open(&self) -> Result<File, WeightStoreError> {
        let failed = |error: io::Error| WeightStoreError::file(&self.path, &error);
        let file = File::open(&self.path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let now = Self {
            path: self.path.clone(),
            bytes: metadata.len(),
            modified_ns: modified_ns(&metadata),
        };
        if now == *self {
            return Ok(file);
        }
        Err(WeightStoreError::Changed {
            path: self.path.clone(),
            was: self.describe(),
            now: now.describe(),
        })
    }

    fn describe(&self) -> String {
        format!("{} bytes of time {}", self.bytes, self.modified_ns / 1_000_000_000)
    }
}

/// Keeps the references of a model in its folder.
pub(super) fn write_record(folder: &Path, files: &[ImportedFile]) -> Result<(), WeightStoreError> {
    let path = folder.join(RECORD);
    let failed = |error: io::Error| WeightStoreError::file(&path, &error);
    let text = serde_json::to_vec_pretty(files).map_err(|error| failed(error.into()))?;
    durable_file::write(&path, &text, durable_file::PUBLIC).map_err(failed)
}

/// The references of a model's folder; `None` where it was not imported.
pub(super) fn read_record(folder: &Path) -> Result<Option<Vec<ImportedFile>>, WeightStoreError> {
    let path = folder.join(RECORD);
    let failed = |error: io::Error| WeightStoreError::file(&path, &error);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| failed(error.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn modified_ns(metadata: &fs::Metadata) -> u64 {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_nanos() as u64)
}
