//! What can keep a coordinator from starting or going on.

use std::io;
use std::path::{Path, PathBuf};

use protocol::ProtocolError;
use protocol::identity::IdentityError;
use protocol::transport::TransportError;

#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    #[error("{path}: {reason}", path = path.display())]
    Store { path: PathBuf, reason: String },
    /// What was acknowledged may be gone: taking part with the rest could break Raft's promises.
    #[error("{path} is damaged: {reason}", path = path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error(
        "{path} holds no identity: found a cluster (`trireme cluster init`) or join one",
        path = path.display()
    )]
    NoIdentity { path: PathBuf },
    #[error("no coordinator that answers holds the key of the CA {ca}, which signs now")]
    CaNotHeld { ca: String },
    #[error(
        "another coordinator with this one's identity runs at {address}: two machines must not \
         share it (a cloned disk?); on one of them remove {path} and join anew",
        path = path.display()
    )]
    Duplicate { address: String, path: PathBuf },
    #[error("{path} holds no CA: every coordinator holds one; remove it and join again",
        path = path.display())]
    NoCa { path: PathBuf },
    #[error("this cluster was founded without a recovery key: nothing can be sealed to it")]
    NoRecoveryKey,
    #[error("this is no usable snapshot: {reason}")]
    BadSnapshot { reason: String },
    #[error("{path} holds {found}: a snapshot is restored into an empty folder",
        path = path.display())]
    NotEmpty { path: PathBuf, found: &'static str },
    #[error("a member of the snapshot is called `{name}` already")]
    NameTaken { name: String },
    #[error("{path} holds the identity of a {found}, not of a coordinator", path = path.display())]
    WrongRole { path: PathBuf, found: &'static str },
    #[error("{path} belongs to the cluster `{found}`, not to `{wanted}`", path = path.display())]
    OtherCluster { path: PathBuf, found: String, wanted: String },
    #[error("cannot listen on {address}: {reason}")]
    Listen { address: String, reason: String },
    #[error("{what} ended: {reason}")]
    Service { what: &'static str, reason: String },
    #[error("the replicated log: {0}")]
    Raft(String),
    #[error("{key} is {value}, expected {expected}")]
    BadConfig { key: &'static str, value: String, expected: &'static str },
    #[error("the cluster `{cluster}`, to which this coordinator belonged, was destroyed at {at}")]
    Destroyed { cluster: String, at: String, path: PathBuf },
    #[error("{path} holds a coordinator already", path = path.display())]
    Founded { path: PathBuf },
    #[error("the operating system gives no random bytes: {reason}")]
    NoRandomness { reason: String },
    #[error(transparent)]
    Propose(#[from] crate::raft::ProposeError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

impl CoordinatorError {
    /// What its operator may do about it; empty where the message says it all.
    pub fn next(&self) -> String {
        match self {
            Self::Damaged { .. } => {
                "where other coordinators run: `trireme cluster members rm` this one there, empty \
                 its data directory and join again; else restore a snapshot into an empty one: \
                 `trireme cluster snapshot restore`"
                    .to_owned()
            }
            Self::Destroyed { path, .. } => {
                format!("to use the machine for another cluster: rm -r {}", path.display())
            }
            _ => String::new(),
        }
    }

    /// A failure to open `path`.
    pub(crate) fn store(path: &Path, error: &io::Error) -> Self {
        let (path, reason) = (path.to_owned(), error.to_string());
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Damaged { path, reason },
            _ => Self::Store { path, reason },
        }
    }

    pub(crate) fn raft(error: impl std::fmt::Display) -> Self {
        Self::Raft(error.to_string())
    }
}
