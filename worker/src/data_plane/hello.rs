//! The first frames of a stream: what it is for, and whether the other side agrees.

use std::time::Duration;

use protocol::frame::{Frame, FrameKind};
use protocol::identity::PeerIdentity;
use protocol::stream::{StreamAnswer, StreamHello};
use protocol::transport::{FrameReader, FrameWriter, TransportError};

use crate::error::WorkerError;
use crate::shard::ShardKey;

/// Outcome of opening a stream at a peer.
pub(crate) enum Opened {
    Ok(FrameWriter, FrameReader),
    StaleEpoch,
    NotYet,
}

/// Opens a stream for `hello` on `connection` to `node` and waits for the answer.
pub(crate) async fn open(
    connection: &quinn::Connection,
    hello: &StreamHello,
    key: ShardKey,
    node: &str,
    deadline: Duration,
) -> Result<Opened, WorkerError> {
    let opened = tokio::time::timeout(deadline, open_unbounded(connection, hello, key, node));
    opened.await.map_err(|_| WorkerError::NoAnswer {
        node: node.to_owned(),
        seconds: deadline.as_secs(),
        waiting_for: "a stream was opened",
    })?
}

async fn open_unbounded(
    connection: &quinn::Connection,
    hello: &StreamHello,
    key: ShardKey,
    node: &str,
) -> Result<Opened, WorkerError> {
    let lost = |error: TransportError| stream_lost(node, &error);
    let (send, receive) = connection.open_bi().await.map_err(|e| lost(e.into()))?;
    let (mut writer, mut reader) = (FrameWriter::new(send), FrameReader::new(receive));
    let frame = Frame::new(FrameKind::Hello, key.replica, key.epoch, hello)?;
    writer.send(&frame).await.map_err(lost)?;
    let answer = next(&mut reader, node).await?;
    Ok(match answer.open(FrameKind::Answer)? {
        StreamAnswer::Ok => Opened::Ok(writer, reader),
        StreamAnswer::StaleEpoch => Opened::StaleEpoch,
        StreamAnswer::NotYet => Opened::NotYet,
        StreamAnswer::Forbidden { reason } => {
            return Err(WorkerError::Refused { node: node.to_owned(), reason });
        }
    })
}

/// A stream that a peer opened, its hello read and not yet answered.
pub(super) struct Accepted {
    pub(super) hello: StreamHello,
    pub(super) key: ShardKey,
    pub(super) writer: FrameWriter,
    pub(super) reader: FrameReader,
}

impl Accepted {
    pub(super) async fn read(
        send: quinn::SendStream,
        receive: quinn::RecvStream,
        peer: &PeerIdentity,
        deadline: Duration,
    ) -> Result<Self, WorkerError> {
        let (writer, mut reader) = (FrameWriter::new(send), FrameReader::new(receive));
        let node = peer.node.short();
        let first = tokio::time::timeout(deadline, next(&mut reader, &node));
        let frame = first.await.map_err(|_| WorkerError::NoAnswer {
            node,
            seconds: deadline.as_secs(),
            waiting_for: "its hello was due",
        })??;
        let key = ShardKey { replica: frame.replica, epoch: frame.epoch };
        Ok(Self { hello: frame.open(FrameKind::Hello)?, key, writer, reader })
    }

    pub(super) async fn answer(&mut self, answer: StreamAnswer) -> Result<(), WorkerError> {
        let frame = Frame::new(FrameKind::Answer, self.key.replica, self.key.epoch, &answer)?;
        self.writer.send(&frame).await.map_err(|e| stream_lost("that opened it", &e))
    }
}

/// The next frame; an end of the stream is an error here.
pub(crate) async fn next(reader: &mut FrameReader, node: &str) -> Result<Frame, WorkerError> {
    let frame = reader.recv().await.map_err(|error| stream_lost(node, &error))?;
    frame.ok_or_else(|| WorkerError::StreamLost {
        node: node.to_owned(),
        reason: "closed by the peer".to_owned(),
    })
}

pub(crate) fn stream_lost(node: &str, error: &TransportError) -> WorkerError {
    WorkerError::StreamLost { node: node.to_owned(), reason: error.to_string() }
}
