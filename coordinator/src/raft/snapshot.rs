//! The one snapshot of a coordinator, a plain file that a crash leaves old or new, never mixed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::identity::durable_file;
use serde::{Deserialize, Serialize};

use super::type_config::SnapshotMeta;
use crate::host;
use crate::state::State;

/// Of the file and of the state in it; a newer one is refused, not misread.
const FORMAT: u32 = 1;

#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    path: PathBuf,
    #[cfg(feature = "testing")]
    simulated: Option<Arc<dyn crate::testing::Blob>>,
}

#[derive(Clone, Debug)]
pub(crate) struct StoredSnapshot {
    pub(crate) meta: SnapshotMeta,
    pub(crate) state: Arc<State>,
}

#[derive(Serialize, Deserialize)]
struct Content {
    format: u32,
    meta: SnapshotMeta,
    state: Arc<State>,
}

impl SnapshotFile {
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            #[cfg(feature = "testing")]
            simulated: None,
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn simulated(blob: Arc<dyn crate::testing::Blob>) -> Self {
        Self { path: "simulated".into(), simulated: Some(blob) }
    }

    pub(crate) fn load(&self) -> io::Result<Option<StoredSnapshot>> {
        let Some(bytes) = self.read()? else { return Ok(None) };
        let content: Content = serde_json::from_slice(&bytes)
            .map_err(|e| io::Error::other(format!("{}: {e}", self.path.display())))?;
        if content.format != FORMAT {
            let (path, found) = (self.path.display(), content.format);
            let message = format!("{path} has format {found}, this version reads {FORMAT}");
            return Err(io::Error::other(message));
        }
        Ok(Some(StoredSnapshot { meta: content.meta, state: content.state }))
    }

    pub(crate) async fn save(&self, snapshot: StoredSnapshot) -> io::Result<()> {
        let file = self.clone();
        let saved = host::at_the_disk(move || {
            let StoredSnapshot { meta, state } = snapshot;
            let content = Content { format: FORMAT, meta, state };
            file.write(&serde_json::to_vec(&content).map_err(io::Error::other)?)
        });
        saved.await?
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        #[cfg(feature = "testing")]
        if let Some(blob) = &self.simulated {
            return blob.read();
        }
        match fs::read(&self.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(feature = "testing")]
        if let Some(blob) = &self.simulated {
            return blob.write(bytes);
        }
        durable_file::write(&self.path, bytes, durable_file::PRIVATE)
    }
}
