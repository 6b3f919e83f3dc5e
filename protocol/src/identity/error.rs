//! What can be wrong with certificates, keys, join tokens and the files that hold them.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(
        "`{name}` is not a cluster name: 1 to 63 lower-case letters, digits or `-`, \
         starting with a letter"
    )]
    BadClusterName { name: String },
    #[error("certificate is not readable: {reason}")]
    BadCertificate { reason: String },
    #[error("certificate names no Trireme node: expected one URI `trireme://cluster/role/node`")]
    NotANode,
    #[error("certificate says node {claimed}, its key gives {actual}")]
    KeyMismatch { claimed: String, actual: String },
    #[error("`{uri}` is not a node URI: {reason}")]
    BadNodeUri { uri: String, reason: &'static str },
    #[error("certificate signing request is not usable: {reason}")]
    BadRequest { reason: String },
    #[error("key is not readable: {reason}")]
    BadKey { reason: String },
    #[error("cannot make a certificate: {0}")]
    Signing(#[from] rcgen::Error),
    #[error("the operating system gives no random bytes: {reason}")]
    NoRandomness { reason: String },
    #[error("join token {part}: {reason}; expected `trj1.<ca sha256>.<secret>@host:port[,...]`")]
    BadToken { part: &'static str, reason: String },
    #[error("the recovery key {reason}; expected `trr1-` and 14 groups of four characters")]
    BadRecoveryKey { reason: String },
    #[error("sealed content {reason}")]
    BadSeal { reason: &'static str },
    #[error("none of the {holders} keys that can open it is this one")]
    SealedForOthers { holders: usize },
    #[error("{path}: {reason}", path = path.display())]
    File { path: PathBuf, reason: String },
    #[error(
        "{path} holds part of an identity ({missing} is missing): restore it, or remove the \
         folder and join again", path = path.display()
    )]
    Incomplete { path: PathBuf, missing: &'static str },
}
