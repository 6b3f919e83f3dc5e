//! What can be wrong with bytes or values that came from another process.

use crate::ids::{Epoch, ReplicaId};

#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    #[error("`{value}` is not a {kind}: expected 64 hexadecimal digits")]
    NotAnId { kind: &'static str, value: String },
    #[error("frame starts with {found:#010x}, not with the magic number {expected:#010x}")]
    BadMagic { found: u32, expected: u32 },
    #[error(
        "peer speaks frame version {found}, this node speaks {expected}: upgrade the older one"
    )]
    BadVersion { found: u16, expected: u16 },
    #[error("unknown frame kind {0}")]
    UnknownKind(u16),
    #[error("frame {part} of {bytes} bytes is over the limit of {limit}")]
    TooLarge { part: &'static str, bytes: u64, limit: u64 },
    #[error("frame checksum is {found:#010x}, its content gives {expected:#010x}")]
    BadChecksum { found: u32, expected: u32 },
    #[error("frame is for replica {found_replica} epoch {found_epoch}, expected {replica}/{epoch}")]
    WrongEpoch { found_replica: ReplicaId, found_epoch: Epoch, replica: ReplicaId, epoch: Epoch },
    #[error("unexpected {found} frame, expected {expected}")]
    UnexpectedKind { found: &'static str, expected: &'static str },
    #[error("{what} does not decode: {reason}")]
    Malformed { what: &'static str, reason: String },
    #[error("{what} does not encode: {reason}")]
    NotEncodable { what: &'static str, reason: String },
    #[error("the peer closed the stream inside a frame")]
    Truncated,
}
