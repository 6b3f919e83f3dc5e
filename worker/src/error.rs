//! What can go wrong in a worker, as sentences that hold the values.

use std::net::SocketAddr;
use std::path::PathBuf;

use protocol::ProtocolError;
use protocol::ids::NodeId;
use protocol::shard::ShardFailure;

use crate::weight_store::WeightStoreError;

#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("{key} is {value}: {expected}")]
    BadOption { key: &'static str, value: String, expected: &'static str },
    #[error("cannot listen for QUIC on UDP {address}: {reason}")]
    CannotListen { address: SocketAddr, reason: String },
    #[error("cannot serve metrics on {address}: {reason}")]
    CannotServeMetrics { address: SocketAddr, reason: String },
    #[error("cannot read or write {path}: {reason}")]
    File { path: PathBuf, reason: String },
    #[error("this node has no identity: join a cluster first")]
    NotJoined,
    #[error("identity: {0}")]
    Identity(String),
    #[error("no coordinator is known: join a cluster first")]
    NoCoordinator,
    #[error("this node was removed from the cluster; join again to come back")]
    Removed,
    #[error(
        "another process with this node's identity is attached from {address}: two machines must \
         not share it (a cloned disk?); on one of them remove {path} and join anew",
        path = path.display()
    )]
    Duplicate { address: String, path: PathBuf },
    #[error(
        "node {node} device {device} has {free_bytes} bytes free of {usable_bytes}, \
         the stage needs {needed_bytes}"
    )]
    OutOfMemory {
        /// Name of this node.
        node: String,
        /// E.g. `cuda:0 (NVIDIA GeForce RTX 3090)`.
        device: String,
        needed_bytes: u64,
        free_bytes: u64,
        usable_bytes: u64,
    },
    #[error("device {device} cannot be used: {reason}")]
    Device { device: String, reason: String },
    #[error("no device {device}: this worker finds {found}")]
    NotThere { device: String, found: String },
    #[error("the plan names device {device}, this node has {devices}")]
    NoSuchDevice { device: u32, devices: usize },
    #[error("the plan has {plan_layers} layers, the model has {model_layers}")]
    WrongModel { plan_layers: u32, model_layers: u32 },
    #[error("node {node} cannot be reached at {addresses}: {reason}")]
    Unreachable { node: String, addresses: String, reason: String },
    #[error("the peer at {address} is node {found}, expected {expected}")]
    WrongPeer { address: String, found: NodeId, expected: NodeId },
    #[error("node {node} answered nothing within {seconds} s while {waiting_for}")]
    NoAnswer { node: String, seconds: u64, waiting_for: &'static str },
    #[error("node {node} refused the stream: {reason}")]
    Refused { node: String, reason: String },
    #[error("the stream to node {node} ended: {reason}")]
    StreamLost { node: String, reason: String },
    #[error("step {step} broke the protocol: {reason}")]
    BadStep { step: u64, reason: String },
    #[error("TLS: {0}")]
    Tls(String),
    #[error("gRPC to {address}: {reason}")]
    Rpc { address: String, reason: String },
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error(transparent)]
    Weights(#[from] WeightStoreError),
    #[error("a thread could not be started: {0}")]
    Thread(std::io::Error),
}

impl WorkerError {
    /// What a coordinator is told when a shard fails for this reason.
    pub(crate) fn shard_failure(&self) -> ShardFailure {
        match self {
            Self::OutOfMemory { .. } => ShardFailure::OutOfMemory,
            Self::Weights(error) => error.shard_failure(),
            _ => ShardFailure::Internal,
        }
    }
}
