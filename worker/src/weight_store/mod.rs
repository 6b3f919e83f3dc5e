//! A node's weights: models imported by reference, and chunks fetched from the nodes that hold
//! them, verified against the manifest before they count.
//!
//! ```text
//! blobs/<digest>                  manifests, tokenizer and template
//! models/<manifest>/imported.json paths of an imported model
//! models/<manifest>/<n>.weights   sparse file with this node's chunks
//! models/<manifest>/verified      bitmap of the chunks that are there
//! ```

mod chunk_set;
mod error;
mod fetch;
mod fetched;
mod free_space;
mod holder_stream;
mod imported;
mod model;
mod serve;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use checkpoint::Manifest;
use protocol::identity::durable_file;
use protocol::ids::Digest;

pub use error::WeightStoreError;
pub use holder_stream::Peers;
pub use serve::serve;
pub use source::LocalSource;

use imported::ImportedFile;
use model::Model;

/// The store of one data directory. One process at a time.
#[derive(Debug)]
pub struct WeightStore {
    folder: PathBuf,
    models: Mutex<BTreeMap<Digest, Arc<Model>>>,
}

impl WeightStore {
    /// Opens `folder`, created where missing. What does not read is logged and left alone.
    pub fn open(folder: &Path) -> Result<Self, WeightStoreError> {
        let store = Self { folder: folder.to_owned(), models: Mutex::default() };
        for part in ["blobs", "models"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).map_err(|error| WeightStoreError::file(&path, &error))?;
        }
        let models = folder.join("models");
        let failed = |error: io::Error| WeightStoreError::file(&models, &error);
        for entry in fs::read_dir(&models).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(digest) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Err(error) = store.reopen(digest) {
                tracing::warn!(manifest = %digest.short(), %error, "kept model is not usable");
            }
        }
        Ok(store)
    }

    /// A model's manifest, when it is known here.
    pub fn manifest(&self, digest: Digest) -> Result<Arc<Manifest>, WeightStoreError> {
        Ok(Arc::clone(&self.model(digest)?.manifest))
    }

    /// Models of which every chunk is here.
    pub fn held_manifests(&self) -> Vec<Digest> {
        let models = self.models();
        models.values().filter(|model| model.is_complete()).map(|model| model.digest).collect()
    }

    /// What a stage is loaded from.
    pub fn source(&self, manifest: &Manifest) -> Result<LocalSource, WeightStoreError> {
        LocalSource::open(self.model(manifest.digest()?)?)
    }

    /// A small blob by its digest: a manifest, or tokenizer and template.
    pub fn blob(&self, digest: Digest) -> Result<Option<Bytes>, WeightStoreError> {
        let path = self.blob_path(digest);
        match fs::read(&path) {
            Ok(bytes) if Digest::of(&bytes) == digest => Ok(Some(bytes.into())),
            Ok(bytes) => {
                let (file, end) = (path.display().to_string(), bytes.len() as u64);
                Err(WeightStoreError::Corrupt { file, offset: 0, end })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(WeightStoreError::file(&path, &error)),
        }
    }

    /// Reads the model at `path` of this machine once, and keeps its manifest; the weights stay
    /// where they are. `progress` gets bytes read and bytes in total. Blocks.
    pub fn import(
        &self,
        path: &Path,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Arc<Manifest>, WeightStoreError> {
        let checkpoint = checkpoint::open(path)?;
        let note = || -> Result<Vec<_>, _> {
            checkpoint.files.iter().map(|path| ImportedFile::note(path)).collect()
        };
        let files = note()?;
        let manifest = Manifest::build(&checkpoint, progress)?;
        // Written to while it was read: the digests would belong to no state of the file.
        for file in &files {
            file.open()?;
        }
        let text = checkpoint.text.encode().map_err(checkpoint::CheckpointError::from)?;
        self.put_blob(&text)?;
        let digest = self.put_blob(&manifest.encode()?)?;
        let folder = self.model_folder(digest);
        fs::create_dir_all(&folder).map_err(|error| WeightStoreError::file(&folder, &error))?;
        imported::write_record(&folder, &files)?;
        self.models().remove(&digest);
        self.add(digest, manifest)
    }

    /// Drops what is kept of a model; an imported model's own files are not touched.
    pub fn forget(&self, manifest: Digest) -> Result<(), WeightStoreError> {
        if self.models().remove(&manifest).is_none() {
            return Ok(());
        }
        let folder = self.model_folder(manifest);
        fs::remove_dir_all(&folder).map_err(|error| WeightStoreError::file(&folder, &error))?;
        let blob = self.blob_path(manifest);
        fs::remove_file(&blob).map_err(|error| WeightStoreError::file(&blob, &error))
    }

    fn model(&self, manifest: Digest) -> Result<Arc<Model>, WeightStoreError> {
        let unknown = WeightStoreError::UnknownModel { manifest };
        self.models().get(&manifest).cloned().ok_or(unknown)
    }

    fn reopen(&self, digest: Digest) -> Result<(), WeightStoreError> {
        let unknown = WeightStoreError::UnknownModel { manifest: digest };
        let manifest = Manifest::decode(&self.blob(digest)?.ok_or(unknown)?)?;
        self.add(digest, manifest).map(|_| ())
    }

    /// Keeps a manifest whose blob is written, with whatever of its weights is in its folder.
    fn add(&self, digest: Digest, manifest: Manifest) -> Result<Arc<Manifest>, WeightStoreError> {
        let mut models = self.models();
        if let Some(model) = models.get(&digest) {
            return Ok(Arc::clone(&model.manifest));
        }
        let model = Model::open(&self.model_folder(digest), digest, Arc::new(manifest))?;
        let manifest = Arc::clone(&model.manifest);
        models.insert(digest, Arc::new(model));
        Ok(manifest)
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<Digest, WeightStoreError> {
        let digest = Digest::of(bytes);
        let path = self.blob_path(digest);
        durable_file::write(&path, bytes, durable_file::PUBLIC)
            .map_err(|error| WeightStoreError::file(&path, &error))?;
        Ok(digest)
    }

    fn blob_path(&self, digest: Digest) -> PathBuf {
        self.folder.join("blobs").join(digest.to_string())
    }

    fn model_folder(&self, manifest: Digest) -> PathBuf {
        self.folder.join("models").join(manifest.to_string())
    }

    fn models(&self) -> MutexGuard<'_, BTreeMap<Digest, Arc<Model>>> {
        // Every change is a single insert or remove.
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
