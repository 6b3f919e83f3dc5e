//! Free space where the log lies, looked at before the log grows.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const MIB: u64 = 1 << 20;
/// Below this much free space no change of a person's is taken.
pub(crate) const RESERVE_BYTES: u64 = 64 * MIB;
/// The cluster's own changes (a new plan after a loss, a registration) may go on down to this.
pub(crate) const OWN_RESERVE_BYTES: u64 = 16 * MIB;

/// Less free space than must be left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// Name of the coordinator whose disk it is.
    pub node: String,
    pub path: PathBuf,
    pub free_bytes: u64,
    pub reserve_bytes: u64,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, path, free_bytes, reserve_bytes } = self;
        let (free, reserve) = (free_bytes / MIB, reserve_bytes / MIB);
        let path = path.display();
        write!(f, "{free} MiB are free in {path} on {node}, {reserve} MiB must be left")
    }
}

/// Whether less than `reserve_bytes` is free where `path` lies; a disk that cannot be asked is
/// taken to have room, as writing to it says more.
pub(crate) fn shortage(path: &Path, node: &str, reserve_bytes: u64) -> Option<Shortage> {
    let found = rustix::fs::statvfs(path).ok()?;
    let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
    (free_bytes < reserve_bytes).then(|| Shortage {
        node: node.to_owned(),
        path: path.to_owned(),
        free_bytes,
        reserve_bytes,
    })
}
