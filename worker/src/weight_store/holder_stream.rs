//! A `Weights` stream to one holder: requests out, pieces in, a deadline on every wait.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::frame::{Frame, FrameKind};
use protocol::ids::{Digest, Epoch, NodeId, ReplicaId};
use protocol::stream::{StreamAnswer, StreamHello, WeightPiece, WeightRequest};
use protocol::transport::{FrameReader, FrameWriter, TransportError};

/// A holder reads and hashes 4 MiB, and a slow link carries it: at 1 Mbit/s, 34 s.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens connections to other nodes, whatever is needed for it.
pub trait Peers: Send + Sync {
    /// An open connection to `node`; the error is a sentence.
    fn connect(
        &self,
        node: NodeId,
    ) -> impl Future<Output = Result<quinn::Connection, String>> + Send;
}

impl<P: Peers> Peers for Arc<P> {
    fn connect(
        &self,
        node: NodeId,
    ) -> impl Future<Output = Result<quinn::Connection, String>> + Send {
        (**self).connect(node)
    }
}

/// An open stream to a holder.
pub(super) struct HolderStream {
    writer: FrameWriter,
    reader: FrameReader,
}

/// Why a holder gave nothing.
#[derive(Debug)]
pub(super) enum HolderFault {
    /// It says that it does not hold it.
    NotHeld,
    /// Unreachable, cut, silent or talking nonsense.
    Lost(String),
}

impl From<TransportError> for HolderFault {
    fn from(error: TransportError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<protocol::ProtocolError> for HolderFault {
    fn from(error: protocol::ProtocolError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl HolderStream {
    pub(super) async fn open(peers: &impl Peers, node: NodeId) -> Result<Self, HolderFault> {
        let connection = within(OPEN_TIMEOUT, "connected", peers.connect(node)).await?;
        let connection = connection.map_err(HolderFault::Lost)?;
        within(OPEN_TIMEOUT, "opened a stream", Self::greet(&connection)).await?
    }

    async fn greet(connection: &quinn::Connection) -> Result<Self, HolderFault> {
        let (send, receive) = connection.open_bi().await.map_err(TransportError::from)?;
        let (mut writer, mut reader) = (FrameWriter::new(send), FrameReader::new(receive));
        writer.send(&frame(FrameKind::Hello, &StreamHello::Weights)?).await?;
        let answer = reader.recv().await?.ok_or_else(ended)?;
        match answer.open(FrameKind::Answer)? {
            StreamAnswer::Ok => Ok(Self { writer, reader }),
            other => Err(HolderFault::Lost(format!("the stream is refused: {other:?}"))),
        }
    }

    pub(super) async fn ask(&mut self, request: &WeightRequest) -> Result<(), HolderFault> {
        let frame = frame(FrameKind::WeightRequest, request)?;
        within(PIECE_TIMEOUT, "took a request", self.writer.send(&frame)).await??;
        Ok(())
    }

    /// The next chunk of the oldest request that is still open: its index and bytes.
    pub(super) async fn next_chunk(&mut self) -> Result<(u32, Bytes), HolderFault> {
        match self.next_piece().await? {
            (WeightPiece::Chunk { index }, body) => Ok((index, body)),
            (WeightPiece::NotHeld, _) => Err(HolderFault::NotHeld),
            (WeightPiece::Blob, _) => Err(HolderFault::Lost("a blob came for a chunk".into())),
        }
    }

    /// A blob whose digest holds.
    pub(super) async fn blob(&mut self, digest: Digest) -> Result<Bytes, HolderFault> {
        self.ask(&WeightRequest::Blob { digest }).await?;
        match self.next_piece().await? {
            (WeightPiece::Blob, body) if Digest::of(&body) == digest => Ok(body),
            (WeightPiece::Blob, _) => Err(HolderFault::Lost("the blob came corrupt".into())),
            (WeightPiece::NotHeld, _) => Err(HolderFault::NotHeld),
            (WeightPiece::Chunk { .. }, _) => {
                Err(HolderFault::Lost("a chunk came for a blob".into()))
            }
        }
    }

    async fn next_piece(&mut self) -> Result<(WeightPiece, Bytes), HolderFault> {
        let frame = within(PIECE_TIMEOUT, "sent a piece", self.reader.recv()).await??;
        let frame = frame.ok_or_else(ended)?;
        Ok((frame.open(FrameKind::WeightPiece)?, frame.body.clone()))
    }
}

/// Weights belong to no replica: both ids are 0.
pub(super) fn frame<T>(kind: FrameKind, meta: &T) -> Result<Frame, protocol::ProtocolError>
where
    T: wincode::SchemaWrite<protocol::encoding::Wire, Src = T>,
{
    Frame::new(kind, ReplicaId(0), Epoch(0), meta)
}

async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = T>,
) -> Result<T, HolderFault> {
    let late = |_| HolderFault::Lost(format!("it has not {what} within {} s", limit.as_secs()));
    tokio::time::timeout(limit, work).await.map_err(late)
}

fn ended() -> HolderFault {
    HolderFault::Lost("it ended the stream".into())
}
