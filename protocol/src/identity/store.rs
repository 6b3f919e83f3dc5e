//! The identity folder of a data directory: `identity/{node.key,node.crt,ca.crt,ca-*.sealed}`.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::ca;
use super::certificate::{CertificateFacts, PeerIdentity};
use super::durable_file::{self, PRIVATE, PUBLIC};
use super::error::IdentityError;
use super::node_key::NodeKey;
use crate::control::{CoordinatorAddress, Trust};

const NODE_KEY: &str = "node.key";
const NODE_CERTIFICATE: &str = "node.crt";
pub(super) const CA_CERTIFICATE: &str = "ca.crt";
const COORDINATORS: &str = "coordinators.json";
const TRUST: &str = "trust.json";

/// A member's own identity: enough to speak to every other node.
#[derive(Clone)]
pub struct Identity {
    pub peer: PeerIdentity,
    pub key_pem: Zeroizing<String>,
    pub certificate_pem: String,
    /// The CAs that this node trusts, the one that signs now first.
    pub ca_pem: String,
}

/// Hides the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.peer)
    }
}

impl Identity {
    /// Checks that certificate, key and CA belong together.
    pub fn new(
        key: &NodeKey,
        certificate_pem: String,
        ca_pem: String,
    ) -> Result<Self, IdentityError> {
        let peer = PeerIdentity::from_certificate(&ca::certificate_of(&certificate_pem)?)?;
        if peer.node != key.node_id() {
            let (claimed, actual) = (peer.node.short(), key.node_id().short());
            return Err(IdentityError::KeyMismatch { claimed, actual });
        }
        ca::certificate_of(&ca_pem)?;
        Ok(Self { peer, key_pem: key.to_pem(), certificate_pem, ca_pem })
    }

    pub fn key(&self) -> Result<NodeKey, IdentityError> {
        NodeKey::from_pem(&self.key_pem)
    }

    /// The same node with another certificate, other trusted CAs, or both.
    pub fn renewed(&self, certificate_pem: &str, ca_pem: &str) -> Result<Self, IdentityError> {
        let renewed = Self::new(&self.key()?, certificate_pem.to_owned(), ca_pem.to_owned())?;
        if renewed.peer != self.peer {
            let reason = format!("it is for {}, not for {}", renewed.peer, self.peer);
            return Err(IdentityError::BadCertificate { reason });
        }
        Ok(renewed)
    }

    /// Which of the trusted CAs signed this node's certificate, and until when that is valid.
    pub fn certificate(&self) -> Result<CertificateFacts, IdentityError> {
        CertificateFacts::read(&self.certificate_pem, &self.ca_pem)
    }
}

/// Reads and writes the identity folder; every write survives a crash in its middle.
#[derive(Clone, Debug)]
pub struct IdentityStore {
    folder: PathBuf,
}

impl IdentityStore {
    /// Creates `<data_dir>/identity`, readable by its owner only, where it is missing.
    pub fn open(data_dir: &Path) -> Result<Self, IdentityError> {
        let folder = data_dir.join("identity");
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| file_error(&folder, &error))?;
        Ok(Self { folder })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The node's key: the one on disk, or a new one that is written first. A node that was
    /// interrupted while joining therefore asks again under the same id.
    pub fn node_key(&self) -> Result<NodeKey, IdentityError> {
        if let Some(pem) = self.read(NODE_KEY)? {
            return NodeKey::from_pem(&Zeroizing::new(pem));
        }
        let key = NodeKey::generate()?;
        self.write(NODE_KEY, key.to_pem().as_bytes(), PRIVATE)?;
        Ok(key)
    }

    /// The identity of a node that has joined; `None` before that.
    pub fn load(&self) -> Result<Option<Identity>, IdentityError> {
        let Some(certificate) = self.read(NODE_CERTIFICATE)? else {
            return Ok(None);
        };
        let key = self.read(NODE_KEY)?.ok_or_else(|| self.incomplete(NODE_KEY))?;
        let ca = self.read(CA_CERTIFICATE)?.ok_or_else(|| self.incomplete(CA_CERTIFICATE))?;
        let key = NodeKey::from_pem(&Zeroizing::new(key))?;
        Identity::new(&key, certificate, ca).map(Some)
    }

    /// Writes an identity; the node's certificate last, as it is what `load` looks for.
    pub fn save(&self, identity: &Identity) -> Result<(), IdentityError> {
        self.write(NODE_KEY, identity.key_pem.as_bytes(), PRIVATE)?;
        self.write(CA_CERTIFICATE, identity.ca_pem.as_bytes(), PUBLIC)?;
        self.write(NODE_CERTIFICATE, identity.certificate_pem.as_bytes(), PUBLIC)
    }

    /// Coordinators as last heard of; empty before joining.
    pub fn coordinators(&self) -> Result<Vec<CoordinatorAddress>, IdentityError> {
        self.read_json(COORDINATORS).map(Option::unwrap_or_default)
    }

    pub fn save_coordinators(&self, list: &[CoordinatorAddress]) -> Result<(), IdentityError> {
        self.write_json(COORDINATORS, &list)
    }

    /// Whom to trust, as last heard of: removed nodes are refused also before a coordinator is
    /// reached, and one that reads an old log again does not trust what is no longer trusted.
    pub fn trust(&self) -> Result<Trust, IdentityError> {
        self.read_json(TRUST).map(Option::unwrap_or_default)
    }

    pub fn save_trust(&self, trust: &Trust) -> Result<(), IdentityError> {
        self.write_json(TRUST, trust)
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, IdentityError> {
        let path = self.folder.join(name);
        let bad = |error: serde_json::Error| file_error(&path, &error);
        self.read(name)?.map(|text| serde_json::from_str(&text).map_err(bad)).transpose()
    }

    fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), IdentityError> {
        let text = serde_json::to_vec_pretty(value);
        let text = text.map_err(|error| file_error(&self.folder.join(name), &error))?;
        self.write(name, &text, PUBLIC)
    }

    pub(super) fn read(&self, name: &str) -> Result<Option<String>, IdentityError> {
        let path = self.folder.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file_error(&path, &error)),
        }
    }

    pub(super) fn write(&self, name: &str, content: &[u8], mode: u32) -> Result<(), IdentityError> {
        let path = self.folder.join(name);
        durable_file::write(&path, content, mode).map_err(|error| file_error(&path, &error))
    }

    pub(super) fn incomplete(&self, missing: &'static str) -> IdentityError {
        IdentityError::Incomplete { path: self.folder.clone(), missing }
    }
}

pub(super) fn file_error(path: &Path, error: &dyn fmt::Display) -> IdentityError {
    IdentityError::File { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::control::Role;
    use crate::identity::ClusterCa;

    fn joined(store: &IdentityStore) -> Identity {
        let ca = ClusterCa::create("lab").expect("valid name");
        let key = store.node_key().expect("key");
        let csr = key.signing_request().expect("request");
        let signed = ca.sign_node(&csr, Role::Coordinator).expect("signed");
        Identity::new(&key, signed.certificate_pem, ca.certificate_pem().into()).expect("fits")
    }

    #[test]
    fn an_identity_reads_back_and_its_key_is_private() {
        let folder = tempfile::tempdir().expect("folder");
        let store = IdentityStore::open(folder.path()).expect("opens");
        assert!(store.load().expect("empty").is_none());
        let identity = joined(&store);
        store.save(&identity).expect("writable");
        assert_eq!(store.load().expect("valid").map(|i| i.peer), Some(identity.peer));
        let mode = fs::metadata(store.folder.join(NODE_KEY)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_node_interrupted_before_joining_keeps_its_id() {
        let folder = tempfile::tempdir().expect("folder");
        let store = IdentityStore::open(folder.path()).expect("opens");
        let first = store.node_key().expect("key").node_id();
        assert_eq!(store.node_key().expect("key").node_id(), first);
    }

    #[test]
    fn a_lost_key_and_a_foreign_certificate_are_told_apart() {
        let folder = tempfile::tempdir().expect("folder");
        let store = IdentityStore::open(folder.path()).expect("opens");
        let identity = joined(&store);
        store.save(&identity).expect("writable");
        fs::remove_file(store.folder.join(NODE_KEY)).expect("there");
        assert!(matches!(store.load(), Err(IdentityError::Incomplete { missing: NODE_KEY, .. })));
        store.node_key().expect("a new key");
        assert!(matches!(store.load(), Err(IdentityError::KeyMismatch { .. })));
    }
}
