//! Sockets that ranks of a group, and probes, open beside QUIC: accepted, checked, handed over.

use std::time::Duration;

use engine::collective::{Collective, Fate, Mesh};
use protocol::frame::{Frame, FrameKind};
use protocol::ids::NodeId;
use protocol::plan::Edge;
use protocol::stream::{StreamAnswer, StreamHello};
use protocol::transport::{DirectListener, DirectStream, TransportError};

use super::{HELLO_TIMEOUT, PeerPool, Services, stream_lost};
use crate::collective::DirectLink;
use crate::error::WorkerError;
use crate::pipeline::IncomingLink;
use crate::shard::ShardKey;

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Exchanges that one probe may ask for.
pub(crate) const PROBE_ROUNDS: usize = 60;
/// Values of a probe's exchange: 16 KiB, a token's row of a model of the largest usual width.
pub(crate) const PROBE_VALUES: usize = 4096;
pub(crate) const PROBE_PATIENCE: Duration = Duration::from_secs(2);

/// Serves every socket until the task is dropped.
pub(crate) async fn serve_direct(listener: DirectListener, services: Services) {
    loop {
        let knock = match listener.accept().await {
            Ok(knock) => knock,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a direct socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let shaking = listener.shake(knock, HELLO_TIMEOUT);
        let services = services.clone();
        tokio::spawn(async move {
            let served = async {
                let stream = shaking.await.map_err(|error| lost(&error))?;
                let greeted = tokio::time::timeout(HELLO_TIMEOUT, greet(stream, services)).await;
                greeted.unwrap_or(Ok(()))
            };
            if let Err(error) = served.await {
                tracing::debug!(%error, "direct socket refused");
            }
        });
    }
}

async fn greet(mut stream: DirectStream, services: Services) -> Result<(), WorkerError> {
    let frame = stream.recv().await.map_err(|error| lost(&error))?;
    let key = ShardKey { replica: frame.replica, epoch: frame.epoch };
    match frame.open(FrameKind::Hello)? {
        StreamHello::Group { from, to } => {
            let peer = stream.peer().node;
            match services.registry.claim_link(key, Edge { from, to }, peer) {
                Ok(slot) => {
                    answer(&mut stream, key, StreamAnswer::Ok).await?;
                    // A pipeline that went away meanwhile drops the socket, which tells the peer.
                    let _ = slot.try_send(IncomingLink::Direct(Box::new(stream)));
                    Ok(())
                }
                Err(refusal) => answer(&mut stream, key, refusal).await,
            }
        }
        StreamHello::Probe => {
            answer(&mut stream, key, StreamAnswer::Ok).await?;
            let socket = DirectLink(stream.into_socket().map_err(|error| lost(&error))?);
            std::thread::Builder::new()
                .name("probe".to_owned())
                .spawn(move || exchange_with_prober(socket))
                .map_err(WorkerError::Thread)?;
            Ok(())
        }
        _ => {
            let reason = "a direct socket is for ranks of a group".to_owned();
            answer(&mut stream, key, StreamAnswer::Forbidden { reason }).await
        }
    }
}

/// A thread of its own, as a rank has: ends with the probe.
fn exchange_with_prober(link: DirectLink) {
    let mut mesh = Mesh::new(1, vec![(0, Box::new(link))], Fate::default(), PROBE_PATIENCE);
    let mut values = [0.0; PROBE_VALUES];
    for _ in 0..PROBE_ROUNDS {
        if mesh.all_reduce(&mut values).is_err() {
            return;
        }
    }
}

impl PeerPool {
    /// A socket to `node` that has agreed to `hello`.
    pub(crate) async fn dial_direct(
        &self,
        node: NodeId,
        hello: &StreamHello,
        key: ShardKey,
        deadline: Duration,
    ) -> Result<DirectStream, WorkerError> {
        let addresses = self.addresses(node);
        let dialled = DirectStream::dial_any(self.tls(), &addresses, Some(node), deadline).await;
        let mut stream = dialled.map_err(|error| WorkerError::Unreachable {
            node: node.short(),
            addresses: addresses.join(", "),
            reason: error.to_string(),
        })?;
        let greeting = async {
            let frame = Frame::new(FrameKind::Hello, key.replica, key.epoch, hello)?;
            stream.send(&frame).await.map_err(|error| lost(&error))?;
            let frame = stream.recv().await.map_err(|error| lost(&error))?;
            Ok::<StreamAnswer, WorkerError>(frame.open(FrameKind::Answer)?)
        };
        let answered = tokio::time::timeout(deadline, greeting).await;
        let answer = answered.map_err(|_| WorkerError::NoAnswer {
            node: node.short(),
            seconds: deadline.as_secs(),
            waiting_for: "a direct socket was opened",
        })??;
        if answer == StreamAnswer::Ok {
            return Ok(stream);
        }
        Err(WorkerError::Refused { node: node.short(), reason: format!("{answer:?}") })
    }
}

async fn answer(
    stream: &mut DirectStream,
    key: ShardKey,
    answer: StreamAnswer,
) -> Result<(), WorkerError> {
    let frame = Frame::new(FrameKind::Answer, key.replica, key.epoch, &answer)?;
    stream.send(&frame).await.map_err(|error| lost(&error))
}

fn lost(error: &TransportError) -> WorkerError {
    stream_lost("of a direct socket", error)
}
