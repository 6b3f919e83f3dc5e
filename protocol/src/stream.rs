//! The first frame of a QUIC stream between nodes, and what weight streams say after it.

use wincode::{SchemaRead, SchemaWrite};

use crate::ids::{Digest, RankIndex};

/// What the opener wants; answered by `StreamAnswer` before anything else is sent.
#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub enum StreamHello {
    /// Coordinator to head; a `GenerateRequest` frame follows.
    Generate,
    /// Rank to rank; `Step` or `StepResult` frames follow for the life of the epoch.
    Edge { from: RankIndex, to: RankIndex },
    /// Rank to a higher rank of its stage, for the life of the epoch. On QUIC a `LinkWire` frame
    /// follows; then, where the stream itself is the link, messages of the group.
    Group { from: RankIndex, to: RankIndex },
    /// To a holder of the model; `WeightRequest` frames follow, each answered by its pieces.
    Weights,
    /// Probe frames follow and are echoed.
    Probe,
}

#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub enum StreamAnswer {
    Ok,
    /// The named epoch is older than the acceptor's.
    StaleEpoch,
    /// The acceptor has not reached the named epoch: try again.
    NotYet,
    /// The opener's role or place in the plan does not allow this stream.
    Forbidden {
        reason: String,
    },
}

/// What a link between two ranks of a group runs over, as the lower rank found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub enum LinkWire {
    /// This very stream.
    Stream,
    /// A direct socket that said the same hello. The stream stays open: its end tells that the
    /// peer is gone where a frozen peer's socket says nothing.
    Direct,
}

#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub enum WeightRequest {
    /// A small blob by digest: manifest, tokenizer and template.
    Blob { digest: Digest },
    /// A run of chunks of a model's weight files, by their index in the manifest.
    Chunks { manifest: Digest, first: u32, count: u32 },
}

/// Answers a `WeightRequest`; the bytes are the frame's body.
#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub enum WeightPiece {
    Blob,
    Chunk {
        index: u32,
    },
    /// This node does not hold what was asked for.
    NotHeld,
}
