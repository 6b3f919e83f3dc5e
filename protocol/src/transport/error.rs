//! What can go wrong between two nodes, from resolving an address to reading a frame.

use std::io;
use std::time::Duration;

use crate::error::ProtocolError;
use crate::identity::IdentityError;

#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error("`{address}` is not host:port, or its host is unknown: {reason}")]
    BadAddress { address: String, reason: String },
    #[error("cannot listen on {address}: {reason}")]
    Listen { address: String, reason: String },
    #[error("cannot reach {address}: {reason}")]
    Unreachable { address: String, reason: String },
    #[error("{address} did not answer within {} s", after.as_secs_f32())]
    TimedOut { address: String, after: Duration },
    #[error("{address} is refused: {reason}")]
    NotTrusted { address: String, reason: String },
    #[error("the peer refuses this node's certificate ({alert}): it may be of another cluster")]
    RefusedByPeer { alert: String },
    #[error("TLS configuration: {0}")]
    Tls(#[from] rustls::Error),
    #[error("peer showed no certificate")]
    NoPeerCertificate,
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("connection lost: {0}")]
    Connection(#[from] quinn::ConnectionError),
    #[error("stream cannot be read: {0}")]
    Read(#[from] quinn::ReadError),
    #[error("stream cannot be written: {0}")]
    Write(#[from] quinn::WriteError),
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("{0}")]
    Io(#[from] io::Error),
}
