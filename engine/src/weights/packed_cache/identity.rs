//! What a file of packed weights is of: nothing else may be served from it.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use checkpoint::Manifest;
use protocol::ids::Digest;
use protocol::model_spec::LayerRange;
use protocol::plan::Share;

/// Raised whenever a type's panels change.
const LAYOUT_VERSION: u32 = 1;
pub(super) const IDENTITY_BYTES: usize = 56;

/// A shard of a model's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedIdentity {
    /// Of the model's weights: its manifest's, or `digest_of_files`.
    pub source: Digest,
    pub layers: LayerRange,
    pub share: Share,
}

impl PackedIdentity {
    /// As the header of a file has it: two identities are equal if these bytes are.
    pub(super) fn encode(&self) -> [u8; IDENTITY_BYTES] {
        let (layers, share) = (self.layers, self.share);
        let numbers =
            [LAYOUT_VERSION, layers.start.0, layers.end.0, share.start, share.units, share.of];
        let mut bytes = [0; IDENTITY_BYTES];
        bytes[..32].copy_from_slice(&self.source.0);
        for (out, number) in bytes[32..].as_chunks_mut::<4>().0.iter_mut().zip(numbers) {
            *out = number.to_le_bytes();
        }
        bytes
    }

    /// Of the file.
    pub(super) fn name(&self) -> String {
        format!("{}.panels", Digest::of(&self.encode()))
    }
}

impl fmt::Display for PackedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Share { start, units, of } = self.share;
        let layers = self.layers;
        write!(f, "layers {layers}, share {start}+{units} of {of}, layout {LAYOUT_VERSION}, ")?;
        write!(f, "weights {}", self.source)
    }
}

/// Tells a state of a user's own files from any other without reading them: what their headers say
/// (`manifest`), where they are, how long, and when anything about them was last changed (which,
/// unlike the time of writing, no program sets back). It must be the same before they are opened
/// and after they were read.
pub fn digest_of_files<P: AsRef<Path>>(manifest: &Manifest, paths: &[P]) -> io::Result<Digest> {
    let mut text = format!("{}\n", manifest.digest().map_err(io::Error::other)?);
    for path in paths {
        let path = fs::canonicalize(path)?;
        let found = fs::metadata(&path)?;
        let numbers = [
            found.dev(),
            found.ino(),
            found.len(),
            found.mtime() as u64,
            found.mtime_nsec() as u64,
            found.ctime() as u64,
            found.ctime_nsec() as u64,
        ];
        text += &format!("{path:?} {numbers:?}\n");
    }
    Ok(Digest::of(text.as_bytes()))
}
