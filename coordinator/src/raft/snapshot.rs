//! The one snapshot of a coordinator, a plain file that a crash leaves old or new, never mixed.
//! Its first line holds a checksum of the rest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::identity::durable_file;
use protocol::ids::Digest;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::type_config::SnapshotMeta;
use crate::host;
use crate::state::{LevelError, State};

/// Of the file and of the state in it; a newer one is refused, not misread. Format 1 was the JSON
/// alone.
const FORMAT: u32 = 2;
const FORMAT_1: u32 = 1;
const MAGIC: &str = "trireme-snapshot";

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

#[derive(Serialize)]
struct Content {
    format: u32,
    meta: SnapshotMeta,
    state: Arc<State>,
}

/// The same, before it is known whether this version can read the state.
#[derive(Deserialize)]
struct Found<'a> {
    format: u32,
    meta: SnapshotMeta,
    #[serde(borrow)]
    state: &'a RawValue,
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

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// An error of kind `InvalidData` says what is damaged.
    pub(crate) fn load(&self) -> io::Result<Option<StoredSnapshot>> {
        let Some(bytes) = self.read()? else { return Ok(None) };
        let (expected, json) = match bytes.first() {
            Some(b'{') => (FORMAT_1, bytes.as_slice()),
            _ => (FORMAT, checked(&bytes)?),
        };
        let Found { format, meta, state } =
            serde_json::from_slice(json).map_err(|e| damaged(&e))?;
        if format != expected {
            return Err(io::Error::other(format!("format {format}, this version reads {FORMAT}")));
        }
        let state = State::from_snapshot(state.get().as_bytes()).map_err(|error| match error {
            LevelError::Unreadable { .. } => damaged(&error),
            _ => io::Error::other(error),
        })?;
        Ok(Some(StoredSnapshot { meta, state: Arc::new(state) }))
    }

    pub(crate) async fn save(&self, snapshot: StoredSnapshot) -> io::Result<()> {
        let file = self.clone();
        let saved = host::at_the_disk(move || {
            let StoredSnapshot { meta, state } = snapshot;
            let content = Content { format: FORMAT, meta, state };
            let json = serde_json::to_vec(&content).map_err(io::Error::other)?;
            let mut bytes = format!("{MAGIC} {}\n", Digest::of(&json)).into_bytes();
            bytes.extend_from_slice(&json);
            file.write(&bytes)
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

/// What follows the first line, if it is what was written.
fn checked(bytes: &[u8]) -> io::Result<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (head, json) = end.map_or((bytes, &[][..]), |end| (&bytes[..end], &bytes[end + 1..]));
    let expected = format!("{MAGIC} {}", Digest::of(json));
    match head == expected.as_bytes() {
        true => Ok(json),
        false => {
            let reason = format!("the checksum of its {} bytes does not match", bytes.len());
            Err(damaged(&reason))
        }
    }
}

fn damaged(reason: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_string())
}
