//! Round-trip time and throughput to a peer, over a probe stream that it echoes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::frame::{Frame, FrameKind};
use protocol::ids::{Epoch, NodeId, ReplicaId};
use protocol::node_profile::{ExchangeProfile, LinkProfile};
use protocol::stream::StreamHello;
use protocol::transport::{FrameReader, FrameWriter};

use super::exchange;
use crate::data_plane::{Opened, PeerPool, next, open, stream_lost};
use crate::error::WorkerError;
use crate::shard::ShardKey;

/// Small round trips; the least of them counts.
const ROUNDS: u32 = 10;
/// Frames and bytes of the throughput measurement.
const BULK_FRAMES: u32 = 8;
const BULK_BYTES: usize = 256 << 10;
const DEADLINE: Duration = Duration::from_secs(8);
/// Probe streams belong to no replica.
pub(super) const NO_EPOCH: ShardKey = ShardKey { replica: ReplicaId(0), epoch: Epoch(0) };

/// Measures the link to `peer`; a peer that does not answer is reported as not reachable.
pub(crate) async fn measure(peers: &PeerPool, peer: NodeId) -> LinkProfile {
    match tokio::time::timeout(DEADLINE, probe(peers, peer)).await {
        Ok(Ok(link)) => link,
        failed => {
            let reason = match failed {
                Ok(Err(error)) => error.to_string(),
                _ => format!("no answer within {} s", DEADLINE.as_secs()),
            };
            tracing::warn!(peer = %peer.short(), %reason, "link probe failed");
            LinkProfile::DOWN
        }
    }
}

/// A connection from before the peer's restart ends only when it is used: that says nothing of the
/// link, so the probe goes over a new one then.
async fn probe(peers: &PeerPool, peer: NodeId) -> Result<LinkProfile, WorkerError> {
    let pooled = peers.live(peer);
    match probe_once(peers, peer).await {
        Err(_) if pooled.is_some_and(|c| c.close_reason().is_some()) => {
            probe_once(peers, peer).await
        }
        result => result,
    }
}

async fn probe_once(peers: &PeerPool, peer: NodeId) -> Result<LinkProfile, WorkerError> {
    let node = peer.short();
    let connection = peers.reach(peer).await?;
    let opened = open(&connection, &StreamHello::Probe, NO_EPOCH, &node, DEADLINE).await?;
    let Opened::Ok(mut writer, mut reader) = opened else {
        return Err(WorkerError::Refused { node, reason: "it does not echo now".to_owned() });
    };
    let mut rtt = f64::INFINITY;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        send(&mut writer, Bytes::new(), &node).await?;
        next(&mut reader, &node).await?;
        rtt = rtt.min(started.elapsed().as_secs_f64());
    }
    let started = Instant::now();
    let body = Bytes::from(vec![0_u8; BULK_BYTES]);
    let sending = async {
        for _ in 0..BULK_FRAMES {
            send(&mut writer, body.clone(), &node).await?;
        }
        Ok(())
    };
    tokio::try_join!(sending, receive(&mut reader, &node))?;
    // Both directions run at once; the first frame's way there and the last one's way back do not.
    let busy = (started.elapsed().as_secs_f64() - rtt).max(1e-6);
    let bytes = f64::from(BULK_FRAMES) * BULK_BYTES as f64;
    let exchange = ExchangeProfile {
        direct_seconds: exchange::measure_direct(peers, peer).await,
        quic_seconds: exchange::measure_quic(&mut writer, &mut reader, &node).await?,
    };
    Ok(LinkProfile { exchange, ..LinkProfile::new(rtt, bytes / busy) })
}

pub(super) async fn send(
    writer: &mut FrameWriter,
    body: Bytes,
    node: &str,
) -> Result<(), WorkerError> {
    let ShardKey { replica, epoch } = NO_EPOCH;
    let frame = Frame::with_body(FrameKind::Probe, replica, epoch, &0_u8, body)?;
    writer.send(&frame).await.map_err(|error| stream_lost(node, &error))
}

async fn receive(reader: &mut FrameReader, node: &str) -> Result<(), WorkerError> {
    for _ in 0..BULK_FRAMES {
        next(reader, node).await?;
    }
    Ok(())
}
