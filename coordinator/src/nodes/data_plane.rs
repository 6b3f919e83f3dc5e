//! Streams to workers over the QUIC connections that they dialled.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use protocol::control::Role;
use protocol::frame::{Frame, FrameKind};
use protocol::ids::{Epoch, NodeId, ReplicaId};
use protocol::stream::{StreamAnswer, StreamHello};
use protocol::transport::{
    Arrival, FrameReader, FrameWriter, QuicEndpoint, TransportError, peer_identity,
};

use super::registry::WorkerRegistry;
use crate::raft::Consensus;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// From asking for a stream to the worker's answer.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Clone)]
pub struct DataPlane {
    registry: Arc<WorkerRegistry>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("node {node} has no data connection to this coordinator")]
    NotConnected { node: String },
    #[error("node {node} did not open a stream within {} s", OPEN_TIMEOUT.as_secs())]
    TimedOut { node: String },
    #[error("node {node} refused the stream: {reason}")]
    Refused { node: String, reason: String },
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl DataPlane {
    pub fn new(registry: Arc<WorkerRegistry>) -> Self {
        Self { registry }
    }

    /// A stream for one sequence to the head on `node` in this epoch; a `Generate` frame goes
    /// next.
    pub async fn open_generate(
        &self,
        node: NodeId,
        replica: ReplicaId,
        epoch: Epoch,
    ) -> Result<(FrameWriter, FrameReader), OpenError> {
        self.open(node, replica, epoch, &StreamHello::Generate).await
    }

    /// A stream for `WeightRequest` frames.
    pub(crate) async fn open_weights(
        &self,
        node: NodeId,
    ) -> Result<(FrameWriter, FrameReader), OpenError> {
        self.open(node, ReplicaId(0), Epoch(0), &StreamHello::Weights).await
    }

    /// Whether the worker's process answers within `limit`.
    pub(crate) async fn answers(&self, node: NodeId, limit: Duration) -> bool {
        let asking = self.open(node, ReplicaId(0), Epoch(0), &StreamHello::Probe);
        let answered = tokio::time::timeout(limit, asking).await;
        matches!(answered, Ok(Ok(_) | Err(OpenError::Refused { .. })))
    }

    /// Opens a stream that says `hello` and was answered `Ok`.
    async fn open(
        &self,
        node: NodeId,
        replica: ReplicaId,
        epoch: Epoch,
        hello: &StreamHello,
    ) -> Result<(FrameWriter, FrameReader), OpenError> {
        let name = node.short();
        let connection = self
            .registry
            .connection(node)
            .ok_or_else(|| OpenError::NotConnected { node: name.clone() })?;
        let opening = async {
            let (send, receive) = connection.open_bi().await.map_err(TransportError::from)?;
            let (mut writer, mut reader) = (FrameWriter::new(send), FrameReader::new(receive));
            let frame = Frame::new(FrameKind::Hello, replica, epoch, hello)
                .map_err(TransportError::from)?;
            writer.send(&frame).await?;
            let refused = |reason: String| OpenError::Refused { node: name.clone(), reason };
            let Some(answer) = reader.recv().await? else {
                return Err(refused("it closed the stream".into()));
            };
            match answer.open(FrameKind::Answer).map_err(TransportError::from)? {
                StreamAnswer::Ok => Ok((writer, reader)),
                StreamAnswer::Forbidden { reason } => Err(refused(reason)),
                StreamAnswer::NotYet => Err(refused("it is not ready yet".into())),
                StreamAnswer::StaleEpoch => Err(refused("the epoch is stale".into())),
            }
        };
        let late = |_| OpenError::TimedOut { node: node.short() };
        tokio::time::timeout(OPEN_TIMEOUT, opening).await.map_err(late)?
    }
}

/// Takes the dials of workers until the endpoint closes.
pub(crate) async fn accept(
    endpoint: QuicEndpoint,
    registry: Arc<WorkerRegistry>,
    consensus: Arc<Consensus>,
) {
    while let Some(incoming) = endpoint.accept().await {
        let (registry, consensus) = (Arc::clone(&registry), Arc::clone(&consensus));
        tokio::spawn(async move {
            let remote = incoming.remote_address();
            let connected = shake_hands(incoming, &consensus).await;
            match connected {
                Ok((node, connection)) => hold(node, connection, &registry).await,
                Err(reason) => tracing::warn!(%remote, reason, "data connection refused"),
            }
        });
    }
}

async fn shake_hands(
    incoming: Arrival,
    consensus: &Consensus,
) -> Result<(NodeId, quinn::Connection), String> {
    let connection = within(HANDSHAKE_TIMEOUT, incoming).await?.map_err(|e| e.to_string())?;
    let peer = peer_identity(&connection).map_err(|e| e.to_string())?;
    if peer.role != Role::Worker {
        return Err(format!("{peer} is not a worker"));
    }
    if consensus.state().removed.contains(&peer.node) {
        connection.close(1u32.into(), b"removed from the cluster");
        return Err(format!("{peer} was removed"));
    }
    Ok((peer.node, connection))
}

async fn hold(node: NodeId, connection: quinn::Connection, registry: &WorkerRegistry) {
    tracing::debug!(node = %node.short(), "data connection");
    if !registry.connected(node, &connection) {
        tracing::info!(node = %node.short(), "a second data connection is refused");
        return;
    }
    let reason = connection.closed().await;
    tracing::debug!(node = %node.short(), %reason, "data connection ended");
    registry.disconnected(node, &connection);
}

async fn within<F: IntoFuture>(limit: Duration, waited: F) -> Result<F::Output, String> {
    let late = |_| format!("no handshake within {} s", limit.as_secs());
    tokio::time::timeout(limit, waited.into_future()).await.map_err(late)
}
