//! The snapshot file: a header that everyone may read, the sealed content, a digest of it all.
//!
//! ```text
//! "trireme-cluster-snapshot\n"  u32 LE: length of the header  header (JSON)
//! sealed content  BLAKE3 of all before
//! ```

use protocol::identity::ClusterCa;
use protocol::identity::sealed::{self, SealingSecret};
use protocol::ids::Digest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::error::CoordinatorError;
use crate::state::{State, Timestamp};

const MAGIC: &[u8] = b"trireme-cluster-snapshot\n";
/// Of the file; fields may be added to header and content without another number.
const FORMAT: u32 = 1;
const HEADER_BYTES_MAX: usize = 64 << 10;
const DIGEST_BYTES: usize = 32;

/// What a snapshot says of itself to everyone; nothing secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotHeader {
    pub format: u32,
    /// Of the program that wrote it.
    pub version: String,
    pub cluster: String,
    /// CA that signed when it was taken.
    pub ca: String,
    /// How often the cluster had been restored before.
    #[serde(default)]
    pub generation: u64,
    /// Log index that it holds all of.
    pub index: u64,
    pub taken_at: String,
    /// BLAKE3 of the state inside, as it is written there.
    pub state: Digest,
    pub state_bytes: u64,
    pub members: u64,
    pub keys: u64,
    pub models: u64,
    pub deployments: u64,
}

/// Everything, opened.
pub(super) struct Opened {
    pub(super) header: SnapshotHeader,
    pub(super) state: State,
    pub(super) ca: ClusterCa,
}

/// The sealed part. The header is repeated, so that what it says cannot be changed outside.
#[derive(Serialize, Deserialize)]
struct Content {
    header: SnapshotHeader,
    state: String,
    ca_pem: String,
    ca_key_pem: String,
}

/// The file's bytes; fails where the cluster has no recovery key.
pub(crate) fn seal(
    state: &State,
    ca: &ClusterCa,
    now: Timestamp,
) -> Result<Vec<u8>, CoordinatorError> {
    let recovery = state.identity.recovery.ok_or(CoordinatorError::NoRecoveryKey)?;
    let text = serde_json::to_string(state).map_err(unwritable)?;
    let header = header(state, ca, now, &text);
    let plain = serde_json::to_vec(&header).map_err(unwritable)?;
    let (ca_pem, ca_key_pem) = (ca.certificate_pem().to_owned(), ca.key_pem().to_string());
    let content = Content { header, state: text, ca_pem, ca_key_pem };
    let content = Zeroizing::new(serde_json::to_vec(&content).map_err(unwritable)?);
    let mut file = MAGIC.to_vec();
    file.extend((plain.len() as u32).to_le_bytes());
    file.extend(plain);
    file.extend(sealed::seal(&content, &[recovery])?);
    let digest = Digest::of(&file);
    file.extend(digest.0);
    Ok(file)
}

impl SnapshotHeader {
    /// The header of a file whose digest fits; needs no key.
    pub fn read(file: &[u8]) -> Result<Self, CoordinatorError> {
        split(file).map(|(header, _)| header)
    }
}

/// The content of a file, for the holder of the recovery key.
pub(super) fn open(file: &[u8], secret: &SealingSecret) -> Result<Opened, CoordinatorError> {
    let (header, sealed) = split(file)?;
    let content = sealed::open(sealed, secret)?;
    let content: Content = serde_json::from_slice(&content)
        .map_err(|error| bad(format!("its content does not read: {error}")))?;
    if content.header != header || Digest::of(content.state.as_bytes()) != header.state {
        return Err(bad("header and content are of two snapshots".to_owned()));
    }
    let state =
        State::from_snapshot(content.state.as_bytes()).map_err(|error| bad(error.to_string()))?;
    let ca = ClusterCa::from_pem(&content.ca_pem, &content.ca_key_pem)?;
    Ok(Opened { header, state, ca })
}

fn header(state: &State, ca: &ClusterCa, now: Timestamp, text: &str) -> SnapshotHeader {
    SnapshotHeader {
        format: FORMAT,
        version: protocol::VERSION.to_owned(),
        cluster: state.cluster.clone(),
        ca: ca.fingerprint().to_string(),
        generation: state.snapshots.restored.as_ref().map_or(0, |r| r.generation),
        index: state.applied,
        taken_at: now.to_string(),
        state: Digest::of(text.as_bytes()),
        state_bytes: text.len() as u64,
        members: state.members.len() as u64,
        keys: state.keys.len() as u64,
        models: state.models.len() as u64,
        deployments: state.deployments.len() as u64,
    }
}

fn split(file: &[u8]) -> Result<(SnapshotHeader, &[u8]), CoordinatorError> {
    let rest = file.strip_prefix(MAGIC).ok_or_else(|| bad("it begins otherwise".to_owned()))?;
    let early = || bad(format!("it ends early, after {} bytes", file.len()));
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(early)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > HEADER_BYTES_MAX {
        return Err(bad(format!("its header is said to have {length} bytes")));
    }
    let (plain, rest) = rest.split_at_checked(length).ok_or_else(early)?;
    let (sealed, digest) = rest.split_last_chunk::<DIGEST_BYTES>().ok_or_else(early)?;
    let covered = &file[..file.len() - DIGEST_BYTES];
    if Digest::of(covered).0 != *digest {
        return Err(bad("its digest does not fit: it was damaged or cut".to_owned()));
    }
    let format: Format = serde_json::from_slice(plain)
        .map_err(|error| bad(format!("its header does not read: {error}")))?;
    if format.format != FORMAT {
        let found = format.format;
        return Err(bad(format!("it has format {found}, this version reads {FORMAT}")));
    }
    let header = serde_json::from_slice(plain)
        .map_err(|error| bad(format!("its header does not read: {error}")))?;
    Ok((header, sealed))
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

fn bad(reason: String) -> CoordinatorError {
    CoordinatorError::BadSnapshot { reason }
}

fn unwritable(error: serde_json::Error) -> CoordinatorError {
    CoordinatorError::BadSnapshot { reason: format!("it cannot be written: {error}") }
}
