//! What can be wrong with a model's files; each message names the file and the tensor or field.

use std::path::PathBuf;

use protocol::ProtocolError;

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("cannot read {}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "{} is not a model: expected a GGUF file, or a folder with config.json and safetensors",
        path.display()
    )]
    NotAModel { path: PathBuf },
    #[error(
        "{} is no GGUF file: its first bytes are {} (hex), expected `GGUF`",
        path.display(), found.map(|byte| format!("{byte:02x}")).join(" ")
    )]
    BadMagic { path: PathBuf, found: [u8; 4] },
    #[error("{} is GGUF version {found}, expected 2 or 3 (little-endian)", path.display())]
    BadVersion { path: PathBuf, found: u32 },
    #[error(
        "{} is truncated: {what} needs {needed} bytes at offset {offset}, the file ends at {size}",
        path.display()
    )]
    Truncated { path: PathBuf, what: String, needed: u64, offset: u64, size: u64 },
    #[error("{}: {what} is {value}, the limit is {limit}", path.display())]
    OverLimit { path: PathBuf, what: String, value: u64, limit: u64 },
    #[error("{} is malformed: {what}: {reason}", path.display())]
    Malformed { path: PathBuf, what: String, reason: String },
    #[error("{}: field `{field}` is missing", path.display())]
    MissingField { path: PathBuf, field: String },
    #[error("{}: field `{field}` is {value}, expected {expected}", path.display())]
    BadField { path: PathBuf, field: String, value: String, expected: String },
    #[error("{}: architecture `{found}` is not known; known are {known}", path.display())]
    UnknownArchitecture { path: PathBuf, found: String, known: String },
    #[error(
        "{}: tensor `{tensor}` has type {found}, which is not supported; supported are {supported}",
        path.display()
    )]
    UnsupportedType { path: PathBuf, tensor: String, found: String, supported: String },
    #[error("{}: tensor `{tensor}` is missing", path.display())]
    MissingTensor { path: PathBuf, tensor: String },
    #[error("{}: tensor `{tensor}` is not part of a {architecture} model", path.display())]
    UnexpectedTensor { path: PathBuf, tensor: String, architecture: String },
    #[error("{}: tensor `{tensor}` appears twice", path.display())]
    DuplicateTensor { path: PathBuf, tensor: String },
    #[error(
        "{}: tensor `{tensor}` has shape {found:?}, the configuration says {expected:?}",
        path.display()
    )]
    WrongShape { path: PathBuf, tensor: String, found: Vec<u64>, expected: Vec<u64> },
    #[error("{}: tensor `{tensor}` is {reason}", path.display())]
    BadTensor { path: PathBuf, tensor: String, reason: String },
    #[error("the manifest does not hold together: {reason}")]
    BadManifest { reason: String },
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}
